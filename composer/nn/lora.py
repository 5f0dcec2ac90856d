"""Linear maps with updates of low rank (Hu et al., 2021) and of direction (Liu et al., 2024)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class LoraLinear(nn.Module):
    """A linear map under its own names, and updates of low rank; those in `active` take part."""

    def __init__(self, linear: nn.Linear, **updates: nn.Module) -> None:
        super().__init__()
        self.weight = linear.weight
        self.bias = linear.bias
        self.active = tuple(updates)
        for name, update in updates.items():
            self.add_module(name, update)

    def forward(self, x: Tensor) -> Tensor:
        """x (..., in_features) -> (..., out_features)."""
        result = F.linear(x, self.weight, self.bias)
        for name in self.active:
            result = result + getattr(self, name)(x)
        return result


class Lora(nn.Module):
    """scale * b a x, of which b starts as zeros (Hu et al., 2021)."""

    def __init__(
        self,
        in_features: int,
        out_features: int,
        rank: int,
        scale: float = 1.0,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.a = nn.Parameter(torch.empty(rank, in_features))
        self.b = nn.Parameter(torch.zeros(out_features, rank))
        self.scale = scale
        self.dropout = nn.Dropout(dropout) if dropout else None
        nn.init.kaiming_uniform_(self.a, a=5**0.5)

    def forward(self, x: Tensor) -> Tensor:
        """x (..., in_features) -> what is added, (..., out_features)."""
        if self.dropout is not None:
            x = self.dropout(x)
        x = F.linear(F.linear(x, self.a), self.b)
        if self.scale != 1.0:
            x = x * self.scale
        return x


class DoraLinear(nn.Module):
    """A linear map under its own names, and new lengths and directions of its rows.

    Updates in `active` take part.
    """

    def __init__(self, linear: nn.Linear, **updates: Dora) -> None:
        super().__init__()
        self.weight = linear.weight
        self.bias = linear.bias
        self.active = tuple(updates)
        for name, update in updates.items():
            self.add_module(name, update)
            with torch.no_grad():
                update.magnitude.copy_(linear.weight.norm(dim=1))

    def forward(self, x: Tensor) -> Tensor:
        """x (..., in_features) -> (..., out_features)."""
        result = F.linear(x, self.weight, self.bias)
        for name in self.active:
            result = result + getattr(self, name)(x, self.weight)
        return result


class Dora(nn.Module):
    """What makes a map magnitude * w / |w| of w = weight + scale * b a (Liu et al., 2024).

    |w| are the lengths of the rows, through which no gradient goes.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        rank: int,
        scale: float = 1.0,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.a = nn.Parameter(torch.empty(rank, in_features))
        self.b = nn.Parameter(torch.zeros(out_features, rank))
        self.magnitude = nn.Parameter(torch.ones(out_features))
        self.scale = scale
        self.dropout = nn.Dropout(dropout) if dropout else None
        nn.init.kaiming_uniform_(self.a, a=5**0.5)

    def forward(self, x: Tensor, weight: Tensor) -> Tensor:
        """x (..., in_features), the map's weight -> what is added, (..., out_features)."""
        if self.dropout is not None:
            x = self.dropout(x)
        update = self.b @ self.a
        if self.scale != 1.0:
            update = update * self.scale
        changed = weight + update
        ratio = self.magnitude / changed.detach().norm(dim=1)
        return F.linear(x, ratio[:, None] * changed - weight)
