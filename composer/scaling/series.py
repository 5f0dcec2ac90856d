"""A family of sizes of one spec, from small to large, and what a law says of each."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from math import log

from composer.targets.numbers.flops import flops_per_token

from .amounts import amount, short
from .laws import Law
from .rules import Plan
from .search import Candidate, ScalingError, sized_to

MOST = 64


@dataclass(frozen=True)
class Member:
    """One size: `flops_per_token` is a forward pass over `steps` steps, by the step.

    `tokens`, `training_flops` (6 N D) and `loss` (nats a token) are what a law says of it, or None.
    """

    name: str
    parameters: int
    layers: int
    width: int
    steps: int
    flops_per_token: float
    tokens: float | None = None
    training_flops: float | None = None
    loss: float | None = None


def member(found: Candidate, law: Law | None, steps: int, budget: float | None = None) -> Member:
    """A scaled spec in numbers; with a `budget` of training FLOPs its tokens are those it pays."""
    graph = found.graph
    layers = max((len(stack.layers) for stack in graph.stacks), default=0)
    width = max((stack.width for stack in graph.stacks), default=0)
    cost = flops_per_token(graph, steps)
    said = (short(found.parameters), found.parameters, layers, width, steps, cost)
    if law is None:
        return Member(*said)
    count = law.count(graph)
    tokens = law.tokens(count) if budget is None else budget / (6 * count)
    return Member(*said, tokens, 6 * count * tokens, law.loss(count, tokens))


def series(plan: Plan, low: float, high: float, law: Law | None, steps: int) -> Iterator[Member]:
    """Sizes from `low` to `high` parameters, each about twice the one before."""
    doublings = max(1, round(log(high / low) / log(2)))
    for index in range(doublings + 1):
        target = low * (high / low) ** (index / doublings)
        found = sized_to(plan, target, lambda graph: graph.parameters)
        yield member(found, law, steps)


def bounds(text: str) -> tuple[float, float]:
    """The two ends of `10M..1B`.

    Raises ScalingError.
    """
    low, dots, high = text.partition("..")
    if not dots:
        raise ScalingError(f"'{text}' is no range of parameters", "--series 10M..1B")
    ends = amount(low, "parameters"), amount(high, "parameters")
    if ends[0] >= ends[1]:
        raise ScalingError(f"{low} is not below {high}", f"--series {high}..{low}")
    if log(ends[1] / ends[0]) / log(2) > MOST:
        raise ScalingError(f"'{text}' has more than {MOST} sizes")
    return ends


def to_json(members: list[Member]) -> str:
    """The series as a JSON list."""
    return json.dumps([asdict(one) for one in members], indent=2) + "\n"


def to_csv(members: list[Member]) -> str:
    """The series as comma-separated values under a line of names."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, list(asdict(members[0])), lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(one) for one in members)
    return stream.getvalue()
