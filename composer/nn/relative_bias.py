"""Relative positions as a learned bias of the scores (Raffel et al., 2020, T5)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class RelativeBias(nn.Module):
    """A learned bias for each bucket of distances and each head, made once for all layers."""

    def __init__(
        self,
        num_heads: int,
        num_buckets: int = 32,
        max_distance: int = 128,
        causal: bool = False,
    ) -> None:
        super().__init__()
        self.causal = causal
        self.num_buckets = num_buckets
        self.max_distance = max_distance
        self.weight = nn.Parameter(torch.empty(num_buckets, num_heads))
        nn.init.normal_(self.weight, std=0.02)

    def forward(self, x: Tensor) -> Tensor:
        """x (batch, time, d_model) -> (num_heads, time, time), added to the scores."""
        steps = torch.arange(x.shape[1], device=x.device)
        distance = steps[:, None] - steps[None, :]  # of each query from each key before it
        if self.causal:
            buckets = distance_buckets(distance.clamp(min=0), self.num_buckets, self.max_distance)
            bias = self.weight[buckets].permute(2, 0, 1)
            return bias.masked_fill(distance < 0, torch.finfo(bias.dtype).min)
        half = self.num_buckets // 2
        buckets = distance_buckets(distance.abs(), half, self.max_distance)
        buckets = buckets + half * (distance < 0)
        return self.weight[buckets].permute(2, 0, 1)


def distance_buckets(distance: Tensor, num_buckets: int, max_distance: int) -> Tensor:
    """Distances (...) from 0 up -> the bucket of each: half of them one a step, then wider."""
    exact = num_buckets // 2
    growth = torch.log(distance.clamp(min=1).float() / exact) / math.log(max_distance / exact)
    far = exact + (growth * (num_buckets - exact)).long()
    return torch.where(distance < exact, distance, far.clamp(max=num_buckets - 1))
