"""The convolution module of a layer (Gulati et al., 2020, Conformer)."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class ConvolutionModule(nn.Module):
    """Pointwise, gated, depthwise, normed, pointwise."""

    def __init__(
        self, d_model: int, kernel_size: int, bias: bool = True, causal: bool = False
    ) -> None:
        super().__init__()
        self.expand = nn.Linear(d_model, 2 * d_model, bias=bias)
        self.depthwise = nn.Conv1d(d_model, d_model, kernel_size, groups=d_model, bias=bias)
        self.norm = nn.LayerNorm(d_model)
        self.contract = nn.Linear(d_model, d_model, bias=bias)
        self.before = kernel_size - 1 if causal else kernel_size // 2
        self.after = 0 if causal else kernel_size // 2

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """x (batch, time, d_model), mask (batch, time) -> (batch, time, d_model)."""
        x = F.glu(self.expand(x), dim=-1)
        if mask is not None:
            x = x.masked_fill(~mask[:, :, None], 0.0)
        x = F.pad(x.transpose(1, 2), (self.before, self.after))
        x = self.depthwise(x).transpose(1, 2)
        return self.contract(F.silu(self.norm(x)))
