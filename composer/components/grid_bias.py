"""Relative positions on a grid of patches as a learned bias of the scores."""

from __future__ import annotations

from collections.abc import Mapping
from math import isqrt
from typing import Any, ClassVar, Literal

from pydantic import Field
from typing_extensions import Self

from composer.shapes import Axes

from .component import Component, Label, OptionError, Role, Tensors
from .costs import Kept, Working
from .options import Positive


class GridBias(Component):
    """A learned bias for each distance on a grid and each head, in every layer its own.

    The class token before the patches has three more: from it, to it, and to itself, as in BEiT
    (Bao et al., 2021, arXiv:2106.08254).
    """

    kind: Literal["grid_bias"] = "grid_bias"
    role: ClassVar[Role] = "position"
    slots: ClassVar[tuple[str, ...]] = ("attention_position",)
    signature: ClassVar[str] = "x[batch time d_model] -> position_bias[num_heads time time]"
    per_layer: ClassVar[bool] = True
    examples: ClassVar[tuple[Mapping[str, Any], ...]] = (
        {"num_heads": 4},
        {"num_heads": 3, "rows": 2},
    )
    example_inputs = {"x": (2, 17, 32)}

    rows: Positive | None = Field(
        default=None, description="Rows of the grid. Default: those of a square."
    )
    num_heads: Positive | None = Field(
        default=None, description="Number of heads. Default: the attention's."
    )

    def complete(self, place: Mapping[str, Any]) -> Self:
        made, time = super().complete(place), place["time"]
        if not isinstance(time, int):
            message = f"a grid needs a known number of patches, and '{time}' is not a number"
            raise OptionError("position", message, "read an image, or features of a length")
        if place.get("causal"):
            message = "a grid has no earlier and later steps, so its attention cannot be causal"
            raise OptionError("causal", message, "causal: false")
        rows = made.rows or isqrt(time - 1)
        if rows < 1 or (time - 1) % rows or (made.rows is None and rows**2 != time - 1):
            message = f"{time} steps are not a class token and a grid" + (
                f" of {rows} rows" if made.rows else ", which is a square unless its rows are given"
            )
            raise OptionError("position", message, "position: {kind: grid_bias, rows: 1}")
        return made.model_copy(update={"rows": rows})

    def tensors(self, axes: Axes) -> Tensors:
        columns = (axes.time - 1) // axes.rows
        return {"weight": ((2 * axes.rows - 1) * (2 * columns - 1) + 3, axes.num_heads)}

    def arguments(self, axes: Axes) -> dict[str, Any]:
        columns = (axes.time - 1) // axes.rows
        return {"rows": axes.rows, "columns": columns, "num_heads": axes.num_heads}

    def kept(self, axes: Axes, *, masked: bool = False, weights: bool = False) -> Kept:
        return Kept(others=8 * axes.time**2)

    def working(self, axes: Axes, *, masked: bool = False, weights: bool = False) -> Working:
        """The input gives its shape alone."""
        return Working(inputs=0)

    def label(self, axes: Axes) -> Label:
        return Label("grid bias", f"{axes.rows} × {(axes.time - 1) // axes.rows}")
