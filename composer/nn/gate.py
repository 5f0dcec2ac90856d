"""Gates of a branch."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class TanhGate(nn.Module):
    """The tanh of one learned number, zero at first, so that a new branch changes nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        """x of any shape -> the same."""
        return self.weight.tanh() * x


class LayerScale(nn.Module):
    """A learned factor for each number of a step."""

    def __init__(self, d_model: int, start: float = 1.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((d_model,), start))

    def forward(self, x: Tensor) -> Tensor:
        """x (batch, time, d_model) -> the same."""
        return self.weight * x
