"""Relative positions as a learned bias of the scores."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field
from typing_extensions import Self

from composer.shapes import Axes

from .component import Component, Label, OptionError, Role, Tensors
from .costs import Kept, Working
from .options import Positive


class RelativeBias(Component):
    """A learned bias for each distance and head, far ones in buckets (Raffel et al., 2020).

    arXiv:1910.10683. Half of the buckets are one step each, the others grow with the logarithm of
    the distance. Where later steps are seen, half of all buckets are theirs. The layers of a stack
    share one table.
    """

    kind: Literal["relative_bias"] = "relative_bias"
    role: ClassVar[Role] = "position"
    slots: ClassVar[tuple[str, ...]] = ("attention_position",)
    signature: ClassVar[str] = "x[batch time d_model] -> position_bias[num_heads time time]"
    examples: ClassVar[tuple[Mapping[str, Any], ...]] = (
        {"num_heads": 4},
        {"num_heads": 3, "num_buckets": 8, "max_distance": 5, "causal": True},
    )

    num_buckets: Annotated[Positive, Field(ge=4)] = Field(
        default=32, description="Different biases of a head."
    )
    max_distance: Positive = Field(
        default=128, description="Distance from which on all are in the last bucket."
    )
    num_heads: Positive | None = Field(
        default=None, description="Number of heads. Default: the attention's."
    )
    causal: bool | None = Field(
        default=None, description="Whether later steps are hidden. Default: as in the attention."
    )

    def complete(self, place: Mapping[str, Any]) -> Self:
        made = super().complete(place)
        exact = made.num_buckets // (2 if made.causal else 4)
        if made.max_distance <= exact:
            raise OptionError(
                "position",
                f"{exact} buckets are one step each, so max_distance {made.max_distance} is too near",
                f"max_distance: {4 * made.num_buckets}",
            )
        return made.model_copy(update={"causal": bool(made.causal)})

    def tensors(self, axes: Axes) -> Tensors:
        return {"weight": (axes.num_buckets, axes.num_heads)}

    def arguments(self, axes: Axes) -> dict[str, Any]:
        return {
            "num_heads": axes.num_heads,
            "num_buckets": axes.num_buckets,
            "max_distance": self.max_distance,
            "causal": self.causal,
        }

    def kept(self, axes: Axes, *, masked: bool = False, weights: bool = False) -> Kept:
        pairs = axes.time**2
        return Kept(others=8 * pairs + (pairs if self.causal else 0))

    def working(self, axes: Axes, *, masked: bool = False, weights: bool = False) -> Working:
        """The input gives its shape alone."""
        return Working(0, 1, axes.time**2)

    def label(self, axes: Axes) -> Label:
        return Label("relative bias", f"{self.num_buckets} buckets")
