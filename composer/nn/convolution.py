"""The convolution module of a layer (Gulati et al., 2020, Conformer)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .cache import Cache


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


class CachedConvolutionModule(ConvolutionModule):
    """The causal convolution module for decoding: it keeps the last inputs of its convolution."""

    def forward(  # type: ignore[override]  # another form of the same, with a cache
        self, x: Tensor, cache: Cache, mask: Tensor | None = None
    ) -> Tensor:
        """x (batch, new steps, d_model), mask (batch, all steps) -> (batch, new steps, d_model)."""
        x = F.glu(self.expand(x), dim=-1)
        if mask is not None:
            x = x.masked_fill(~mask[:, -x.shape[1] :, None], 0.0)
        x, before = x.transpose(1, 2), cache.held("inputs")
        x = F.pad(x, (self.before, 0)) if before is None else torch.cat([before, x], dim=-1)
        cache.keep("inputs", x[..., x.shape[-1] - self.before :].clone())
        x = self.depthwise(x).transpose(1, 2)
        return self.contract(F.silu(self.norm(x)))
