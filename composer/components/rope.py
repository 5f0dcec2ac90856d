"""Rotary positions and the ways to stretch them, and linear biases."""

from __future__ import annotations

from collections.abc import Mapping
from math import log
from typing import Any, ClassVar, Literal

from pydantic import Field
from typing_extensions import Self

from composer.shapes import Axes

from .component import Component, Label, Name, OptionError, Role
from .options import Positive, PositiveNumber
from .placed import Placed, place


class Rope(Component):
    """Queries and keys turned by their position (Su et al., 2021, arXiv:2104.09864)."""

    kind: Literal["rope"] = "rope"
    role: ClassVar[Role] = "position"
    slots: ClassVar[tuple[str, ...]] = ("attention_position",)
    signature: ClassVar[str] = "x[batch time d_model] -> rope[time dim], sine[time dim]"
    module: ClassVar[str] = "RotaryEmbedding"
    examples: ClassVar[tuple[Mapping[str, Any], ...]] = (
        {"head_dim": 8},
        {"head_dim": 8, "theta": 1e6},
        {"head_dim": 16, "fraction": 0.25},
        {"head_dim": 8, "scaling": {"kind": "yarn", "factor": 4.0, "original_length": 32}},
    )

    theta: PositiveNumber = Field(default=10_000.0, description="Base of the angles' frequencies.")
    head_dim: Positive | None = Field(
        default=None, description="Width of a head. Default: the attention's head_dim."
    )
    fraction: PositiveNumber = Field(
        default=1.0, le=1, description="The first part of each head that is turned."
    )
    dim: Positive | None = Field(
        default=None, description="Width that is turned. Default: fraction * head_dim."
    )
    layout: Literal["half", "interleaved"] = Field(
        default="half",
        description="What is turned together: i and i + dim/2 as in LLaMA, or 2i and 2i + 1 as in "
        "GPT-J and the paper.",
    )
    scaling: Component | None = Field(
        default=None,
        description="How frequencies are changed for longer texts, e.g. `llama3` or `yarn`.",
        json_schema_extra={"slot": "rope_scaling"},
    )

    def complete(self, place: Mapping[str, Any]) -> Self:
        made = super().complete(place)
        if made.dim is None and made.head_dim is not None:
            made = made.model_copy(update={"dim": int(made.head_dim * made.fraction)})
        if made.dim is not None and made.dim % 2:
            raise OptionError(
                "position",
                f"rotary positions turn pairs, but head_dim {made.dim} is odd",
                f"head_dim: {made.dim + 1}",
            )
        if made.dim is not None and made.head_dim is not None and made.dim > made.head_dim:
            raise OptionError(
                "position",
                f"{made.dim} of a head cannot be turned, it is {made.head_dim} wide",
                f"dim: {made.head_dim}",
            )
        return made

    def turn(self, head_dim: int) -> Name | None:
        """The function that turns heads of this width; None where it is the usual one."""
        dim = int(head_dim * self.fraction) if self.dim is None else self.dim
        names = {"half": "rotate", "interleaved": "rotate_pairs"}
        name = names[self.layout] + ("_part" if dim < head_dim else "")
        return None if name == "rotate" else Name(name)

    def parts(self, axes: Axes) -> dict[str, Placed]:
        if self.scaling is None:
            return {}
        return {"scaling": place(self.scaling, {"x": (axes.dim // 2,)}, theta=self.theta)}

    def arguments(self, axes: Axes) -> dict[str, Any]:
        stretch = getattr(self.scaling, "stretch", 1.0)
        return {"head_dim": axes.dim, "theta": self.theta, "stretch": stretch}

    def label(self, axes: Axes) -> Label:
        return Label("rotary", f"θ {self.theta:,.0f}".replace(",", " "))


class _Scaling(Component):
    """What changes the frequencies of rotary positions."""

    role: ClassVar[Role] = "position"
    slots: ClassVar[tuple[str, ...]] = ("rope_scaling",)
    signature: ClassVar[str] = "x[pairs] -> [pairs]"
    example_inputs = {"x": (8,)}

    factor: PositiveNumber = Field(description="How many times longer texts may be.")

    def arguments(self, axes: Axes) -> dict[str, Any]:
        return {n: getattr(self, n) for n in type(self).model_fields if n != "kind"}


class Interpolation(_Scaling):
    """Positions pressed together evenly (Chen et al., 2023, arXiv:2306.15595)."""

    kind: Literal["interpolation"] = "interpolation"
    examples: ClassVar[tuple[Mapping[str, Any], ...]] = ({"factor": 8.0},)


class Llama3(_Scaling):
    """Low frequencies slowed down, high ones kept (Llama 3.1, arXiv:2407.21783)."""

    kind: Literal["llama3"] = "llama3"
    module: ClassVar[str] = "Llama3Scaling"
    examples: ClassVar[tuple[Mapping[str, Any], ...]] = (
        {"factor": 8.0},
        {"factor": 4.0, "low": 2.0, "high": 3.0, "original_length": 64},
    )

    low: PositiveNumber = Field(
        default=1.0, description="Turns within the original length below which a pair is slowed."
    )
    high: PositiveNumber = Field(default=4.0, description="Turns above which a pair is kept.")
    original_length: Positive = Field(default=8192, description="Longest text before stretching.")


class Yarn(_Scaling):
    """Frequencies slowed down by a ramp, scores sharpened (Peng et al., 2023, arXiv:2309.00071)."""

    kind: Literal["yarn"] = "yarn"
    module: ClassVar[str] = "YarnScaling"
    examples: ClassVar[tuple[Mapping[str, Any], ...]] = (
        {"factor": 4.0, "original_length": 32, "theta": 10_000.0},
        {"factor": 4.0, "original_length": 64, "truncate": False, "fast": 8.0, "theta": 500.0},
    )

    original_length: Positive = Field(description="Longest text before stretching.")
    fast: PositiveNumber = Field(default=32.0, description="Turns above which a pair is kept.")
    slow: PositiveNumber = Field(default=1.0, description="Turns below which a pair is slowed.")
    truncate: bool = Field(
        default=True, description="Whether the ends of the ramp are moved to whole pairs."
    )
    attention_factor: PositiveNumber | None = Field(
        default=None, description="Factor of queries and keys. Default: 0.1 * ln(factor) + 1."
    )
    theta: PositiveNumber | None = Field(
        default=None, description="Base of the frequencies. Default: that of the rotary positions."
    )

    @property
    def stretch(self) -> float:
        """The factor of cosine and sine."""
        if self.attention_factor is not None:
            return self.attention_factor
        return 0.1 * log(self.factor) + 1.0 if self.factor > 1 else 1.0

    def arguments(self, axes: Axes) -> dict[str, Any]:
        given = super().arguments(axes)
        del given["attention_factor"]
        return given


class Alibi(Component):
    """Scores lowered with the distance, a slope a head (Press et al., 2021, arXiv:2108.12409)."""

    kind: Literal["alibi"] = "alibi"
    role: ClassVar[Role] = "position"
    slots: ClassVar[tuple[str, ...]] = ("attention_position",)
    signature: ClassVar[str] = "x[batch time d_model] -> position_bias[num_heads time time]"
    module: ClassVar[str] = "AlibiBias"
    examples: ClassVar[tuple[Mapping[str, Any], ...]] = (
        {"num_heads": 4},
        {"num_heads": 6, "causal": True},
    )

    num_heads: Positive | None = Field(
        default=None, description="Number of heads. Default: the attention's."
    )
    causal: bool | None = Field(
        default=None, description="Whether later steps are hidden. Default: as in the attention."
    )

    def complete(self, place: Mapping[str, Any]) -> Self:
        made = super().complete(place)
        return made.model_copy(update={"causal": bool(made.causal)})

    def arguments(self, axes: Axes) -> dict[str, Any]:
        return {"num_heads": axes.num_heads, "causal": self.causal}

    def label(self, axes: Axes) -> Label:
        return Label("ALiBi")
