"""Distilling: what a student learns from its teacher, as names and shapes of two graphs.

States that are to be alike are further outputs of both models, so nothing is hooked. None of it is
part of the student's own graph.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from composer.diagnostics import Note, Problems, Span, SpecError
from composer.language.document import Entry, Scalar
from composer.language.document import Mapping as MappingTree
from composer.language.spec import DistillSpec, MatchSpec, ModelSpec, Named, OutputSpec
from composer.language.validate import guess
from composer.language.wants import listed
from composer.shapes import Shape, show

from .graph import Graph, Input, Output
from .starting import starts

Loss = Literal["mse", "cosine", "kl"]
Build = Callable[[ModelSpec], Graph]

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


@dataclass(frozen=True)
class Scores:
    """The outputs that score classes."""

    student: str
    teacher: str
    padding: Padding | None


@dataclass(frozen=True)
class Pairing:
    """Student and teacher with the outputs that are compared; `plain` is the student without.

    `starts` are the student's tensors that begin as one of the teacher's, first names of both.
    """

    plain: Graph
    student: Graph
    teacher: Graph
    scores: Scores | None
    matches: tuple[Match, ...]
    starts: Mapping[str, str]


def pair(spec: ModelSpec, plain: Graph, build: Build) -> Pairing:
    """What `spec`, whose graph is `plain`, learns from its teacher; `build` makes graphs of specs.

    Raises SpecError with all that does not fit.
    """
    distill, problems = spec.distill, Problems()
    assert distill is not None, "only what has a teacher is paired"
    teacher = build(distill.teacher)
    _check_inputs(plain, teacher, distill.span, problems)
    scores = _scores(distill, plain, teacher, problems)
    begun = starts(distill.starts, plain, teacher, problems)
    problems.raise_if_any()
    names = _names(len(distill.matches), plain, teacher)
    ours = replace(spec, outputs=_tapped(spec, names, [m.student for m in distill.matches]))
    theirs = distill.teacher
    theirs = replace(theirs, outputs=_tapped(theirs, names, [m.teacher for m in distill.matches]))
    tapped = _built(replace(ours, distill=None), build, problems)
    taught = _built(theirs, build, problems)
    problems.raise_if_any()
    assert tapped is not None, "what could not be built has a problem"
    assert taught is not None, "what could not be built has a problem"
    for graph, whole in ((tapped, plain), (taught, teacher)):
        if graph.tensors != whole.tensors:
            why = f"'{whole.name}' has other parameters once all of what is matched is read"
            problems.add("G221", why, distill.span, fix="match what the model reads itself")
    found = zip(names, distill.matches, strict=True)
    steps = None if scores is None else _steps(_output_of(plain, scores.student), plain)
    matches = [_match(name, each, tapped, taught, steps, problems) for name, each in found]
    made = tuple(match for match in matches if match is not None)
    problems.raise_if_any()
    return Pairing(plain, tapped, taught, scores, made, begun)


def _built(spec: ModelSpec, build: Build, problems: Problems) -> Graph | None:
    """The graph of a spec; None with what is wrong with it among the problems."""
    try:
        return build(spec)
    except SpecError as error:
        for problem in error.problems:
            problems.add(problem.code, problem.message, problem.span, problem.notes, problem.fix)
        return None


# Outputs of both


def _names(count: int, *graphs: Graph) -> list[str]:
    """Names of further outputs, the same for both models."""
    taken = {name for graph in graphs for name in graph.parts}
    free = (f"match_{number}" for number in range(count + len(taken)))
    return [name for name in free if name not in taken][:count]


def _tapped(spec: ModelSpec, names: list[str], read: list[Named]) -> tuple[OutputSpec, ...]:
    """The outputs of a spec and what is read, as if it were written among them."""
    return (*spec.outputs, *map(_tap, names, read))


def _tap(name: str, read: Named) -> OutputSpec:
    span = read.span
    tree = MappingTree({"from": Entry(span, Scalar(read.text, span))}, span)
    return OutputSpec(name, read.text, None, tree, span)


def _check_inputs(student: Graph, teacher: Graph, span: Span, problems: Problems) -> None:
    """The teacher reads what the student reads."""
    own = {one.name: one for one in student.inputs}
    for one in teacher.inputs:
        other = own.get(one.name)
        if other is None:
            why = f"the teacher reads '{one.name}', which the student does not"
            notes = [Note(f"'{one.name}' is written here", one.node.span)]
            problems.add("G220", why, span, notes, f"inputs here: {listed(own)}")
        elif other.node.component != one.node.component:
            why = f"'{one.name}' is not the same input in both: {_unlike(one, other)}"
            notes = [
                Note("the teacher's is written here", one.node.span),
                Note("the student's is written here", other.node.span),
            ]
            problems.add("G220", why, span, notes, "let both read the same")


def _unlike(one: Input, other: Input) -> str:
    """The first option in which two inputs differ, the teacher's value first."""
    theirs, ours = (dict(each.node.component) for each in (one, other))
    key = next(k for k in (*theirs, *ours) if theirs.get(k) != ours.get(k))
    values = ["none" if options.get(key) is None else options[key] for options in (theirs, ours)]
    return " and ".join(f"{key} {value}" for value in values)


