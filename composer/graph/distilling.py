"""Distilling: what a student learns from its teacher, as names and shapes of two graphs.

States that are to be alike are further outputs of both models, so nothing is hooked. None of it is
part of the student's own graph.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from composer.diagnostics import Note, Problems, Span, SpecError
from composer.language.document import Entry, Scalar
from composer.language.document import Mapping as MappingTree
from composer.language.spec import DistillSpec, ModelSpec, Named, OutputSpec
from composer.language.validate import guess
from composer.language.wants import listed
from composer.shapes import show

from .graph import Graph, Input, Output
from .matching import Match, Padding, matches, output_of, padding_of, steps_of
from .starting import starts

Build = Callable[[ModelSpec], Graph]


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
    tapped, taught = _tapped(spec, names, build, problems)
    for graph, whole in ((tapped, plain), (taught, teacher)):
        if graph.tensors != whole.tensors:
            why = f"'{whole.name}' has other parameters once all of what is matched is read"
            problems.add("G221", why, distill.span, fix="match what the model reads itself")
    steps = () if scores is None else steps_of(output_of(plain, scores.student), plain)
    made = matches(distill.matches, names, tapped, taught, steps, problems)
    problems.raise_if_any()
    return Pairing(plain, tapped, taught, scores, made, begun)


# Outputs of both


def _names(count: int, *graphs: Graph) -> list[str]:
    """Names of further outputs, the same for both models."""
    taken = {name for graph in graphs for name in graph.parts}
    free = (f"match_{number}" for number in range(count + len(taken)))
    return [name for name in free if name not in taken][:count]


def _tapped(
    spec: ModelSpec, names: list[str], build: Build, problems: Problems
) -> tuple[Graph, Graph]:
    """The graphs of student and teacher with what is matched among their outputs.

    Raises SpecError with the problems of both.
    """
    distill = spec.distill
    assert distill is not None, "only what has a teacher is paired"
    plain = replace(spec, distill=None)
    ours = _built(plain, names, [match.student for match in distill.matches], build, problems)
    read = [match.teacher for match in distill.matches]
    theirs = _built(distill.teacher, names, read, build, problems)
    problems.raise_if_any()
    assert ours is not None, "what could not be built has a problem"
    assert theirs is not None, "what could not be built has a problem"
    return ours, theirs


def _built(
    spec: ModelSpec, names: list[str], read: list[Named], build: Build, problems: Problems
) -> Graph | None:
    """A graph with what is read among its outputs, as if the spec said so."""
    try:
        return build(replace(spec, outputs=(*spec.outputs, *map(_tap, names, read))))
    except SpecError as error:
        for problem in error.problems:
            problems.add(problem.code, problem.message, problem.span, problem.notes, problem.fix)
        return None


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
    padding = padding_of(ours.value.mask, student, distill.span, problems)
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
