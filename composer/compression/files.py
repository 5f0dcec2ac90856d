"""Compressed models on disk: one safetensors file, and what was done to it as JSON in its header."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from torch import Tensor, nn

from composer.graph.graph import Graph
from composer.weights import WeightFiles, load_into, stamp
from composer.weights import save as write
from composer.weights.readings import COMPRESSED

from .errors import compression_error
from .registry import works


def tensors_of(graph: Graph, model: nn.Module) -> dict[str, Tensor]:
    """What a file of a compressed model holds: every tensor of the spec, changed weights in parts."""
    found: dict[str, Tensor] = {}
    replaced: set[str] = set()
    for each, work in works(graph, model):
        parts = each.saved(work)
        found |= parts
        replaced |= {name.rpartition(".")[0] for name in parts}
    state = model.state_dict()
    rest = {name: state[name].contiguous() for name in graph.state if name not in replaced}
    return {**rest, **found}


def save(graph: Graph, model: nn.Module, path: str | Path) -> dict[str, Tensor]:
    """Writes a compressed model of a graph as one file; gives its tensors."""
    tensors = tensors_of(graph, model)
    write(path, tensors, {**stamp(graph), COMPRESSED: _passes(graph)})
    return tensors


def is_compressed(path: object) -> bool:
    """Whether what lies at a path is a compressed model."""
    if not isinstance(path, str | Path) or not Path(path).exists():
        return False
    with WeightFiles(path) as files:
        return COMPRESSED in files.metadata


def load(graph: Graph, model: nn.Module, path: str | Path) -> None:
    """Puts a saved compressed model into one of its graph; it computes the same numbers.

    Raises CompressionError where it was made by another spec.
    """
    with WeightFiles(path) as files:
        _check_stamp(graph, files.metadata)
        replaced = set()
        plain = {name: files.read(name) for name in graph.state if name in files.shapes}
        for each, work in works(graph, model):
            names = [f"{first}.weight" for first in work.compression.maps]
            if any(name in plain for name in names):
                continue  # weights that are saved as they are
            replaced |= set(names)
            each.restore(work, partial(_read, files))
        load_into(model, plain, new=replaced)


def _read(files: WeightFiles, name: str) -> Tensor:
    if name not in files.shapes:
        raise compression_error("Q704", f"these weights have no '{name}'")
    return files.read(name)


def _check_stamp(graph: Graph, metadata: Mapping[str, str]) -> None:
    expected = {**stamp(graph), COMPRESSED: _passes(graph)}
    for key, word in expected.items():
        if metadata.get(key) != word:
            what = "other passes" if key == COMPRESSED else "another spec"
            raise compression_error("Q704", f"these weights were compressed with {what}")


def _passes(graph: Graph) -> str:
    return json.dumps(
        [
            {each.options.kind: each.options.model_dump(mode="json"), "maps": list(each.maps)}
            for each in graph.compressions
        ]
    )
