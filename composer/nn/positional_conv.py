"""Positions from a wide convolution over a sequence (Baevski et al., 2020, wav2vec 2.0)."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class PositionalConv(nn.Module):
    """A wide grouped convolution with weight norm (Salimans and Kingma, 2016)."""

    def __init__(
        self,
        d_model: int,
        kernel_size: int,
        groups: int,
        activation: Callable[[Tensor], Tensor],
    ) -> None:
        super().__init__()
        self.g = nn.Parameter(torch.empty(1, 1, kernel_size))
        self.v = nn.Parameter(torch.empty(d_model, d_model // groups, kernel_size))
        self.bias = nn.Parameter(torch.zeros(d_model))
        self.kernel_size = kernel_size
        self.groups = groups
        self.activation = activation
        nn.init.normal_(self.v, std=2 / (kernel_size * d_model) ** 0.5)
        with torch.no_grad():
            self.g.copy_(self.v.norm(dim=(0, 1), keepdim=True))

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """x (batch, time, d_model), mask (batch, time) -> (batch, time, d_model)."""
        if mask is not None:
            x = x.masked_fill(~mask[:, :, None], 0.0)
        time = x.shape[1]
        weight = self.v * (self.g / self.v.norm(dim=(0, 1), keepdim=True))
        half = self.kernel_size // 2
        x = F.conv1d(x.transpose(1, 2), weight, self.bias, padding=half, groups=self.groups)
        return self.activation(x[:, :, :time].transpose(1, 2))
