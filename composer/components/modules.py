"""Modules that stand on their own in a graph: projection, pooling, patches, latents."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field
from typing_extensions import Self

from composer.shapes import Axes, Shape, Size

from .component import Component, Inputs, Label, LinearMap, Mask, Name, OptionError, Role, Tensors
from .costs import Kept, Operand, Working
from .feed_forward import ACTIVATIONS, TITLES, Activation, kept_by
from .options import Positive


class Project(Component):
    """A linear map of the last axis, with an activation after it if asked."""

    kind: Literal["project"] = "project"
    role: ClassVar[Role] = "projection"
    signature: ClassVar[str] = "x[batch time width] -> [batch time d_model]"
    module: ClassVar[str] = "nn.Linear"
    examples: ClassVar[tuple[Mapping[str, Any], ...]] = (
        {"d_model": 16},
        {"d_model": 8, "bias": False},
        {"d_model": 16, "activation": "tanh"},
    )

    d_model: Positive = Field(description="Width after the map.")
    bias: bool = Field(default=True, description="Whether a learned offset is added.")
    activation: Activation | None = Field(
        default=None, description="After the map, e.g. tanh in BERT's pooler. Default: none."
    )

    @property
    def half(self) -> str:
        """Torch's own class, but where an activation follows."""
        return "nn.Linear" if self.activation is None else "ActivatedLinear"

    def infer(
        self, inputs: Inputs, place: Mapping[str, Any]
    ) -> tuple[Self, Axes, dict[str, Shape]]:
        """Any number of axes before the last."""
        shape: Shape = inputs["x"]  # type: ignore[assignment]  # one port
        rows: Size = 1
        for size in shape[:-1]:
            rows = rows * size
        axes = Axes({"width": shape[-1], "d_model": self.d_model, "rows": rows})
        return self, axes, {"": (*shape[:-1], self.d_model)}

    def tensors(self, axes: Axes) -> Tensors:
        inside = "" if self.activation is None else "linear."
        tensors: Tensors = {f"{inside}weight": (axes.d_model, axes.width)}
        return {**tensors, f"{inside}bias": (axes.d_model,)} if self.bias else tensors

    def linears(self, axes: Axes) -> dict[str, LinearMap]:
        inside = "" if self.activation is None else "linear"
        return {inside: LinearMap("project", axes.rows)}

    def arguments(self, axes: Axes) -> dict[str, Any]:
        given = {"in_features": axes.width, "out_features": axes.d_model, "bias": self.bias}
        if self.activation is None:
            return given
        return {**given, "activation": Name(ACTIVATIONS[self.activation])}

    def flops(self, axes: Axes) -> Size:
        return 2 * axes.rows * axes.width * axes.d_model

    def kept(self, axes: Axes, *, masked: bool = False, weights: bool = False) -> Kept:
        inside, result = kept_by(self.activation)
        name = next(iter(self.tensors(axes)))
        operands = (Operand((name,), ("x",)),)
        return Kept(("x",), inside * axes.rows * axes.d_model, result=result, operands=operands)

    def working(self, axes: Axes, *, masked: bool = False, weights: bool = False) -> Working:
        return Working(results=int(self.activation is not None))

    def label(self, axes: Axes) -> Label:
        title = TITLES.get(str(self.activation), self.activation)
        return Label(
            "Linear" if title is None else f"Linear, {title}", f"{axes.width} → {axes.d_model}"
        )


class Pool(Component):
    """One vector for a sequence, padded steps left out."""

    kind: Literal["pool"] = "pool"
    role: ClassVar[Role] = "head"
    slots: ClassVar[tuple[str, ...]] = ("module", "pool")
    signature: ClassVar[str] = "x[batch time d_model] -> [batch d_model]"
    mixes_time: ClassVar[bool] = True
    ends_mask: ClassVar[bool] = True
    examples: ClassVar[tuple[Mapping[str, Any], ...]] = (
        {},
        {"by": "max"},
        {"by": "first"},
        {"by": "last"},
    )

    by: Literal["mean", "max", "first", "last"] = Field(
        default="mean", description="The mean, the maximum, or one step."
    )

    def arguments(self, axes: Axes) -> dict[str, Any]:
        return {"by": self.by}

    def masks(self, axes: Axes) -> dict[str, Mask]:
        return {} if self.by == "first" else {"mask": Mask(over="padding")}

    def kept(self, axes: Axes, *, masked: bool = False, weights: bool = False) -> Kept:
        """A single step keeps the whole that it is a part of."""
        steps = axes.batch * axes.time
        ports = () if self.by == "mean" else ("x",)
        if not masked or self.by == "first":
            return Kept(ports, result=self.by == "max")
        if self.by == "mean":
            return Kept((), steps + axes.batch)
        if self.by == "max":
            return Kept((), steps * axes.d_model, steps, result=True)
        return Kept((), others=8 * axes.batch * axes.d_model)

    def working(self, axes: Axes, *, masked: bool = False, weights: bool = False) -> Working:
        return Working(3 if self.by == "max" else 1)

    def label(self, axes: Axes) -> Label:
        return Label(f"{self.by.title()} Pool")


