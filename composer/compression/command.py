"""Compressing weights that lie on disk: before and after, side by side."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from composer.graph.graph import Graph
from composer.language.spec import ModelSpec
from composer.targets.compressed import Report
from composer.targets.files import write_folder
from composer.targets.module import build_module
from composer.weights import load_into, stamp
from composer.weights import save as save_tensors

from . import compress as changed
from .cutting import Cut, Smaller
from .cutting import cut as smaller_of
from .data import Inputs
from .files import save
from .measuring import Measured, bytes_of, measure, random_inputs

FILE = "model.safetensors"
SPEC = "spec.yaml"


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


def cut(
    spec: ModelSpec, tensors: Mapping[str, Tensor], cuts: Mapping[str, Cut], out: Path
) -> Smaller:
    """Writes the spec and the tensors of a smaller model into a folder; gives them.

    Raises CompressionError.
    """
    made = smaller_of(spec, tensors, cuts)

    def write(path: Path) -> None:
        save_tensors(path, made.tensors, stamp(made.graph))

    write_folder(out, {SPEC: made.spec.encode(), FILE: write})
    return made
