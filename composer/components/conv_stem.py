"""Convolutions over time that shorten a sequence, and the norms that stand in them."""

from __future__ import annotations

from collections.abc import Mapping
from math import gcd
from typing import Any, ClassVar, Literal

from pydantic import Field
from typing_extensions import Self

from composer.shapes import Axes, Shape, Size

from .component import Component, Inputs, Label, Mask, Name, OptionError, Role, Tensors
from .costs import Kept, Working
from .feed_forward import ACTIVATIONS, TITLES, Activation, kept_by
from .options import Natural, Positive, PositiveNumber
from .placed import Placed, place

Step = tuple[int, int, int]
"""Kernel size, stride and padding: what changes the number of steps."""


class GroupNorm(Component):
    """Norm of groups of channels over all steps, padded ones left out (Wu and He, 2018)."""

    kind: Literal["groupnorm"] = "groupnorm"
    role: ClassVar[Role] = "norm"
    slots: ClassVar[tuple[str, ...]] = ("conv_norm", "module")
    module: ClassVar[str] = "GroupNorm"
    mixes_time: ClassVar[bool] = True
    examples: ClassVar[tuple[Mapping[str, Any], ...]] = ({}, {"num_groups": 4, "eps": 1e-3})

    num_groups: Positive | None = Field(
        default=None, description="Number of groups. Default: one for each channel."
    )
    eps: PositiveNumber = Field(default=1e-5, description="Added to the variance.")

    def complete(self, place: Mapping[str, Any]) -> Self:
        width = place["d_model"]
        groups = self.num_groups or width
        if isinstance(width, int) and width % groups:
            raise OptionError(
                "num_groups",
                f"{width} channels do not divide into {groups} groups",
                f"num_groups: {gcd(width, groups)}",
            )
        return self.model_copy(update={"num_groups": groups})

    def tensors(self, axes: Axes) -> Tensors:
        return {"weight": (axes.d_model,), "bias": (axes.d_model,)}

    def arguments(self, axes: Axes) -> dict[str, Any]:
        return {"num_groups": self.num_groups, "width": axes.d_model, "eps": self.eps}

    def masks(self, axes: Axes) -> dict[str, Mask]:
        return {"mask": Mask(over="padding")}

    def kept(self, axes: Axes, *, masked: bool = False, weights: bool = False) -> Kept:
        groups = axes.batch * axes.num_groups
        if not masked:
            return Kept(("x",), 2 * groups)
        steps = axes.batch * axes.time  # what is centred, what is scaled, and the mask as numbers
        return Kept((), 2 * steps * axes.d_model + steps + 2 * groups + axes.batch)

    def working(self, axes: Axes, *, masked: bool = False, weights: bool = False) -> Working:
        return Working(2)

    def label(self, axes: Axes) -> Label:
        return Label("GroupNorm", f"{self.num_groups} groups")


