"""Rotary positions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field
from typing_extensions import Self

from composer.shapes import Axes

from .component import Component, Label, OptionError, Role
from .options import Positive, PositiveNumber


class Rope(Component):
    """Queries and keys turned by their position (Su et al., 2021, arXiv:2104.09864)."""

    kind: Literal["rope"] = "rope"
    role: ClassVar[Role] = "position"
    slots: ClassVar[tuple[str, ...]] = ("attention_position",)
    signature: ClassVar[str] = "x[batch time d_model] -> [time head_dim], sine[time head_dim]"
    module: ClassVar[str] = "RotaryEmbedding"
    examples: ClassVar[tuple[Mapping[str, Any], ...]] = (
        {"head_dim": 8},
        {"head_dim": 8, "theta": 1e6},
    )

    theta: PositiveNumber = Field(default=10_000.0, description="Base of the angles' frequencies.")
    head_dim: Positive | None = Field(
        default=None, description="Width that is turned. Default: the attention's head_dim."
    )

    def complete(self, place: Mapping[str, Any]) -> Self:
        made = super().complete(place)
        if made.head_dim is not None and made.head_dim % 2:
            raise OptionError(
                "position",
                f"rotary positions turn pairs, but head_dim {made.head_dim} is odd",
                f"head_dim: {made.head_dim + 1}",
            )
        return made

    def arguments(self, axes: Axes) -> dict[str, Any]:
        return {"head_dim": axes.head_dim, "theta": self.theta}

    def label(self, axes: Axes) -> Label:
        return Label("rotary", f"θ {self.theta:,.0f}".replace(",", " "))
