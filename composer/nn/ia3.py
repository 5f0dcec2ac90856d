"""Linear maps with learned factors (Liu et al., 2022)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class RescaledLinear(nn.Module):
    """A linear map under its own names, and factors of its results; `active` ones take part."""

    def __init__(self, linear: nn.Linear, **factors: nn.Module) -> None:
        super().__init__()
        self.weight = linear.weight
        self.bias = linear.bias
        self.active = tuple(factors)
        for name, factor in factors.items():
            self.add_module(name, factor)

    def forward(self, x: Tensor) -> Tensor:
        """x (..., in_features) -> (..., out_features)."""
        x = F.linear(x, self.weight, self.bias)
        for name in self.active:
            x = getattr(self, name)(x)
        return x


class RescaledInputLinear(nn.Module):
    """A linear map under its own names, and factors of what it reads; `active` ones take part."""

    def __init__(self, linear: nn.Linear, **factors: nn.Module) -> None:
        super().__init__()
        self.weight = linear.weight
        self.bias = linear.bias
        self.active = tuple(factors)
        for name, factor in factors.items():
            self.add_module(name, factor)

    def forward(self, x: Tensor) -> Tensor:
        """x (..., in_features) -> (..., out_features)."""
        for name in self.active:
            x = getattr(self, name)(x)
        return F.linear(x, self.weight, self.bias)


class Ia3(nn.Module):
    """x times a learned factor for each feature, which starts as one."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(features))

    def forward(self, x: Tensor) -> Tensor:
        """x (..., features) -> the same."""
        return x * self.scale
