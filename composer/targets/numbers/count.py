"""The numbers of a model: what each part and the whole costs in a setting."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace

from composer.components.placed import Placed
from composer.graph.graph import Graph
from composer.targets.summary import Row, Summary, summarize

from .activations import CallBytes, KeptBytes, bytes_by_call, kept_by_call
from .cache import cache_bytes
from .flops import Flops, flops_of_calls
from .memory import ParameterBytes, parameter_bytes, trained_by_owner
from .peak import peak_bytes
from .setting import Setting
from .trace import Trace, trace


@dataclass(frozen=True)
class Cost:
    """What a part costs: operations, and bytes beside its parameters.

    `activations` are bytes kept for the backward pass and `outputs` those of what the model returns
    and of its gradients, none for inference. `cache` are bytes held after all steps of the setting,
    `cache_step` those that each further step adds.
    """

    trained: int = 0
    forward: int = 0
    backward: int = 0
    activations: int = 0
    outputs: int = 0
    cache: int = 0
    cache_step: int = 0

    def __add__(self, other: Cost) -> Cost:
        return Cost(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))


@dataclass(frozen=True)
class Part:
    """A row of the summary with what it costs."""

    row: Row
    cost: Cost
    at: Setting
    parameters: ParameterBytes
    peak: int | None = None

    @property
    def flops(self) -> int:
        """Operations of a step: forward, and backward where the model is trained."""
        return self.cost.forward + (self.cost.backward if self.at.mode == "train" else 0)

    @property
    def memory(self) -> int:
        """Bytes of parameters with their gradients and state, and of what is held beside them.

        Of the whole it is what is held at once at most, less than the sum of its parts or more.
        """
        if self.peak is not None:
            return self.peak
        if self.at.mode == "inference":
            return self.parameters.total + self.cost.cache
        return self.parameters.total + self.cost.activations + self.cost.outputs


@dataclass(frozen=True)
class Numbers:
    """The parts of a model in the order of its summary, and the whole."""

    summary: Summary
    at: Setting
    parts: tuple[Part, ...]
    whole: Part

    def leaves(self) -> list[Part]:
        """The parts that no other row divides further."""
        rows = [part.row for part in self.parts]
        divided = {a.path for a, b in zip(rows, rows[1:], strict=False) if b.depth > a.depth}
        return [part for part in self.parts if part.row.path not in divided]


def count(graph: Graph, at: Setting) -> Numbers:
    """The numbers of a graph in a setting."""
    summary, made = summarize(graph), trace(graph)
    found = bytes_by_call(graph, made, at)
    costs = {row.path: Cost() for row in summary.rows}
    for path, cost in _by_row(graph, made, found, at, rows_of(summary)).items():
        for above in _upwards(path, summary):
            costs[above] = costs[above] + cost
    parts = tuple(_part(row, costs[row.path], at) for row in summary.rows)
    total = sum((part.cost for part in parts if part.row.depth == 0), start=Cost())
    whole = Row(summary.name, "model", (), summary.parameters)
    peak = peak_bytes(graph, made, at, found)
    return Numbers(summary, at, parts, replace(_part(whole, total, at), peak=peak))


def _part(row: Row, cost: Cost, at: Setting) -> Part:
    return Part(row, cost, at, parameter_bytes(row.parameters, cost.trained, at))


def _by_row(
    graph: Graph, made: Trace, bytes_of: list[CallBytes], at: Setting, rows: Mapping[str, str]
) -> dict[str, Cost]:
    """What the calls of each row cost, rows below not included."""
    found: dict[str, Cost] = {}
    known: dict[object, Cost] = {}
    for path, trained in trained_by_owner(graph).items():
        if not trained:
            continue
        row = row_of(path, rows)
        found[row] = found.get(row, Cost()) + Cost(trained)
    training = at.mode == "train"
    kept = kept_by_call(made, bytes_of) if training else [KeptBytes()] * len(made.calls)
    for call, flops, held in zip(made.calls, flops_of_calls(graph, made), kept, strict=True):
        cost = Cost(activations=held.activations, outputs=held.outputs)
        if call.placed is not None:
            key = (id(call.placed), id(flops))
            if key not in known:
                known[key] = _cost(call.placed, flops, at)
            cost = cost + known[key]
        row = row_of(call.path, rows)
        found[row] = found.get(row, Cost()) + cost
    return found


def _cost(placed: Placed, flops: Flops, at: Setting) -> Cost:
    cache = cache_bytes(placed, at)
    return Cost(
        forward=at.number(flops.forward), backward=at.number(flops.backward),
        cache=cache.held, cache_step=cache.step,
    )  # fmt: skip


def rows_of(summary: Summary) -> dict[str, str]:
    """Paths of rows by the paths of parts; layers one by one."""
    found = {row.path: row.path for row in summary.rows}
    for row in summary.rows:
        if row.kind == "layer":
            stack = row.path.partition(".")[0]
            found |= {f"{stack}.layers.{number}": row.path for number in row.layers}
    return found


def row_of(path: str, rows: Mapping[str, str]) -> str:
    """The row that something at a path belongs to.

    Raises KeyError for a path outside all rows.
    """
    if path in rows:
        return rows[path]
    above, _, name = path.rpartition(".")
    if not above:
        raise KeyError(path)
    row = row_of(above, rows)
    return rows.get(f"{row}.{name}", row)


def _upwards(path: str, summary: Summary) -> list[str]:
    """A row and those that it is a part of."""
    found: dict[int, str] = {}
    for row in summary.rows:
        found = {depth: name for depth, name in found.items() if depth < row.depth}
        found[row.depth] = row.path
        if row.path == path:
            return list(found.values())
    raise KeyError(path)
