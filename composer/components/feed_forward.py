"""Feed-forward networks, plain and gated, and the activations they may use."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field
from typing_extensions import Self

from composer.shapes import Axes, Size

from .component import Component, Label, LinearMap, Name, Role, Tensors
from .costs import Kept, Operand, Product, Working
from .options import Positive, Probability
from .splits import Split, Style

Activation = Literal[
    "gelu", "gelu_tanh", "quick_gelu", "relu", "relu_squared", "silu", "tanh", "sigmoid", "elu"
]
ACTIVATIONS: dict[str, str] = {
    "gelu": "F.gelu",
    "gelu_tanh": "gelu_tanh",
    "quick_gelu": "quick_gelu",
    "relu": "F.relu",
    "relu_squared": "relu_squared",
    "silu": "F.silu",
    "tanh": "torch.tanh",
    "sigmoid": "torch.sigmoid",
    "elu": "F.elu",
}
KEPT = {"relu": 1, "tanh": 1, "sigmoid": 1, "quick_gelu": 3}
"""Tensors that an activation keeps, its result included; 2 for all others."""

WORKING = {"relu": 2, "tanh": 2, "sigmoid": 2, "quick_gelu": 2, "relu_squared": 3}
"""Tensors that come and go in the backward pass of an activation beside those kept; 1 for others."""


def kept_by(activation: str | None) -> tuple[int, bool]:
    """Tensors that an activation keeps beside its result, and whether it keeps that."""
    if activation is None:
        return 0, False
    tensors = KEPT.get(activation, 2)
    return tensors - 1, tensors == 1


TITLES = {"gelu": "GELU", "gelu_tanh": "GELU (tanh)", "relu": "ReLU", "silu": "SiLU", "elu": "ELU"}


class _FeedForward(Component):
    """What plain and gated feed-forward share."""

    role: ClassVar[Role] = "feed_forward"
    slots: ClassVar[tuple[str, ...]] = ("feed_forward", "layer", "module")

    d_ff: Positive | None = Field(
        default=None, description="Width between the linear maps. Default: 4 * d_model."
    )
    multiple_of: Positive = Field(
        default=1, description="d_ff is rounded up to a multiple of this."
    )
    bias: bool = Field(default=True, description="Whether the linear maps have a bias.")
    dropout: Probability = Field(default=0.0, description="Dropout after the activation.")

    def complete(self, place: Mapping[str, Any]) -> Self:
        made = super().complete(place)
        width = 4 * place["d_model"] if made.d_ff is None else made.d_ff
        if isinstance(width, int):
            width = -(-width // made.multiple_of) * made.multiple_of
            made = made.model_copy(update={"d_ff": width})
        return made

    def _arguments(self, axes: Axes, activation: str) -> dict[str, Any]:
        return {
            "d_model": axes.d_model,
            "d_ff": axes.d_ff,
            "activation": Name(ACTIVATIONS[activation]),
            "bias": self.bias,
            "dropout": self.dropout,
        }

    def linears(self, axes: Axes) -> dict[str, LinearMap]:
        rows = axes.batch * axes.time
        widening = [name for name in ("gate", "up") if f"{name}.weight" in self.tensors(axes)]
        return {
            **{name: LinearMap("ffn_in", rows) for name in widening},
            "down": LinearMap("ffn_out", rows),
        }

    def split(self, axes: Axes) -> Split:
        by_role: dict[str, Style] = {"ffn_in": "columns", "ffn_out": "rows"}
        styles = {name: by_role[one.role] for name, one in self.linears(axes).items()}
        return Split(styles, {"d_ff": axes.d_ff})

    def _linears(self, axes: Axes, *widening: str) -> Tensors:
        tensors: Tensors = {}
        for name in widening:
            tensors[f"{name}.weight"] = (axes.d_ff, axes.d_model)
            if self.bias:
                tensors[f"{name}.bias"] = (axes.d_ff,)
        tensors["down.weight"] = (axes.d_model, axes.d_ff)
        if self.bias:
            tensors["down.bias"] = (axes.d_model,)
        return tensors

    def _products(self, axes: Axes, *widening: str) -> tuple[Product, ...]:
        flops: Size = 2 * axes.batch * axes.time * axes.d_model * axes.d_ff
        wide = tuple(Product(flops, ("x",), (f"{name}.weight",)) for name in widening)
        return (*wide, Product(flops, ("x", *widening), ("down.weight",)))


class FeedForward(_FeedForward):
    """Position-wise feed-forward: linear, activation, linear (Vaswani et al., 2017)."""

    kind: Literal["feed_forward"] = "feed_forward"
    examples: ClassVar[tuple[Mapping[str, Any], ...]] = (
        {},
        {"d_ff": 48, "activation": "relu", "bias": False},
        {"d_ff": 40, "activation": "gelu_tanh", "dropout": 0.1},
        {"activation": "quick_gelu"},
        {"activation": "relu_squared", "d_ff": 50, "multiple_of": 16},
    )

    activation: Activation = Field(default="gelu", description="Between the two linear maps.")

    def tensors(self, axes: Axes) -> Tensors:
        return self._linears(axes, "up")

    def arguments(self, axes: Axes) -> dict[str, Any]:
        return self._arguments(axes, self.activation)

    def products(self, axes: Axes) -> tuple[Product, ...]:
        return self._products(axes, "up")

    def kept(self, axes: Axes, *, masked: bool = False, weights: bool = False) -> Kept:
        tensors, inner = KEPT.get(self.activation, 2), axes.batch * axes.time * axes.d_ff
        read = inner if self.dropout or tensors > 1 else 0  # else the activation keeps it, too
        if self.dropout:  # what is dropped, and the result instead of the one before
            tensors = max(tensors + 1, 3)
        operands = (Operand(("up.weight",), ("x",)), Operand(("down.weight",), (), read))
        return Kept(("x",), tensors * inner, operands=operands)

    def working(self, axes: Axes, *, masked: bool = False, weights: bool = False) -> Working:
        inner = axes.batch * axes.time * axes.d_ff
        tensors = WORKING.get(self.activation, 1)
        most = max(tensors - bool(self.dropout), 1) * inner
        result = axes.batch * axes.time * axes.d_model
        held = (3 if self.activation in {"quick_gelu", "relu_squared"} else 2) * inner
        return Working(0, 0, max(most, result), max(held - result, inner))

    def label(self, axes: Axes) -> Label:
        title = TITLES.get(self.activation, self.activation)
        return Label("Feed-Forward", f"{axes.d_model} → {axes.d_ff} → {axes.d_model}, {title}")


class Glu(_FeedForward):
    """Gated feed-forward: down(activation(gate(x)) * up(x)) (Shazeer, 2020, arXiv:2002.05202)."""

    kind: Literal["glu"] = "glu"
    examples: ClassVar[tuple[Mapping[str, Any], ...]] = (
        {},
        {"d_ff": 48, "activation": "gelu", "bias": False},
        {"d_ff": 40, "dropout": 0.1},
    )

    activation: Activation = Field(default="silu", description="Of the gate; silu is SwiGLU.")

    def tensors(self, axes: Axes) -> Tensors:
        return self._linears(axes, "gate", "up")

    def arguments(self, axes: Axes) -> dict[str, Any]:
        return self._arguments(axes, self.activation)

    def products(self, axes: Axes) -> tuple[Product, ...]:
        return self._products(axes, "gate", "up")

    def kept(self, axes: Axes, *, masked: bool = False, weights: bool = False) -> Kept:
        tensors = KEPT.get(self.activation, 2) + 2 + bool(self.dropout)
        inner = axes.batch * axes.time * axes.d_ff
        wide = Operand(("gate.weight", "up.weight"), ("x",))
        operands = (wide, Operand(("down.weight",), (), inner))
        return Kept(("x",), tensors * inner, operands=operands)

    def working(self, axes: Axes, *, masked: bool = False, weights: bool = False) -> Working:
        inner = axes.batch * axes.time * axes.d_ff
        most = (1 if self.dropout else 2) * inner
        result = axes.batch * axes.time * axes.d_model
        return Working(0, 0, max(most, result), max(3 * inner - result, inner))

    def label(self, axes: Axes) -> Label:
        names = {"silu": "SwiGLU", "gelu": "GEGLU", "gelu_tanh": "GEGLU", "relu": "ReGLU"}
        title = names.get(self.activation, f"{self.activation} GLU")
        return Label("Feed-Forward", f"{axes.d_model} → {axes.d_ff} → {axes.d_model}, {title}")
