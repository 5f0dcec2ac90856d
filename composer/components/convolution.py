"""The convolution module of a layer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field
from typing_extensions import Self

from composer.shapes import Axes, Size

from .component import Component, Label, LinearMap, Mask, OptionError, Role, Tensors
from .costs import Cache, Kept, Product
from .options import Positive


class Conv(Component):
    """Pointwise, gated, depthwise, normed, pointwise (Gulati et al., 2020, arXiv:2005.08100).

    A layer norm stands where the paper has a batch norm, so that examples stay independent.
    """

    kind: Literal["conv"] = "conv"
    role: ClassVar[Role] = "convolution"
    slots: ClassVar[tuple[str, ...]] = ("layer", "module")
    module: ClassVar[str] = "ConvolutionModule"
    cached: ClassVar[str] = "CachedConvolutionModule"
    mixes_time: ClassVar[bool] = True
    examples: ClassVar[tuple[Mapping[str, Any], ...]] = (
        {"kernel_size": 3},
        {"kernel_size": 4, "causal": True, "bias": False},
    )

    kernel_size: Positive = Field(description="Steps that one step is made from.")
    bias: bool = Field(default=True, description="Whether the convolutions have a bias.")
    causal: bool | None = Field(
        default=None, description="Whether only earlier steps count. Default: true in decoders."
    )

    def complete(self, place: Mapping[str, Any]) -> Self:
        made = super().complete(place)
        if not made.causal and made.kernel_size % 2 == 0:
            raise OptionError(
                "kernel_size",
                f"an even kernel_size ({made.kernel_size}) has no middle, so lengths would change",
                f"kernel_size: {made.kernel_size + 1}",
            )
        return made.model_copy(update={"causal": bool(made.causal)})

    def tensors(self, axes: Axes) -> Tensors:
        width = axes.d_model
        shapes = {
            "expand": (2 * width, width),
            "depthwise": (width, 1, self.kernel_size),
            "norm": (width,),
            "contract": (width, width),
        }
        tensors: Tensors = {}
        for name, shape in shapes.items():
            tensors[f"{name}.weight"] = shape
            if self.bias or name == "norm":
                tensors[f"{name}.bias"] = shape[:1]
        return tensors

    def linears(self, axes: Axes) -> dict[str, LinearMap]:
        rows = axes.batch * axes.time
        return {name: LinearMap("project", rows) for name in ("expand", "contract")}

    def arguments(self, axes: Axes) -> dict[str, Any]:
        return {
            "d_model": axes.d_model,
            "kernel_size": self.kernel_size,
            "bias": self.bias,
            "causal": self.causal,
        }

    def masks(self, axes: Axes) -> dict[str, Mask]:
        return {"mask": Mask(over="padding")}

    def products(self, axes: Axes) -> tuple[Product, ...]:
        width = axes.d_model
        linear: Size = 2 * axes.batch * axes.time * width**2
        depthwise: Size = 2 * axes.batch * axes.time * width * self.kernel_size
        before = ("x", "expand", "depthwise")
        return (
            Product(2 * linear, ("x",), ("expand.weight",)),
            # torch counts the gradient of a depthwise kernel as that of a full one.
            Product(depthwise, before[:2], ("depthwise.weight",), width * depthwise),
            Product(linear, (*before, "norm"), ("contract.weight",)),
        )

    def cache(self, axes: Axes) -> Cache:
        before = self.kernel_size - 1
        return Cache(fixed=axes.batch * before * axes.d_model) if self.causal else Cache()

    def kept(self, axes: Axes, *, masked: bool = False, weights: bool = False) -> Kept:
        rows, padded = axes.batch * axes.time, axes.batch * (axes.time + self.kernel_size - 1)
        others = rows if masked else 0
        return Kept(("x",), rows * (2 + 5 * axes.d_model) + padded * axes.d_model, others)

    def label(self, axes: Axes) -> Label:
        kind = "causal, " if self.causal else ""
        return Label("Convolution", f"{kind}kernel {self.kernel_size}, {axes.d_model} groups")
