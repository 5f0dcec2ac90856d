"""Norms over the last axis, the width of each step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field
from typing_extensions import Self

from composer.shapes import Axes, Shape, ShapeError, Size

from .component import Component, Inputs, Label, Role, Tensors
from .costs import Kept, Operand, Working
from .options import Number, Positive, PositiveNumber


class _WidthNorm(Component):
    """A norm over the last axis, however many there are before it."""

    role: ClassVar[Role] = "norm"

    def infer(
        self, inputs: Inputs, place: Mapping[str, Any]
    ) -> tuple[Self, Axes, dict[str, Shape]]:
        """Any number of axes before the width, which must be known."""
        shape: Shape = inputs["x"]  # type: ignore[assignment]  # one port
        if len(shape) < 2 or not isinstance(shape[-1], int):  # noqa: PLR2004 - batch and width
            raise ShapeError("x", "a known width after other axes", shape)
        rows: Size = 1
        for size in shape[:-1]:
            rows = rows * size
        return self, Axes({"d_model": shape[-1], "rows": rows}), {"": shape}


class LayerNorm(_WidthNorm):
    """Layer normalisation (Ba et al., 2016, arXiv:1607.06450)."""

    kind: Literal["layernorm"] = "layernorm"
    slots: ClassVar[tuple[str, ...]] = ("norm", "qk_norm", "conv_norm", "module")
    module: ClassVar[str] = "nn.LayerNorm"
    examples: ClassVar[tuple[Mapping[str, Any], ...]] = (
        {},
        {"eps": 1e-6, "bias": False},
        {"affine": False},
        {"weight_offset": 1.0},
    )

    eps: PositiveNumber = Field(default=1e-5, description="Added to the variance.")
    bias: bool = Field(default=True, description="Whether a learned offset is added.")
    affine: bool = Field(
        default=True, description="Whether there is a learned weight; without one, no bias either."
    )
    weight_offset: Number = Field(
        default=0.0, description="Added to the weight, which then starts lower by as much."
    )

    @property
    def half(self) -> str:
        """Torch's own class, but where the weight has an offset."""
        return "OffsetLayerNorm" if self.affine and self.weight_offset else "nn.LayerNorm"

    def tensors(self, axes: Axes) -> Tensors:
        names = ("weight", "bias") if self.bias else ("weight",)
        return dict.fromkeys(names, (axes.d_model,)) if self.affine else {}

    def arguments(self, axes: Axes) -> dict[str, Any]:
        if self.half == "OffsetLayerNorm":
            given = {"width": axes.d_model, "offset": self.weight_offset}
            return {**given, "eps": self.eps, "bias": self.bias}
        affine = {} if self.affine else {"elementwise_affine": False}
        return {
            "normalized_shape": axes.d_model,
            "eps": self.eps,
            **affine,
            "bias": self.bias or not self.affine,
        }

    def kept(self, axes: Axes, *, masked: bool = False, weights: bool = False) -> Kept:
        weight = axes.d_model if self.half == "OffsetLayerNorm" else 0
        return Kept(("x",), 2 * axes.rows + weight)

    def working(self, axes: Axes, *, masked: bool = False, weights: bool = False) -> Working:
        """With blocks of the gradients of weight and bias, in each thread; one is counted."""
        return Working(results=0, numbers=2 * axes.d_model)

    def label(self, axes: Axes) -> Label:
        return Label("LayerNorm")


class RmsNorm(_WidthNorm):
    """Root mean square normalisation (Zhang and Sennrich, 2019, arXiv:1910.07467)."""

    kind: Literal["rmsnorm"] = "rmsnorm"
    slots: ClassVar[tuple[str, ...]] = ("norm", "qk_norm", "module")
    module: ClassVar[str] = "nn.RMSNorm"
    examples: ClassVar[tuple[Mapping[str, Any], ...]] = (
        {},
        {"eps": 1e-5},
        {"affine": False},
        {"weight_offset": 1.0},
    )

    eps: PositiveNumber = Field(default=1e-6, description="Added to the mean square.")
    affine: bool = Field(default=True, description="Whether there is a learned weight.")
    weight_offset: Number = Field(
        default=0.0,
        description="Added to the weight, which then starts lower by as much; 1 in Gemma.",
    )

    @property
    def half(self) -> str:
        """Torch's own class, but where the weight has an offset."""
        return "OffsetRmsNorm" if self.affine and self.weight_offset else "nn.RMSNorm"

    def tensors(self, axes: Axes) -> Tensors:
        return {"weight": (axes.d_model,)} if self.affine else {}

    def arguments(self, axes: Axes) -> dict[str, Any]:
        if self.half == "OffsetRmsNorm":
            return {"width": axes.d_model, "offset": self.weight_offset, "eps": self.eps}
        affine = {} if self.affine else {"elementwise_affine": False}
        return {"normalized_shape": axes.d_model, "eps": self.eps, **affine}

    def kept(self, axes: Axes, *, masked: bool = False, weights: bool = False) -> Kept:
        """The scaled states, too, where a weight follows."""
        scaled = axes.rows * axes.d_model if self.affine else 0
        weight = axes.d_model if self.half == "OffsetRmsNorm" else 0
        operands = (Operand(("weight",), (), scaled),)
        return Kept(("x",), axes.rows + scaled + weight, operands=operands)

    def working(self, axes: Axes, *, masked: bool = False, weights: bool = False) -> Working:
        """Torch makes it of several operations, each with a gradient of its own."""
        return Working(4 if self.affine else 5, 0)

    def label(self, axes: Axes) -> Label:
        return Label("RMSNorm")


class HeadNorm(Component):
    """Layer or RMS normalisation of each head with a weight of its own for every head.

    As in Cohere's Command R and StableLM 2; it stands in the `qk_norm` of an attention.
    """

    kind: Literal["head_norm"] = "head_norm"
    role: ClassVar[Role] = "norm"
    slots: ClassVar[tuple[str, ...]] = ("qk_norm",)
    signature: ClassVar[str] = "x[batch heads time head_dim] -> [batch heads time head_dim]"
    module: ClassVar[str] = "HeadNorm"
    examples: ClassVar[tuple[Mapping[str, Any], ...]] = ({}, {"by": "rms", "eps": 1e-6})
    example_inputs = {"x": (2, 4, 6, 8)}

    by: Literal["layer", "rms"] = Field(
        default="layer", description="Whether the mean is taken away before scaling."
    )
    eps: PositiveNumber = Field(default=1e-5, description="Added to the variance.")
    heads: Positive | None = Field(
        default=None, description="Number of heads. Default: that of what is normed."
    )

    def tensors(self, axes: Axes) -> Tensors:
        return {"weight": (axes.heads, axes.head_dim)}

    def arguments(self, axes: Axes) -> dict[str, Any]:
        given = {"num_heads": axes.heads, "head_dim": axes.head_dim, "eps": self.eps}
        return {**given, "center": self.by == "layer"}

    def kept(self, axes: Axes, *, masked: bool = False, weights: bool = False) -> Kept:
        rows = axes.batch * axes.heads * axes.time
        return Kept(("x",), rows * (axes.head_dim + (2 if self.by == "layer" else 1)))

    def working(self, axes: Axes, *, masked: bool = False, weights: bool = False) -> Working:
        return Working(2 if self.by == "layer" else 4, 0)

    def label(self, axes: Axes) -> Label:
        return Label("LayerNorm" if self.by == "layer" else "RMSNorm", "a weight a head")
