"""Learned keys and values before those of an attention (Li & Liang, 2021)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Prefixes(nn.Module):
    """What stands before the keys and values of one attention; those in `active` take part."""

    def __init__(self, **prefixes: nn.Module) -> None:
        super().__init__()
        self.active = tuple(prefixes)
        for name, prefix in prefixes.items():
            self.add_module(name, prefix)

    def forward(
        self,
        k: Tensor,
        v: Tensor,
        mask: Tensor | None,
        position_bias: Tensor | None,
        causal: bool,
    ) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None]:
        """k, v (batch, heads, keys, dim), and what is said of the keys, for all that are there.

        A causal mask that nobody has made yet is made here: every query may read a prefix. Biases
        of positions (heads, time, keys) are zero there.
        """
        steps = k.shape[2]
        for name in self.active:
            k, v = getattr(self, name)(k, v)
        more = k.shape[2] - steps
        if not more:
            return k, v, mask, position_bias
        if mask is None and causal:
            mask = torch.ones(steps, steps, dtype=torch.bool, device=k.device).tril()
        if mask is not None:
            mask = F.pad(mask, (more, 0), value=True)
        if position_bias is not None:
            position_bias = F.pad(position_bias, (more, 0))
        return k, v, mask, position_bias


class Prefix(nn.Module):
    """Keys and values, drawn small."""

    def __init__(self, num_heads: int, length: int, head_dim: int) -> None:
        super().__init__()
        self.k = nn.Parameter(torch.empty(num_heads, length, head_dim))
        self.v = nn.Parameter(torch.empty(num_heads, length, head_dim))
        nn.init.normal_(self.k, std=0.02)
        nn.init.normal_(self.v, std=0.02)

    def forward(self, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """k, v (batch, heads, keys, dim) -> (batch, heads, length + keys, dim)."""
        own_k, own_v = (each.expand(k.shape[0], -1, -1, -1) for each in (self.k, self.v))
        return torch.cat([own_k, k], dim=2), torch.cat([own_v, v], dim=2)
