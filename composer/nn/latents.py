"""Learned vectors."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Latents(nn.Module):
    """Learned vectors, the same for every example of a batch."""

    def __init__(self, num_latents: int, d_model: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(num_latents, d_model))
        nn.init.normal_(self.weight, std=0.02)

    def forward(self, x: Tensor) -> Tensor:
        """x (batch, ...) -> (batch, num_latents, d_model)."""
        return self.weight.expand(x.shape[0], -1, -1)
