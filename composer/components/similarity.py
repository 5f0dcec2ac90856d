"""How alike two sets of vectors are: unit length, and products of all with all."""

from __future__ import annotations

from collections.abc import Mapping
from math import log
from typing import Any, ClassVar, Literal

from pydantic import Field
from typing_extensions import Self

from composer.shapes import Axes, Shape

from .component import Component, Inputs, Label, Role, Tensors
from .costs import Kept, Product
from .options import Number, PositiveNumber


class L2Norm(Component):
    """Vectors of the last axis divided by their Euclidean length."""

    kind: Literal["l2norm"] = "l2norm"
    role: ClassVar[Role] = "norm"
    examples: ClassVar[tuple[Mapping[str, Any], ...]] = ({},)
    needs: ClassVar[tuple[str, ...]] = ("import torch.nn.functional as F",)

    def infer(
        self, inputs: Inputs, place: Mapping[str, Any]
    ) -> tuple[Self, Axes, dict[str, Shape]]:
        """Any number of axes before the last."""
        shape: Shape = inputs["x"]  # type: ignore[assignment]  # one port
        return self, Axes({"d_model": shape[-1]}), {"": shape}

    def expression(self, inputs: Mapping[str, Any], axes: Axes) -> str | None:
        return f"F.normalize({inputs['x']}, dim=-1)"

    def label(self, axes: Axes) -> Label:
        return Label("L2 Norm")


class Similarity(Component):
    """The product of each vector with each of the `others`, times a learned factor.

    Of vectors of length one it is the cosine, as in CLIP (Radford et al., 2021, arXiv:2103.00020);
    with a bias as in SigLIP (Zhai et al., 2023, arXiv:2303.15343).
    """

    kind: Literal["similarity"] = "similarity"
    role: ClassVar[Role] = "head"
    signature: ClassVar[str] = "x[batch d_model], others[others d_model] -> [batch others]"
    examples: ClassVar[tuple[Mapping[str, Any], ...]] = (
        {},
        {"start": 10.0, "bias": True, "bias_start": -10.0},
    )
    example_inputs = {"x": (3, 32), "others": (5, 32)}

    start: PositiveNumber = Field(
        default=1 / 0.07, description="The factor before training; its logarithm is learned."
    )
    bias: bool = Field(default=False, description="Whether a learned number is added.")
    bias_start: Number = Field(default=0.0, description="That number before training.")

    def tensors(self, axes: Axes) -> Tensors:
        tensors: Tensors = {"log_scale": (1,)}
        return {**tensors, "bias": (1,)} if self.bias else tensors

    def arguments(self, axes: Axes) -> dict[str, Any]:
        return {
            "log_start": log(self.start),
            "has_bias": self.bias,
            "bias_start": self.bias_start,
        }

    def products(self, axes: Axes) -> tuple[Product, ...]:
        return (Product(2 * axes.batch * axes.others * axes.d_model, ("x",), ("others",)),)

    def kept(self, axes: Axes, *, masked: bool = False, weights: bool = False) -> Kept:
        return Kept(("x", "others"), 1 + axes.batch * axes.others)

    def label(self, axes: Axes) -> Label:
        return Label("Similarity", "scaled products" + (", biased" if self.bias else ""))
