"""Multi-head attention (Vaswani et al., 2017), grouped-query too (Ainslie et al., 2023)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .cache import Cache, recent
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
        q_bias: bool | None = None,
        k_bias: bool | None = None,
        v_bias: bool | None = None,
        o_bias: bool | None = None,
        q_norm: nn.Module | None = None,
        k_norm: nn.Module | None = None,
        norm_over_all: bool = False,
        clip_qkv: float | None = None,
        softcap: float | None = None,
        has_sinks: bool = False,
        turn: Callable[[Tensor, tuple[Tensor, Tensor]], Tensor] = rotate,
        position: nn.Module | None = None,
        return_weights: bool = False,
        before: nn.Module | None = None,
    ) -> None:
        super().__init__()
        kv_heads = num_heads if num_kv_heads is None else num_kv_heads
        kv_width = d_model if memory_width is None else memory_width
        self.head_dim = head_dim
        self.causal = causal
        self.dropout = dropout
        self.scale = scale
        self.norm_over_all = norm_over_all
        self.clip_qkv = clip_qkv
        self.softcap = softcap
        self.turn = turn
        self.return_weights = return_weights
        self.grouped = num_kv_heads is not None
        self.q = nn.Linear(d_model, num_heads * head_dim, bias=bias if q_bias is None else q_bias)
        self.k = nn.Linear(kv_width, kv_heads * head_dim, bias=bias if k_bias is None else k_bias)
        self.v = nn.Linear(kv_width, kv_heads * head_dim, bias=bias if v_bias is None else v_bias)
        self.o = nn.Linear(num_heads * head_dim, d_model, bias=bias if o_bias is None else o_bias)
        self.q_norm = q_norm
        self.k_norm = k_norm
        self.position = position
        self.before = before
        self.sinks = nn.Parameter(torch.zeros(num_heads)) if has_sinks else None

    def forward(
        self,
        x: Tensor,
        memory: Tensor | None = None,
        mask: Tensor | None = None,
        rope: tuple[Tensor, Tensor] | None = None,
        position_bias: Tensor | None = None,
    ) -> Tensor | tuple[Tensor, Tensor]:
        """x (batch, time, d_model), memory (batch, source, width) -> (batch, time, d_model)."""
        source = x if memory is None else memory
        if self.norm_over_all and self.q_norm is not None and self.k_norm is not None:
            q = self.q_norm(self.q(x)).unflatten(-1, (-1, self.head_dim)).transpose(1, 2)
            k = self.k_norm(self.k(source)).unflatten(-1, (-1, self.head_dim)).transpose(1, 2)
        else:
            q = self.q(x).unflatten(-1, (-1, self.head_dim)).transpose(1, 2)  # batch heads time dim
            k = self.k(source).unflatten(-1, (-1, self.head_dim)).transpose(1, 2)
        v = self.v(source).unflatten(-1, (-1, self.head_dim)).transpose(1, 2)
        if self.clip_qkv is not None:
            q, k, v = (each.clamp(-self.clip_qkv, self.clip_qkv) for each in (q, k, v))
        if self.q_norm is not None and not self.norm_over_all:
            q = self.q_norm(q)
        if self.k_norm is not None and not self.norm_over_all:
            k = self.k_norm(k)
        if rope is not None:
            q = self.turn(q, rope)
            k = self.turn(k, rope)
        bias = position_bias if self.position is None else self.position(x)
        if self.before is not None:
            k, v, mask, bias = self.before(k, v, mask, bias, self.causal)
        if self.return_weights:
            if self.grouped:
                k = k.repeat_interleave(q.shape[1] // k.shape[1], dim=1)
                v = v.repeat_interleave(q.shape[1] // v.shape[1], dim=1)
            weights = attention_probabilities(
                q, k, mask, self.causal, self.scale, self.softcap, self.sinks, bias
            )
            x = F.dropout(weights, self.dropout, self.training) @ v
            return self.o(x.transpose(1, 2).flatten(2)), weights
        if self.softcap is not None or self.sinks is not None:
            if self.grouped:
                k = k.repeat_interleave(q.shape[1] // k.shape[1], dim=1)
                v = v.repeat_interleave(q.shape[1] // v.shape[1], dim=1)
            weights = attention_probabilities(
                q, k, mask, self.causal, self.scale, self.softcap, self.sinks, bias
            )
            x = F.dropout(weights, self.dropout, self.training) @ v
            return self.o(x.transpose(1, 2).flatten(2))
        x = F.scaled_dot_product_attention(
            q,
            k,
            v,
            attn_mask=mask if bias is None else masked_bias(bias, mask),
            dropout_p=self.dropout if self.training else 0.0,
            is_causal=self.causal and mask is None and bias is None,
            scale=self.scale,
            enable_gqa=self.grouped,
        )
        return self.o(x.transpose(1, 2).flatten(2))


def masked_bias(position_bias: Tensor, mask: Tensor | None = None) -> Tensor:
    """position_bias (heads, time, keys), -inf where the mask hides a key."""
    return position_bias if mask is None else position_bias.masked_fill(~mask, float("-inf"))


def attention_probabilities(
    q: Tensor,
    k: Tensor,
    mask: Tensor | None = None,
    causal: bool = False,
    scale: float | None = None,
    softcap: float | None = None,
    sinks: Tensor | None = None,
    position_bias: Tensor | None = None,
) -> Tensor:
    """q (batch, heads, time, dim), k (batch, heads, keys, dim) -> (batch, heads, time, keys)."""
    scores = q @ k.transpose(-2, -1) * (q.shape[-1] ** -0.5 if scale is None else scale)
    if softcap is not None:
        scores = softcap * (scores / softcap).tanh()
    if position_bias is not None:
        scores = scores + position_bias
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    elif causal:
        allowed = torch.ones(q.shape[2], k.shape[2], dtype=torch.bool, device=q.device).tril()
        scores = scores.masked_fill(~allowed, float("-inf"))
    if sinks is not None:
        sink = sinks[:, None, None].expand(*scores.shape[:3], 1)
        return torch.cat([scores, sink], dim=-1).softmax(dim=-1)[..., :-1]
    return scores.softmax(dim=-1).nan_to_num(0.0)


class CachedAttention(Attention):
    """Attention for decoding: it keeps keys and values, and makes those of a memory once."""

    def forward(  # type: ignore[override]  # another form of the same, with a cache
        self,
        x: Tensor,
        cache: Cache,
        memory: Tensor | None = None,
        mask: Tensor | None = None,
        rope: tuple[Tensor, Tensor] | None = None,
        position_bias: Tensor | None = None,
        window: int | None = None,
    ) -> Tensor:
        """x (batch, new steps, d_model) -> the same; earlier steps are read from the cache."""
        q = self.heads(x, self.q, self.q_norm)
        if rope is not None:
            q = self.turn(q, rope)
        if memory is None:
            k = self.heads(x, self.k, self.k_norm)
            k = cache.extend("k", k if rope is None else self.turn(k, rope), 2, window)
            v = cache.extend("v", self.heads(x, self.v), 2, window)
        else:
            k = cache.once("k", partial(self.heads, memory, self.k, self.k_norm))
            v = cache.once("v", partial(self.heads, memory, self.v))
        bias = position_bias
        if self.position is not None:
            bias = recent(self.position(cache.whole(x)), x)
        # Of the keys, those that a window has left behind are no longer there.
        mask = None if mask is None else mask[..., -k.shape[2] :]
        bias = None if bias is None else bias[..., -k.shape[2] :]
        causal = self.causal and mask is None and x.shape[1] > 1
        if self.before is not None:
            k, v, mask, bias = self.before(k, v, mask, bias, causal)
            causal = causal and mask is None
        if self.softcap is not None or self.sinks is not None:
            if self.grouped:
                k, v = (each.repeat_interleave(q.shape[1] // k.shape[1], dim=1) for each in (k, v))
            weights = attention_probabilities(
                q, k, mask, causal, self.scale, self.softcap, self.sinks, bias
            )
            return self.o((weights @ v).transpose(1, 2).flatten(2))
        x = F.scaled_dot_product_attention(
            q,
            k,
            v,
            attn_mask=mask if bias is None else masked_bias(bias, mask),
            is_causal=causal and bias is None,
            scale=self.scale,
            enable_gqa=self.grouped,
        )
        return self.o(x.transpose(1, 2).flatten(2))

    def heads(self, x: Tensor, linear: nn.Module, norm: nn.Module | None = None) -> Tensor:
        """x (batch, time, width) -> (batch, heads, time, head_dim), normed and clipped as asked."""
        h = linear(x)
        if norm is not None and self.norm_over_all:
            h = norm(h)
        h = h.unflatten(-1, (-1, self.head_dim)).transpose(1, 2)
        if self.clip_qkv is not None:
            h = h.clamp(-self.clip_qkv, self.clip_qkv)
        return h if norm is None or self.norm_over_all else norm(h)
