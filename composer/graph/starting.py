"""Starting: which of a student's tensors begin as one of its teacher's.

A tensor that has several names, being shared, must begin as one tensor; nothing is untied.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from composer.diagnostics import Note, Problems
from composer.language.paths import TensorPath
from composer.language.spec import Named, StartSpec
from composer.shapes import show

from .graph import Graph, Stack
from .selecting import select
from .tensors import first_names


@dataclass(frozen=True)
class _Start:
    """One path of the student, and the teacher's."""

    student: Named
    teacher: Named


def starts(
    specs: tuple[StartSpec, ...], student: Graph, teacher: Graph, problems: Problems
) -> dict[str, str]:
    """The teacher's tensor for each of the student's that begins as one, by first names.

    What has other names or shapes, or is shared here and not there, is added to the problems.
    """
    found: dict[str, tuple[str, str, _Start]] = {}
    names, others = _names(student), _names(teacher)
    for start in (each for spec in specs for each in _starts(spec, student, problems)):
        for name, theirs in _pairs(start, student, teacher, names, others, problems).items():
            first, source = names[name], others[theirs]
            known = found.setdefault(first, (source, name, start))
            if known[0] != source:
                _shared(known[1], name, known[2], start, problems)
                break  # the others of this pair are wrong for the same reason
    return {first: source for first, (source, _, _) in found.items()}


def _starts(spec: StartSpec, student: Graph, problems: Problems) -> Iterator[_Start]:
    """A spec for one path, or for each layer of a stack, as pairs of paths."""
    if isinstance(spec.teacher, Named):
        yield _Start(spec.student, spec.teacher)
        return
    stack = student.parts.get(spec.student.text.partition(".")[0])
    count, wanted = len(spec.teacher), len(stack.layers) if isinstance(stack, Stack) else None
    if wanted not in {None, count}:
        why = f"'{spec.student.text}' are {wanted}, and the teacher's that are named {count}"
        fix = f"name {wanted}, or one alone: {spec.student.text}.0: {spec.teacher[0].text}"
        problems.add("G222", why, spec.student.span, fix=fix)
        return
    for number, teacher in enumerate(spec.teacher):
        yield _Start(Named(f"{spec.student.text}.{number}", teacher.span), teacher)


def _names(graph: Graph) -> dict[str, str]:
    """First names of the tensors by each name, without what adapters add."""
    return {n: first for n, first in first_names(graph).items() if first not in graph.added}


def _pairs(
    start: _Start, student: Graph, teacher: Graph, names: Mapping[str, str],
    others: Mapping[str, str], problems: Problems,
) -> dict[str, str]:  # fmt: skip
    """The teacher's tensor for each of the student's below a path, by any of their names."""
    before = len(problems)
    here = _below(start.student, names, student, problems)
    there = _below(start.teacher, others, teacher, problems)
    if len(problems) > before:
        return {}
    if why := _unlike(here, there, student, teacher, names, others):
        what = f"'{start.student.text}' cannot start with '{start.teacher.text}' of the teacher"
        fix = "let both have the same options and widths"
        problems.add("G222", f"{what}: {why}", start.teacher.span, fix=fix)
        return {}
    return {name: there[suffix] for suffix, name in here.items()}


def _unlike(
    here: Mapping[str, str], there: Mapping[str, str], student: Graph, teacher: Graph,
    names: Mapping[str, str], others: Mapping[str, str],
) -> str | None:  # fmt: skip
    """In what the tensors below two paths differ; None where they do not."""
    if odd := sorted(here.keys() ^ there.keys()):
        return f"'{odd[0] or 'it'}' is a tensor of the {'student' if odd[0] in here else 'teacher'} only"
    for suffix, name in here.items():
        ours, theirs = student.state[names[name]], teacher.state[others[there[suffix]]]
        if ours != theirs:
            return f"'{suffix}' is {show(ours)} here and {show(theirs)} there"
    return None


def _below(
    path: Named, names: Mapping[str, str], graph: Graph, problems: Problems
) -> dict[str, str]:
    """Names of the tensors at or below a path, by what follows it."""
    chosen = select((TensorPath(path.text, path.span),), names, graph, problems)
    return {name[len(path.text) :].lstrip("."): name for name in chosen}


def _shared(one: str, other: str, first: _Start, start: _Start, problems: Problems) -> None:
    """One tensor that would have to begin as two."""
    why = (
        f"'{one}' and '{other}' are one tensor, which cannot start with both "
        f"'{first.teacher.text}' and '{start.teacher.text}' of the teacher"
    )
    notes = [Note("the other one is written here", first.teacher.span)]
    problems.add("G222", why, start.teacher.span, notes, "start it once, or share less")
