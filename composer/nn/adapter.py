"""Bottleneck adapters after linear maps (Houlsby et al., 2019)."""

from __future__ import annotations

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor, nn


class AdapterLinear(nn.Module):
    """A linear map under its own names, and adapters that follow it, of which some are active."""

    def __init__(self, linear: nn.Linear, **adapters: nn.Module) -> None:
        super().__init__()
        self.weight = linear.weight
        self.bias = linear.bias
        self.active = tuple(adapters)
        for name, adapter in adapters.items():
            self.add_module(name, adapter)

    def forward(self, x: Tensor) -> Tensor:
        """x (..., in_features) -> (..., out_features)."""
        x = F.linear(x, self.weight, self.bias)
        for name in self.active:
            x = getattr(self, name)(x)
        return x


class BottleneckAdapter(nn.Module):
    """x + up(activation(down(x))), through few channels; up starts as zeros."""

    def __init__(
        self, d_model: int, bottleneck: int, activation: Callable[[Tensor], Tensor]
    ) -> None:
        super().__init__()
        self.down = nn.Linear(d_model, bottleneck)
        self.up = nn.Linear(bottleneck, d_model)
        self.activation = activation
        nn.init.normal_(self.down.weight, std=0.02)
        nn.init.zeros_(self.down.bias)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def forward(self, x: Tensor) -> Tensor:
        """x (..., d_model) -> the same."""
        return x + self.up(self.activation(self.down(x)))
