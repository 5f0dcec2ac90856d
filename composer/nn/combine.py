"""Ways to make one sequence of several."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Concat(nn.Module):
    """One after the other, then a linear map."""

    def __init__(self, width: int, d_model: int, dim: int = -1) -> None:
        super().__init__()
        self.dim = dim
        self.linear = nn.Linear(width, d_model)

    def forward(self, *xs: Tensor) -> Tensor:
        """xs (batch, time, width of each) -> (batch, time, d_model)."""
        return self.linear(torch.cat(xs, dim=self.dim))


class Gated(nn.Module):
    """A learned gate for each number: softmax over the inputs of a linear map of all of them."""

    def __init__(self, d_model: int, count: int) -> None:
        super().__init__()
        self.count = count
        self.gate = nn.Linear(count * d_model, count * d_model)

    def forward(self, *xs: Tensor) -> Tensor:
        """xs (batch, time, d_model) -> (batch, time, d_model)."""
        gates = self.gate(torch.cat(xs, dim=-1)).unflatten(-1, (self.count, -1)).softmax(dim=-2)
        return (gates * torch.stack(xs, dim=-2)).sum(dim=-2)


class Weighted(nn.Module):
    """A learned weight for each input, softmax over them."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(count))

    def forward(self, *xs: Tensor) -> Tensor:
        """xs (batch, time, d_model) -> (batch, time, d_model)."""
        return torch.stack(xs, dim=-1) @ self.weight.softmax(dim=0)


class Hierarchical(nn.Module):
    """Attention over the inputs, asked by `query`."""

    def __init__(self, d_model: int) -> None:
        super().__init__()
        self.q = nn.Linear(d_model, d_model)
        self.k = nn.Linear(d_model, d_model)
        self.v = nn.Linear(d_model, d_model)

    def forward(self, query: Tensor, *xs: Tensor) -> Tensor:
        """query and xs (batch, time, d_model) -> (batch, time, d_model)."""
        sources = torch.stack(xs, dim=-2)  # batch time count d_model
        q = self.q(query).unsqueeze(-1)
        scores = self.k(sources) @ q * query.shape[-1] ** -0.5
        return (scores.softmax(dim=-2) * self.v(sources)).sum(dim=-2)
