"""Token embeddings and the positions added to them."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .cache import Cache, recent


class TokenEmbedding(nn.Module):
    """One learned vector a token, as the first layer reads it."""

    def __init__(
        self,
        vocab_size: int,
        d_model: int,
        scale: float = 1.0,
        position: nn.Module | None = None,
        norm: nn.Module | None = None,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.tokens = nn.Embedding(vocab_size, d_model)
        self.scale = scale
        self.position = position
        self.norm = norm
        self.dropout = nn.Dropout(dropout) if dropout else None

    def forward(self, tokens: Tensor) -> Tensor:
        """tokens (batch, time) -> (batch, time, d_model)."""
        x = self.tokens(tokens)
        if self.scale != 1.0:
            x = x * self.scale
        if self.position is not None:
            x = x + self.position(x)
        if self.norm is not None:
            x = self.norm(x)
        if self.dropout is not None:
            x = self.dropout(x)
        return x


class SequenceEmbedding(nn.Module):
    """A sequence of vectors, as the first layer reads it."""

    def __init__(
        self,
        position: nn.Module | None = None,
        norm: nn.Module | None = None,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.position = position
        self.norm = norm
        self.dropout = nn.Dropout(dropout) if dropout else None

    def forward(self, x: Tensor) -> Tensor:
        """x (batch, time, d_model) -> (batch, time, d_model)."""
        if self.position is not None:
            x = x + self.position(x)
        if self.norm is not None:
            x = self.norm(x)
        if self.dropout is not None:
            x = self.dropout(x)
        return x


class LearnedPosition(nn.Module):
    """One learned vector a position; a sequence may have as many steps as there are rows."""

    def __init__(self, rows: int, d_model: int, offset: int = 0) -> None:
        super().__init__()
        self.offset = offset
        self.weight = nn.Parameter(torch.empty(rows, d_model))
        nn.init.normal_(self.weight, std=0.02)

    def forward(self, x: Tensor) -> Tensor:
        """x (batch, time, d_model) -> (time, d_model)."""
        if self.offset:
            return self.weight[self.offset : self.offset + x.shape[1]]
        return self.weight[: x.shape[1]]


class SinusoidalPosition(nn.Module):
    """Sines and cosines of falling frequency (Vaswani et al., 2017)."""

    def __init__(self, theta: float = 10_000.0, layout: str = "interleaved") -> None:
        super().__init__()
        self.theta = theta
        self.layout = layout

    def forward(self, x: Tensor) -> Tensor:
        """x (batch, time, d_model) -> (time, d_model)."""
        d_model = x.shape[2]
        dtype = torch.promote_types(x.dtype, torch.float32)
        exponent = torch.arange(0, d_model, 2, device=x.device, dtype=dtype) / d_model
        steps = torch.arange(x.shape[1], device=x.device, dtype=dtype)
        angles = torch.outer(steps, self.theta**-exponent)
        if self.layout == "concat":
            return torch.cat([angles.sin(), angles.cos()], dim=-1).to(x.dtype)
        return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1).to(x.dtype)


class CachedTokenEmbedding(TokenEmbedding):
    """The embedding for decoding: positions go on where the held steps end."""

    def forward(self, tokens: Tensor, cache: Cache) -> Tensor:  # type: ignore[override]
        """tokens (batch, new steps) -> (batch, new steps, d_model)."""
        x = self.tokens(tokens)
        if self.scale != 1.0:
            x = x * self.scale
        if self.position is not None:
            x = x + recent(self.position(cache.whole(x)), x)
        return x if self.norm is None else self.norm(x)


class CachedSequenceEmbedding(SequenceEmbedding):
    """The embedding of vectors for decoding: positions go on where the held steps end."""

    def forward(self, x: Tensor, cache: Cache) -> Tensor:  # type: ignore[override]
        """x (batch, new steps, d_model) -> the same."""
        if self.position is not None:
            x = x + recent(self.position(cache.whole(x)), x)
        return x if self.norm is None else self.norm(x)
