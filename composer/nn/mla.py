"""Multi-head latent attention (DeepSeek-V2)."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .cache import Cache
from .rope import rotate


class LatentAttention(nn.Module):
    """Attention whose keys and values are made of one small latent state a step."""

    def __init__(
        self,
        d_model: int,
        num_heads: int,
        kv_rank: int,
        head_dim: int,
        rope_dim: int,
        v_head_dim: int,
        kv_norm: nn.Module,
        q_rank: int | None = None,
        q_norm: nn.Module | None = None,
        bias: bool = False,
        dropout: float = 0.0,
        causal: bool = False,
        scale: float | None = None,
        turn: Callable[[Tensor, tuple[Tensor, Tensor]], Tensor] = rotate,
    ) -> None:
        super().__init__()
        q_width = d_model if q_rank is None else q_rank
        self.num_heads = num_heads
        self.head_dim = head_dim
        self.rope_dim = rope_dim
        self.dropout = dropout
        self.causal = causal
        self.scale = scale
        self.turn = turn
        self.q_down = nn.Linear(d_model, q_width, bias=bias) if q_rank is not None else None
        self.q = nn.Linear(q_width, num_heads * (head_dim + rope_dim), bias=False)
        self.kv_down = nn.Linear(d_model, kv_rank, bias=bias)
        self.k_rope = nn.Linear(d_model, rope_dim, bias=bias)
        self.k = nn.Linear(kv_rank, num_heads * head_dim, bias=False)
        self.v = nn.Linear(kv_rank, num_heads * v_head_dim, bias=False)
        self.o = nn.Linear(num_heads * v_head_dim, d_model, bias=bias)
        self.q_norm = q_norm
        self.kv_norm = kv_norm

    def forward(self, x: Tensor, rope: tuple[Tensor, Tensor], mask: Tensor | None = None) -> Tensor:
        """x (batch, time, d_model) -> the same."""
        if self.q_down is not None and self.q_norm is not None:
            q = self.q(self.q_norm(self.q_down(x)))
        else:
            q = self.q(x)
        latent = self.kv_norm(self.kv_down(x))
        q, k, v = (
            each.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)  # batch heads time dim
            for each in (q, self.k(latent), self.v(latent))
        )
        q, q_rope = q.split([self.head_dim, self.rope_dim], dim=-1)
        k_rope = self.turn(self.k_rope(x)[:, None], rope).expand(-1, self.num_heads, -1, -1)
        x = F.scaled_dot_product_attention(
            torch.cat([q, self.turn(q_rope, rope)], dim=-1),
            torch.cat([k, k_rope], dim=-1),
            v,
            attn_mask=mask,
            dropout_p=self.dropout if self.training else 0.0,
            is_causal=self.causal and mask is None,
            scale=self.scale,
        )
        return self.o(x.transpose(1, 2).flatten(2))


class CachedLatentAttention(LatentAttention):
    """Latent attention for decoding: it keeps the latents, and the keys that have positions."""

    def forward(  # type: ignore[override]  # another form of the same, with a cache
        self,
        x: Tensor,
        cache: Cache,
        rope: tuple[Tensor, Tensor],
        mask: Tensor | None = None,
        window: int | None = None,
    ) -> Tensor:
        """x (batch, new steps, d_model) -> the same; earlier steps are read from the cache."""
        if self.q_down is not None and self.q_norm is not None:
            q = self.q(self.q_norm(self.q_down(x)))
        else:
            q = self.q(x)
        latent = cache.extend("latent", self.kv_norm(self.kv_down(x)), 1, window)
        k_rope = cache.extend("k_rope", self.turn(self.k_rope(x)[:, None], rope), 2, window)
        q, k, v = (
            each.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)  # batch heads time dim
            for each in (q, self.k(latent), self.v(latent))
        )
        q, q_rope = q.split([self.head_dim, self.rope_dim], dim=-1)
        mask = None if mask is None else mask[..., -k.shape[2] :]
        h = F.scaled_dot_product_attention(
            torch.cat([q, self.turn(q_rope, rope)], dim=-1),
            torch.cat([k, k_rope.expand(-1, self.num_heads, -1, -1)], dim=-1),
            v,
            attn_mask=mask,
            is_causal=self.causal and mask is None and x.shape[1] > 1,
            scale=self.scale,
        )
        return self.o(h.transpose(1, 2).flatten(2))
