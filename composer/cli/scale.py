"""`composer scale`: a new size of a spec, by factors, by parameters, or by a training budget."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from composer.language.document import Mapping, Tree
from composer.language.variants import apply

from .output import UsageError, failure, message, product
from .reading import Color, Overrides, Plugins, Size, Spec, checked, load_plugins, read_tree
from .scale_asked import FACTORS, Asked, check_asked, compound_factors, law_of, name_of
from .scale_options import (
    Base,
    Compound,
    Depth,
    Flops,
    Format,
    IntoFile,
    Law,
    Length,
    MultipleOf,
    NewFile,
    NewName,
    Params,
    Plot,
    Series,
    SeriesFormat,
    Width,
)
from .scale_report import report, show_series

if TYPE_CHECKING:
    from composer.graph.graph import Graph
    from composer.scaling import Candidate, Plan
    from composer.scaling import Law as ScalingLaw
    from composer.scaling.series import Member

MISSING_TOOL = 3


def scale(
    spec: Spec,
    width: Width = None,
    depth: Depth = None,
    compound: Compound = None,
    base: Base = FACTORS,
    params: Params = None,
    flops: Flops = None,
    series: Series = None,
    law: Law = None,
    multiple: MultipleOf = None,
    length: Length = 1024,
    name: NewName = None,
    write: IntoFile = False,
    out: NewFile = None,
    plot: Plot = None,
    form: SeriesFormat = Format.table,
    size: Size = None,
    overrides: Overrides = None,
    plugins: Plugins = None,
    _color: Color = None,
) -> None:
    """Make a new size of a spec: wider, deeper, or as large as a budget allows.

    The entry for its `sizes` is printed, or written with --write or -o. Counts are exact.
    """
    from composer.scaling import ScalingError

    asked = Asked(params, flops, compound, series, width, depth, law, base)
    try:
        tabled = form is not Format.table
        check_asked(asked, write=write, out=out, plot=plot, tabled=tabled, name=name)
        load_plugins(plugins)
        whole = read_tree(spec)
        plan, graph = _plan(whole, size, overrides, multiple)
        if series is not None:
            _series(plan, graph, asked, length, plot, form)
        else:
            found, member = _found(plan, graph, asked, length)
            made = _entry(whole, size, overrides, found, name or name_of(asked, member))
            report(plan, graph, found, member, asked, law_of(graph, asked))
            _write(spec, whole, made, write=write, out=out)
    except ScalingError as error:
        raise UsageError(str(error)) from None


def _plan(
    whole: Tree, size: str | None, overrides: list[str] | None, multiple: int | None
) -> tuple[Plan, Graph]:
    from composer.graph.build import build_graph
    from composer.scaling import plan_of

    tree = apply(whole, size=size, overrides=overrides or ())
    made = checked(whole, size, overrides or ())
    graph = build_graph(made)
    assert isinstance(tree, Mapping)
    return plan_of(tree, made, graph, multiple), graph


def _found(plan: Plan, graph: Graph, asked: Asked, length: int) -> tuple[Candidate, Member]:
    """The size that is asked for, and what is known of it."""
    from composer.scaling import Factors, scaled, sized_to
    from composer.scaling.amounts import amount
    from composer.scaling.series import member

    law = law_of(graph, asked)
    if asked.params is not None:
        target = amount(asked.params, "parameters")
        found = sized_to(
            plan, target, lambda one: one.parameters, width=asked.width, depth=asked.depth
        )
        return found, member(found, law, length)
    if asked.flops is not None:
        assert law is not None, "a budget always has a law"
        budget = amount(asked.flops, "FLOPs")
        target = law.parameters(budget)
        found = sized_to(plan, target, law.count, width=asked.width, depth=asked.depth)
        return found, member(found, law, length, budget)
    given = (1.0 if factor is None else factor for factor in (asked.width, asked.depth))
    by = Factors(*given)
    if asked.compound is not None:
        by = compound_factors(asked.compound, asked.base)
    found = scaled(plan, by)
    return found, member(found, None, length)


def _entry(
    whole: Tree, size: str | None, overrides: list[str] | None, found: Candidate, name: str
) -> tuple[str, dict[str, object]]:
    from composer.scaling.writing import check_name, entry

    assert isinstance(whole, Mapping)
    if overrides:
        raise UsageError("--set is not kept in a size: put the change into the spec first")
    check_name(name, whole)
    return name, entry(whole, size, found.data)


def _write(
    spec: str, whole: Tree, made: tuple[str, dict[str, object]], *, write: bool, out: Path | None
) -> None:
    from composer.scaling.overlay import entry_lines
    from composer.scaling.writing import as_file, with_size
    from composer.targets.files import write_file

    name, data = made
    if spec == "-" and (write or out is not None):
        raise UsageError("a spec from stdin has no file to write to; its entry is printed instead")
    if write:
        path = Path(spec)
        with path.open(encoding="utf-8", newline="") as stream:
            text = stream.read()
        write_file(path, with_size(text, name, data).encode())
        message(f"wrote size '{name}' into {path}")
    elif out is not None:
        assert isinstance(whole, Mapping)
        write_file(out, as_file(Path(spec), out, whole, name, data).encode())
        message(f"wrote {out}")
    else:
        product("\n".join(["sizes:", *entry_lines(name, data, 2)]) + "\n")


def _series(
    plan: Plan, graph: Graph, asked: Asked, length: int, drawn: Path | None, form: Format
) -> None:
    from composer.scaling import LAWS
    from composer.scaling.laws import why_not
    from composer.scaling.series import bounds, series, to_csv, to_json

    law = law_of(graph, asked)
    if asked.law is None and why_not(graph) is None:
        law = LAWS["chinchilla20"]
    members = list(series(plan, *bounds(asked.series or ""), law, length))
    if drawn is not None:
        _draw(graph, members, law, drawn)
    if form is Format.table:
        show_series(members, law)
    else:
        product(to_json(members) if form is Format.json else to_csv(members))


def _draw(graph: Graph, members: list[Member], law: ScalingLaw | None, out: Path) -> None:
    """Writes the plot of a series; without matplotlib the command ends."""
    from composer.scaling.plot import PlottingError, plot
    from composer.targets.files import write_file

    title = graph.title if law is None else f"{graph.title}, by {law.name} ({law.cite})"
    try:
        data = plot(members, title, "png" if out.suffix == ".png" else "svg")
    except PlottingError as error:
        failure(str(error))
        raise typer.Exit(MISSING_TOOL) from None
    write_file(out, data)
    message(f"wrote {out}")
