"""The same models as a good engineer would write them for speed: what a built model is held to.

Flat layers with one forward each, scaled dot-product attention of torch, position tables made once,
no options. Dropout is left out, as it is zero in every comparison.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.sizes import LlamaSize, TransformerSize

EPS = 1e-6
"""Added to the mean square in RMS norms, as in Llama."""


class Transformer(nn.Module):
    """The post-norm encoder-decoder Transformer with one embedding table (arXiv:1706.03762)."""

    def __init__(self, size: TransformerSize) -> None:
        super().__init__()
        self.scale = size.d_model**0.5
        self.embed = nn.Embedding(size.vocab_size, size.d_model)
        positions = sinusoids(size.time, size.d_model)
        self.register_buffer("positions", positions, persistent=False)
        self.encoder = nn.ModuleList(EncoderLayer(size) for _ in range(size.num_layers))
        self.decoder = nn.ModuleList(DecoderLayer(size) for _ in range(size.num_layers))
        self.head = nn.Linear(size.d_model, size.vocab_size, bias=False)
        self.head.weight = self.embed.weight

    def forward(
        self,
        source: Tensor,
        target: Tensor,
        source_mask: Tensor | None = None,
        target_mask: Tensor | None = None,
    ) -> Tensor:
        """source (batch, source), target (batch, time) -> logits (batch, time, vocab_size).

        Masks are of the same shapes, True for real tokens.
        """
        memory = self.embed(source) * self.scale + self.positions[: source.shape[1]]
        x = self.embed(target) * self.scale + self.positions[: target.shape[1]]
        if source_mask is not None:
            source_mask = source_mask[:, None, None, :]
        if target_mask is not None:
            time = target.shape[1]
            causal = torch.ones(time, time, dtype=torch.bool, device=target.device).tril()
            target_mask = target_mask[:, None, None, :] & causal
        for layer in self.encoder:
            memory = layer(memory, source_mask)
        for layer in self.decoder:
            x = layer(x, memory, target_mask, source_mask)
        return self.head(x)


class EncoderLayer(nn.Module):
    """Self-attention and feed-forward, each followed by its norm."""

    def __init__(self, size: TransformerSize) -> None:
        super().__init__()
        d_model, d_ff = size.d_model, size.d_ff
        self.num_heads = size.num_heads
        self.q = nn.Linear(d_model, d_model)
        self.k = nn.Linear(d_model, d_model)
        self.v = nn.Linear(d_model, d_model)
        self.o = nn.Linear(d_model, d_model)
        self.norm1 = nn.LayerNorm(d_model)
        self.up = nn.Linear(d_model, d_ff)
        self.down = nn.Linear(d_ff, d_model)
        self.norm2 = nn.LayerNorm(d_model)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """x (batch, time, d_model) -> the same."""
        q, k, v = (heads(f(x), self.num_heads) for f in (self.q, self.k, self.v))
        a = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        x = self.norm1(x + self.o(a.transpose(1, 2).flatten(2)))
        return self.norm2(x + self.down(F.relu(self.up(x))))


class DecoderLayer(nn.Module):
    """Causal self-attention, cross-attention and feed-forward, each followed by its norm."""

    def __init__(self, size: TransformerSize) -> None:
        super().__init__()
        d_model, d_ff = size.d_model, size.d_ff
        self.num_heads = size.num_heads
        self.q = nn.Linear(d_model, d_model)
        self.k = nn.Linear(d_model, d_model)
        self.v = nn.Linear(d_model, d_model)
        self.o = nn.Linear(d_model, d_model)
        self.norm1 = nn.LayerNorm(d_model)
        self.cross_q = nn.Linear(d_model, d_model)
        self.cross_k = nn.Linear(d_model, d_model)
        self.cross_v = nn.Linear(d_model, d_model)
        self.cross_o = nn.Linear(d_model, d_model)
        self.norm2 = nn.LayerNorm(d_model)
        self.up = nn.Linear(d_model, d_ff)
        self.down = nn.Linear(d_ff, d_model)
        self.norm3 = nn.LayerNorm(d_model)

    def forward(
        self, x: Tensor, memory: Tensor, mask: Tensor | None, memory_mask: Tensor | None
    ) -> Tensor:
        """x (batch, time, d_model), memory (batch, source, d_model) -> as x."""
        q, k, v = (heads(f(x), self.num_heads) for f in (self.q, self.k, self.v))
        a = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=mask is None)
        x = self.norm1(x + self.o(a.transpose(1, 2).flatten(2)))
        q = heads(self.cross_q(x), self.num_heads)
        k, v = (heads(f(memory), self.num_heads) for f in (self.cross_k, self.cross_v))
        a = F.scaled_dot_product_attention(q, k, v, attn_mask=memory_mask)
        x = self.norm2(x + self.cross_o(a.transpose(1, 2).flatten(2)))
        return self.norm3(x + self.down(F.relu(self.up(x))))


class Llama(nn.Module):
    """A decoder with rotary positions, RMS norms, grouped queries and a gated feed-forward."""

    def __init__(self, size: LlamaSize) -> None:
        super().__init__()
        self.embed = nn.Embedding(size.vocab_size, size.d_model)
        cos, sin = rotations(size.time, size.d_model // size.num_heads)
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)
        self.layers = nn.ModuleList(LlamaLayer(size) for _ in range(size.num_layers))
        self.norm = nn.RMSNorm(size.d_model, eps=EPS)
        self.head = nn.Linear(size.d_model, size.vocab_size, bias=False)

    def forward(self, tokens: Tensor) -> Tensor:
        """tokens (batch, time) -> logits (batch, time, vocab_size)."""
        x = self.embed(tokens)
        cos, sin = self.cos[: tokens.shape[1]], self.sin[: tokens.shape[1]]
        for layer in self.layers:
            x = layer(x, cos, sin)
        return self.head(self.norm(x))


class LlamaLayer(nn.Module):
    """A norm before attention and one before the feed-forward."""

    def __init__(self, size: LlamaSize) -> None:
        super().__init__()
        d_model, d_ff = size.d_model, size.d_ff
        kv_width = d_model // size.num_heads * size.num_kv_heads
        self.num_heads, self.num_kv_heads = size.num_heads, size.num_kv_heads
        self.norm1 = nn.RMSNorm(d_model, eps=EPS)
        self.q = nn.Linear(d_model, d_model, bias=False)
        self.k = nn.Linear(d_model, kv_width, bias=False)
        self.v = nn.Linear(d_model, kv_width, bias=False)
        self.o = nn.Linear(d_model, d_model, bias=False)
        self.norm2 = nn.RMSNorm(d_model, eps=EPS)
        self.gate = nn.Linear(d_model, d_ff, bias=False)
        self.up = nn.Linear(d_model, d_ff, bias=False)
        self.down = nn.Linear(d_ff, d_model, bias=False)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """x (batch, time, d_model), cos and sin (time, head_dim / 2) -> as x."""
        h = self.norm1(x)
        q = rotate(heads(self.q(h), self.num_heads), cos, sin)
        k = rotate(heads(self.k(h), self.num_kv_heads), cos, sin)
        v = heads(self.v(h), self.num_kv_heads)
        a = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
        x = x + self.o(a.transpose(1, 2).flatten(2))
        h = self.norm2(x)
        return x + self.down(F.silu(self.gate(h)) * self.up(h))


def heads(x: Tensor, num_heads: int) -> Tensor:
    """x (batch, time, width) -> (batch, num_heads, time, width / num_heads)."""
    return x.unflatten(-1, (num_heads, -1)).transpose(1, 2)


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """x (batch, heads, time, head_dim) -> the same, each pair (i, i + half) turned."""
    a, b = x.chunk(2, dim=-1)
    return torch.cat([a * cos - b * sin, b * cos + a * sin], dim=-1)


def sinusoids(length: int, d_model: int) -> Tensor:
    """Sines and cosines in turns, (length, d_model)."""
    angles = _angles(length, d_model)
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)


def rotations(length: int, head_dim: int) -> tuple[Tensor, Tensor]:
    """Cosines and sines of every position's angles, each (length, head_dim / 2)."""
    angles = _angles(length, head_dim)
    return angles.cos(), angles.sin()


def _angles(length: int, width: int) -> Tensor:
    frequencies = 10_000.0 ** -(torch.arange(0, width, 2) / width)
    return torch.outer(torch.arange(length), frequencies)
