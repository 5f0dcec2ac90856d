"""A stack: its embedding, its layers in a block with their number, its last norm."""

from __future__ import annotations

from dataclasses import dataclass, replace

from composer.components.component import Placed
from composer.graph.graph import Body, Node, Stack

from . import labels, words
from .layer import LayerPen, LayerPlace, Reader
from .pen import Pen, place
from .plan import Column, Fold, folds_of


@dataclass(frozen=True)
class Place:
    """Where a drawn part can be reached.

    `block` is the block of its layers, and `inside` tells whether `exit` stands in it; `border` is
    written beside the line that comes in, and `arrow` tells whether that has a head.
    """

    entry: str
    exit: str
    column: Column
    block: str = ""
    inside: bool = False
    layers: tuple[LayerPlace, ...] = ()
    border: str = ""
    arrow: bool = True

    def of_layer(self, number: int) -> LayerPlace | None:
        """The drawn layer that stands for the one with this number."""
        return next((layer for layer in self.layers if number in layer.fold.numbers), None)


def draw_stack(pen: Pen, stack: Stack, column: Column) -> Place:
    """Draws a stack into its column."""
    pen.sheet.remark(stack.name)
    embed = _embedding(pen, stack, column)
    made = _whole(pen, stack, column) if pen.depth == 0 else _layers(pen, stack, column)
    return _ended(pen, stack, _started(pen, embed, made))


def _started(pen: Pen, embed: tuple[str, str] | None, made: Place) -> Place:
    """The stack with its embedding before it."""
    if embed is None:
        return made
    pen.flow(made.column, embed[1], made.entry, label=made.border, arrow=made.arrow)
    return replace(made, entry=embed[0], border="", arrow=True)


def _ended(pen: Pen, stack: Stack, made: Place) -> Place:
    """The stack with its last norm after it."""
    node = stack.final_norm
    if node is None or pen.depth == 0:
        return made
    name = f"{stack.name}.{node.name}"
    pen.component(name, node, name, made.column, pen.marks.on_part(stack.name, node.name))
    pen.flow(made.column, made.exit, name)
    return replace(made, exit=name, inside=False)


# The embedding


def _embedding(pen: Pen, stack: Stack, column: Column) -> tuple[str, str] | None:
    """First and last node of an embedding, or None where there is none."""
    node = stack.embed
    if node is None:
        return None
    name = f"{stack.name}.{node.name}"
    parts = node.placed.parts
    steps = []
    if node.component.tensors(node.placed.axes) or not parts:
        letters = pen.marks.on_part(stack.name, node.name)
        steps.append(pen.component(name, node, name, column, letters))
    for part, placed in parts.items():
        steps.append(_embedding_part(pen, stack, node, part, placed, column))
    for one, other in zip(steps, steps[1:], strict=False):
        pen.flow(column, one, other)
    return steps[0], steps[-1]


def _embedding_part(
    pen: Pen, stack: Stack, node: Node, part: str, placed: Placed, column: Column
) -> str:
    """A norm on the line, or positions beside it and the circle in which they are added."""
    name = f"{stack.name}.{node.name}.{part}"
    letters = pen.marks.on_part(stack.name, node.name, part)
    if placed.component.role != "position":
        return pen.placed(name, placed, name, node.span, column, letters)
    circle = pen.circle(f"{name}.add", "+", column, "positions are added")
    pen.placed(
        name, placed, name, node.span, None, letters, height=0.42, width=1.0,
        style="rounded,filled,dashed",
    )  # fmt: skip
    pen.line("data", None, circle, name, dir="back")
    pen.sheet.row(circle, name)
    return circle


# The layers


def _layers(pen: Pen, stack: Stack, column: Column) -> Place:
    """The block of a stack; layers that differ have blocks of their own in it."""
    folds = folds_of(stack)
    cluster = f"cluster_{stack.name}"
    single = len(folds) == 1
    with pen.block(cluster, "block repeat", _title(pen, stack, single=single), *_about(pen, stack)):
        if single:
            made = [LayerPen(pen, stack, folds[0], stack.name, column).draw()]
        else:
            made = [_fold(pen, stack, fold, column, folds) for fold in folds]
        _mark(pen, stack, made, column, cluster)
        for below, above in zip(made, made[1:], strict=False):
            pen.flow(column, below.exit, above.entry, arrow=bool(above.skips))
    border = pen.shape(stack.value.shape)
    arrow = bool(made[0].skips)
    return Place(made[0].entry, made[-1].exit, column, cluster, True, tuple(made), border, arrow)


