"""From files to models and back: what `composer convert`, `export-weights` and `build` do."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from composer.diagnostics import Problem
from composer.graph.graph import Graph
from composer.language.weights import WeightMap
from composer.shapes import show

from .applying import apply, export
from .errors import WeightError, weight_error
from .files import WeightFiles, cast, save
from .names import Targets
from .operations import Shape
from .planning import Plan, plan, plan_back, same, unequal

if TYPE_CHECKING:
    from torch import Tensor, dtype, nn

Maps = Mapping[str, WeightMap]


def load(
    graph: Graph, maps: Maps, path: str | Path, *, dtype: dtype | None = None
) -> dict[str, Tensor]:
    """The tensors of `graph` from what lies at `path`, under its own names or those of a map.

    With a `dtype`, decimal numbers are cast to it. Raises WeightError.
    """
    with WeightFiles(path) as files:
        made = _own(graph, files.shapes) or _foreign(graph, maps, files.shapes)
        return {name: cast(tensor, dtype) for name, tensor in apply(made, files.read).items()}


def convert(
    graph: Graph, maps: Maps, path: str | Path, out: str | Path, *, dtype: dtype | None = None
) -> dict[str, Tensor]:
    """Writes the weights at `path` as one file with the names of `graph`; gives its tensors."""
    tensors = load(graph, maps, path, dtype=dtype)
    save(out, tensors, stamp(graph))
    return tensors


def export_weights(
    graph: Graph,
    weight_map: WeightMap,
    path: str | Path,
    out: str | Path,
    *,
    layout: str = "",
    dtype: dtype | None = None,
) -> dict[str, Tensor]:
    """Writes weights with the names of `graph` under those that a map reads; gives its tensors.

    Second names of tied tensors are left out, as in published files.
    """
    with WeightFiles(path) as files:
        own = _own(graph, files.shapes)
        if own is None:
            raise _unlike(graph, files.shapes)
        back = plan_back(graph, weight_map, layout)
        tensors = apply(own, files.read)
    made = {name: cast(tensor, dtype) for name, tensor in export(back, tensors.__getitem__).items()}
    save(out, made)
    return made


def load_into(model: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Puts tensors into a model's parameters, all of them; shared ones stay shared.

    A parameter keeps its dtype and device. Raises WeightError for missing or further names, and
    for other shapes.
    """
    import torch

    names = dict(model.named_parameters(remove_duplicate=False))
    problems = [
        Problem("W404", f"the model has no tensor '{name}'", None)
        for name in tensors
        if name not in names
    ]
    filled = {id(names[name]) for name in tensors if name in names}
    problems += [
        Problem("W402", f"there is nothing for '{name}' {show(tuple(parameter.shape))}", None)
        for name, parameter in model.named_parameters() if id(parameter) not in filled
    ]  # fmt: skip
    problems += [
        unequal(name, tuple(tensor.shape), tuple(names[name].shape))
        for name, tensor in tensors.items()
        if name in names and tensor.shape != names[name].shape
    ]
    if any(parameter.is_meta for parameter in model.parameters()):
        problems.append(
            Problem(
                "W408",
                "the model is on the meta device, where nothing can be put",
                None,
                fix="model.to_empty(device='cpu')",
            )
        )
    if problems:
        raise WeightError(problems)
    with torch.no_grad():
        for name, tensor in tensors.items():
            names[name].copy_(tensor)


def map_named(maps: Maps, name: str | None) -> WeightMap:
    """One of a spec's maps, the first by default; raises WeightError where there is none."""
    if name is None and maps:
        return next(iter(maps.values()))
    if name is None or name not in maps:
        known = ", ".join(maps) or "there are none"
        raise weight_error(
            "W409", f"the spec has no weights called '{name or 'anything'}' ({known})"
        )
    return maps[name]


def dtype_named(name: str | None) -> dtype | None:
    """The decimal type of torch that is called so; raises WeightError for another word."""
    import torch

    known = {"float64": "fp64", "float32": "fp32", "float16": "fp16", "bfloat16": "bf16"}
    if name is None:
        return None
    name = next((long for long, short in known.items() if name == short), name)
    if name not in known:
        raise weight_error("W408", f"'{name}' is no type of weights", f"one of {', '.join(known)}")
    kind: torch.dtype = getattr(torch, name)
    return kind


def stamp(graph: Graph) -> dict[str, str]:
    """What a file with the names of `graph` says of itself."""
    return {"composer": graph.name, "tensors": fingerprint(graph)}


def fingerprint(graph: Graph) -> str:
    """A hash of the names and shapes that a graph's weights have."""
    text = json.dumps([graph.tensors, dict(graph.aliases)], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _own(graph: Graph, shapes: Mapping[str, Shape]) -> Plan | None:
    """The plan for weights under the graph's own names; None if they are named otherwise."""
    targets = Targets(graph)
    owners = {name: targets.owner(name) for name in shapes}
    if set(owners.values()) != set(targets.shapes):
        return None
    return same(targets, shapes, owners)


def _foreign(graph: Graph, maps: Maps, shapes: Mapping[str, Shape]) -> Plan:
    """The plan of the first map that fits."""
    if not maps:
        raise _unlike(graph, shapes)
    failures: list[WeightError] = []
    for weight_map in maps.values():
        try:
            return plan(graph, weight_map, shapes)
        except WeightError as error:  # noqa: PERF203 - each map has a refusal of its own
            failures.append(error)
    raise min(failures, key=lambda error: len(error.problems))


def _unlike(graph: Graph, shapes: Mapping[str, Shape]) -> WeightError:
    theirs, ours = next(iter(shapes), None), next(iter(graph.tensors), None)
    why = f"the names are not those of '{graph.name}': '{theirs}' instead of names like '{ours}'"
    return weight_error("W409", why, "name a map: `weights: {huggingface: maps/...yaml}`")


__all__ = [
    "convert",
    "dtype_named",
    "export_weights",
    "fingerprint",
    "load",
    "load_into",
    "map_named",
    "stamp",
]
