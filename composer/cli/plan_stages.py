"""What `composer plan` shows of a model in stages: a row for each, and what its devices hold."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from . import output
from .units import readable

if TYPE_CHECKING:
    from rich.console import RenderableType

    from composer.parallel.stage_plans import StagePlans


def show(plans: StagePlans, *, as_json: bool) -> None:
    """All stages."""
    from composer.parallel import report, stage_report

    if as_json:
        output.product(json.dumps(stage_report.data(plans), indent=2) + "\n")
        return
    output.product(report.in_words(plans.whole) + "\n")
    output.show(_table(plans))
    output.product("\n" + _totals(plans))


def _table(plans: StagePlans) -> RenderableType:
    """A row for each stage."""
    from rich import box
    from rich.table import Table

    from composer.parallel.stage_report import rows

    table = Table(box=box.SIMPLE_HEAD, show_edge=False, header_style="bold")
    for name in ("stage", "parameters", "weights each", "to train"):
        table.add_column(name, justify="right")
    table.add_column("computes")
    for row in rows(plans):
        held = (readable(row.held.weights), readable(row.held.total))
        table.add_row(str(row.number), f"{row.parameters:,}", *held, row.steps)
    return table


def _totals(plans: StagePlans) -> str:
    """What there is in all, what the fullest device holds, and what several stages hold."""
    from composer.parallel.stage_plans import most
    from composer.parallel.stage_report import shared_in_words

    held = most(plans.plans[plans.fullest])
    every = sum(one.total for layout in plans.plans for one in layout.every.values())
    lines = [
        f"parameters      {plans.whole.graph.parameters:,}",
        f"fullest device  {readable(held.total)} in fp32 with Adam, in stage {plans.fullest}",
        f"all devices     {readable(every)}",
    ]
    if shared := shared_in_words(plans):
        lines.append(f"in several      {shared}")
    return "\n".join(lines) + "\n"
