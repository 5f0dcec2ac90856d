"""Lottery tickets: a fifth of the weights, from their own start and from another one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from statistics import mean

import torch
from torch import Tensor, nn

import composer
from bench.digits.data import Digits, digits
from bench.digits.fitting import accuracy, fit
from bench.tables import Cell, Table, Target
from composer.compression import lottery, prepare

SPEC = Path(__file__).parents[1] / "mlp.yaml"
ROUNDS = 7
STEPS = 400
RATE = 1.2e-3  # that of the paper


def run(seeds: int) -> Table:
    """Accuracy of the dense network, of its ticket, and of the same zeros in another network."""
    data = digits()
    found = [_ways(data, seed) for seed in range(seeds)]
    rows = tuple(_row(name, [each[name] for each in found]) for name in found[0])
    return Table(
        "A lottery ticket",
        ("network", "weights_left", "accuracy", "lowest", "highest"),
        rows,
        tuple(_targets({str(name): float(cells[1] or 0) for name, *cells in rows})),
        f"Five linear maps of 52,378 parameters are trained for {STEPS} steps, pruned by magnitude "
        f"and rewound {ROUNDS} times (Frankle & Carbin, 2019); the head is pruned half as fast. The "
        "ticket is what is left, trained from the start that it had; the other network has the "
        "same zeros and starts from other numbers. Per cent of unseen images, mean of "
        f"{seeds} seeds.",
    )


def _ways(data: Digits, seed: int) -> dict[str, tuple[float, float]]:
    """Of each network what is left of it, and what it reaches."""
    graph = composer.graph(SPEC)
    model = composer.build(graph, seed=seed)

    def train(model: nn.Module) -> float:
        fit(model, data.train, steps=STEPS, lr=RATE, seed=seed)
        return accuracy(model, data.test)

    ticket = lottery(graph, model, train, rounds=ROUNDS)
    first, last = ticket.rounds[0], ticket.rounds[-1]
    other = composer.build(graph, seed=100 + seed)
    _same_zeros(other, ticket.start)
    prepare(graph, other)
    return {
        "dense": (first.left, first.result),
        "ticket": (last.left, last.result),
        "other start": (last.left, train(other)),
    }


@torch.no_grad()
def _same_zeros(model: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    for name, parameter in model.named_parameters():
        if parameter.ndim > 1:  # biases start at zero
            parameter.masked_fill_(tensors[name] == 0, 0.0)


def _row(name: str, found: list[tuple[float, float]]) -> tuple[Cell, ...]:
    results = [result for _, result in found]
    return (name, f"{100 * found[0][0]:.1f} %", mean(results), min(results), max(results))


def _targets(results: Mapping[str, float]) -> Iterator[Target]:
    """What is held: the ticket is as good as the whole, and better than another start."""
    lost = results["dense"] - results["ticket"]
    won = results["ticket"] - results["other start"]
    yield Target("points lost by the ticket", "<= 0.5", lost, met=lost <= 0.5)
    yield Target("points above another start", "> 0.5", won, met=won > 0.5)
