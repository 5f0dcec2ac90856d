"""A component of one's own: linear attention (Katharopoulos et al., 2020, arXiv:2006.16236).

Both halves stand in this one file. The first says what people may write and what is true of it, the
second computes it. Checks, shapes, counts, diagram and emitted source follow from the first.

    composer check examples/linear_attention.yaml --plugin examples/linear_attention.py
"""

# A switch is a plain argument here, as in torch's own modules.
# ruff: noqa: FBT002
from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from composer import Axes, Component, Label, Mask, OptionError, Positive, Size, Tensors
from composer.components.component import Role


class LinearAttentionComponent(Component):
    """Attention whose cost grows with the length, not with its square."""

    kind: Literal["linear_attention"] = "linear_attention"
    role: ClassVar[Role] = "attention"
    slots: ClassVar[tuple[str, ...]] = ("attention", "layer", "module")
    signature: ClassVar[str] = "x[batch time d_model] -> [batch time d_model]"
    module: ClassVar[str] = "LinearAttention"
    mixes_time: ClassVar[bool] = True
    examples: ClassVar[tuple[Mapping[str, Any], ...]] = (
        {"num_heads": 4},
        {"num_heads": 2, "causal": True},
    )

    num_heads: Positive = Field(description="Number of heads.")
    causal: bool | None = Field(
        default=None, description="Whether a step sees only earlier ones. Default: in decoders."
    )

    def complete(self, place: Mapping[str, Any]) -> LinearAttentionComponent:
        """Options left out are taken from the place; what cannot hold there is refused."""
        made = super().complete(place)
        width = place["d_model"]
        if isinstance(width, int) and width % made.num_heads:
            message = f"d_model {width} is not a multiple of num_heads {made.num_heads}"
            raise OptionError("num_heads", message)
        return made.model_copy(update={"causal": bool(made.causal)})

    def tensors(self, axes: Axes) -> Tensors:
        """Four square projections without bias."""
        return {f"{name}.weight": (axes.d_model, axes.d_model) for name in ("q", "k", "v", "o")}

    def arguments(self, axes: Axes) -> dict[str, Any]:
        """What the second half is constructed with."""
        return {"d_model": axes.d_model, "num_heads": self.num_heads, "causal": self.causal}

    def masks(self, axes: Axes) -> dict[str, Mask]:
        """It takes the padding as it is: true for real steps."""
        del axes
        return {"mask": Mask(over="padding")}

    def flops(self, axes: Axes) -> Size:
        """Four projections and, as torch counts them, the products of keys, values and queries."""
        steps = axes.batch * axes.time * axes.d_model
        products = 2 if self.causal else 4
        return 8 * steps * axes.d_model + products * steps * (axes.d_model // self.num_heads)

    def label(self, axes: Axes) -> Label:
        """What its box in a diagram says."""
        heads = f"{self.num_heads} heads × {axes.d_model // self.num_heads}"
        return Label("Linear Attention", f"{heads}, causal" if self.causal else heads)


class LinearAttention(nn.Module):
    """Attention with elu(x) + 1 in place of the softmax: keys and values are summed once."""

    def __init__(self, d_model: int, num_heads: int, causal: bool = False) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.causal = causal
        self.q = nn.Linear(d_model, d_model, bias=False)
        self.k = nn.Linear(d_model, d_model, bias=False)
        self.v = nn.Linear(d_model, d_model, bias=False)
        self.o = nn.Linear(d_model, d_model, bias=False)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """x (batch, time, d_model), mask (batch, time) -> (batch, time, d_model)."""
        q = F.elu(self.q(x).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)) + 1
        k = F.elu(self.k(x).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)) + 1
        v = self.v(x).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)  # batch heads time dim
        if mask is not None:
            k = k * mask[:, None, :, None]
        if self.causal:
            state = (k[..., :, None] * v[..., None, :]).cumsum(dim=2)
            x = (q[..., None, :] @ state).squeeze(-2)
            total = (q * k.cumsum(dim=2)).sum(dim=-1, keepdim=True)
        else:
            x = q @ (k.transpose(-2, -1) @ v)
            total = (q * k.sum(dim=2, keepdim=True)).sum(dim=-1, keepdim=True)
        return self.o((x / total.clamp(min=1e-6)).transpose(1, 2).flatten(2))