class Patch(Component):
    """An image cut into square patches, each mapped to a vector (Dosovitskiy et al., 2020)."""

    kind: Literal["patch"] = "patch"
    role: ClassVar[Role] = "embedding"
    signature: ClassVar[str] = "image[batch channels height width] -> [batch time d_model]"
    module: ClassVar[str] = "PatchEmbedding"
    examples: ClassVar[tuple[Mapping[str, Any], ...]] = (
        {"patch_size": 4, "d_model": 24},
        {"patch_size": 8, "d_model": 8, "bias": False},
    )
    example_inputs = {"image": (2, 3, 16, 16)}

    patch_size: Positive = Field(description="Side of a patch in pixels.")
    d_model: Positive = Field(description="Width of a patch's vector.")
    bias: bool = Field(default=True, description="Whether a learned offset is added.")

    def infer(
        self, inputs: Inputs, place: Mapping[str, Any]
    ) -> tuple[Self, Axes, dict[str, Shape]]:
        axes = self.parsed.bind(inputs)  # type: ignore[arg-type]
        for side in ("height", "width"):
            if axes[side] % self.patch_size:
                raise OptionError(
                    "patch_size",
                    f"the image's {side} {axes[side]} is not a multiple of patch_size "
                    f"{self.patch_size}",
                )
        time = (axes["height"] // self.patch_size) * (axes["width"] // self.patch_size)
        known = Axes({**axes, "time": time, "d_model": self.d_model})
        return self, known, {"": (axes["batch"], time, self.d_model)}

    def tensors(self, axes: Axes) -> Tensors:
        side = self.patch_size
        tensors: Tensors = {"patches.weight": (axes.d_model, axes.channels, side, side)}
        return {**tensors, "patches.bias": (axes.d_model,)} if self.bias else tensors

    def arguments(self, axes: Axes) -> dict[str, Any]:
        return {
            "channels": axes.channels,
            "d_model": axes.d_model,
            "patch_size": self.patch_size,
            "bias": self.bias,
        }

    def flops(self, axes: Axes) -> Size:
        return 2 * axes.batch * axes.time * axes.channels * self.patch_size**2 * axes.d_model

    def kept(self, axes: Axes, *, masked: bool = False, weights: bool = False) -> Kept:
        return Kept(("image",))

    def working(self, axes: Axes, *, masked: bool = False, weights: bool = False) -> Working:
        """Weights are turned into blocks of 16 by 16 channels."""
        blocks = -(-axes.d_model // 16) * -(-axes.channels // 16)
        return Working(3, 1, blocks * 16**2 * self.patch_size**2)

    def label(self, axes: Axes) -> Label:
        side = self.patch_size
        return Label("Patch Embedding", f"{side} × {side}, {axes.channels} → {axes.d_model}")


class Latents(Component):
    """Learned vectors, the same for every example (Jaegle et al., 2021, Perceiver)."""

    kind: Literal["latents"] = "latents"
    role: ClassVar[Role] = "embedding"
    examples: ClassVar[tuple[Mapping[str, Any], ...]] = ({"num_latents": 4, "d_model": 16},)
    ends_mask: ClassVar[bool] = True

    num_latents: Positive = Field(description="Number of vectors.")
    d_model: Positive = Field(description="Width of a vector.")

    def infer(
        self, inputs: Inputs, place: Mapping[str, Any]
    ) -> tuple[Self, Axes, dict[str, Shape]]:
        """From any tensor: only its batch is used."""
        (shape,) = inputs.values()
        axes = Axes({"num_latents": self.num_latents, "d_model": self.d_model})
        return self, axes, {"": (shape[0], self.num_latents, self.d_model)}  # type: ignore[dict-item]

    def tensors(self, axes: Axes) -> Tensors:
        return {"weight": (axes.num_latents, axes.d_model)}

    def arguments(self, axes: Axes) -> dict[str, Any]:
        return {"num_latents": axes.num_latents, "d_model": axes.d_model}

    def kept(self, axes: Axes, *, masked: bool = False, weights: bool = False) -> Kept:
        return Kept()

    def working(self, axes: Axes, *, masked: bool = False, weights: bool = False) -> Working:
        """The input gives its shape alone."""
        return Working(0, 0)

    def label(self, axes: Axes) -> Label:
        return Label("Latents", f"{axes.num_latents} × {axes.d_model}, learned")
