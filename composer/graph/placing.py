"""Putting a component in its place: what is known there, and what is said if it does not fit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from composer.components.component import Inputs, OptionError
from composer.components.placed import place
from composer.diagnostics import Note, Problems, Span
from composer.language.document import Mapping as MappingTree
from composer.language.document import Sequence, Tree, get, value_span
from composer.language.spec import Written
from composer.shapes import Shape, ShapeError, show

from .graph import Node, Part, State, Value
from .wires import Wires


class Placing:
    """What the placing of all parts shares: references, the values known so far, problems.

    `ids` are the parts whose numbers are token ids.
    """

    def __init__(self, wires: Wires, problems: Problems) -> None:
        self.wires = wires
        self.problems = problems
        self.values: dict[State, Value] = {}
        self.parts: dict[str, Part] = {}
        self.ids: set[str] = set()
        self._shared = _places(get(wires.spec.tree, ("defaults",)))

    def value(self, state: State) -> Value | None:
        """What is known of a state; None where its part is wrong."""
        if state in self.values:
            return self.values[state]
        if state.layer is not None and not state.item:
            return self.values.get(State(state.part))
        return self.values.get(State(state.part)) if state.item == "mix" else None

    def put(
        self,
        name: str,
        written: Written,
        inputs: Inputs,
        owner: str,
        span: Span,
        sources: Mapping[str, tuple[State, ...]] | None = None,
        /,
        **given: object,
    ) -> Node | None:
        """A component in its place, or None with the reason as a problem.

        `owner` is the part that it belongs to; `sources` are the states at its ports.
        """
        try:
            placed = place(written.component, inputs, **given)
            placed.component.tables(placed.axes)  # what a stack computes for it must fit, too
            return Node(name, placed, span)
        except OptionError as error:
            self._option(error, written, owner)
        except ShapeError as error:
            self._mismatch(error, owner, span, sources or {})
        return None

    def _option(self, error: OptionError, written: Written, owner: str) -> None:
        """An option that cannot hold; if it stands in `defaults`, once for all stacks."""
        words = error.option.split(".")
        path = tuple(int(word) if word.isdigit() else word for word in words)
        span = value_span(written.tree, path)
        whose = "" if span in self._shared else f"'{owner}': "
        self.problems.add("C115", whose + error.message, span, fix=error.fix)

    def _mismatch(
        self, error: ShapeError, owner: str, span: Span, sources: Mapping[str, tuple[State, ...]]
    ) -> None:
        """An input of a shape that does not fit, and both ends of the conflict."""
        states = sources.get(error.port, ())
        why = f": {error.why}" if error.why else ""
        if error.index >= len(states):
            text = f"'{owner}' wants {error.want} but gets {show(error.got)}{why}"
            self.problems.add("S201", text, span)
            return
        state = states[error.index]
        port = (
            f" as '{error.port}'" if len(sources) > 1 and error.port != next(iter(sources)) else ""
        )
        ends = [states[0], state] if error.index else [state]
        notes = []
        for end in dict.fromkeys(ends):
            value = self.value(end)
            made = show(error.got if value is None else value.shape)
            notes.append(Note(f"'{said(end)}' makes {made}", self.wires.span_of(end.part)))
        self.problems.add(
            "S201",
            f"'{owner}' wants {error.want}{port}, but '{said(state)}' is {show(error.got)}{why}",
            self.wires.places.get((owner, state.part), span),
            notes,
            self._shape_fix(error, states),
        )

    def _shape_fix(self, error: ShapeError, states: tuple[State, ...]) -> str:
        """What to write instead: another source, or a module between."""
        state, first = states[error.index], self.value(states[0])
        if state.part in self.ids:
            return IDS_FIX
        want = first.shape if error.index and first is not None else ()
        differ = [
            i for i, sizes in enumerate(zip(want, error.got, strict=False)) if sizes[0] != sizes[1]
        ]
        if len(want) == len(error.got) == _SEQUENCE and differ == [2] and isinstance(want[2], int):
            return (
                f"put a module between: {{kind: project, from: {said(state)}, d_model: {want[2]}}}"
            )
        if len(want) == len(error.got) == _SEQUENCE and differ == [1]:
            return "let both have one length, or join them: {kind: concat, axis: time}"
        return f"read something that makes {error.want}"


_SEQUENCE = 3  # axes of a sequence: batch, time, width
IDS_FIX = "read an encoder or decoder, which embeds the tokens"


def said(state: State) -> str:
    """A state as a spec refers to it."""
    words = [state.part]
    if state.layer is not None:
        words += ["layers", str(max(state.layer, 0))]
    if state.item and state.item != "mix":
        words += [word for word in (state.branch, state.item) if word]
    return ".".join(words)


def _places(tree: Tree | None) -> set[Span]:
    """The place of every value in a tree."""
    if tree is None:
        return set()
    inside: Iterable[Tree] = ()
    if isinstance(tree, MappingTree):
        inside = (entry.value for entry in tree.entries.values())
    elif isinstance(tree, Sequence):
        inside = tree.items
    return {tree.span}.union(*map(_places, inside))


def report_ids(reader: str, state: State, placing: Placing) -> None:
    """Adds the problem that a part computes with token ids."""
    wires = placing.wires
    placing.problems.add(
        "S201",
        f"'{reader}' wants numbers, but '{said(state)}' is token ids",
        wires.places.get((reader, state.part), wires.span_of(reader)),
        [Note(f"'{said(state)}' is written here", wires.span_of(state.part))],
        IDS_FIX,
    )


def placed_norm(
    norm: Written, name: str, shape: Shape, owner: str, placing: Placing
) -> Node | None:
    """A norm over the width of `shape`."""
    return placing.put(name, norm, {"x": shape}, owner, norm.tree.span)
