"""Bottleneck adapters beside a branch (He et al., 2022)."""

from __future__ import annotations

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor, nn


class ParallelAdapters(nn.Module):
    """Adapters beside one component, of which those in `active` take part."""

    def __init__(self, **adapters: nn.Module) -> None:
        super().__init__()
        self.active = tuple(adapters)
        for name, adapter in adapters.items():
            self.add_module(name, adapter)

    def forward(self, x: Tensor) -> Tensor:
        """x (..., d_model) -> what is added: the same shape, or one zero where none is active."""
        result = x.new_zeros(())
        for name in self.active:
            result = result + getattr(self, name)(x)
        return result


class ParallelAdapter(nn.Module):
    """scale * up(activation(down(x))), through few channels; up starts as zeros."""

    def __init__(
        self,
        d_model: int,
        bottleneck: int,
        activation: Callable[[Tensor], Tensor] = F.relu,
        scale: float = 1.0,
    ) -> None:
        super().__init__()
        self.down = nn.Linear(d_model, bottleneck)
        self.up = nn.Linear(bottleneck, d_model)
        self.activation = activation
        self.scale = scale
        nn.init.normal_(self.down.weight, std=0.02)
        nn.init.zeros_(self.down.bias)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def forward(self, x: Tensor) -> Tensor:
        """x (..., d_model) -> the same."""
        x = self.up(self.activation(self.down(x)))
        if self.scale != 1.0:
            x = x * self.scale
        return x