# Scores


def _scores(
    distill: DistillSpec, student: Graph, teacher: Graph, problems: Problems
) -> Scores | None:
    """The outputs whose scores are compared, if any are."""
    if distill.soft is None and distill.hard is None:
        return None
    ours = _output(distill.student_output, student, None, distill.span, problems)
    theirs = _output(distill.teacher_output, teacher, ours, distill.span, problems)
    if ours is None or theirs is None:
        return None
    if ours.value.shape != theirs.value.shape:
        span = distill.student_output.span if distill.student_output else distill.span
        why = (
            f"the student's '{ours.name}' is {show(ours.value.shape)}, "
            f"but the teacher's '{theirs.name}' is {show(theirs.value.shape)}"
        )
        notes = [
            Note("the student's is written here", ours.span),
            Note("the teacher's is written here", theirs.span),
        ]
        problems.add("G220", why, span, notes, "let both score the same classes")
        return None
    padding = _padding(ours.value.mask, student, distill.span, problems)
    return Scores(ours.name, theirs.name, padding)


def _output(
    named: Named | None, graph: Graph, like: Output | None, span: Span, problems: Problems
) -> Output | None:
    """The output that is named, that of the name of another one, or the only one with a head."""
    scored = {one.name: one for one in graph.outputs if one.head is not None}
    if named is not None:
        if named.text not in scored:
            fix = guess(named.text, scored) or f"outputs: {listed(scored) or 'none'}"
            why = f"'{graph.name}' has no output '{named.text}' with a head"
            problems.add("G220", why, named.span, fix=fix)
        return scored.get(named.text)
    if like is not None and like.name in scored:
        return scored[like.name]
    if len(scored) == 1:
        return next(iter(scored.values()))
    has = f"several outputs with a head: {listed(scored)}" if scored else "no output with a head"
    fix = "outputs: {teacher: NAME, student: NAME}" if scored else "loss: {}, with a match"
    problems.add("G220", f"'{graph.name}' has {has}", span, fix=fix)
    return None


# Matches


def _match(
    name: str, spec: MatchSpec, student: Graph, teacher: Graph, scored: Shape | None,
    problems: Problems,
) -> Match | None:  # fmt: skip
    """Two states that are to be alike; None with the reason as a problem.

    `scored` are batch and steps of the scores.
    """
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
    padding = _padding(_mask(ours, student), student, spec.student.span, problems)
    return Match(name, name, loss, spec.weight, padding, _steps(ours, student) == scored, widths)


def _output_of(graph: Graph, name: str) -> Output:
    output = graph.parts[name]
    assert isinstance(output, Output), "what is compared is an output"
    return output


def _state(graph: Graph, name: str, problems: Problems) -> Output | None:
    """An output of one state of numbers."""
    output = _output_of(graph, name)
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


def _steps(output: Output, graph: Graph) -> Shape:
    """Batch and steps of an output; of weights, those of their queries."""
    source = graph.parts[output.source.part]
    shape = output.value.shape if output.source.item != "weights" else source.value.shape
    return shape[:2] if len(shape) == _SEQUENCE else ()


def _mask(output: Output, graph: Graph) -> str | None:
    """The name of the padding mask of a state's steps; of weights, that of their queries' steps."""
    source = graph.parts[output.source.part]
    return output.value.mask if output.source.item != "weights" else source.value.mask


def _padding(mask: str | None, graph: Graph, span: Span, problems: Problems) -> Padding | None:
    """How the steps of a padding mask are told, which must be that of an input."""
    if mask is None:
        return None
    for one in graph.inputs:
        if one.value.mask == mask and one.padding is not None:
            return Padding(one.name, None if one.padding == "mask" else one.padding)
    why = f"which steps are padded is known inside the model only, as '{mask}'"
    problems.add("G221", why, span, fix="match what has the steps of an input")
    return None
