"""From files to models and back: what `composer convert`, `export-weights` and `build` do."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from composer.diagnostics import Problem
from composer.graph.graph import Graph
from composer.language.weights import WeightMap
from composer.shapes import show

from .applying import apply, export
from .errors import WeightError, weight_error
from .files import WeightFiles, cast, save
from .planning import plan_back, unequal
from .readings import Maps, Weights, own_plan, readings, unlike

if TYPE_CHECKING:
    from torch import Tensor, dtype, nn


def load(
    graph: Graph, maps: Maps, weights: Weights, *, dtype: dtype | None = None
) -> dict[str, Tensor]:
    """The tensors of `graph` from what lies at a path, or at one for each of several maps.

    They lie under its own names or those of a map. With a `dtype`, decimal numbers are cast to it.
    Raises WeightError.
    """
    made: dict[str, Tensor] = {}
    for each in readings(graph, maps, weights):
        with WeightFiles(each.path) as files:
            made |= apply(each.plan, files.read)
    return {name: cast(tensor, dtype) for name, tensor in made.items()}


def load_whole(graph: Graph, maps: Maps, weights: Weights, *, seed: int) -> dict[str, Tensor]:
    """Every tensor of `graph`: those that `load` gives, the others as a new model of `seed` has them.

    Raises WeightError.
    """
    from composer.targets.module import build_module

    tensors = load(graph, maps, weights)
    new = [name for name in graph.state if name not in tensors]
    if not new:
        return tensors
    state = build_module(graph, seed=seed).state_dict()
    return tensors | {name: state[name] for name in new}


def convert(
    graph: Graph, maps: Maps, path: str | Path, out: str | Path, *, dtype: dtype | None = None
) -> dict[str, Tensor]:
    """Writes the weights at `path` as one file with the names of `graph`; gives its tensors.

    Raises WeightError, also where some tensors of the graph would start anew.
    """
    tensors = load(graph, maps, path, dtype=dtype)
    if new := [name for name in graph.state if name not in tensors]:
        why = f"'{new[0]}' and {len(new) - 1} more are new, so a file would not be whole"
        raise weight_error("W409", why, "build the model with these weights, and save that")
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

    Second names of tied tensors are left out, as in published files; so is what lies outside the
    parts of the map, and what it calls new.
    """
    with WeightFiles(path) as files:
        own = own_plan(graph, files.shapes)
        if graph.added & files.shapes.keys():
            why = f"'{weight_map.name}' has no names for adapters, which would be lost"
            raise weight_error("W409", why, "merge them first: composer merge")
        if own is None:
            raise unlike(graph, files.shapes)
        back = plan_back(graph, weight_map, layout)
        tensors = apply(own, files.read)
    made = {name: cast(tensor, dtype) for name, tensor in export(back, tensors.__getitem__).items()}
    save(out, made)
    return made


def load_into(
    model: nn.Module, tensors: Mapping[str, Tensor], *, new: Collection[str] = ()
) -> None:
    """Puts tensors into a model, all of its parameters and buffers but those that are `new`.

    Shared ones stay shared, and each keeps its dtype and device. Raises WeightError for missing or
    further names, and for other shapes.
    """
    import torch

    names = model.state_dict(keep_vars=True)
    problems = [
        Problem("W404", f"the model has no tensor '{name}'", None)
        for name in tensors
        if name not in names
    ]
    filled = {id(names[name]) for name in (*tensors, *new) if name in names}
    problems += [
        Problem("W402", f"there is nothing for '{name}' {show(tuple(tensor.shape))}", None)
        for name, tensor in _once(names).items() if id(tensor) not in filled
    ]  # fmt: skip
    problems += [
        unequal(name, tuple(tensor.shape), tuple(names[name].shape))
        for name, tensor in tensors.items()
        if name in names and tensor.shape != names[name].shape
    ]
    if any(tensor.is_meta for tensor in names.values()):
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


def _once(names: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Each tensor under the first of its names."""
    first: dict[int, str] = {}
    for name, tensor in names.items():
        first.setdefault(id(tensor), name)
    return {name: names[name] for name in first.values()}


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
    text = json.dumps([graph.state, dict(graph.aliases)], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


__all__ = [
    "convert",
    "dtype_named",
    "export_weights",
    "fingerprint",
    "load",
    "load_into",
    "stamp",
]