class Convolution(Component):
    """A convolution over time, then a norm and an activation where they are asked for.

    The result has (time + 2 * padding - kernel_size) // stride + 1 steps. Of a padded sequence, as
    many are real as the real steps make by themselves; padding stands after them.
    """

    kind: Literal["convolution"] = "convolution"
    role: ClassVar[Role] = "convolution"
    slots: ClassVar[tuple[str, ...]] = ("convolution", "module")
    signature: ClassVar[str] = "x[batch time width] -> [batch steps channels]"
    module: ClassVar[str] = "Convolution"
    mixes_time: ClassVar[bool] = True
    examples: ClassVar[tuple[Mapping[str, Any], ...]] = (
        {"channels": 16, "kernel_size": 3},
        {"channels": 8, "kernel_size": 3, "stride": 2, "padding": 1, "activation": "gelu"},
        {"channels": 8, "kernel_size": 2, "bias": False, "norm": "groupnorm"},
        {"channels": 8, "kernel_size": 4, "stride": 3, "norm": "layernorm", "activation": "tanh"},
    )

    channels: Positive = Field(description="Width of the result.")
    kernel_size: Positive = Field(description="Steps that one step is made from.")
    stride: Positive = Field(default=1, description="Steps from one result to the next.")
    padding: Natural = Field(default=0, description="Zeros before the first and after the last.")
    bias: bool = Field(default=True, description="Whether a learned offset is added.")
    norm: Component | None = Field(
        default=None,
        description="A norm of the result: `layernorm` of each step, `groupnorm` over all steps.",
        json_schema_extra={"slot": "conv_norm"},
    )
    activation: Activation | None = Field(default=None, description="What follows. Default: none.")

    @property
    def step(self) -> Step:
        """What changes the number of steps."""
        return (self.kernel_size, self.stride, self.padding)

    def infer(
        self, inputs: Inputs, place: Mapping[str, Any]
    ) -> tuple[Self, Axes, dict[str, Shape]]:
        axes = self.parsed.bind(inputs)  # type: ignore[arg-type]  # one shape a port here
        steps = (axes["time"] + 2 * self.padding - self.kernel_size) // self.stride + 1
        if isinstance(steps, int) and steps < 1:
            raise OptionError(
                "kernel_size",
                f"{axes['time']} steps are too few for a kernel of {self.kernel_size}",
            )
        known = Axes({**axes, "steps": steps, "channels": self.channels})
        return self, known, {"": (axes["batch"], steps, self.channels)}

    def tensors(self, axes: Axes) -> Tensors:
        tensors: Tensors = {"conv.weight": (self.channels, axes.width, self.kernel_size)}
        return {**tensors, "conv.bias": (self.channels,)} if self.bias else tensors

    def parts(self, axes: Axes) -> dict[str, Placed]:
        if self.norm is None:
            return {}
        try:
            return {"norm": place(self.norm, {"x": (axes.batch, axes.steps, axes.channels)})}
        except OptionError as error:
            raise error.inside("norm") from None

    def arguments(self, axes: Axes) -> dict[str, Any]:
        given = {
            "width": axes.width,
            "channels": self.channels,
            "kernel_size": self.kernel_size,
            "stride": self.stride,
            "padding": self.padding,
            "bias": self.bias,
            "over_time": isinstance(self.norm, GroupNorm),
        }
        activation = self.activation
        return given | ({} if activation is None else {"activation": Name(ACTIVATIONS[activation])})

    def masks(self, axes: Axes) -> dict[str, Mask]:
        reaches = self.padding or isinstance(self.norm, GroupNorm)
        return {"mask": Mask(over="padding")} if reaches else {}

    def mask_after(self, masks: list[str], inputs: list[str]) -> tuple[str, list[str]] | None:
        return "strided_mask", [masks[0], str(self.step)]

    def flops(self, axes: Axes) -> Size:
        return 2 * axes.batch * axes.steps * axes.width * axes.channels * self.kernel_size

    def kept(self, axes: Axes, *, masked: bool = False, weights: bool = False) -> Kept:
        inside, result = kept_by(self.activation)
        numbers = inside * axes.batch * axes.steps * axes.channels
        for part in self.parts(axes).values():
            over_time = masked and isinstance(part.component, GroupNorm)
            kept = part.component.kept(part.axes, masked=over_time)
            numbers += kept.numbers + part.size
        if not (masked and self.masks(axes)):
            return Kept(("x",), numbers, result=result)
        before = axes.batch * axes.time
        return Kept((), numbers + before * axes.width, before, result)

    def working(self, axes: Axes, *, masked: bool = False, weights: bool = False) -> Working:
        """Inputs and results are turned, widened by padding, and turned back."""
        return Working(4, 2)

    def label(self, axes: Axes) -> Label:
        notes = [f"kernel {self.kernel_size}", f"stride {self.stride}", f"{self.channels} channels"]
        if self.activation is not None:
            notes.append(TITLES.get(self.activation, self.activation))
        return Label("Convolution", ", ".join(notes))


