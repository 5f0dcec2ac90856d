"""Attention that scores contents and relative positions apart (He et al., 2020, DeBERTa)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .attention import masked_bias


class RelativeEmbedding(nn.Module):
    """A learned vector for each bucket of distances, made and normed once for all layers."""

    def __init__(
        self,
        d_model: int,
        num_buckets: int = 256,
        max_distance: int = 512,
        norm: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.num_buckets = num_buckets
        self.max_distance = max_distance
        self.norm = norm
        self.weight = nn.Parameter(torch.empty(2 * num_buckets, d_model))
        nn.init.normal_(self.weight, std=0.02)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """x (batch, time, d_model) -> vectors (2 * num_buckets, d_model), rows (time, time)."""
        steps = torch.arange(x.shape[1], device=x.device)
        distance = steps[:, None] - steps[None, :]
        buckets = signed_buckets(distance, self.num_buckets, self.max_distance)
        rows = (buckets + self.num_buckets).clamp(0, 2 * self.num_buckets - 1)
        if self.norm is not None:
            return self.norm(self.weight), rows
        return self.weight, rows


def signed_buckets(distance: Tensor, num_buckets: int, max_distance: int) -> Tensor:
    """Distances of either sign -> their buckets: one a step for the first half, then wider."""
    exact = num_buckets // 2
    away = distance.abs().clamp(min=exact).float()
    # Both logarithms are torch's, so that the last distance is a whole number of buckets away.
    widest = torch.tensor((max_distance - 1) / exact, device=away.device, dtype=away.dtype).log()
    far = exact + ((away / exact).log() / widest * (exact - 1)).ceil().long()
    return torch.where(distance.abs() <= exact, distance, far * distance.sign())


class DisentangledAttention(nn.Module):
    """Attention by content with content, content with distance, and distance with content."""

    def __init__(
        self,
        d_model: int,
        num_heads: int,
        head_dim: int,
        scale: float,
        bias: bool = True,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.head_dim = head_dim
        self.scale = scale
        self.dropout = dropout
        self.q = nn.Linear(d_model, num_heads * head_dim, bias=bias)
        self.k = nn.Linear(d_model, num_heads * head_dim, bias=bias)
        self.v = nn.Linear(d_model, num_heads * head_dim, bias=bias)
        self.o = nn.Linear(num_heads * head_dim, d_model, bias=bias)

    def forward(
        self, x: Tensor, mask: Tensor | None = None, *, relative: tuple[Tensor, Tensor]
    ) -> Tensor:
        """x (batch, time, d_model) -> the same.

        `relative` is a vector for each distance, and for each two steps the row of theirs.
        """
        vectors, rows = relative
        q = self.q(x).unflatten(-1, (-1, self.head_dim)).transpose(1, 2)  # batch heads time dim
        k = self.k(x).unflatten(-1, (-1, self.head_dim)).transpose(1, 2)
        v = self.v(x).unflatten(-1, (-1, self.head_dim)).transpose(1, 2)
        far_q = self.q(vectors).unflatten(-1, (-1, self.head_dim)).transpose(0, 1)
        far_k = self.k(vectors).unflatten(-1, (-1, self.head_dim)).transpose(0, 1)
        each = rows.expand(*q.shape[:2], -1, -1)
        by_query = (q @ far_k.transpose(-2, -1)).gather(-1, each)
        by_key = (k @ far_q.transpose(-2, -1)).gather(-1, each.transpose(-2, -1))
        bias = self.scale * (by_query + by_key.transpose(-2, -1))
        x = F.scaled_dot_product_attention(
            q,
            k,
            v,
            attn_mask=masked_bias(bias, mask),
            dropout_p=self.dropout if self.training else 0.0,
            scale=self.scale,
        )
        return self.o(x.transpose(1, 2).flatten(2))