def _mark(pen: Pen, stack: Stack, made: list[LayerPlace], column: Column, cluster: str) -> None:
    """Remembers the letters of the whole block, at the height of its first component."""
    letters = pen.marks.on_layers(stack.name, range(len(stack.layers)) if len(made) == 1 else ())
    inside = [name for name in made[0].attentions.values() if name in pen.heights]
    if letters:
        pen.mark(letters, inside[0] if inside else made[0].entry, column, cluster)


def _fold(
    pen: Pen, stack: Stack, fold: Fold, column: Column, folds: tuple[Fold, ...]
) -> LayerPlace:
    """The block of layers that look the same, within that of their stack."""
    prefix = f"{stack.name}.{fold.numbers[0]}"
    letters = pen.marks.on_layers(stack.name, fold.numbers)
    if letters == pen.marks.on_layers(stack.name, ()):
        letters = ""  # it stands on the whole stack
    which = words.layers(fold.numbers)
    rows = _fold_title(which, fold, folds)
    title = labels.block(pen.palette, rows, letters, [(f"×{len(fold.numbers)}", False)])
    with pen.block(f"cluster_{prefix}", "block repeat", title, f"{stack.name}: {which}", nested=True):
        return LayerPen(pen, stack, fold, prefix, column).draw()


def _fold_title(which: str, fold: Fold, folds: tuple[Fold, ...]) -> list[str]:
    """The type of these layers, which they are, and what else tells them from the others."""
    alike = [other for other in folds if other.kind.type == fold.kind.type]
    rows = [fold.kind.type, which] if fold.kind.type else [which]
    if len({_crosses(other) for other in alike}) > 1:
        rows.append("with cross-attention" if _crosses(fold) else "no cross-attention")
    if len({len(other.skips) for other in alike}) > 1:
        rows.append("with skip" if fold.skips else "no skip")
    return [_capital(rows[0]), *rows[1:]]


def _crosses(fold: Fold) -> int:
    return sum(len(body.reads) for branch in fold.kind.branches for body in branch.bodies)


def _title(pen: Pen, stack: Stack, *, single: bool) -> labels.Html:
    """Name, letters and number of layers; a second, pink pill says how often each set is applied."""
    letters = pen.marks.on_layers(stack.name, range(len(stack.layers)) if single else ())
    name = title_of(stack)
    rows = [f"{name} layer"] if len(name) + len(letters) <= _SHORT else [name, "layer"]
    return labels.block(pen.palette, rows if single else [name], letters, pills(stack))


_SHORT = 8
"""Characters of a name that leave room for `layer` beside the line that comes out of a block."""


def title_of(stack: Stack) -> str:
    """The name of a stack for people: `Encoder`, `Text encoder`."""
    name = stack.name.replace("_", " ")
    return _capital(name if stack.role in stack.name.lower() else f"{name} {stack.role}")


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def pills(stack: Stack) -> list[tuple[str, bool]]:
    """How many sets of weights the layers have, and how often each set is applied if more than once."""
    count, sets = len(stack.layers), len(set(stack.layer_sets))
    applied = [(f"×{count // sets}", True)] if sets < count else []
    return ([(f"×{sets}", False)] if sets > 1 else []) + applied


def _about(pen: Pen, stack: Stack) -> tuple[str, ...]:
    nodes = [node for path, node in stack.nodes() if path.startswith("layers.")]
    held = sum(node.placed.parameters for node in nodes)
    return (
        f"{stack.name}: {len(stack.layers)} layers, {words.number(held)} parameters",
        f"makes {words.shape(stack.value.shape, pen.letters)}",
        place(stack.span),
    )


# The whole stack as one box


def _whole(pen: Pen, stack: Stack, column: Column) -> Place:
    bodies = [body for fold in folds_of(stack) for branch in fold.kind.branches for body in branch.bodies]
    titles = dict.fromkeys(body.node.component.label(body.node.placed.axes).title for body in bodies)
    letters = pen.marks.on_layers(stack.name, range(len(stack.layers)))
    pill = " ".join(text for text, _ in pills(stack))
    text = labels.box(pen.palette, title_of(stack), ", ".join(titles), letters, pill)
    role = bodies[0].node.component.role
    name = pen.step(f"{stack.name}.layers", role, text, column, *_about(pen, stack))
    places = tuple(_whole_layer(fold, name) for fold in folds_of(stack))
    return Place(name, name, column, layers=places)


def _whole_layer(fold: Fold, name: str) -> LayerPlace:
    bodies: list[Body] = [body for branch in fold.kind.branches for body in branch.bodies]
    readers = [Reader(read, (name,), name, beside=False) for body in bodies for read in body.reads]
    attentions = {body.node.name: name for body in bodies}
    skips = [name] * len(fold.skips)
    return LayerPlace(fold, "", name, name, skips, readers, attentions)
