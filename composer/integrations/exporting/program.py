"""A model as a program of `torch.export`, and such programs in files."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from functools import wraps
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram

from composer.graph.graph import Graph

from .inputs import open_sizes, random_inputs
from .lengths import lengths_of, traced_lengths
from .report import export_error


def traced(model: nn.Module, graph: Graph) -> ExportedProgram:
    """The program of a model, its batch and lengths open; it returns a dict of its outputs.

    Raises ExportError where torch cannot trace it for all lengths.
    """
    lengths = lengths_of(graph)
    unrolled = next((path for path, node in graph.nodes() if node.component.unrolls), None)
    if unrolled is not None and lengths:
        why = f"'{unrolled}' takes more turns for longer inputs, and a program has a fixed number"
        fix = "give its input a fixed `length`, or export to huggingface"
        raise export_error("E602", f"no program computes '{graph.name}' at all lengths: {why}", fix)
    inputs = random_inputs(graph, traced_lengths(graph))
    try:
        return torch.export.export(
            _with_names(model), (), inputs, dynamic_shapes=open_sizes(graph), strict=False,
            # Torch cannot prove that a shortened length has two steps, so the program checks it.
            prefer_deferred_runtime_asserts_over_guards=any(each.shortened for each in lengths),
        )  # fmt: skip
    except Exception as error:  # torch has no class for what it cannot trace
        lines = [line.strip(" -") for line in (str(error).strip() or repr(error)).splitlines()]
        why = next((line for line in lines if line.startswith("Not all values")), lines[0])
        raise export_error("E602", f"torch cannot trace '{graph.name}': {why}") from error


def write(model: nn.Module, graph: Graph, path: Path) -> None:
    """Writes the program of a model to a file.

    Raises ExportError.
    """
    save(traced(model, graph), path)


def save(program: ExportedProgram, path: Path) -> None:
    """Writes a program to a file, without a pickle."""
    program.example_inputs = None  # the only part of the file that torch would pickle
    torch.export.save(program, path)


def loaded(path: Path) -> Callable[[Mapping[str, Tensor]], dict[str, Any]]:
    """What the program of a file returns for inputs by name."""
    module = torch.export.load(path).module()

    def run(inputs: Mapping[str, Tensor]) -> dict[str, Any]:
        outputs: dict[str, Any] = module(**inputs)
        return outputs

    return run


def _with_names(model: nn.Module) -> nn.Module:
    """The same model with a dict as its result: a file cannot name a class of ours."""
    cls = type(model)

    @wraps(cls.forward)
    def forward(self: nn.Module, *args: Tensor, **inputs: Tensor) -> dict[str, Any]:
        outputs: dict[str, Any] = cls.forward(self, *args, **inputs)._asdict()
        return outputs

    made = copy.copy(model)
    made.__class__ = type(cls.__name__, (cls,), {"forward": forward})
    return made
