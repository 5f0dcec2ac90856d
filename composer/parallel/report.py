"""A plan in rows: for each part what it holds, how it is split, and what a device has of it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from math import prod
from typing import Any

from .plan import Bytes, Plan


@dataclass(frozen=True)
class Row:
    """A component, or all that are alike in the layers of a stack: bytes are of all of them."""

    path: str
    count: int
    parameters: int
    split: str
    held: Bytes


def rows(layout: Plan) -> list[Row]:
    """The parts with parameters; what a device holds is that of the fullest one."""
    found: dict[tuple[str, int, str], list[frozenset[str]]] = {}
    for path, names in _owned(layout):
        parameters = sum(prod(layout.tensors[name].shape) for name in names)
        general = re.sub(r"\.layers\.\d+\.", ".layers.*.", path)
        found.setdefault((general, parameters, how(layout, path)), []).append(names)
    return [
        Row(
            path, len(groups), parameters * len(groups), split,
            layout.bytes(layout.fullest, frozenset().union(*groups)),
        )
        for (path, parameters, split), groups in found.items()
    ]  # fmt: skip


def _owned(layout: Plan) -> Iterator[tuple[str, frozenset[str]]]:
    """Every component with the parameters that are its own, not another's that it shares."""
    for path, node in layout.graph.nodes():
        names = {f"{path}.{tensor}" for tensor in node.placed.tensors}
        if own := frozenset(names & layout.tensors.keys()):
            yield path, own


def how(layout: Plan, path: str) -> str:
    """How a component is split along tp, in words."""
    if layout.mesh.tp == 1:
        return ""
    split = layout.splitting.split.get(path)
    if split is None:
        return f"whole: {layout.splitting.whole[path]}"
    if not split.units:
        return "vocabulary"
    tp = layout.mesh.tp
    return ", ".join(f"{name} {size} / {tp}" for name, size in split.units.items())


def in_words(layout: Plan) -> str:
    """The mesh, and what it is for."""
    mesh, fsdp = layout.mesh, layout.asked.fsdp
    lines = [f"dp {mesh.dp} × tp {mesh.tp} = {mesh.world} devices"]
    if mesh.dp > 1 and fsdp is None:
        lines.append("along dp: copies, whose gradients are averaged")
    elif mesh.dp > 1 and fsdp is not None:
        unit = "layer by layer" if fsdp.unit == "block" else "all at once"
        lines.append(f"along dp: shards, gathered {unit} in {fsdp.precision}")
    if mesh.tp > 1:
        made = layout.splitting
        said = f"states of {', '.join(made.steps)} by steps" if made.steps else "states whole"
        lines.append(f"along tp: layers as below, {said}")
        lines += [f"  '{name}' keeps states whole: {why}" for name, why in made.unsplit.items()]
    return "\n".join(lines) + "\n"


def data(layout: Plan) -> dict[str, Any]:
    """The plan as plain data."""
    least = min(layout.places, key=lambda place: layout.every[place].total)
    held = {name: layout.every[place] for name, place in
            (("fullest", layout.fullest), ("least", least))}  # fmt: skip
    return {
        "mesh": layout.mesh.model_dump(),
        "world": layout.mesh.world,
        "parameters": layout.graph.parameters,
        "parts": [asdict(row) for row in rows(layout)],
        "steps": list(layout.splitting.steps),
        "device": {name: asdict(one) | {"total": one.total} for name, one in held.items()},
        "tensors": {
            name: {
                "shape": list(tensor.shape), "spread": tensor.how,
                "on_rank_0": list(tensor.local((0, 0))),
            }
            for name, tensor in layout.tensors.items()
        },
    }  # fmt: skip
