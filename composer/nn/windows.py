"""Attention within windows of a grid of patches, and merging of neighbouring patches."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class WindowAttention(nn.Module):
    """Self-attention within square windows of a grid, by learned biases of relative positions."""

    def __init__(
        self,
        d_model: int,
        num_heads: int,
        head_dim: int,
        rows: int,
        columns: int,
        window: int,
        more_rows: int = 0,
        more_columns: int = 0,
        shift: int = 0,
        bias: bool = True,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.head_dim = head_dim
        self.rows = rows
        self.columns = columns
        self.window = window
        self.down = -(-rows // window)  # windows in a column, the last one filled up
        self.across = -(-columns // window)
        self.more_rows = more_rows
        self.more_columns = more_columns
        self.shift = shift
        self.dropout = dropout
        self.position_bias = nn.Parameter(torch.empty((2 * window - 1) ** 2, num_heads))
        nn.init.normal_(self.position_bias, std=0.02)
        self.q = nn.Linear(d_model, num_heads * head_dim, bias=bias)
        self.k = nn.Linear(d_model, num_heads * head_dim, bias=bias)
        self.v = nn.Linear(d_model, num_heads * head_dim, bias=bias)
        self.o = nn.Linear(num_heads * head_dim, d_model, bias=bias)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """x (batch, time, d_model), mask (batch, time) -> (batch, time, d_model)."""
        batch = x.shape[0]
        x = self.cut(x)
        q = self.q(x).unflatten(-1, (-1, self.head_dim)).transpose(1, 2)  # windows heads area dim
        k = self.k(x).unflatten(-1, (-1, self.head_dim)).transpose(1, 2)
        v = self.v(x).unflatten(-1, (-1, self.head_dim)).transpose(1, 2)
        scores = self.position_bias[window_distances(self.window, x.device)].permute(2, 0, 1)
        if self.shift:
            apart = moved_apart(self.down, self.across, self.window, self.shift, x.device)
            scores = scores.masked_fill(apart[:, None], float("-inf")).repeat(batch, 1, 1, 1)
        if mask is not None:
            hidden = self.cut((~mask)[:, :, None]).transpose(1, 2)[:, None]
            scores = scores.masked_fill(hidden, torch.finfo(scores.dtype).min)
        x = F.scaled_dot_product_attention(
            q, k, v, attn_mask=scores, dropout_p=self.dropout if self.training else 0.0
        )
        return self.join(self.o(x.transpose(1, 2).flatten(2)))

    def cut(self, x: Tensor) -> Tensor:
        """x (batch, time, width) -> (batch * windows, window * window, width)."""
        x = x.unflatten(1, (self.rows, self.columns))
        if self.more_rows or self.more_columns:
            x = F.pad(x, (0, 0, 0, self.more_columns, 0, self.more_rows))
        if self.shift:
            x = x.roll((-self.shift, -self.shift), dims=(1, 2))
        x = x.unflatten(2, (-1, self.window)).unflatten(1, (-1, self.window))
        return x.transpose(2, 3).flatten(3, 4).flatten(0, 2)

    def join(self, x: Tensor) -> Tensor:
        """x (batch * windows, window * window, width) -> (batch, time, width)."""
        x = x.unflatten(1, (self.window, self.window)).unflatten(0, (-1, self.down, self.across))
        x = x.transpose(2, 3).flatten(3, 4).flatten(1, 2)
        if self.shift:
            x = x.roll((self.shift, self.shift), dims=(1, 2))
        if self.more_rows or self.more_columns:
            x = x[:, : self.rows, : self.columns]
        return x.flatten(1, 2)


def window_distances(window: int, device: torch.device) -> Tensor:
    """The number of each pair's distance in a window: (window * window, window * window)."""
    side = torch.arange(window, device=device)
    row, column = side.repeat_interleave(window), side.repeat(window)
    down = row[:, None] - row[None, :] + window - 1
    return down * (2 * window - 1) + column[:, None] - column[None, :] + window - 1


def moved_apart(down: int, across: int, window: int, shift: int, device: torch.device) -> Tensor:
    """Pairs of a window that met only as the grid was moved: (windows, area, area)."""
    row = torch.arange(down * window, device=device) >= down * window - shift
    column = torch.arange(across * window, device=device) >= across * window - shift
    region = 2 * row[:, None].int() + column[None, :].int()
    region = region.unflatten(1, (-1, window)).unflatten(0, (-1, window))
    region = region.transpose(1, 2).flatten(2, 3).flatten(0, 1)
    return region[:, :, None] != region[:, None, :]


class PatchMerge(nn.Module):
    """Each square of four patches made one: side by side, normed, and mapped."""

    def __init__(
        self,
        width: int,
        d_model: int,
        rows: int,
        columns: int,
        norm: nn.Module,
        more_rows: int = 0,
        more_columns: int = 0,
    ) -> None:
        super().__init__()
        self.rows = rows
        self.columns = columns
        self.more_rows = more_rows
        self.more_columns = more_columns
        self.linear = nn.Linear(4 * width, d_model, bias=False)
        self.norm = norm

    def forward(self, x: Tensor) -> Tensor:
        """x (batch, rows * columns, width) -> (batch, a quarter of them, d_model)."""
        x = x.unflatten(1, (self.rows, self.columns))
        if self.more_rows or self.more_columns:
            x = F.pad(x, (0, 0, 0, self.more_columns, 0, self.more_rows))
        x = x.unflatten(2, (-1, 2)).unflatten(1, (-1, 2))  # batch down row across column width
        x = x.permute(0, 1, 3, 4, 2, 5).flatten(3)  # the left two first, upper before lower
        return self.linear(self.norm(x.flatten(1, 2)))
