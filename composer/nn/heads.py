"""Heads: from states to what a model predicts."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn


class LmHead(nn.Module):
    """Scores of each token of the vocabulary at each step."""

    def __init__(
        self,
        d_model: int,
        vocab_size: int,
        bias: bool = False,
        fixed_bias: bool = False,
        scale: float = 1.0,
        softcap: float | None = None,
    ) -> None:
        super().__init__()
        self.head = nn.Linear(d_model, vocab_size, bias=bias)
        self.bias = nn.Buffer(torch.zeros(vocab_size)) if fixed_bias else None
        self.scale = scale
        self.softcap = softcap

    def forward(self, x: Tensor) -> Tensor:
        """x (batch, time, d_model) -> (batch, time, vocab_size)."""
        x = self.head(x)
        if self.bias is not None:
            x = x + self.bias
        if self.scale != 1.0:
            x = x * self.scale
        if self.softcap is not None:
            x = self.softcap * (x / self.softcap).tanh()
        return x


class MaskedLmHead(nn.Module):
    """Scores of each token at each step, after a linear map, an activation and a norm."""

    def __init__(
        self,
        d_model: int,
        vocab_size: int,
        width: int,
        activation: Callable[[Tensor], Tensor],
        norm: nn.Module,
        dense_bias: bool = True,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.dense = nn.Linear(d_model, width, bias=dense_bias)
        self.head = nn.Linear(width, vocab_size, bias=bias)
        self.activation = activation
        self.norm = norm

    def forward(self, x: Tensor) -> Tensor:
        """x (batch, time, d_model) -> (batch, time, vocab_size)."""
        return self.head(self.norm(self.activation(self.dense(x))))


class LinearHead(nn.Module):
    """A linear map of each step."""

    def __init__(
        self, d_model: int, out_features: int, bias: bool = True, scale: float = 1.0
    ) -> None:
        super().__init__()
        self.head = nn.Linear(d_model, out_features, bias=bias)
        self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        """x (batch, time, d_model) -> (batch, time, out_features)."""
        if self.scale != 1.0:
            return self.head(x) * self.scale
        return self.head(x)


class ClassificationHead(nn.Module):
    """Scores of each class for a whole sequence, from its pooled state."""

    def __init__(
        self,
        d_model: int,
        num_classes: int,
        pool: nn.Module,
        bias: bool = True,
        scale: float = 1.0,
    ) -> None:
        super().__init__()
        self.pool = pool
        self.scale = scale
        self.head = nn.Linear(d_model, num_classes, bias=bias)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """x (batch, time, d_model), mask (batch, time) -> (batch, num_classes)."""
        x = self.pool(x) if mask is None else self.pool(x, mask=mask)
        if self.scale != 1.0:
            return self.head(x) * self.scale
        return self.head(x)
