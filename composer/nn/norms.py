"""Norms whose weights torch's own do not cover."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class OffsetRmsNorm(nn.Module):
    """Root mean square norm whose weight is held less an offset, as in Gemma."""

    def __init__(self, width: int, offset: float, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((width,), 1.0 - offset))
        self.offset = offset
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """x (..., width) -> the same."""
        return F.rms_norm(x, self.weight.shape, self.offset + self.weight, self.eps)


class OffsetLayerNorm(nn.Module):
    """Layer norm whose weight is held less an offset, as in Nemotron."""

    def __init__(self, width: int, offset: float, eps: float, bias: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((width,), 1.0 - offset))
        self.bias = nn.Parameter(torch.zeros(width)) if bias else None
        self.offset = offset
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """x (..., width) -> the same."""
        return F.layer_norm(x, self.weight.shape, self.offset + self.weight, self.bias, self.eps)


class HeadNorm(nn.Module):
    """Layer or RMS norm over the width of each head, with a weight for every head."""

    def __init__(self, num_heads: int, head_dim: int, eps: float, center: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(num_heads, head_dim))
        self.eps = eps
        self.center = center

    def forward(self, x: Tensor) -> Tensor:
        """x (batch, heads, time, head_dim) -> the same."""
        if self.center:
            x = F.layer_norm(x, x.shape[-1:], eps=self.eps)
        else:
            x = F.rms_norm(x, x.shape[-1:], eps=self.eps)
        return x * self.weight[:, None]
