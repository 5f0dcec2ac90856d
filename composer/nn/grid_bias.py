"""Relative positions on a grid of patches as a learned bias of the scores."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class GridBias(nn.Module):
    """A learned bias for each distance on a grid and each head; a class token has three more."""

    def __init__(self, rows: int, columns: int, num_heads: int) -> None:
        super().__init__()
        self.rows = rows
        self.columns = columns
        self.weight = nn.Parameter(torch.empty((2 * rows - 1) * (2 * columns - 1) + 3, num_heads))
        nn.init.normal_(self.weight, std=0.02)

    def forward(self, x: Tensor) -> Tensor:
        """x (batch, 1 + rows * columns, d_model) -> (heads, time, time), added to the scores."""
        return self.weight[self.distances(x.device)].permute(2, 0, 1)

    def distances(self, device: torch.device) -> Tensor:
        """The number of each pair's distance: (time, time)."""
        row = torch.arange(self.rows, device=device).repeat_interleave(self.columns)
        column = torch.arange(self.columns, device=device).repeat(self.rows)
        down = row[:, None] - row[None, :] + self.rows - 1
        right = column[:, None] - column[None, :] + self.columns - 1
        number = down * (2 * self.columns - 1) + right
        count = len(self.weight)
        number = F.pad(number, (0, 0, 1, 0), value=count - 3)  # from the class token
        number = F.pad(number, (1, 0, 0, 0), value=count - 2)  # to it
        itself = torch.zeros_like(number, dtype=torch.bool)
        itself[0, 0] = True
        return number.masked_fill(itself, count - 1)