class ConvStem(Component):
    """Convolutions one after the other, from a signal to a shorter sequence of vectors.

    As in wav2vec (Schneider et al., 2019, arXiv:1904.05862) and Whisper. Padded steps do not reach
    real ones: they are zeros before a convolution that pads, and no part of a norm over time.
    """

    kind: Literal["conv_stem"] = "conv_stem"
    role: ClassVar[Role] = "convolution"
    signature: ClassVar[str] = "x[batch time width] -> [batch steps channels]"
    mixes_time: ClassVar[bool] = True
    examples: ClassVar[tuple[Mapping[str, Any], ...]] = (
        {"layers": [{"channels": 12, "kernel_size": 3}]},
        {
            "layers": [
                {"channels": 12, "kernel_size": 2, "bias": False, "norm": "groupnorm"},
                {"channels": 8, "kernel_size": 3, "stride": 2, "padding": 1, "activation": "gelu"},
            ]
        },
    )

    layers: list[Component] = Field(
        description="The convolutions, in order.",
        min_length=1,
        json_schema_extra={"slot": "convolution", "many": True, "default": "convolution"},
    )

    def infer(
        self, inputs: Inputs, place: Mapping[str, Any]
    ) -> tuple[Self, Axes, dict[str, Shape]]:
        axes = self.parsed.bind(inputs)  # type: ignore[arg-type]  # one shape a port here
        last = self._placed((axes["batch"], axes["time"], axes["width"]))[-1]
        known = Axes({**axes, "steps": last.axes.steps, "channels": last.axes.channels})
        return self, known, {"": last.shape}

    def parts(self, axes: Axes) -> dict[str, Placed]:
        layers = self._placed((axes.batch, axes.time, axes.width))
        return {f"layers.{number}": layer for number, layer in enumerate(layers)}

    def arguments(self, axes: Axes) -> dict[str, Any]:
        return {"steps": self._steps} if self.masks(axes) else {}

    def masks(self, axes: Axes) -> dict[str, Mask]:
        for layer in self.parts(axes).values():
            if masks := layer.component.masks(layer.axes):
                return masks
        return {}

    def mask_after(self, masks: list[str], inputs: list[str]) -> tuple[str, list[str]] | None:
        return "strided_mask", [masks[0], *map(str, self._steps)]

    def before(self, part: str, axes: Axes) -> tuple[str, ...]:
        layers = list(self.parts(axes))
        return tuple(layers[: layers.index(part)])

    def kept(self, axes: Axes, *, masked: bool = False, weights: bool = False) -> Kept:
        """What each layer keeps; what is between two layers is kept by the second."""
        try:
            layers = list(self.parts(axes).values())
        except OptionError:
            return Kept()  # shorter than what any layer takes: there is no such pass
        kept = [layer.component.kept(layer.axes, masked=masked) for layer in layers]
        numbers = sum(each.numbers for each in kept)
        pairs = zip(layers, kept[1:], strict=False)
        numbers += sum(layer.size for layer, after in pairs if after.ports)
        others = sum(each.others for each in kept)
        return Kept(kept[0].ports, numbers, others, kept[-1].result)

    def working(self, axes: Axes, *, masked: bool = False, weights: bool = False) -> Working:
        sizes = [axes.batch * axes.time * axes.width]
        try:
            sizes += [layer.size for layer in self.parts(axes).values()]
        except OptionError:
            return Working(forward=0)  # shorter than what any layer takes: there is no such pass
        most = max(4 * a + 2 * b for a, b in zip(sizes, sizes[1:], strict=False))
        return Working(0, 0, most)

    def label(self, axes: Axes) -> Label:
        strides = " × ".join(str(stride) for _, stride, _ in self._steps)
        return Label("Convolutions", f"{axes.channels} channels, stride {strides}")

    @property
    def _steps(self) -> tuple[Step, ...]:
        return tuple(layer.step for layer in self.layers if isinstance(layer, Convolution))

    def _placed(self, shape: Shape) -> list[Placed]:
        """The layers, each where it gets what the one before it makes."""
        made: list[Placed] = []
        try:
            for layer in self.layers:
                made.append(place(layer, {"x": made[-1].shape if made else shape}))
        except OptionError as error:
            raise error.inside(f"layers.{len(made)}") from None
        return made
