"""Position-wise feed-forward (Vaswani et al., 2017) and its gated form (Shazeer, 2020)."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn


class FeedForward(nn.Module):
    """Two linear maps with an activation between them."""

    def __init__(
        self,
        d_model: int,
        d_ff: int,
        activation: Callable[[Tensor], Tensor],
        bias: bool = True,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.up = nn.Linear(d_model, d_ff, bias=bias)
        self.down = nn.Linear(d_ff, d_model, bias=bias)
        self.activation = activation
        self.dropout = nn.Dropout(dropout) if dropout else None

    def forward(self, x: Tensor) -> Tensor:
        """x (batch, time, d_model) -> (batch, time, d_model)."""
        x = self.activation(self.up(x))
        if self.dropout is not None:
            x = self.dropout(x)
        return self.down(x)


class Glu(nn.Module):
    """A linear map gated by the activation of another one, then projected back."""

    def __init__(
        self,
        d_model: int,
        d_ff: int,
        activation: Callable[[Tensor], Tensor],
        bias: bool = True,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.gate = nn.Linear(d_model, d_ff, bias=bias)
        self.up = nn.Linear(d_model, d_ff, bias=bias)
        self.down = nn.Linear(d_ff, d_model, bias=bias)
        self.activation = activation
        self.dropout = nn.Dropout(dropout) if dropout else None

    def forward(self, x: Tensor) -> Tensor:
        """x (batch, time, d_model) -> (batch, time, d_model)."""
        x = self.activation(self.gate(x)) * self.up(x)
        if self.dropout is not None:
            x = self.dropout(x)
        return self.down(x)
