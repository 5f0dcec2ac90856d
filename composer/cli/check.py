"""`composer check`: everything that is wrong with specs, without building them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Annotated

import typer

from composer.diagnostics import Note, Problem, SpecError, to_json
from composer.graph.build import build_graph
from composer.language.document import Tree
from composer.language.variants import sizes_of

from .output import product, settings, show_problems
from .reading import (
    Color,
    Overrides,
    Plugins,
    Size,
    Specs,
    checked,
    exit_code,
    load_plugins,
    read_tree,
)


class Format(str, Enum):
    """How problems are shown."""

    text = "text"
    json = "json"


@dataclass
class Report:
    """What is found in one spec: problems, and parameters by size where there are none."""

    name: str
    problems: list[Problem] = field(default_factory=list)
    parameters: dict[str, int] = field(default_factory=dict)


def check(
    specs: Specs,
    size: Size = None,
    overrides: Overrides = None,
    form: Annotated[Format, typer.Option("--format", help="How problems are shown.")] = Format.text,
    plugins: Plugins = None,
    _color: Color = None,
) -> None:
    """Say everything that is wrong with specs, or how many parameters they have.

    Without --size, every size of a spec is checked too.
    """
    load_plugins(plugins)
    reports = [_report(spec, size, overrides or ()) for spec in specs]
    if form is Format.json:
        product(to_json([problem for report in reports for problem in report.problems]) + "\n")
    else:
        for report in reports:
            _show(report)
    codes = [exit_code(report.problems) for report in reports if report.problems]
    if codes:
        raise typer.Exit(max(codes))


def _report(spec: str, size: str | None, overrides: Sequence[str]) -> Report:
    report = Report("")
    try:
        tree = read_tree(spec)
    except SpecError as error:
        report.problems += error.problems
    else:
        for one in [size] if size is not None else [None, *sizes_of(tree)]:
            _check_size(report, tree, one, overrides, said=size is not None)
    return replace(report, name=settings.spec)


def _check_size(
    report: Report, tree: Tree, size: str | None, overrides: Sequence[str], *, said: bool
) -> None:
    """Checks a spec in one size; `said` if the command names that size."""
    try:
        graph = build_graph(checked(tree, size, overrides))
        report.parameters[size or ""] = graph.parameters
    except SpecError as error:
        _add(report, error, None if said else size)


def _add(report: Report, error: SpecError, size: str | None) -> None:
    """Adds the problems of a size, less those that the spec has without it."""
    known = {_key(problem) for problem in report.problems}
    for problem in error.problems:
        if _key(problem) not in known:
            notes = problem.notes if size is None else (*problem.notes, Note(f"with --size {size}"))
            report.problems.append(replace(problem, notes=notes))


def _key(problem: Problem) -> object:
    return problem.code, problem.message, problem.span


def _show(report: Report) -> None:
    if report.problems:
        show_problems(SpecError(report.problems).problems, report.name)
        return
    for size, count in report.parameters.items():
        name = f"{report.name} --size {size}" if size else report.name
        product(f"{name}: ok, {count:,} parameters\n")
