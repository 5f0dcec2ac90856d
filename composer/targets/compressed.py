"""What was compressed: of each pass how many linear maps and bytes, and all that stays as it was."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod

from composer.graph.graph import Compression, Graph
from composer.graph.linear_maps import LinearMaps

FLOAT = 4
"""Bytes of a number before."""


@dataclass(frozen=True)
class Changed:
    """A pass and its linear maps: bytes of their weights before and after, and numbers set to zero.

    `note` is what else people must know of it.
    """

    kind: str
    mark: str
    maps: tuple[str, ...]
    before: int
    after: int
    zeros: int = 0
    note: str = ""


@dataclass(frozen=True)
class Report:
    """The passes, and each tensor that none has changed with the reason.

    `found` says of tensors that were changed what is in them now, once it is done.
    """

    changed: tuple[Changed, ...]
    left: Mapping[str, str]
    found: Mapping[str, str] = field(default_factory=dict)


def report(graph: Graph) -> Report:
    """What the passes of a graph change, exact before it is done."""
    return Report(changed(graph), left_alone(graph))


def changed(graph: Graph) -> tuple[Changed, ...]:
    """What each pass of a graph changes, in their order."""
    return tuple(_changed(each, graph) for each in graph.compressions)


def left_alone(graph: Graph) -> dict[str, str]:
    """Why each tensor stays as it is, by its first name."""
    maps = LinearMaps(graph)
    done = {f"{first}.weight" for each in graph.compressions for first in each.maps}
    found = {
        f"{path}.{name}": f"a {'bias' if name.endswith('bias') else 'tensor'} of {node.component.kind}"
        for path, node in graph.nodes()
        for name in node.placed.state
    }
    found |= {f"{first}.weight": "a linear map that is not named" for first in maps.owners.values()}
    for each in graph.compressions:
        found |= {maps.first[f"{path}.weight"]: why for path, why in each.left.items()}
    return {name: found[name] for name in graph.state if name not in done}


def _changed(each: Compression, graph: Graph) -> Changed:
    shapes = [graph.tensors[f"{first}.weight"] for first in each.maps]
    before = [prod(shape) * FLOAT for shape in shapes]
    after = [each.options.weight_bytes(shape) for shape in shapes]
    left = sum(b if a is None else a for a, b in zip(after, before, strict=True))
    zeros = each.options.zeros([prod(shape) for shape in shapes])
    mark, note = each.options.mark, each.options.note
    return Changed(each.options.kind, mark, each.maps, sum(before), left, zeros, note)


def record(changed: Changed) -> dict[str, object]:
    """A pass as names and plain values."""
    return {
        "pass": changed.kind,
        "mark": changed.mark,
        "maps": list(changed.maps),
        "weight_bytes_before": changed.before,
        "weight_bytes_after": changed.after,
        "zeros": changed.zeros,
    }
