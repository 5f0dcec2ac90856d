"""Rotary positions (Su et al., 2021, RoFormer), stretched for longer texts, and linear biases."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class RotaryEmbedding(nn.Module):
    """Cosine and sine of each position's angles, made once for all layers of a stack."""

    def __init__(
        self,
        head_dim: int,
        theta: float = 10_000.0,
        scaling: nn.Module | None = None,
        stretch: float = 1.0,
    ) -> None:
        super().__init__()
        self.head_dim = head_dim
        self.theta = theta
        self.scaling = scaling
        self.stretch = stretch

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """x (batch, time, d_model) -> cosine and sine, each (time, head_dim)."""
        dtype = torch.promote_types(x.dtype, torch.float32)
        exponent = torch.arange(0, self.head_dim, 2, device=x.device, dtype=dtype) / self.head_dim
        steps = torch.arange(x.shape[1], device=x.device, dtype=dtype)
        if self.scaling is not None:
            angles = torch.outer(steps, self.scaling(self.theta**-exponent))
        else:
            angles = torch.outer(steps, self.theta**-exponent)
        angles = torch.cat([angles, angles], dim=-1)
        if self.stretch != 1.0:
            return (self.stretch * angles.cos()).to(x.dtype), (self.stretch * angles.sin()).to(
                x.dtype
            )
        return angles.cos().to(x.dtype), angles.sin().to(x.dtype)


def rotate(x: Tensor, rope: tuple[Tensor, Tensor]) -> Tensor:
    """x (batch, heads, time, head_dim), each pair (i, i + half) turned by its position's angle."""
    cos, sin = rope
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat([-second, first], dim=-1) * sin


def rotate_part(x: Tensor, rope: tuple[Tensor, Tensor]) -> Tensor:
    """x (batch, heads, time, head_dim), its first part turned, as wide as the angles are."""
    width = rope[0].shape[-1]
    return torch.cat([rotate(x[..., :width], rope), x[..., width:]], dim=-1)


def rotate_pairs(x: Tensor, rope: tuple[Tensor, Tensor]) -> Tensor:
    """x (batch, heads, time, head_dim), each pair (2i, 2i + 1) turned by its position's angle."""
    cos, sin = (table.chunk(2, dim=-1)[0] for table in rope)
    first, second = x[..., ::2], x[..., 1::2]
    return torch.stack([first * cos - second * sin, second * cos + first * sin], dim=-1).flatten(-2)


def rotate_pairs_part(x: Tensor, rope: tuple[Tensor, Tensor]) -> Tensor:
    """x (batch, heads, time, head_dim), neighbours in its first part turned together."""
    width = rope[0].shape[-1]
    return torch.cat([rotate_pairs(x[..., :width], rope), x[..., width:]], dim=-1)


class Interpolation(nn.Module):
    """Positions pressed together evenly (Chen et al., 2023)."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        """x (pairs), frequencies in radians a step -> the same."""
        return x / self.factor


class Llama3Scaling(nn.Module):
    """Low frequencies slowed down, high ones kept, between them a ramp (Llama 3.1)."""

    def __init__(self, factor: float, low: float, high: float, original_length: int) -> None:
        super().__init__()
        self.factor = factor
        self.low = low
        self.high = high
        self.original_length = original_length

    def forward(self, x: Tensor) -> Tensor:
        """x (pairs), frequencies in radians a step -> the same."""
        turns = self.original_length * x / (2 * math.pi)
        keep = ((turns - self.low) / (self.high - self.low)).clamp(0, 1)
        return (1 - keep) * x / self.factor + keep * x


class YarnScaling(nn.Module):
    """Frequencies slowed down by a ramp over the pairs (Peng et al., 2023)."""

    def __init__(
        self,
        factor: float,
        original_length: int,
        fast: float,
        slow: float,
        theta: float,
        truncate: bool = True,
    ) -> None:
        super().__init__()
        self.factor = factor
        self.original_length = original_length
        self.fast = fast
        self.slow = slow
        self.theta = theta
        self.truncate = truncate

    def forward(self, x: Tensor) -> Tensor:
        """x (pairs), frequencies in radians a step -> the same."""
        pairs = len(x)
        # The pair that turns so many times within the original length.
        first, last = (
            pairs * math.log(self.original_length / (turns * 2 * math.pi)) / math.log(self.theta)
            for turns in (self.fast, self.slow)
        )
        if self.truncate:
            first, last = math.floor(first), math.ceil(last)
        first, last = max(first, 0), min(last, 2 * pairs - 1)
        steps = torch.arange(pairs, device=x.device, dtype=x.dtype)
        slowed = ((steps - first) / max(last - first, 1e-3)).clamp(0, 1)
        return slowed * x / self.factor + (1 - slowed) * x


class AlibiBias(nn.Module):
    """Scores lowered in proportion to the distance, by a slope a head (Press et al., 2021)."""

    def __init__(self, num_heads: int, causal: bool = False) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.causal = causal

    def forward(self, x: Tensor) -> Tensor:
        """x (batch, time, d_model) -> (num_heads, time, time), added to the scores."""
        slopes = torch.tensor(alibi_slopes(self.num_heads), device=x.device, dtype=x.dtype)
        steps = torch.arange(x.shape[1], device=x.device)
        distance = steps[:, None] - steps[None, :]
        bias = -slopes[:, None, None] * distance.abs()
        if self.causal:
            bias = bias.masked_fill(distance < 0, torch.finfo(x.dtype).min)
        return bias


def alibi_slopes(num_heads: int) -> list[float]:
    """The slope of each head: a geometric row, filled up from the next finer one."""
    power = 2 ** math.floor(math.log2(num_heads))
    slopes = [2 ** (-8 * i / power) for i in range(1, power + 1)]
    return slopes + [2 ** (-4 * i / power) for i in range(1, 2 * (num_heads - power), 2)]
