"""Rotary positions (Su et al., 2021, RoFormer)."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class RotaryEmbedding(nn.Module):
    """Cosine and sine of each position's angles, made once for all layers of a stack."""

    def __init__(self, head_dim: int, theta: float = 10_000.0) -> None:
        super().__init__()
        self.head_dim = head_dim
        self.theta = theta

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """x (batch, time, d_model) -> cosine and sine, each (time, head_dim)."""
        dtype = torch.promote_types(x.dtype, torch.float32)
        exponent = torch.arange(0, self.head_dim, 2, device=x.device, dtype=dtype) / self.head_dim
        steps = torch.arange(x.shape[1], device=x.device, dtype=dtype)
        angles = torch.outer(steps, self.theta**-exponent)
        angles = torch.cat([angles, angles], dim=-1)
        return angles.cos().to(x.dtype), angles.sin().to(x.dtype)


def rotate(x: Tensor, rope: tuple[Tensor, Tensor]) -> Tensor:
    """x (batch, heads, time, head_dim), each pair (i, i + half) turned by its position's angle."""
    cos, sin = rope
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat([-second, first], dim=-1) * sin
