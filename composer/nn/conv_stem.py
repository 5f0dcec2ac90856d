"""Convolutions over time that shorten a sequence, and the norm that stands in them."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class ConvStem(nn.Module):
    """Convolutions one after the other."""

    def __init__(self, *layers: nn.Module, steps: tuple[tuple[int, int, int], ...] = ()) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.steps = steps  # kernel size, stride and padding of each

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """x (batch, time, width), mask (batch, time) -> (batch, fewer steps, channels)."""
        if mask is not None:
            for layer, step in zip(self.layers, self.steps, strict=True):
                x = layer(x, mask=mask)
                mask = strided_mask(mask, step)
            return x
        for layer in self.layers:
            x = layer(x)
        return x


class Convolution(nn.Module):
    """A convolution over time and what follows it."""

    def __init__(
        self,
        width: int,
        channels: int,
        kernel_size: int,
        stride: int = 1,
        padding: int = 0,
        bias: bool = True,
        norm: nn.Module | None = None,
        over_time: bool = False,
        activation: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv1d(
            width, channels, kernel_size, stride=stride, padding=padding, bias=bias
        )
        self.kernel_size = kernel_size
        self.stride = stride
        self.padding = padding
        self.norm = norm
        self.over_time = over_time
        self.activation = activation

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """x (batch, time, width), mask (batch, time) -> (batch, steps, channels)."""
        if mask is not None:
            x = x.masked_fill(~mask[:, :, None], 0.0)
        x = self.conv(x.transpose(1, 2)).transpose(1, 2)
        if self.norm is not None:
            if self.over_time and mask is not None:
                step = (self.kernel_size, self.stride, self.padding)
                x = self.norm(x, mask=strided_mask(mask, step))
            else:
                x = self.norm(x)
        if self.activation is not None:
            x = self.activation(x)
        return x


class GroupNorm(nn.Module):
    """Norm of groups of channels over all steps, padded ones left out (Wu and He, 2018)."""

    def __init__(self, num_groups: int, width: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))
        self.num_groups = num_groups
        self.eps = eps

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """x (batch, time, width), mask (batch, time) -> (batch, time, width)."""
        if mask is None:
            x = F.group_norm(x.transpose(1, 2), self.num_groups, self.weight, self.bias, self.eps)
            return x.transpose(1, 2)
        groups = x.unflatten(2, (self.num_groups, -1))
        real = mask[:, :, None, None].to(x.dtype)
        count = (real.sum(dim=1, keepdim=True) * groups.shape[3]).clamp(min=1)
        centered = groups - (groups * real).sum(dim=(1, 3), keepdim=True) / count
        variance = (centered.square() * real).sum(dim=(1, 3), keepdim=True) / count
        return (centered / (variance + self.eps).sqrt()).flatten(2) * self.weight + self.bias


def strided_mask(mask: Tensor | None, *steps: tuple[int, int, int]) -> Tensor | None:
    """mask (batch, time) of what comes in -> that of what convolutions make of it.

    `steps` are kernel size, stride and padding of each. Padding stands after the real steps.
    """
    if mask is None:
        return None
    real, time = mask.sum(dim=1), mask.shape[1]
    for kernel_size, stride, padding in steps:
        real = (real + 2 * padding - kernel_size) // stride + 1
        time = (time + 2 * padding - kernel_size) // stride + 1
    return torch.arange(time, device=mask.device) < real[:, None]
