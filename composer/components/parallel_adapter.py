"""Bottleneck adapters beside a branch, the rest of the model being frozen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field

from composer.shapes import Axes

from .component import Component, Label, Name, Role, Tensors
from .costs import Kept, Product, Working
from .feed_forward import ACTIVATIONS, Activation
from .options import Positive, PositiveNumber


class ParallelAdapter(Component):
    """A narrow map beside a branch: scale * up(activation(down(x))) (He et al., 2022, arXiv:2110.04366).

    It reads what the attention or the feed-forward reads, and is added to what that computes.
    """

    kind: Literal["parallel_adapter"] = "parallel_adapter"
    role: ClassVar[Role] = "projection"
    slots: ClassVar[tuple[str, ...]] = ("branch_adapter",)
    held: ClassVar[str] = "beside"
    signature: ClassVar[str] = "x[rows in_features], y[rows out_features] -> [rows out_features]"
    example_inputs = {"x": (6, 20), "y": (6, 20)}
    examples: ClassVar[tuple[Mapping[str, Any], ...]] = (
        {"bottleneck": 4},
        {"bottleneck": 2, "activation": "gelu", "scale": 4.0},
    )

    bottleneck: Positive = Field(description="Number of channels between the two linear maps.")
    activation: Activation = Field(default="relu", description="Between the two linear maps.")
    scale: PositiveNumber = Field(default=1.0, description="Factor of what is added.")

    @property
    def holder(self) -> str:
        """The class of what a component holds: several of them, of which some are active."""
        return "ParallelAdapters"

    def tensors(self, axes: Axes) -> Tensors:
        return {
            "down.weight": (axes.bottleneck, axes.in_features),
            "down.bias": (axes.bottleneck,),
            "up.weight": (axes.out_features, axes.bottleneck),
            "up.bias": (axes.out_features,),
        }

    def arguments(self, axes: Axes) -> dict[str, Any]:
        return {
            "d_model": axes.out_features,
            "bottleneck": self.bottleneck,
            "activation": Name(ACTIVATIONS[self.activation]),
            "scale": self.scale,
        }

    def products(self, axes: Axes) -> tuple[Product, ...]:
        each = 2 * axes.rows * axes.bottleneck * axes.out_features
        return (
            Product(each, ("x",), ("down.weight",)),
            Product(each, ("x", "down"), ("up.weight",)),
        )

    def kept(self, axes: Axes, *, masked: bool = False, weights: bool = False) -> Kept:
        return Kept(("x",), axes.rows * 2 * axes.bottleneck)

    def working(self, axes: Axes, *, masked: bool = False, weights: bool = False) -> Working:
        """Beside what the branch makes: what it adds, scaled, and the sum."""
        made, low = axes.rows * axes.out_features, axes.rows * axes.bottleneck
        return Working(0, 0, made + 2 * low, 2 * made + 2 * low)

    def label(self, axes: Axes) -> Label:
        return Label("parallel adapter", f"{self.bottleneck}")
