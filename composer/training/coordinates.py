"""Coordinate check: whether states change alike at every width while a model starts to train.

A few steps of Adam at one learning rate, for several sizes of a spec; after each the mean absolute
value of the state after each stack's last layer and of every output (Yang et al., 2022, arXiv:2203.03466, appendix
D.1). With a parametrization that follows the width the lines are flat, without one they climb.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import log
from pathlib import Path
from typing import TypeGuard

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from composer.compiler import Source
from composer.compiler import graph as graph_of
from composer.graph.graph import Graph, Input
from composer.optim import param_groups
from composer.shapes import Dim
from composer.targets.module import build_module


@dataclass(frozen=True)
class Coordinate:
    """The mean absolute value that a part makes after some steps, in a model of one size."""

    value: int
    step: int
    part: str
    size: float


def coordinate_check(
    spec: Source, vary: str, values: Sequence[int], *, steps: int = 5, lr: float = 1e-2,
    batch: int = 8, length: int = 32, seeds: int = 2, size: str | None = None,
    overrides: Iterable[str] = (),
) -> list[Coordinate]:  # fmt: skip
    """The size of what every stack and output makes, for each of `values` of the option `vary`.

    `vary` is written as for `--set`, e.g. `dims.d_model`; inputs and targets are random, the same
    for every size. Sizes are means over `seeds`; step 0 is before the first update.

    Raises SpecError for a wrong spec.
    """
    graphs = {
        value: graph_of(spec, size=size, overrides=[*overrides, f"{vary}={value}"])
        for value in values
    }
    return measure(graphs, steps=steps, lr=lr, batch=batch, length=length, seeds=seeds)


def measure(
    graphs: Mapping[int, Graph], *, steps: int = 5, lr: float = 1e-2, batch: int = 8,
    length: int = 32, seeds: int = 2,
) -> list[Coordinate]:  # fmt: skip
    """The same for graphs by the value in which they differ."""
    found = []
    for value, made in graphs.items():
        runs = [_run(made, steps, lr, batch, length, seed) for seed in range(seeds)]
        for step, part in runs[0]:
            mean = sum(run[step, part] for run in runs) / len(runs)
            found.append(Coordinate(value, step, part, mean))
    return found


def slopes(coordinates: Iterable[Coordinate]) -> dict[tuple[str, int], float]:
    """How each part's size grows with the value: the power of it, by part and step.

    0 is flat; states that a learning rate blows up in proportion to the width have about 1.
    """
    lines: dict[tuple[str, int], list[tuple[float, float]]] = {}
    for one in coordinates:
        lines.setdefault((one.part, one.step), []).append((log(one.value), log(one.size)))
    return {key: _slope(points) for key, points in lines.items()}


def plot(coordinates: Sequence[Coordinate], path: str | Path, label: str = "width") -> None:
    """Draws a panel for each part: its size over the values, a line for each step.

    Needs matplotlib (`pip install graph-composer[plot]`); the file's ending is its format.
    """
    from matplotlib.figure import Figure  # type: ignore[import-not-found,unused-ignore]

    parts = list(dict.fromkeys(one.part for one in coordinates))
    figure = Figure(figsize=(4 * len(parts), 3.2), layout="constrained")
    panels = figure.subplots(1, len(parts), squeeze=False)[0]
    steps = sorted({one.step for one in coordinates})
    values = sorted({one.value for one in coordinates})
    for panel, part in zip(panels, parts, strict=True):
        for step in steps:
            line = [one for one in coordinates if (one.part, one.step) == (part, step)]
            shade = 0.2 + 0.7 * step / max(steps[-1], 1)
            panel.loglog(
                [one.value for one in line],
                [one.size for one in line],
                marker="o",
                color=(0.1, 0.3, 0.8, shade),
                label=f"step {step}",
            )
        panel.set(title=part, xlabel=label, ylabel="mean |x|")
        panel.set_xticks([], minor=True)
        panel.set_xticks(values, labels=[str(value) for value in values])
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside right center")
    figure.savefig(path)


def _slope(points: list[tuple[float, float]]) -> float:
    """The slope of the line through points by least squares."""
    middle = [sum(axis) / len(points) for axis in zip(*points, strict=True)]
    across = sum((x - middle[0]) ** 2 for x, _ in points)
    return sum((x - middle[0]) * (y - middle[1]) for x, y in points) / across if across else 0.0


def _run(
    graph: Graph, steps: int, lr: float, batch: int, length: int, seed: int
) -> dict[tuple[int, str], float]:
    model = build_module(graph, seed=seed)
    optimizer = torch.optim.AdamW(param_groups(model, graph, lr))
    generator = torch.Generator().manual_seed(seed)
    inputs = {one.name: _random(one, batch, length, generator) for one in graph.inputs}
    found: dict[tuple[int, str], float] = {}
    seen: dict[str, float] = {}
    for stack in graph.stacks:
        last = model.get_submodule(f"{stack.name}.layers.{len(stack.layers) - 1}")
        last.register_forward_hook(_record(stack.name, seen))
    targets: dict[str, Tensor] = {}
    for step in range(steps + 1):
        outputs = model(**inputs)
        sizes = {name: made for name, made in outputs._asdict().items() if _is_float(made)}
        seen |= {name: float(made.detach().abs().mean()) for name, made in sizes.items()}
        found |= {(step, part): size for part, size in seen.items()}
        loss = sum(_loss(made, targets, name, generator) for name, made in sizes.items())
        optimizer.zero_grad()
        assert isinstance(loss, Tensor), "a model makes at least one output of numbers"
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return found


def _record(name: str, seen: dict[str, float]) -> Callable[[nn.Module, object, object], None]:
    def hook(module: nn.Module, inputs: object, made: object) -> None:
        del module, inputs
        first = made[0] if isinstance(made, (tuple, list)) else made
        if _is_float(first):
            seen[name] = float(first.detach().abs().mean())

    return hook


def _is_float(made: object) -> TypeGuard[Tensor]:
    return isinstance(made, Tensor) and made.is_floating_point()


def _loss(
    made: Tensor, targets: dict[str, Tensor], name: str, generator: torch.Generator
) -> Tensor:
    """Cross entropy with random classes, the same at every step."""
    rows = made.flatten(0, -2) if made.dim() > 1 else made[None]
    if name not in targets:
        targets[name] = torch.randint(rows.shape[-1], rows.shape[:1], generator=generator)
    return F.cross_entropy(rows, targets[name])


def _random(one: Input, batch: int, length: int, generator: torch.Generator) -> Tensor:
    shape = [
        (batch if str(size) == "batch" else length) if isinstance(size, Dim) else size
        for size in one.value.shape
    ]
    vocabulary = getattr(one.node.component, "vocab_size", None)
    if vocabulary is not None:
        return torch.randint(1, vocabulary, shape, generator=generator)
    return torch.randn(shape, generator=generator)
