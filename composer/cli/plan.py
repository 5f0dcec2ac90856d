"""`composer plan`: what of a model every device of a mesh holds."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from . import output
from .meshes import Mesh, asked_for
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
    as_json: Annotated[bool, typer.Option("--json", help="Print the plan as JSON.")] = False,
    size: Size = None,
    overrides: Overrides = None,
    plugins: Plugins = None,
    _color: Color = None,
) -> None:
    """Show how a model is spread over devices, and the bytes that each holds to train it.

    The mesh is that of the section `parallel`, unless --mesh gives another.
    """
    from composer.parallel import report
    from composer.parallel.plan import plan as planned
    from composer.parallel.plan import refusal

    made, graph = read(spec, size, overrides, plugins)
    asked = asked_for(made, mesh, world)
    if asked.mesh.pp > 1:
        raise refusal("a plan is of one stage, and the mesh has several along pp", "--mesh pp=1")
    batch = None if made.train is None else made.train.batch_size
    layout = planned(graph, asked, batch=batch)
    if as_json:
        output.product(json.dumps(report.data(layout), indent=2) + "\n")
    else:
        output.product(report.in_words(layout) + "\n")
        output.show(_table(layout))
        output.product("\n" + _totals(layout))
    if check:
        _check(layout)


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


def _check(layout: Plan) -> None:
    """Builds the model on the meta device for some ranks.

    Exits with 1 where a shape differs.
    """
    from composer.parallel.verify import verify

    wrong = verify(layout)
    for one in wrong:
        output.failure(f"rank {one.rank}: '{one.name}' is {one.found}, planned {one.planned}")
    if wrong:
        raise typer.Exit(1)
    output.message("torch makes the same shapes of it")
