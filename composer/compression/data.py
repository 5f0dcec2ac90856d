"""Data for passes that need some: inputs of a model by name, in a safetensors file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from torch import Tensor

from composer.graph.graph import Graph
from composer.shapes import show
from composer.weights import WeightFiles

from .errors import compression_error

BATCH = 8
"""Examples that are computed at once."""


class Inputs:
    """Inputs of a graph in batches, each time anew."""

    def __init__(self, graph: Graph, path: str | Path) -> None:
        """Reads a file whose tensors are called as the inputs, or `NAME_mask`.

        Raises CompressionError for other names or shapes.
        """
        with WeightFiles(path) as files:
            self.tensors = {name: files.read(name) for name in files.shapes}
        self._check(graph, str(path))

    def __len__(self) -> int:
        """Number of examples."""
        return len(next(iter(self.tensors.values())))

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        for start in range(0, len(self), BATCH):
            yield {name: tensor[start : start + BATCH] for name, tensor in self.tensors.items()}

    def _check(self, graph: Graph, path: str) -> None:
        ours = {one.name: one.value.shape for one in graph.inputs}
        masks = {f"{one.name}_mask" for one in graph.inputs if one.padding == "mask"}
        for name in (*ours, *self.tensors):
            if name not in self.tensors or name not in {*ours, *masks}:
                there = "has none" if name not in self.tensors else "is no input"
                why = f"'{path}' wants a tensor for each input: '{name}' {there}"
                raise compression_error("Q703", why, f"inputs: {', '.join([*ours, *masks])}")
        for name, shape in ours.items():
            given = tuple(self.tensors[name].shape)
            if len(given) != len(shape) or any(
                isinstance(size, int) and size != found
                for size, found in zip(shape, given, strict=True)
            ):
                why = f"'{name}' in '{path}' is {show(given)}, but the model reads {show(shape)}"
                raise compression_error("Q703", why)
        if len({len(tensor) for tensor in self.tensors.values()}) > 1 or not len(self):
            raise compression_error("Q703", f"'{path}' has inputs of different numbers of examples")
