"""Selective state spaces."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field
from typing_extensions import Self

from composer.shapes import Axes, Size

from .component import Component, Label, LinearMap, Role, Scale, Tensors
from .costs import Cache, Kept, Product, Working
from .options import Positive


class Mamba(Component):
    """A selective state space (Gu and Dao, 2023, arXiv:2312.00752): it chooses what to keep."""

    kind: Literal["mamba"] = "mamba"
    role: ClassVar[Role] = "attention"
    slots: ClassVar[tuple[str, ...]] = ("attention", "layer", "module")
    cached: ClassVar[str] = "CachedMamba"
    mixes_time: ClassVar[bool] = True
    loops: ClassVar[Mapping[str, str]] = {"selective_scan": "stepped_scan"}
    causal: ClassVar[bool] = True
    scales: ClassVar[Mapping[str, Scale]] = {"d_inner": "inner", "dt_rank": "inner"}
    examples: ClassVar[tuple[Mapping[str, Any], ...]] = (
        {},
        {
            "d_inner": 24,
            "state_size": 4,
            "kernel_size": 3,
            "dt_rank": 5,
            "bias": True,
            "conv_bias": False,
        },
    )

    d_inner: Positive | None = Field(
        default=None, description="Number of channels. Default: 2 * d_model."
    )
    state_size: Positive = Field(default=16, description="Width of each channel's state.")
    kernel_size: Positive = Field(default=4, description="Steps of the convolution before it.")
    dt_rank: Positive | None = Field(
        default=None,
        description="Width that step sizes are made of. Default: d_model / 16, rounded up.",
    )
    bias: bool = Field(default=False, description="Whether the maps in and out have a bias.")
    conv_bias: bool = Field(default=True, description="Whether the convolution has a bias.")

    def complete(self, place: Mapping[str, Any]) -> Self:
        made = super().complete(place)
        width = place["d_model"]
        inner = 2 * width if made.d_inner is None else made.d_inner
        rank = -(-width // 16) if made.dt_rank is None else made.dt_rank
        return made.model_copy(update={"d_inner": inner, "dt_rank": rank})

    def tensors(self, axes: Axes) -> Tensors:
        inner, state, rank = axes.d_inner, axes.state_size, axes.dt_rank
        tensors: Tensors = {
            "A_log": (inner, state),
            "D": (inner,),
            "in_proj.weight": (2 * inner, axes.d_model),
        }
        if self.bias:
            tensors["in_proj.bias"] = (2 * inner,)
        tensors["conv.weight"] = (inner, 1, axes.kernel_size)
        if self.conv_bias:
            tensors["conv.bias"] = (inner,)
        tensors["x_proj.weight"] = (rank + 2 * state, inner)
        tensors |= {"dt_proj.weight": (inner, rank), "dt_proj.bias": (inner,)}
        tensors["out_proj.weight"] = (axes.d_model, inner)
        return {**tensors, "out_proj.bias": (axes.d_model,)} if self.bias else tensors

    def linears(self, axes: Axes) -> dict[str, LinearMap]:
        names = ("in_proj", "x_proj", "dt_proj", "out_proj")
        return {name: LinearMap("project", axes.batch * axes.time) for name in names}

    def arguments(self, axes: Axes) -> dict[str, Any]:
        names = ("d_inner", "state_size", "kernel_size", "dt_rank", "bias", "conv_bias")
        return {"d_model": axes.d_model, **{name: getattr(self, name) for name in names}}

    def products(self, axes: Axes) -> tuple[Product, ...]:
        inner, state, rank = axes.d_inner, axes.state_size, axes.dt_rank
        twice: Size = 2 * axes.batch * axes.time
        conv: Size = twice * inner * axes.kernel_size
        before = ("x", "in_proj", "conv")
        scanned = (*before, "x_proj", "dt_proj", "A_log", "D")
        return (
            Product(twice * axes.d_model * 2 * inner, ("x",), ("in_proj.weight",)),
            # torch counts the gradient of a depthwise kernel as that of a full one.
            Product(conv, before[:2], ("conv.weight",), inner * conv),
            Product(twice * inner * (rank + 2 * state), before, ("x_proj.weight",)),
            Product(twice * rank * inner, (*before, "x_proj"), ("dt_proj.weight",)),
            Product(twice * inner * axes.d_model, scanned, ("out_proj.weight",)),
        )

    def cache(self, axes: Axes) -> Cache:
        before = axes.kernel_size - 1
        return Cache(fixed=axes.batch * axes.d_inner * (axes.state_size + before))

    def kept(self, axes: Axes, *, masked: bool = False, weights: bool = False) -> Kept:
        """The recurrence keeps decays and states of each of its log2(time) turns."""
        rows, inner, state = axes.batch * axes.time, axes.d_inner, axes.state_size
        padded = axes.batch * (axes.time + axes.kernel_size - 1) * inner
        turns = max(axes.time - 1, 0).bit_length()
        linear = rows * (11 * inner + axes.dt_rank + 2 * state) + 2 * inner * state
        return Kept(("x",), linear + padded + (2 * turns + 1) * rows * inner * state)

    def working(self, axes: Axes, *, masked: bool = False, weights: bool = False) -> Working:
        rows, inner, state = axes.batch * axes.time, axes.d_inner, axes.state_size
        return Working(0, 0, rows * inner * (2 * state + 3))

    def label(self, axes: Axes) -> Label:
        return Label("Selective State Space", f"{axes.d_inner} channels × {axes.state_size}")
