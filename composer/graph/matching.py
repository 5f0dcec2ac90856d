"""Matching: states of a student and of its teacher that are to be alike, and in which steps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from composer.diagnostics import Note, Problems, Span
from composer.language.spec import MatchSpec
from composer.shapes import Shape, show

from .graph import Graph, Input, Output

Loss = Literal["mse", "cosine", "kl"]

_SEQUENCE = 3  # axes of a sequence: batch, steps, width


@dataclass(frozen=True)
class Padding:
    """How padded steps are told: by the input that has them, and its padding token if it has one."""

    input: str
    token: int | None


@dataclass(frozen=True)
class Match:
    """Two outputs that are to be alike; `widths` are those of a learned map between them.

    The steps of what is `scored` are those of the scores, so what is no target is no step here.
    """

    student: str
    teacher: str
    loss: Loss
    weight: float
    padding: Padding | None
    scored: bool
    widths: tuple[int, int] | None


def matches(
    specs: tuple[MatchSpec, ...], names: list[str], student: Graph, teacher: Graph, steps: Shape,
    problems: Problems,
) -> tuple[Match, ...]:  # fmt: skip
    """What is matched: in both graphs, the outputs of these names.

    `steps` are batch and steps of the scores, if they have steps. What does not fit is added to the
    problems.
    """
    found = zip(names, specs, strict=True)
    made = [_match(name, spec, student, teacher, steps, problems) for name, spec in found]
    return tuple(match for match in made if match is not None)


def _match(
    name: str, spec: MatchSpec, student: Graph, teacher: Graph, steps: Shape, problems: Problems
) -> Match | None:  # fmt: skip
    """Two states that are to be alike; None with the reason as a problem."""
    ours, theirs = (_state(graph, name, problems) for graph in (student, teacher))
    if ours is None or theirs is None:
        return None
    weights = [one.source.item == "weights" for one in (ours, theirs)]
    if weights[0] != weights[1]:
        why = f"'{spec.student.text}' and '{spec.teacher.text}' are not both weights of attentions"
        problems.add("G221", why, spec.student.span, fix="match states, or weights")
        return None
    known: tuple[Loss, ...] = ("kl", "mse") if weights[0] else ("mse", "cosine")
    loss = spec.loss or known[0]
    if loss not in known:
        what = "the weights of attentions" if weights[0] else "states"
        why = f"{loss} does not compare {what}"
        problems.add("G221", why, spec.span, fix=f"loss: {' or '.join(known)}")
        return None
    widths = _widths(spec, ours, theirs, problems, projectable=not weights[0])
    padding = padding_of(_mask(ours, student), student, spec.student.span, problems)
    scored = bool(steps) and steps_of(ours, student) == steps
    return Match(name, name, loss, spec.weight, padding, scored, widths)


def output_of(graph: Graph, name: str) -> Output:
    """The output of that name."""
    output = graph.parts[name]
    assert isinstance(output, Output), "what is compared is an output"
    return output


def _state(graph: Graph, name: str, problems: Problems) -> Output | None:
    """An output of one state of numbers."""
    output = output_of(graph, name)
    source = graph.parts[output.source.part]
    if output.layers:
        why = f"a match is of two states, and this is {len(output.layers)}"
        problems.add("G221", why, output.span, fix="a match for each: encoder.layers.0")
        return None
    if isinstance(source, Input):
        why = f"'{source.name}' is an input, which nothing is learned for"
        problems.add("G221", why, output.span, fix="a state: encoder.layers.0")
        return None
    return output


def _widths(
    spec: MatchSpec, ours: Output, theirs: Output, problems: Problems, *, projectable: bool
) -> tuple[int, int] | None:
    """The widths of a learned map between two states; None where none is needed.

    What differs without one is added to the problems.
    """
    shapes = ours.value.shape, theirs.value.shape
    (*rest, width), (*others, wanted) = shapes
    alike = rest == others and isinstance(width, int) and isinstance(wanted, int)
    if projectable and alike and spec.project:
        assert isinstance(width, int), "widths are numbers"
        assert isinstance(wanted, int), "widths are numbers"
        return width, wanted
    if shapes[0] != shapes[1] or spec.project:
        why = (
            f"'{spec.student.text}' is {show(shapes[0])}, "
            f"but the teacher's '{spec.teacher.text}' is {show(shapes[1])}"
        )
        fix = "add project: true" if projectable and alike else _alike(projectable=projectable)
        if shapes[0] == shapes[1]:
            why, fix = "the weights of attentions are not projected", "remove project"
        notes = [Note("the teacher's is written here", spec.teacher.span)]
        problems.add("G221", why, spec.student.span, notes, fix)
    return None


def _alike(*, projectable: bool) -> str:
    what = "steps" if projectable else "heads and steps"
    return f"match what has the same {what}"


# Padding


def steps_of(output: Output, graph: Graph) -> Shape:
    """Batch and steps of an output; of weights, those of their queries."""
    source = graph.parts[output.source.part]
    shape = output.value.shape if output.source.item != "weights" else source.value.shape
    return shape[:2] if len(shape) == _SEQUENCE else ()


def _mask(output: Output, graph: Graph) -> str | None:
    """The name of the padding mask of a state's steps; of weights, that of their queries' steps."""
    source = graph.parts[output.source.part]
    return output.value.mask if output.source.item != "weights" else source.value.mask


def padding_of(mask: str | None, graph: Graph, span: Span, problems: Problems) -> Padding | None:
    """How the steps of a padding mask are told, which must be that of an input."""
    if mask is None:
        return None
    for one in graph.inputs:
        if one.value.mask == mask and one.padding is not None:
            return Padding(one.name, None if one.padding == "mask" else one.padding)
    why = f"which steps are padded is known inside the model only, as '{mask}'"
    problems.add("G221", why, span, fix="compare what has the steps of an input")
    return None
