"""What a model is trained for: what a batch costs, and what is trained beside the model for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .data import IGNORED

Forward = Callable[..., Any]
"""The model, or what torch has compiled of it: its inputs by name, its outputs as attributes."""


@dataclass(frozen=True)
class Scored:
    """What a batch has come to: the sum of its losses, how many scores are right, of how many."""

    loss: Tensor
    hits: Tensor
    count: Tensor


class Objective(Protocol):
    """What a model is trained for."""

    @property
    def beside(self) -> nn.Module:
        """What is trained beside the model; checkpoints keep it in a file of its own."""

    @property
    def identity(self) -> Mapping[str, Any]:
        """What the numbers of a run depend on further, by what it is called."""

    def to(self, device: torch.device) -> object:
        """Brings all of its tensors to a device."""

    def count(self, inputs: Mapping[str, Tensor], targets: Tensor) -> int:
        """How many losses a batch is the sum of."""

    def score(
        self, forward: Forward, inputs: Mapping[str, Tensor], targets: Tensor, smoothing: float
    ) -> Scored:
        """What a batch costs."""


class CrossEntropy(nn.Module):
    """Cross entropy of an output's scores with the targets, other than those that are ignored."""

    def __init__(self, output: str) -> None:
        super().__init__()
        self.output = output
        self.beside = nn.Module()
        self.identity: Mapping[str, Any] = {}

    def count(self, inputs: Mapping[str, Tensor], targets: Tensor) -> int:
        """Number of targets."""
        del inputs
        return int((targets != IGNORED).sum())

    def score(
        self, forward: Forward, inputs: Mapping[str, Tensor], targets: Tensor, smoothing: float
    ) -> Scored:
        """The sum over all targets."""
        scores = getattr(forward(**inputs), self.output)
        loss, (hits, count) = loss_of(scores, targets, smoothing), hits_and_count(scores, targets)
        return Scored(loss, hits, count)


def loss_of(scores: Tensor, targets: Tensor, smoothing: float = 0.0) -> Tensor:
    """The sum of the losses of scores (..., classes) at targets that are not ignored."""
    rows, wanted = scores.float().flatten(0, -2), targets.flatten()
    return F.cross_entropy(
        rows, wanted, reduction="sum", ignore_index=IGNORED, label_smoothing=smoothing
    )


def hits_and_count(scores: Tensor, targets: Tensor) -> Tensor:
    """How many of the best scores are right, and how many targets are not ignored, int64 (2,)."""
    hits = (scores.argmax(-1) == targets).sum()
    return torch.stack([hits, (targets != IGNORED).sum()])
