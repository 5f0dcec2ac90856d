"""Pooling of a sequence."""

from __future__ import annotations

from torch import Tensor, nn


class Pool(nn.Module):
    """One vector for a sequence, padded steps left out."""

    def __init__(self, by: str) -> None:
        super().__init__()
        self.by = by

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """x (batch, time, d_model), mask (batch, time) -> (batch, d_model)."""
        if self.by == "first":
            return x[:, 0]
        if self.by == "last":
            if mask is None:
                return x[:, -1]
            last = mask.shape[1] - 1 - mask.int().flip(1).argmax(dim=1)
            return x.gather(1, last[:, None, None].expand(-1, 1, x.shape[2])).squeeze(1)
        if self.by == "max":
            if mask is not None:
                x = x.masked_fill(~mask[:, :, None], float("-inf"))
            return x.amax(dim=1)
        if mask is None:
            return x.mean(dim=1)
        weights = mask[:, :, None].to(x.dtype)
        return (x * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1)
