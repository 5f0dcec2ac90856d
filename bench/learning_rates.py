"""The best learning rate by width, with and without a parametrization: `make widths`.

A small vision Transformer learns scikit-learn's 8 × 8 digits (1,797 images) for some steps at every
learning rate 2^-n. With the standard parametrization the best rate falls with the width; with mup
it stays (Yang et al., 2022, arXiv:2203.03466, figure 1).
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from math import inf, isfinite
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

import composer

SPEC = """\
composer: 1
name: digits
dims: {d_model: 64}
inputs:
  image: {kind: image, height: 8, width: 8, channels: 1}
modules:
  patches: {kind: patch, from: image, patch_size: 2, d_model: d_model}
encoders:
  encoder:
    from: patches
    d_model: d_model
    num_layers: 2
    embed: {position: learned}
    attention: {num_heads: 4}
outputs:
  digit: {from: encoder, head: {kind: classification, num_classes: 10}}
"""
MUP = SPEC + "parametrization: {kind: mup, base: {dims: {d_model: 32}}}\n"
STANDARD = SPEC + "initialization: {kind: fan_in, std: 0.02}\n"


def main() -> None:
    """Prints the table, and draws it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--widths", default="32,64,128,256")
    parser.add_argument("--powers", default="4,5,6,7,8,9,10,11")
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("build/learning_rates.svg"))
    chosen = parser.parse_args()
    widths, powers = ([int(n) for n in text.split(",")] for text in (chosen.widths, chosen.powers))
    data = digits()
    found: dict[str, dict[int, dict[int, float]]] = {}
    for name, spec in (("standard", STANDARD), ("mup", MUP)):
        found[name] = {}
        for width in widths:
            rows = {p: mean_loss(spec, width, p, data, chosen.steps, chosen.seeds) for p in powers}
            found[name][width] = rows
            print(line(name, width, rows), flush=True)
    moves = {name: move(rows) for name, rows in found.items()}
    print(f"steps that the best rate moves: standard {moves['standard']}, mup {moves['mup']}")
    chosen.out.parent.mkdir(parents=True, exist_ok=True)
    plot(found, chosen.out)


def digits() -> tuple[Tensor, Tensor]:
    """The images (1797, 1, 8, 8), around zero, and what they show."""
    from sklearn.datasets import load_digits

    loaded = load_digits()
    images = torch.tensor(loaded.images, dtype=torch.float32)[:, None] / 8 - 1
    return images, torch.tensor(loaded.target)


def mean_loss(
    spec: str, width: int, power: int, data: tuple[Tensor, Tensor], steps: int, seeds: int
) -> float:
    """The loss at the end, a mean over seeds."""
    losses = [last_loss(spec, width, 2.0**-power, data, steps, seed) for seed in range(seeds)]
    return sum(losses) / seeds


def last_loss(
    spec: str, width: int, lr: float, data: tuple[Tensor, Tensor], steps: int, seed: int
) -> float:
    """The loss over the last steps of one run."""
    graph = composer.graph(spec, overrides=[f"dims.d_model={width}"])
    model = composer.build(graph, seed=seed)
    optimizer = torch.optim.Adam(composer.param_groups(model, graph, lr))
    losses = []
    for images, labels in batches(data, steps, seed):
        loss = F.cross_entropy(model(image=images).digit, labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    last = losses[-10:]
    mean = sum(last) / len(last)
    return mean if isfinite(mean) else inf


def batches(data: tuple[Tensor, Tensor], steps: int, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Random batches of 64, the same for every width and rate."""
    generator = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        chosen = torch.randint(len(data[0]), (64,), generator=generator)
        yield data[0][chosen], data[1][chosen]


def line(name: str, width: int, rows: dict[int, float]) -> str:
    """A row of the table, the best rate marked."""
    best = min(rows, key=lambda power: rows[power])
    cells = (f"{rows[p]:.3f}{'*' if p == best else ' '}" for p in rows)
    return f"{name:9} {width:5}  " + "  ".join(cells)


def move(rows: dict[int, dict[int, float]]) -> int:
    """How many factors of two lie between the best rates of the widths."""
    best = [min(losses, key=lambda power: losses[power]) for losses in rows.values()]
    return max(best) - min(best)


def plot(found: dict[str, dict[int, dict[int, float]]], path: Path) -> None:
    """Loss over learning rate, a line for each width."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.4), layout="constrained")
    panels = figure.subplots(1, len(found), sharey=True)
    for panel, (name, rows) in zip(panels, found.items(), strict=True):
        for number, (width, losses) in enumerate(rows.items()):
            shade = (0.1, 0.3, 0.8, 0.25 + 0.75 * number / max(len(rows) - 1, 1))
            panel.plot([-p for p in losses], list(losses.values()), "o-", color=shade, label=width)
        panel.set(title=name, xlabel="log2 of the learning rate", ylabel="loss")
    lines, names = panels[0].get_legend_handles_labels()
    figure.legend(lines, names, title="width", loc="outside right center")
    figure.savefig(path)


if __name__ == "__main__":
    main()
