"""Norms over the width of each step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field

from composer.shapes import Axes

from .component import Component, Label, Role, Tensors
from .options import PositiveNumber


class LayerNorm(Component):
    """Layer normalisation (Ba et al., 2016, arXiv:1607.06450)."""

    kind: Literal["layernorm"] = "layernorm"
    role: ClassVar[Role] = "norm"
    slots: ClassVar[tuple[str, ...]] = ("norm", "module")
    module: ClassVar[str] = "nn.LayerNorm"
    examples: ClassVar[tuple[Mapping[str, Any], ...]] = ({}, {"eps": 1e-6, "bias": False})

    eps: PositiveNumber = Field(default=1e-5, description="Added to the variance.")
    bias: bool = Field(default=True, description="Whether a learned offset is added.")

    def tensors(self, axes: Axes) -> Tensors:
        names = ("weight", "bias") if self.bias else ("weight",)
        return dict.fromkeys(names, (axes.d_model,))

    def arguments(self, axes: Axes) -> dict[str, Any]:
        return {"normalized_shape": axes.d_model, "eps": self.eps, "bias": self.bias}

    def label(self, axes: Axes) -> Label:
        return Label("LayerNorm")


class RmsNorm(Component):
    """Root mean square normalisation (Zhang and Sennrich, 2019, arXiv:1910.07467)."""

    kind: Literal["rmsnorm"] = "rmsnorm"
    role: ClassVar[Role] = "norm"
    slots: ClassVar[tuple[str, ...]] = ("norm", "module")
    module: ClassVar[str] = "nn.RMSNorm"
    examples: ClassVar[tuple[Mapping[str, Any], ...]] = ({}, {"eps": 1e-5})

    eps: PositiveNumber = Field(default=1e-6, description="Added to the mean square.")

    def tensors(self, axes: Axes) -> Tensors:
        return {"weight": (axes.d_model,)}

    def arguments(self, axes: Axes) -> dict[str, Any]:
        return {"normalized_shape": axes.d_model, "eps": self.eps}

    def label(self, axes: Axes) -> Label:
        return Label("RMSNorm")
