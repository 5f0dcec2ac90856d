"""Updates of low rank for linear maps, the rest of the model being frozen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field

from composer.shapes import Axes

from .component import Component, Label, Role, Tensors
from .costs import Kept, Product, Working
from .options import Positive, PositiveNumber, Probability


class Lora(Component):
    """W x + (alpha / rank) B A x, with A of few rows (Hu et al., 2021, arXiv:2106.09685)."""

    kind: Literal["lora"] = "lora"
    role: ClassVar[Role] = "projection"
    slots: ClassVar[tuple[str, ...]] = ("linear_adapter",)
    signature: ClassVar[str] = "x[rows in_features], y[rows out_features] -> [rows out_features]"
    example_inputs = {"x": (6, 12), "y": (6, 20)}
    examples: ClassVar[tuple[Mapping[str, Any], ...]] = (
        {"rank": 4},
        {"rank": 2, "alpha": 5, "scaling": "rslora", "dropout": 0.1},
        {"rank": 3, "alpha": 6, "dora": True},
        {"rank": 3, "dora": True, "dropout": 0.1},
    )

    rank: Positive = Field(description="Rows of A and columns of B.")
    alpha: PositiveNumber | None = Field(
        default=None, description="The update's factor times the rank. Default: the rank."
    )
    dropout: Probability = Field(default=0.0, description="Dropout on what A reads.")
    scaling: Literal["lora", "rslora"] = Field(
        default="lora",
        description="The factor is alpha / rank, or alpha / rank^0.5, which suits large ranks "
        "(Kalajdzievski, 2023, arXiv:2312.03732).",
    )
    dora: bool = Field(
        default=False,
        description="Whether the lengths of the rows are learned apart from their directions "
        "(Liu et al., 2024, arXiv:2402.09353).",
    )

    @property
    def half(self) -> str:
        """Two classes: with lengths of their own, rows are made anew from the weight."""
        return "Dora" if self.dora else "Lora"

    @property
    def holder(self) -> str:
        """The class of a linear map with such updates."""
        return f"{self.half}Linear"

    @property
    def scale(self) -> float:
        """The factor of B A."""
        alpha = self.rank if self.alpha is None else self.alpha
        return alpha / (self.rank if self.scaling == "lora" else self.rank**0.5)

    def tensors(self, axes: Axes) -> Tensors:
        low: Tensors = {
            "a": (axes.rank, axes.in_features),
            "b": (axes.out_features, axes.rank),
        }
        return {**low, "magnitude": (axes.out_features,)} if self.dora else low

    def arguments(self, axes: Axes) -> dict[str, Any]:
        sizes = {"in_features": axes.in_features, "out_features": axes.out_features}
        return {**sizes, "rank": self.rank, "scale": self.scale, "dropout": self.dropout}

    def products(self, axes: Axes) -> tuple[Product, ...]:
        wide = 2 * axes.in_features * axes.out_features
        if self.dora:
            weight = ("a", "b", "magnitude")
            return (
                Product(wide * axes.rank, ("b",), ("a",)),
                Product(wide * axes.rows, ("x",), weight),
            )
        low = 2 * axes.rows * axes.rank
        return (
            Product(low * axes.in_features, ("x",), ("a",)),
            Product(low * axes.out_features, ("x", "a"), ("b",)),
        )

    def kept(self, axes: Axes, *, masked: bool = False, weights: bool = False) -> Kept:
        """What A makes, or with lengths of rows the changed weights; what dropout leaves."""
        left = 2 * axes.rows * axes.in_features if self.dropout else 0
        ports = () if self.dropout else ("x",)
        if self.dora:
            return Kept(ports, 3 * axes.in_features * axes.out_features + left)
        return Kept(ports, axes.rows * axes.rank + left)

    def working(self, axes: Axes, *, masked: bool = False, weights: bool = False) -> Working:
        """Of the map with its update: what it adds, and the gradient of what it reads."""
        read, made = axes.rows * axes.in_features, axes.rows * axes.out_features
        changed = 3 * axes.in_features * axes.out_features if self.dora else 0
        low = axes.rows * axes.rank
        return Working(0, 0, read + made + low + changed, 2 * made + low + changed)

    def label(self, axes: Axes) -> Label:
        words = ["rs" if self.scaling == "rslora" else "", "DoRA" if self.dora else "LoRA"]
        return Label("".join(words), f"r={self.rank}")
