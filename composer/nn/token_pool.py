"""The state at one token of a text."""

from __future__ import annotations

from torch import Tensor, nn


class TokenPool(nn.Module):
    """The state where a token first stands; the first one where it stands nowhere."""

    def __init__(self, token: int) -> None:
        super().__init__()
        self.token = token

    def forward(self, x: Tensor, tokens: Tensor) -> Tensor:
        """x (batch, time, d_model), tokens (batch, time) -> (batch, d_model)."""
        at = (tokens == self.token).int().argmax(dim=1)
        return x.gather(1, at[:, None, None].expand(-1, 1, x.shape[2])).squeeze(1)
