"""A stack: its embedding, its layers in a block with their number, its last norm."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from textwrap import wrap

from composer.components.placed import Placed
from composer.graph.graph import Stack

from . import labels, words
from .columns import Column
from .folds import Fold, folds_of
from .layer import draw_layer
from .pen import Box, entering
from .scene import LayerPlace, Place, Reader, Scene, Spot, written_at
from .sheet import Attributes, Html

_SHORT = 8
"""Characters of a name that leave room for `layer` beside the line that comes out of a block."""


_WIDE = 14
"""Characters of a title's line."""


def draw_stack(scene: Scene, stack: Stack, column: Column) -> Place:
    """Draws a stack into its column."""
    scene.pen.sheet.remark(stack.name)
    embed = _embedding(scene, stack, column)
    depth = scene.view.depth_of(stack.name)
    made = _whole(scene, stack, column) if depth == 0 else _layers(scene, stack, column)
    if embed is not None:
        scene.pen.flow(column, embed[1], made.entry, entering(made.border))
        made = replace(made, entry=embed[0], border="")
    return _ended(scene, stack, made)


def _ended(scene: Scene, stack: Stack, made: Place) -> Place:
    """The stack with its last norm after it."""
    node = stack.final_norm
    if node is None or scene.view.depth_of(stack.name) == 0:
        return made
    name = f"{stack.name}.{node.name}"
    letters = scene.marks.on_part(stack.name, node.name)
    scene.component(Spot(name, name, made.column, letters), node)
    scene.pen.flow(made.column, made.exit, name)
    return replace(made, exit=name, inside=False)


# The embedding


def _embedding(scene: Scene, stack: Stack, column: Column) -> tuple[str, str] | None:
    """First and last node of an embedding, or None where there is none."""
    node = stack.embed
    if node is None:
        return None
    name, parts = f"{stack.name}.{node.name}", node.placed.parts
    steps = []
    if node.component.tensors(node.placed.axes) or not parts:
        letters = scene.marks.on_part(stack.name, node.name)
        steps.append(scene.component(Spot(name, name, column, letters), node))
    for part, placed in parts.items():
        steps.append(_embedding_part(scene, stack, part, placed, column))
    for one, other in pairwise(steps):
        scene.pen.flow(column, one, other)
    return steps[0], steps[-1]


def _embedding_part(scene: Scene, stack: Stack, part: str, placed: Placed, column: Column) -> str:
    """A norm on the line, or positions beside it and the circle in which they are added."""
    assert stack.embed is not None, "it has parts"
    name, span = f"{stack.name}.{stack.embed.name}.{part}", stack.embed.span
    letters = scene.marks.on_part(stack.name, stack.embed.name, part)
    if placed.component.role != "position":
        return scene.placed(Spot(name, name, column, letters), placed, span)
    circle = scene.pen.circle(f"{name}.add", "+", column, ("positions are added",))
    small: Attributes = {"height": 0.42, "width": 1.0, "style": "rounded,filled,dashed"}
    scene.placed(Spot(name, name, None, letters, attributes=small), placed, span)
    # Written from the circle, so that the box stands on its right.
    scene.pen.line("data", name, circle, back=True)
    scene.pen.sheet.row(circle, name)
    return circle


# The layers


def _layers(scene: Scene, stack: Stack, column: Column) -> Place:
    """The block of a stack; layers that differ have blocks of their own in it."""
    folds, block, layers = (
        folds_of(stack, scene.marks),
        f"cluster_{stack.name}",
        f"{stack.name}.layers",
    )
    single = len(folds) == 1
    letters = scene.marks.on_layers(stack.name, range(len(stack.layers)) if single else ())
    title = _title(scene, stack, letters, folds)
    look = {**scene.signs.look((layers,), scene.pen.palette), **scene.tint(stack.name)}
    with scene.pen.block(block, title, _about(scene, stack), look=look):
        if single:
            made = [draw_layer(scene, stack, folds[0], stack.name, column)]
        else:
            made = _folds(scene, stack, folds, column)
        for below, above in pairwise(made):
            scene.pen.flow(column, below.exit, above.entry)
    standing = [name for name in made[0].attentions.values() if name in scene.pen.heights]
    scene.mark(letters, standing[0] if standing else made[0].entry, column, block)
    border = scene.border(stack.value.shape)
    last = scene.columns[stack.name]
    return Place(
        made[0].entry, made[-1].exit, last, block, inside=True, layers=tuple(made), border=border,
        start=column,
    )  # fmt: skip


def _title(scene: Scene, stack: Stack, letters: str, folds: tuple[Fold, ...]) -> Html:
    """Name, letters, number of layers, and what of them is not shared."""
    single = len(folds) == 1
    # Right of the line that comes out of the block there is room for so much.
    name = "\n".join(wrap(title_of(stack), _WIDE, break_long_words=False))
    rows = [f"{name} layer"] if len(name) <= _SHORT and not letters else [name, "layer"]
    rows = rows if single else [name]
    if letters and (own := _own(scene, stack, folds)):
        rows += ["its own:", *own]
    layers = (f"{stack.name}.layers",)
    whole = scene.signs.look(layers, scene.pen.palette)
    sign = scene.signs.on(layers) if whole else ""  # else each part has its own
    return labels.block(scene.pen.palette, rows, letters, pills(stack), sign)


def _own(scene: Scene, stack: Stack, folds: tuple[Fold, ...]) -> list[str]:
    """What a layer that is shared as a whole has for itself, such as an attention elsewhere."""
    aliases = scene.graph.aliases
    found = [
        body.node.placed.component.label(body.node.placed.axes).title
        for fold in folds
        for branch in fold.kind.branches
        for body in branch.bodies
        if body.node.placed.tensors
        and not _shared(f"{stack.name}.layers.{fold.numbers[-1]}.{body.node.name}.", aliases)
    ]
    return list(dict.fromkeys(found))


