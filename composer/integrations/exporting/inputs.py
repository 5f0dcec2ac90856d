"""Inputs of a model as tensors: random ones, and which of their sizes vary."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.export import Dim as OpenSize

from composer.components.inputs import Tokens
from composer.graph.graph import Graph, Input
from composer.shapes import Dim, evaluate, lengths_in

from .lengths import lengths_of

_PADDED = 3  # steps at the end of the last example, where an input may be padded


def random_inputs(graph: Graph, lengths: Mapping[str, int], seed: int = 0) -> dict[str, Tensor]:
    """Random inputs of these lengths by name, with masks; one example of several is padded."""
    random = torch.Generator().manual_seed(seed)
    given: dict[str, Tensor] = {}
    for item in graph.inputs:
        shape = tuple(evaluate(size, lengths) for size in item.value.shape)
        given[item.name] = _random(item, shape, random)
        if item.padding is None:
            continue
        real = torch.ones(shape[:2], dtype=torch.bool)
        if shape[0] > 1:
            real[-1, max(1, shape[1] - _PADDED) :] = False
        if item.padding == "mask":
            given[f"{item.name}_mask"] = real
        else:
            given[item.name][~real] = item.padding
    return given


def open_sizes(graph: Graph) -> dict[str, dict[int, OpenSize]]:
    """Which sizes of each input and mask vary, by axis; equal lengths are one size."""
    sizes = {"batch": OpenSize("batch", min=1)}
    for length in lengths_of(graph):
        step, most = length.step, length.most
        name = length.name if step == 1 else f"{length.name}_by_{step}"
        size = OpenSize(name, min=length.least // step, max=None if most is None else most // step)
        sizes[length.name] = size if step == 1 else step * size
    found: dict[str, dict[int, OpenSize]] = {}
    for item in graph.inputs:
        axes = {
            axis: sizes[next(lengths_in(size))]
            for axis, size in enumerate(item.value.shape)
            if isinstance(size, Dim)
        }
        found[item.name] = axes
        if item.padding == "mask":
            found[f"{item.name}_mask"] = {axis: size for axis, size in axes.items() if axis < 2}  # noqa: PLR2004 - batch and time
    return found


def axis_names(graph: Graph) -> dict[str, dict[int, str] | None]:
    """The name of each size that varies, by axis of the first input that has it."""
    named: set[str] = set()
    found: dict[str, dict[int, str] | None] = {}
    for item in graph.inputs:
        sizes = [next(lengths_in(size), "") for size in item.value.shape]
        new = {axis: name for axis, name in enumerate(sizes) if name and name not in named}
        named.update(new.values())
        found[item.name] = new or None
        if item.padding == "mask":
            found[f"{item.name}_mask"] = None
    return found


def _random(item: Input, shape: tuple[int, ...], random: torch.Generator) -> Tensor:
    component = item.node.component
    if isinstance(component, Tokens):
        lowest = int(component.vocab_size > 2)  # noqa: PLR2004 - not the usual id of padding
        return torch.randint(lowest, component.vocab_size, shape, generator=random)
    return torch.randn(shape, generator=random)
