"""Lottery tickets: a model is trained, pruned, and trained again from where it started.

What is left after some rounds is a small part of its weights that learns as well as the whole, from
the start that it had, but not from another (Frankle & Carbin, 2019, arXiv:1803.03635).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from composer.graph.graph import Graph
from composer.language.prune import PruneFields

from .errors import compression_error
from .passes import Work
from .prune import keep_zeros, prune

Train = Callable[[nn.Module], float]
"""Trains a model in place, with an optimizer of its own; gives how well it does."""


@dataclass(frozen=True)
class Round:
    """A training: the share of the prunable numbers that were left, and what it came to."""

    left: float
    result: float


@dataclass(frozen=True)
class Ticket:
    """The rounds, the first of them dense, and where the last one started, zeros in it."""

    rounds: tuple[Round, ...]
    start: Mapping[str, Tensor]


def lottery(
    graph: Graph, model: nn.Module, train: Train, *, rounds: int = 7,
    warm: Callable[[nn.Module], object] | None = None,
) -> Ticket:  # fmt: skip
    """Trains a model `rounds` + 1 times, pruned between; its zeros are as `prune` of its spec says.

    Each round leaves the same share of what the last one left. Weights are then rewound to those
    that the model came with or, with `warm`, to those that `warm` has made of them (Frankle et al.,
    2020, arXiv:1912.05671). At the end the model is the trained one, and its zeros stay zeros.

    Raises CompressionError for a graph without `prune`, and for a number of rounds below 1.
    """
    works = [Work(graph, model, each) for each in graph.compressions if _prunes(each.options)]
    if not works:
        fix = "compress: [{prune: {on: '*.feed_forward', amount: 0.8}}]"
        raise compression_error("Q701", f"'{graph.name}' prunes nothing", fix)
    if rounds < 1:
        raise compression_error("Q701", f"{rounds} rounds prune nothing", "rounds=7")
    for work in works:
        keep_zeros(work)
    if warm is not None:
        warm(model)
    start = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    done = [Round(_left(works), train(model))]
    for number in range(1, rounds + 1):
        for work in works:
            prune(work, number / rounds)
        start = _rewind(model, start, works)
        done.append(Round(_left(works), train(model)))
    return Ticket(tuple(done), start)


def _prunes(options: object) -> bool:
    return isinstance(options, PruneFields)


@torch.no_grad()
def _rewind(model: nn.Module, start: Mapping[str, Tensor], works: list[Work]) -> dict[str, Tensor]:
    """Puts the start back with the zeros that the model has now; gives it with them."""
    gone = {linear: linear.weight == 0 for work in works for linear in work.linears()}
    model.load_state_dict(start)
    for linear, zero in gone.items():
        linear.weight.masked_fill_(zero, 0.0)
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def _left(works: list[Work]) -> float:
    """The share of the numbers that may be pruned that are not zero."""
    weights = dict.fromkeys(linear.weight for work in works for linear in work.linears())
    return sum(int(w.count_nonzero()) for w in weights) / sum(w.numel() for w in weights)
