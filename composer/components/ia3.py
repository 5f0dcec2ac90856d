"""Learned factors of the results, or of the inputs, of linear maps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar, Literal

from pydantic import Field
from typing_extensions import Self

from composer.shapes import Axes

from .component import Component, Label, Role, Tensors
from .costs import Kept, Product, Working


class Ia3(Component):
    """Keys, values and inner activations times learned factors (Liu et al., 2022, arXiv:2205.05638).

    The factors start as ones. Those of the last map of a feed-forward are of what it reads.
    """

    kind: Literal["ia3"] = "ia3"
    role: ClassVar[Role] = "projection"
    slots: ClassVar[tuple[str, ...]] = ("linear_adapter",)
    signature: ClassVar[str] = "x[rows in_features], y[rows out_features] -> [rows out_features]"
    example_inputs = {"x": (6, 12), "y": (6, 20)}
    examples: ClassVar[tuple[Mapping[str, Any], ...]] = ({}, {"of": "input"})

    of: Literal["result", "input"] | None = Field(
        default=None,
        description="What is rescaled: what the map makes, or what it reads. Default: input for "
        "the last map of a feed-forward, result for all others.",
    )

    @property
    def holder(self) -> str:
        """The class of a linear map with such factors."""
        return "RescaledInputLinear" if self.of == "input" else "RescaledLinear"

    def complete(self, place: Mapping[str, Any]) -> Self:
        usual = "input" if place.get("linear_role") == "ffn_out" else "result"
        return self.model_copy(update={"of": self.of or usual})

    def tensors(self, axes: Axes) -> Tensors:
        return {"scale": (self._width(axes),)}

    def _width(self, axes: Axes) -> int:
        width: int = axes.in_features if self.of == "input" else axes.out_features
        return width

    def arguments(self, axes: Axes) -> dict[str, Any]:
        return {"features": self._width(axes)}

    def adapted(
        self, found: tuple[Product, ...], axes: Axes, path: str, linear: str
    ) -> tuple[Product, ...]:
        """A map whose input is rescaled leads back to the factors."""
        if self.of != "input":
            return found
        weight = f"{linear}.weight".lstrip(".")
        return tuple(
            replace(p, left=(*p.left, f"{path}.scale")) if weight in p.right else p for p in found
        )

    def kept(self, axes: Axes, *, masked: bool = False, weights: bool = False) -> Kept:
        return Kept(("x" if self.of == "input" else "y",), axes.rows * self._width(axes))

    def working(self, axes: Axes, *, masked: bool = False, weights: bool = False) -> Working:
        """What is rescaled, anew."""
        made = axes.rows * self._width(axes)
        return Working(0, 0, made, made)

    def label(self, axes: Axes) -> Label:
        return Label("IA3")
