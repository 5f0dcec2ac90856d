"""A model as a program of `torch.export`, and such programs in files."""

from __future__ import annotations

import copy
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import wraps
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram

from composer.graph.graph import Graph
from composer.targets.source.emit import kinds_in
from composer.targets.source.library import definitions

from .inputs import open_sizes, random_inputs
from .lengths import lengths_of, traced_lengths
from .report import export_error


def traced(model: nn.Module, graph: Graph) -> ExportedProgram:
    """The program of a model, its batch and lengths open; it returns a dict of its outputs.

    Raises ExportError where torch cannot trace it for all lengths.
    """
    inputs = random_inputs(graph, traced_lengths(graph))
    shortened = any(each.shortened for each in lengths_of(graph))
    try:
        with _loops(model, graph):
            return torch.export.export(
                _with_names(model), (), inputs, dynamic_shapes=open_sizes(graph), strict=False,
                # Torch cannot prove that a shortened length has two steps: the program checks it.
                prefer_deferred_runtime_asserts_over_guards=shortened,
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


@contextmanager
def _loops(model: nn.Module, graph: Graph) -> Iterator[None]:
    """Meanwhile, what takes more turns for longer inputs is one loop in the model's own source."""
    found = dict(pair for _, node in graph.nodes() for pair in node.component.loops.items())
    known = definitions(kinds_in(graph))
    source = vars(sys.modules[type(model).__module__])
    before = {name: source[name] for name in found}
    for name, loop in found.items():
        source[name] = getattr(import_module(known[loop].module), loop)
    with warnings.catch_warnings():
        # torch's scan asks each tensor that it reads whether it has a gradient
        warnings.filterwarnings("ignore", "The .grad attribute of a Tensor", UserWarning)
        try:
            yield
        finally:
            source.update(before)


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
