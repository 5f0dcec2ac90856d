"""Attention with relative positions as in Transformer-XL (Dai et al., 2019, arXiv:1901.02860).

A component of one's own with both halves, for the models of Chinchilla: each head also scores the
distance of a key, through a projection of sinusoids and two learned offsets of its queries.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from composer import Component, Tensors
from composer.components.component import Role
from composer.components.options import Positive
from composer.shapes import Axes, Size


class RelativeAttentionComponent(Component):
    """Causal self-attention that scores distances."""

    kind: Literal["relative_attention"] = "relative_attention"
    role: ClassVar[Role] = "attention"
    slots: ClassVar[tuple[str, ...]] = ("attention", "layer", "module")
    module: ClassVar[str] = "RelativeAttention"
    mixes_time: ClassVar[bool] = True
    causal: ClassVar[bool] = True
    examples: ClassVar[tuple[Mapping[str, Any], ...]] = ({"num_heads": 2, "head_dim": 8},)

    num_heads: Positive = Field(description="Number of heads.")
    head_dim: Positive = Field(description="Width of a head.")

    def tensors(self, axes: Axes) -> Tensors:
        inner = axes.num_heads * axes.head_dim
        tensors: Tensors = {"content": (inner,), "distance": (inner,)}
        for name in ("q", "k", "v"):
            tensors |= {f"{name}.weight": (inner, axes.d_model), f"{name}.bias": (inner,)}
        tensors["r.weight"] = (inner, axes.d_model)
        return {**tensors, "o.weight": (axes.d_model, inner), "o.bias": (axes.d_model,)}

    def arguments(self, axes: Axes) -> dict[str, Any]:
        return {"d_model": axes.d_model, "num_heads": self.num_heads, "head_dim": self.head_dim}

    def flops(self, axes: Axes) -> Size:
        inner = axes.num_heads * axes.head_dim
        steps = axes.batch * axes.time
        scores = 3 * 2 * steps * axes.time * inner
        return 4 * 2 * steps * axes.d_model * inner + 2 * axes.time * axes.d_model * inner + scores


class RelativeAttention(nn.Module):
    """Scores of content and of distance, summed."""

    def __init__(self, d_model: int, num_heads: int, head_dim: int) -> None:
        super().__init__()
        inner = num_heads * head_dim
        self.head_dim = head_dim
        self.content = nn.Parameter(torch.zeros(inner))
        self.distance = nn.Parameter(torch.zeros(inner))
        self.q = nn.Linear(d_model, inner)
        self.k = nn.Linear(d_model, inner)
        self.v = nn.Linear(d_model, inner)
        self.r = nn.Linear(d_model, inner, bias=False)
        self.o = nn.Linear(inner, d_model)

    def forward(self, x: Tensor) -> Tensor:
        """x (batch, time, d_model) -> the same."""
        q, k, v = self.q(x), self.split(self.k(x)), self.split(self.v(x))
        content = self.split(q + self.content) @ k.transpose(-2, -1)
        apart = self.split(self.r(self.sinusoids(x))[None])
        distance = self.split(q + self.distance) @ apart.transpose(-2, -1)
        steps = torch.arange(x.shape[1], device=x.device)
        behind = (steps[:, None] - steps).clamp(min=0).expand(distance.shape)
        scores = (content + distance.gather(-1, behind)) * self.head_dim**-0.5
        scores = scores.masked_fill(steps[:, None] < steps, float("-inf"))
        return self.o((scores.softmax(dim=-1) @ v).transpose(1, 2).flatten(2))

    def split(self, x: Tensor) -> Tensor:
        """(batch, time, heads * head_dim) -> (batch, heads, time, head_dim)."""
        return x.unflatten(-1, (-1, self.head_dim)).transpose(1, 2)

    def sinusoids(self, x: Tensor) -> Tensor:
        """(time, d_model): a row for each distance."""
        pairs = torch.arange(0, x.shape[2], 2, device=x.device, dtype=x.dtype)
        angles = torch.arange(x.shape[1], device=x.device, dtype=x.dtype)[:, None]
        angles = angles * 10_000 ** (-pairs / x.shape[2])
        return torch.cat([angles.sin(), angles.cos()], dim=-1)
