"""`composer plan`: what of a model every device of a mesh holds."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

import typer

from . import output
from .meshes import Mesh, asked_for
from .plan_stages import show as show_stages
from .reading import Color, Overrides, Plugins, Size, Spec, read
from .units import readable

if TYPE_CHECKING:
    from rich.console import RenderableType

    from composer.parallel.plan import Plan


def plan(
    spec: Spec,
    mesh: Mesh = None,
    world: Annotated[
        int | None, typer.Option("--world", min=1, help="Number of devices; dp is what is left.")
    ] = None,
    check: Annotated[
        bool,
        typer.Option("--check", help="Compare the plan with the shapes that torch makes of it."),
    ] = False,
    stage: Annotated[
        int | None, typer.Option("--stage", min=0, help="Show this stage of a mesh with pp.")
    ] = None,
    source: Annotated[
        bool, typer.Option("--source", help="Print the source of the --stage instead.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the plan as JSON.")] = False,
    size: Size = None,
    overrides: Overrides = None,
    plugins: Plugins = None,
    _color: Color = None,
) -> None:
    """Show how a model is spread over devices, and the bytes that each holds to train it.

    The mesh is that of the section `parallel`, unless --mesh gives another. Of a model in stages a
    row for each is shown, or all of one --stage.
    """
    from composer.parallel.plan import plan as planned
    from composer.parallel.stage_plans import plan_stages
    from composer.targets.source.emit import emit

    made, graph = read(spec, size, overrides, plugins)
    asked = asked_for(made, mesh, world)
    _check_stage(stage, asked.mesh.pp, source=source, as_json=as_json)
    batch = None if made.train is None else made.train.batch_size
    if asked.mesh.pp == 1:
        layout = planned(graph, asked, batch=batch)
        _show(layout, as_json=as_json)
        layouts = {"": layout}
    else:
        plans = plan_stages(graph, asked, batch=batch)
        if source and stage is not None:
            output.product(emit(plans.stages[stage].graph))
        elif stage is not None:
            _show(plans.plans[stage], as_json=as_json)
        else:
            show_stages(plans, as_json=as_json)
        chosen = range(asked.mesh.pp) if stage is None else [stage]
        layouts = {f"stage {number}, ": plans.plans[number] for number in chosen}
    if check:
        _check(layouts)


def _check_stage(stage: int | None, stages: int, *, source: bool, as_json: bool) -> None:
    """Raises UsageError for a stage that is not there, and for a source of none or as JSON."""
    if source and (stage is None or stages == 1 or as_json):
        raise output.UsageError("--source wants --stage N of a mesh with pp, and no --json")
    if stage is not None and stage >= stages:
        raise output.UsageError(f"--stage {stage}: the mesh has pp {stages}")


def _show(layout: Plan, *, as_json: bool) -> None:
    """One plan."""
    from composer.parallel import report

    if as_json:
        output.product(json.dumps(report.data(layout), indent=2) + "\n")
    else:
        output.product(report.in_words(layout) + "\n")
        output.show(_table(layout))
        output.product("\n" + _totals(layout))


def _table(layout: Plan) -> RenderableType:
    """A row for each part."""
    from rich import box
    from rich.table import Table

    from composer.parallel.report import rows

    table = Table(box=box.SIMPLE_HEAD, show_edge=False, header_style="bold")
    table.add_column("part")
    table.add_column("parameters", justify="right")
    table.add_column("weights each", justify="right")
    table.add_column("to train", justify="right")
    table.add_column("along tp")
    for row in rows(layout):
        many = f"{row.count} × " if row.count > 1 else ""
        held = (readable(row.held.weights), readable(row.held.total))
        table.add_row(f"{many}{row.path}", f"{row.parameters:,}", *held, row.split)
    return table


def _totals(layout: Plan) -> str:
    """What the fullest device holds, and how far others differ."""
    most = layout.every[layout.fullest]
    least = min(held.total for held in layout.every.values())
    named = {
        "weights": most.weights, "gradients": most.gradients, "moments": most.optimizer
    }  # fmt: skip
    held = ", ".join(f"{name} {readable(count)}" for name, count in named.items())
    lines = [
        f"parameters   {layout.graph.parameters:,}",
        f"each device  {readable(most.total)} in fp32 with Adam: {held}",
    ]
    if readable(least) != readable(most.total):
        lines.append(f"             some hold less, down to {readable(least)}")
    return "\n".join(lines) + "\n"


def _check(layouts: Mapping[str, Plan]) -> None:
    """Builds models on the meta device for some of their ranks, by what they are called.

    Exits with 1 where a shape differs.
    """
    from composer.parallel.verify import verify

    wrong = [(which, one) for which, layout in layouts.items() for one in verify(layout)]
    for which, one in wrong:
        found = f"'{one.name}' is {one.found}, planned {one.planned}"
        output.failure(f"{which}rank {one.rank}: {found}")
    if wrong:
        raise typer.Exit(1)
    output.message("torch makes the same shapes of it")
