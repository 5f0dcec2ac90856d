"""Bottleneck adapters, the rest of the model being frozen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field

from composer.shapes import Axes

from .component import Component, Label, Name, Role, Tensors
from .costs import Kept, Product, Working
from .feed_forward import ACTIVATIONS, Activation
from .options import Positive


class BottleneckAdapter(Component):
    """A narrow map after a branch: x + up(activation(down(x))) (Houlsby et al., 2019, arXiv:1902.00751).

    It stands after the last linear map of an attention or a feed-forward, inside the residual.
    """

    kind: Literal["adapter"] = "adapter"
    role: ClassVar[Role] = "projection"
    slots: ClassVar[tuple[str, ...]] = ("result_adapter",)
    module: ClassVar[str] = "BottleneckAdapter"
    signature: ClassVar[str] = "x[rows in_features], y[rows out_features] -> [rows out_features]"
    example_inputs = {"x": (6, 12), "y": (6, 20)}
    examples: ClassVar[tuple[Mapping[str, Any], ...]] = (
        {"bottleneck": 4},
        {"bottleneck": 1, "activation": "tanh"},
    )

    bottleneck: Positive = Field(description="Number of channels between the two linear maps.")
    activation: Activation = Field(default="gelu", description="Between the two linear maps.")

    @property
    def holder(self) -> str:
        """The class of a linear map that such adapters follow."""
        return "AdapterLinear"

    def tensors(self, axes: Axes) -> Tensors:
        return {
            "down.weight": (axes.bottleneck, axes.out_features),
            "down.bias": (axes.bottleneck,),
            "up.weight": (axes.out_features, axes.bottleneck),
            "up.bias": (axes.out_features,),
        }

    def arguments(self, axes: Axes) -> dict[str, Any]:
        activation = Name(ACTIVATIONS[self.activation])
        return {
            "d_model": axes.out_features,
            "bottleneck": self.bottleneck,
            "activation": activation,
        }

    def products(self, axes: Axes) -> tuple[Product, ...]:
        each = 2 * axes.rows * axes.bottleneck * axes.out_features
        return (
            Product(each, ("y",), ("down.weight",)),
            Product(each, ("y", "down"), ("up.weight",)),
        )

    def kept(self, axes: Axes, *, masked: bool = False, weights: bool = False) -> Kept:
        return Kept(("y",), axes.rows * (axes.out_features + 2 * axes.bottleneck))

    def working(self, axes: Axes, *, masked: bool = False, weights: bool = False) -> Working:
        made, low = axes.rows * axes.out_features, axes.rows * axes.bottleneck
        return Working(0, 0, made + 2 * low, 2 * made + 2 * low)

    def label(self, axes: Axes) -> Label:
        return Label("adapter", f"{self.bottleneck}")
