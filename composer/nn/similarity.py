"""How alike two sets of vectors are."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Similarity(nn.Module):
    """The product of each vector with each of the others, times a learned factor."""

    def __init__(self, log_start: float, has_bias: bool = False, bias_start: float = 0.0) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(torch.tensor([log_start]))
        self.bias = nn.Parameter(torch.tensor([bias_start])) if has_bias else None

    def forward(self, x: Tensor, others: Tensor) -> Tensor:
        """x (batch, d_model), others (others, d_model) -> (batch, others)."""
        scores = self.log_scale.exp() * (x @ others.T)
        if self.bias is not None:
            scores = scores + self.bias
        return scores
