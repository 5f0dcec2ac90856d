"""Compressing weights that lie on disk: before and after, side by side."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from composer.graph.graph import Graph
from composer.targets.compressed import Report
from composer.targets.module import build_module
from composer.weights import load_into

from . import compress as changed
from .data import Inputs
from .files import save
from .measuring import Measured, bytes_of, measure, random_inputs

FILE = "model.safetensors"


def compress(
    graph: Graph, tensors: Mapping[str, Tensor], out: Path, data: Path | None
) -> tuple[Report, Measured]:
    """Writes the tensors of a graph after its passes into a folder; gives what was done and measured.

    `data` is a safetensors file of inputs; without it random ones are measured. Raises
    CompressionError.
    """
    inputs = None if data is None else Inputs(graph, data)
    before = build_module(graph, seed=0).eval()
    load_into(before, tensors)
    after = copy.deepcopy(before)
    report = changed(graph, after, inputs)
    written = save(graph, after, out / FILE)
    sizes = (bytes_of(tensors.values()), bytes_of(written.values()))
    batch = random_inputs(graph) if inputs is None else next(iter(inputs))
    said = "random inputs" if data is None else f"{len(next(iter(batch.values())))} of the data"
    return report, measure(before, after, batch, sizes, said)
