"""Inputs of a model: what comes in, as which tensor."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, StringConstraints
from typing_extensions import Self

from composer.shapes import Axes, Shape, Size, symbol

from .component import Component, Inputs, Label, Role
from .options import Natural, Positive

LengthName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_]*$", max_length=64)]


class Input(Component):
    """What all inputs share: they read nothing, and make a tensor with the batch first."""

    kind: str
    role: ClassVar[Role] = "input"
    slots: ClassVar[tuple[str, ...]] = ("input",)
    dtype: ClassVar[str] = "float"

    def infer(
        self, inputs: Inputs, place: Mapping[str, Any]
    ) -> tuple[Self, Axes, dict[str, Shape]]:
        shape = (symbol("batch"), *self.sizes(str(place["name"])))
        return self, Axes({"batch": symbol("batch")}), {"": shape}

    def sizes(self, name: str) -> Shape:
        """The shape after the batch of the input called `name`."""
        return ()

    def label(self, axes: Axes) -> Label:
        return Label(self.kind)


class _Sequence(Input):
    """Inputs that have a length, and may be padded to it."""

    kind: str

    length: Positive | LengthName | None = Field(
        default=None,
        description="Number of steps, or the name of a length that several inputs share. "
        "Default: a length of its own, named after the input.",
    )
    padding: Literal["mask"] | Natural | None = Field(
        default=None,
        description="How padded steps are told: `mask` gives forward an optional argument "
        "NAME_mask (batch, time), true for real steps; a number is the id of the padding token.",
    )

    def time(self, name: str) -> Size:
        """The length: a number, or a name."""
        return self.length if isinstance(self.length, int) else symbol(self.length or name)


class Tokens(_Sequence):
    """Token ids, int64 (batch, time)."""

    kind: Literal["tokens"] = "tokens"
    signature: ClassVar[str] = " -> [batch time]"
    dtype: ClassVar[str] = "int64"
    examples: ClassVar[tuple[Mapping[str, Any], ...]] = (
        {"vocab_size": 100},
        {"vocab_size": 100, "length": 8, "padding": 0},
    )

    vocab_size: Positive = Field(description="Number of different tokens.")

    def sizes(self, name: str) -> Shape:
        return (self.time(name),)


class Features(_Sequence):
    """A sequence of vectors, float (batch, time, width)."""

    kind: Literal["features"] = "features"
    signature: ClassVar[str] = " -> [batch time width]"
    examples: ClassVar[tuple[Mapping[str, Any], ...]] = (
        {"width": 80},
        {"width": 80, "padding": "mask"},
    )

    width: Positive = Field(description="Numbers at each step.")
    padding: Literal["mask"] | None = Field(
        default=None,
        description="`mask` gives forward an optional argument NAME_mask (batch, time).",
    )

    def sizes(self, name: str) -> Shape:
        return (self.time(name), self.width)


class Image(Input):
    """Images, float (batch, channels, height, width)."""

    kind: Literal["image"] = "image"
    signature: ClassVar[str] = " -> [batch channels height width]"
    examples: ClassVar[tuple[Mapping[str, Any], ...]] = ({"height": 32, "width": 32},)

    height: Positive = Field(description="Rows of pixels.")
    width: Positive = Field(description="Columns of pixels.")
    channels: Positive = Field(default=3, description="Numbers at each pixel.")

    def sizes(self, name: str) -> Shape:
        return (self.channels, self.height, self.width)


class Tensor(Input):
    """Any other float tensor: its shape is given, lengths by name where they vary."""

    kind: Literal["tensor"] = "tensor"
    signature: ClassVar[str] = " -> [batch]"
    examples: ClassVar[tuple[Mapping[str, Any], ...]] = ({"shape": ["rows", 64]},)

    shape: list[Positive | LengthName] = Field(
        description="Sizes of the axes, the first one included; a word is a length that varies."
    )

    def infer(
        self, inputs: Inputs, place: Mapping[str, Any]
    ) -> tuple[Self, Axes, dict[str, Shape]]:
        shape = tuple(size if isinstance(size, int) else symbol(size) for size in self.shape)
        return self, Axes({}), {"": shape}
