"""What `composer scale` says of a size, and its table of several."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .output import message, show
from .scale_asked import Asked

if TYPE_CHECKING:
    from composer.graph.graph import Graph
    from composer.scaling import Candidate, Law, Plan
    from composer.scaling.series import Member


def report(
    plan: Plan, graph: Graph, found: Candidate, member: Member, asked: Asked, law: Law | None
) -> None:
    """Says what the size is, and how far rounding has moved it."""
    from composer.scaling.amounts import amount, short
    from composer.targets.numbers.flops import flops_per_token

    by = found.factors
    lines = [f"{found.parameters:,} parameters, {member.layers} layers of width {member.width}"]
    lines.append(f"{found.parameters / graph.parameters:.2f} times the {graph.parameters:,} before")
    if asked.params is not None:
        target = amount(asked.params, "parameters")
        lines.append(f"rounding: {found.parameters / target - 1:+.2%} from {asked.params}")
    elif asked.flops is not None and law is not None:
        target, count = law.parameters(amount(asked.flops, "FLOPs")), law.count(found.graph)
        counted = "parameters" if law.counts == "all" else "parameters without embeddings"
        lines.append(f"{law.name}: {target:,.0f} {counted}; rounding: {count / target - 1:+.2%}")
    else:
        moved = _moved(plan, found)
        lines.append(f"rounding: width {moved[0]:+.2%}, depth {moved[1]:+.2%}")
    if by.inner != 1 and found.changes:
        lines.append(f"feed-forward: {by.inner:.3f} times its share of the width")
    times = member.flops_per_token / flops_per_token(graph, member.steps)
    cost = f"{short(member.flops_per_token)} FLOPs a token forward, at {member.steps} steps"
    lines.append(f"{cost}: {times:.2f} times")
    if member.tokens is not None and member.training_flops is not None:
        lines.append(f"tokens: {short(member.tokens)}, training: {member.training_flops:.3g} FLOPs")
        lines.append(f"predicted loss: {member.loss:.3f} nats a token")
    for line in lines:
        message(line)


def _moved(plan: Plan, found: Candidate) -> tuple[float, float]:
    """How far the width and the depth are from what was asked for, as shares."""
    made = []
    for role, factor, rule in (
        ("width", found.factors.width, plan.width), ("depth", found.factors.depth, plan.depth),
    ):  # fmt: skip
        most = max(plan.values(role), default=0)  # type: ignore[arg-type]
        made.append(rule(most, factor) / (most * factor) - 1 if most else 0.0)
    return made[0], made[1]


def show_series(members: list[Member], law: Law | None) -> None:
    """Writes a series as a table, and whose law its last columns are."""
    from rich import box
    from rich.table import Table

    from composer.scaling.amounts import short

    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    names = ["size", "parameters", "layers", "width", "FLOPs a token"]
    for head in names + (["tokens", "training FLOPs", "loss"] if law else []):
        table.add_column(head, justify="right", no_wrap=True)
    for one in members:
        cells = [one.name, f"{one.parameters:,}", str(one.layers), str(one.width)]
        cells.append(short(one.flops_per_token))
        if one.tokens is not None and one.training_flops is not None:
            cells += [short(one.tokens), f"{one.training_flops:.2e}", f"{one.loss:.3f}"]
        table.add_row(*cells)
    show(table)
    if law is not None:
        message(f"tokens and loss: {law.name}, {law.cite}")
