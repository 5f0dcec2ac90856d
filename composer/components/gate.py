"""Gates of a branch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field

from composer.shapes import Axes

from .component import Component, Label, Role, Tensors
from .costs import Kept
from .options import PositiveNumber


class Tanh(Component):
    """The tanh of one learned number, zero at first, so that a new branch changes nothing.

    As in Flamingo (Alayrac et al., 2022, arXiv:2204.14198).
    """

    kind: Literal["tanh"] = "tanh"
    role: ClassVar[Role] = "gate"
    slots: ClassVar[tuple[str, ...]] = ("gate",)
    module: ClassVar[str] = "TanhGate"
    examples: ClassVar[tuple[Mapping[str, Any], ...]] = ({},)

    def tensors(self, axes: Axes) -> Tensors:
        return {"weight": (1,)}

    def kept(self, axes: Axes, *, masked: bool = False, weights: bool = False) -> Kept:
        return Kept(("x",), 1)

    def label(self, axes: Axes) -> Label:
        return Label("tanh gate")


class LayerScale(Component):
    """A learned factor for each number of a step (Touvron et al., 2021, arXiv:2103.17239)."""

    kind: Literal["layer_scale"] = "layer_scale"
    role: ClassVar[Role] = "gate"
    slots: ClassVar[tuple[str, ...]] = ("gate",)
    module: ClassVar[str] = "LayerScale"
    examples: ClassVar[tuple[Mapping[str, Any], ...]] = ({}, {"start": 1e-4})

    start: PositiveNumber = Field(default=1.0, description="The factors before training.")

    def tensors(self, axes: Axes) -> Tensors:
        return {"weight": (axes.d_model,)}

    def arguments(self, axes: Axes) -> dict[str, Any]:
        return {"d_model": axes.d_model, "start": self.start}

    def kept(self, axes: Axes, *, masked: bool = False, weights: bool = False) -> Kept:
        return Kept(("x",))

    def label(self, axes: Axes) -> Label:
        return Label("layer scale")
