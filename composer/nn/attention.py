"""Multi-head attention (Vaswani et al., 2017), grouped-query too (Ainslie et al., 2023)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .rope import rotate


class Attention(nn.Module):
    """Scaled dot-product attention in several heads."""

    def __init__(
        self,
        d_model: int,
        num_heads: int,
        head_dim: int,
        num_kv_heads: int | None = None,
        memory_width: int | None = None,
        bias: bool = True,
        causal: bool = False,
        dropout: float = 0.0,
        scale: float | None = None,
        qk_norm: bool = False,
        return_weights: bool = False,
    ) -> None:
        super().__init__()
        kv_heads = num_heads if num_kv_heads is None else num_kv_heads
        kv_width = d_model if memory_width is None else memory_width
        self.head_dim = head_dim
        self.causal = causal
        self.dropout = dropout
        self.scale = scale
        self.return_weights = return_weights
        self.grouped = num_kv_heads is not None
        self.q = nn.Linear(d_model, num_heads * head_dim, bias=bias)
        self.k = nn.Linear(kv_width, kv_heads * head_dim, bias=bias)
        self.v = nn.Linear(kv_width, kv_heads * head_dim, bias=bias)
        self.o = nn.Linear(num_heads * head_dim, d_model, bias=bias)
        self.q_norm = nn.RMSNorm(head_dim) if qk_norm else None
        self.k_norm = nn.RMSNorm(head_dim) if qk_norm else None

    def forward(
        self,
        x: Tensor,
        memory: Tensor | None = None,
        mask: Tensor | None = None,
        rope: tuple[Tensor, Tensor] | None = None,
    ) -> Tensor | tuple[Tensor, Tensor]:
        """x (batch, time, d_model) -> the same; reads `memory` (batch, source, width) if given."""
        source = x if memory is None else memory
        q = self.q(x).unflatten(-1, (-1, self.head_dim)).transpose(1, 2)  # batch heads time dim
        k = self.k(source).unflatten(-1, (-1, self.head_dim)).transpose(1, 2)
        v = self.v(source).unflatten(-1, (-1, self.head_dim)).transpose(1, 2)
        if self.q_norm is not None:
            q = self.q_norm(q)
        if self.k_norm is not None:
            k = self.k_norm(k)
        if rope is not None:
            q = rotate(q, rope)
            k = rotate(k, rope)
        if self.return_weights:
            if self.grouped:
                k = k.repeat_interleave(q.shape[1] // k.shape[1], dim=1)
                v = v.repeat_interleave(q.shape[1] // v.shape[1], dim=1)
            weights = attention_probabilities(q, k, mask, self.causal, self.scale)
            x = F.dropout(weights, self.dropout, self.training) @ v
            return self.o(x.transpose(1, 2).flatten(2)), weights
        x = F.scaled_dot_product_attention(
            q,
            k,
            v,
            attn_mask=mask,
            dropout_p=self.dropout if self.training else 0.0,
            is_causal=self.causal and mask is None,
            scale=self.scale,
            enable_gqa=self.grouped,
        )
        return self.o(x.transpose(1, 2).flatten(2))


def attention_probabilities(
    q: Tensor,
    k: Tensor,
    mask: Tensor | None = None,
    causal: bool = False,
    scale: float | None = None,
) -> Tensor:
    """q (batch, heads, time, dim), k (batch, heads, keys, dim) -> (batch, heads, time, keys)."""
    scores = q @ k.transpose(-2, -1) * (q.shape[-1] ** -0.5 if scale is None else scale)
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    elif causal:
        allowed = torch.ones(q.shape[2], k.shape[2], dtype=torch.bool, device=q.device).tril()
        scores = scores.masked_fill(~allowed, float("-inf"))
    return scores.softmax(dim=-1).nan_to_num(0.0)
