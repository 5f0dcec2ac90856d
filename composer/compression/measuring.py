"""What compressing has cost and gained: outputs that changed, bytes, and the time of a pass."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn

from composer.graph.graph import Graph
from composer.targets.numbers.setting import setting

ROUNDS = 7
"""Passes of each model whose median is the time; they take turns."""

LENGTH = 128
"""Steps of random inputs, at most."""


@dataclass(frozen=True)
class Measured:
    """Two models side by side, the second made of the first.

    `errors` are |changed - before| / |before| of each output that is one of numbers, over all of
    its numbers; `seconds` are medians of a forward pass.
    """

    errors: Mapping[str, float]
    seconds: tuple[float, float]
    bytes: tuple[int, int]
    inputs: str

    @property
    def slower(self) -> bool:
        """Whether the changed model takes more time, by more than two runs differ."""
        before, after = self.seconds
        return after > 1.05 * before


def measure(
    before: nn.Module, after: nn.Module, batch: Mapping[str, Tensor], sizes: tuple[int, int],
    inputs: str,
) -> Measured:  # fmt: skip
    """Compares two models on one batch of inputs, as for inference."""
    models = (before.eval(), after.eval())
    with torch.no_grad():
        first, second = (model(**batch) for model in models)
        errors = {
            name: relative_error(getattr(second, name), made)
            for name, made in first._asdict().items()
            if isinstance(made, Tensor) and made.is_floating_point()
        }
        seconds = interleaved([partial(model, **batch) for model in models])
    return Measured(errors, (seconds[0], seconds[1]), sizes, inputs)


def relative_error(changed: Tensor, before: Tensor) -> float:
    """|changed - before| / |before|, over all numbers."""
    return float((changed - before).float().norm() / before.float().norm().clamp(min=1e-30))


def interleaved(calls: Iterable[Callable[[], Any]], rounds: int = ROUNDS) -> list[float]:
    """The median time of each of several calls, which take turns; once before as warm-up."""
    known = list(calls)
    for call in known:
        call()
    times: list[list[float]] = [[] for _ in known]
    for _ in range(rounds):
        for call, found in zip(known, times, strict=True):
            start = time.perf_counter()
            call()
            found.append(time.perf_counter() - start)
    return [median(found) for found in times]


def random_inputs(graph: Graph, *, batch: int = 1, seed: int = 0) -> dict[str, Tensor]:
    """Inputs of a graph: ids of tokens uniform, numbers normal; masks left out."""
    usual = setting(graph, {}).lengths
    given = {name: min(size, LENGTH) for name, size in usual.items()} | {"batch": batch}
    at = setting(graph, {name: size for name, size in given.items() if name in usual})
    generator = torch.Generator().manual_seed(seed)
    found = {}
    for one in graph.inputs:
        shape = [at.number(size) for size in one.value.shape]
        most = getattr(one.node.component, "vocab_size", None)
        found[one.name] = (
            torch.randn(shape, generator=generator)
            if most is None
            else torch.randint(most, shape, generator=generator)
        )
    return found


def bytes_of(tensors: Iterable[Tensor]) -> int:
    """What the numbers of tensors take."""
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)
