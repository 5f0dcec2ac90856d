"""A linear map with an activation after it."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn


class ActivatedLinear(nn.Module):
    """A linear map of the last axis and an activation, e.g. tanh in BERT's pooler."""

    def __init__(
        self,
        in_features: int,
        out_features: int,
        activation: Callable[[Tensor], Tensor],
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.linear = nn.Linear(in_features, out_features, bias=bias)
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        """x (..., in_features) -> (..., out_features)."""
        return self.activation(self.linear(x))
