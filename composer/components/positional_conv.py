"""Positions from a wide convolution over a sequence."""

from __future__ import annotations

from collections.abc import Mapping
from math import gcd
from typing import Any, ClassVar, Literal

from pydantic import Field
from typing_extensions import Self

from composer.shapes import Axes, Size

from .component import Component, Label, Mask, Name, OptionError, Role, Tensors
from .costs import Kept, Product, Working
from .feed_forward import ACTIVATIONS, Activation, kept_by
from .options import Positive


class PositionalConv(Component):
    """What is around each step, by a wide grouped convolution with weight norm.

    As in wav2vec 2.0 (Baevski et al., 2020, arXiv:2006.11477), where it is added to the sequence.
    The weight is a direction `v` with a length `g` for each place of the kernel (Salimans and
    Kingma, 2016). Padded steps count as zeros.
    """

    kind: Literal["positional_conv"] = "positional_conv"
    role: ClassVar[Role] = "position"
    mixes_time: ClassVar[bool] = True
    examples: ClassVar[tuple[Mapping[str, Any], ...]] = (
        {"kernel_size": 4, "groups": 4},
        {"kernel_size": 5, "activation": "tanh"},
    )

    kernel_size: Positive = Field(description="Steps that one step is made from, around it.")
    groups: Positive = Field(default=1, description="Groups of channels that do not mix.")
    activation: Activation = Field(default="gelu", description="What follows.")

    def complete(self, place: Mapping[str, Any]) -> Self:
        width = place["d_model"]
        if isinstance(width, int) and width % self.groups:
            raise OptionError(
                "groups",
                f"{width} channels do not divide into {self.groups} groups",
                f"groups: {gcd(width, self.groups)}",
            )
        return super().complete(place)

    def tensors(self, axes: Axes) -> Tensors:
        inner = axes.d_model // self.groups
        return {
            "g": (1, 1, self.kernel_size),
            "v": (axes.d_model, inner, self.kernel_size),
            "bias": (axes.d_model,),
        }

    def arguments(self, axes: Axes) -> dict[str, Any]:
        return {
            "d_model": axes.d_model,
            "kernel_size": self.kernel_size,
            "groups": self.groups,
            "activation": Name(ACTIVATIONS[self.activation]),
        }

    def masks(self, axes: Axes) -> dict[str, Mask]:
        return {"mask": Mask(over="padding")}

    def _steps(self, axes: Axes) -> Size:
        """Steps that the convolution makes: with an even kernel one too many, which is dropped."""
        return axes.time + 1 - self.kernel_size % 2

    def products(self, axes: Axes) -> tuple[Product, ...]:
        inner = axes.d_model // self.groups
        flops: Size = 2 * axes.batch * self._steps(axes) * axes.d_model * inner * self.kernel_size
        # torch counts the gradient of a grouped kernel as that of a full one.
        return (Product(flops, ("x",), ("v", "g"), self.groups * flops),)

    def kept(self, axes: Axes, *, masked: bool = False, weights: bool = False) -> Kept:
        inside, result = kept_by(self.activation)
        weight = self.kernel_size * (2 + axes.d_model * (axes.d_model // self.groups))
        numbers = weight + inside * axes.batch * self._steps(axes) * axes.d_model
        if not masked:
            return Kept(("x",), numbers, result=result)
        steps = axes.batch * axes.time
        return Kept((), numbers + steps * axes.d_model, steps, result)

    def working(self, axes: Axes, *, masked: bool = False, weights: bool = False) -> Working:
        return Working(5, 1)

    def label(self, axes: Axes) -> Label:
        return Label("Positional", f"convolution, kernel {self.kernel_size}, {self.groups} groups")