def _shared(below: str, aliases: Mapping[str, str]) -> bool:
    return any(name.startswith(below) for pair in aliases.items() for name in pair)


def _folds(scene: Scene, stack: Stack, folds: tuple[Fold, ...], column: Column) -> list[LayerPlace]:
    """The blocks of layers that differ, one above the other, or beside it where the column turns."""
    made: list[LayerPlace] = []
    first, turns = column, list[str]()
    for fold in folds:
        before = scene.columns[stack.name] if made else column
        column = scene.seam(f"{stack.name}.{fold.numbers[0]}", before, 1) if made else column
        made.append(_fold(scene, stack, fold, column, folds))
        block = f"cluster_{stack.name}.{fold.numbers[0]}"
        if column != before:
            scene.pen.foot(made[0].entry, made[-1].entry, block)
            turns.append(made[-2].exit)
        if column != first:
            scene.pen.sheet.lead(block)
    if turns:
        _keep_turns(scene, turns, made[-1], column)
    return made


def _keep_turns(scene: Scene, turns: list[str], last: LayerPlace, column: Column) -> None:
    """Holds blocks side by side in their order, by a row of places above them."""
    row = [scene.pen.anchor(f"{end} over") for end in turns]
    for end, anchor in zip(turns, row, strict=True):
        scene.pen.sheet.line(end, anchor, style="invis", weight=0)
    top = scene.pen.point(f"{last.exit} over", column)
    scene.pen.flow(column, last.exit, top)
    last.exit = top
    scene.pen.order(*row, top)


def _fold(
    scene: Scene, stack: Stack, fold: Fold, column: Column, folds: tuple[Fold, ...]
) -> LayerPlace:
    """The block of layers that look the same, within that of their stack."""
    prefix, which = f"{stack.name}.{fold.numbers[0]}", words.layers(fold.numbers)
    letters = scene.marks.on_layers(stack.name, fold.numbers)
    if letters == scene.marks.on_layers(stack.name, ()):
        letters = ""  # it stands on the whole stack
    rows, count = _fold_title(which, fold, folds), f"×{len(fold.numbers)}"
    title = labels.block(scene.pen.palette, rows, letters, [(count, False)])
    about = (f"{stack.name}: {which}",)
    block = f"cluster_{prefix}"
    with scene.pen.block(block, title, about, nested=True):
        made = draw_layer(scene, stack, fold, prefix, column)
    scene.mark(letters, made.entry, column, block)
    return made


def _fold_title(which: str, fold: Fold, folds: tuple[Fold, ...]) -> list[str]:
    """The type of these layers, which they are, and what else tells them from the others."""
    alike = [other for other in folds if other.kind.type == fold.kind.type]
    rows = [fold.kind.type, which] if fold.kind.type else [which]
    if len({bool(other.reads) for other in alike}) > 1:
        rows.append("with cross-attention" if fold.reads else "no cross-attention")
    if len({bool(other.skips) for other in alike}) > 1:
        rows.append("with skip" if fold.skips else "no skip")
    return [_capital(rows[0]), *rows[1:]]


def title_of(stack: Stack) -> str:
    """The name of a stack for people: `Encoder`, `Text encoder`."""
    name = stack.name.replace("_", " ")
    return _capital(name if stack.role in stack.name.lower() else f"{name} {stack.role}")


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def pills(stack: Stack) -> list[tuple[str, bool]]:
    """How many sets of weights the layers have, and how often each is applied if more than once."""
    count, sets = len(stack.layers), len(set(stack.layer_sets))
    applied = [(f"×{count // sets}", True)] if sets < count else []
    return ([(f"×{sets}", False)] if sets > 1 else []) + applied


def _about(scene: Scene, stack: Stack) -> tuple[str, ...]:
    nodes = [node for path, node in stack.nodes() if path.startswith("layers.")]
    held = words.number(sum(node.placed.parameters for node in nodes))
    return (
        f"{stack.name}: {len(stack.layers)} layers, {held} parameters",
        f"makes {scene.shape(stack.value.shape)}",
        written_at(stack.span),
    )


# The whole stack as one box


def _whole(scene: Scene, stack: Stack, column: Column) -> Place:
    folds = folds_of(stack, scene.marks)
    bodies = [body for f in folds for branch in f.kind.branches for body in branch.bodies]
    placed = [body.node.placed for body in bodies]
    titles = dict.fromkeys(p.component.label(p.axes).title for p in placed)
    letters = scene.marks.on_layers(stack.name, range(len(stack.layers)))
    pill = " ".join(text for text, _ in pills(stack))
    name = f"{stack.name}.layers"
    sign = scene.signs.on((name,))
    words_of = (title_of(stack), ", ".join(titles))
    text = labels.box(scene.pen.palette, *words_of, letters, pill, sign=sign)
    changed = scene.tint(stack.name, *(f"{stack.name}.{path}" for path, _ in stack.nodes()))
    tint = {**scene.signs.look((name,), scene.pen.palette), **changed}
    scene.pen.box(name, column, Box(placed[0].component.role, text, _about(scene, stack), tint))
    scene.mark(letters, name, column)
    return Place(name, name, column, layers=tuple(_whole_layer(fold, name) for fold in folds))


def _whole_layer(fold: Fold, name: str) -> LayerPlace:
    bodies = [body for branch in fold.kind.branches for body in branch.bodies]
    readers = [Reader(read, name, name, beside=False) for body in bodies for read in body.reads]
    attentions = {body.node.name: name for body in bodies}
    return LayerPlace(fold, name, name, [name] * len(fold.skips), readers, attentions)
