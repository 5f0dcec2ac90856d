"""Mixtures of experts: each step goes through a few of many feed-forward networks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field
from typing_extensions import Self

from composer.shapes import Axes, Size

from .component import Component, Label, LinearMap, Name, OptionError, Role, Scale, Tensors
from .costs import Kept, Product, Working
from .feed_forward import ACTIVATIONS, KEPT, Activation, Glu
from .options import Number, Positive, PositiveNumber
from .placed import Placed, place


class Moe(Component):
    """Sparse gated experts (Shazeer et al., 2017, arXiv:1701.06538; Mixtral, arXiv:2401.04088).

    With sigmoid scores, groups of experts, a correction bias and shared experts it is that of
    DeepSeek-V3 (arXiv:2412.19437). No step is dropped, whatever the load.
    """

    kind: Literal["moe"] = "moe"
    role: ClassVar[Role] = "feed_forward"
    slots: ClassVar[tuple[str, ...]] = ("feed_forward", "layer", "module")
    module: ClassVar[str] = "MixtureOfExperts"
    data_dependent: ClassVar[bool] = True
    scales: ClassVar[Mapping[str, Scale]] = {"shared_d_ff": "inner"}
    examples: ClassVar[tuple[Mapping[str, Any], ...]] = (
        {"num_experts": 4, "experts_per_token": 2, "d_ff": 20},
        {
            "num_experts": 8,
            "experts_per_token": 3,
            "d_ff": 12,
            "score": "sigmoid",
            "correction_bias": True,
            "groups": 4,
            "groups_per_token": 2,
            "weight_scale": 2.5,
            "shared_d_ff": 24,
        },
        {
            "num_experts": 4,
            "experts_per_token": 2,
            "d_ff": 20,
            "bias": True,
            "router_bias": True,
            "activation": "quick_gelu",
            "limit": 0.5,
            "up_offset": 1.0,
            "normalize": False,
            "shared_d_ff": 8,
            "shared_gate": True,
        },
    )

    num_experts: Positive = Field(description="Number of experts to choose from.")
    experts_per_token: Positive = Field(description="How many of them a step goes through.")
    d_ff: Positive = Field(description="Width inside an expert.")
    activation: Activation = Field(default="silu", description="Of the gate of an expert.")
    bias: bool = Field(default=False, description="Whether the experts' linear maps have a bias.")
    limit: PositiveNumber | None = Field(
        default=None, description="Gate and up are clipped to this before the activation."
    )
    up_offset: Number = Field(default=0.0, description="Added to up before it is gated.")
    score: Literal["softmax", "sigmoid"] = Field(
        default="softmax", description="How the router's scores become weights."
    )
    router_bias: bool = Field(default=False, description="Whether the router has a bias.")
    correction_bias: bool = Field(
        default=False,
        description="A fixed offset of the scores that is used for the choice only, to balance "
        "the load; it is set from outside, not by gradients.",
    )
    groups: Positive = Field(default=1, description="Groups that the experts are divided into.")
    groups_per_token: Positive = Field(
        default=1, description="Groups whose experts a step may choose: those of the best two."
    )
    normalize: bool = Field(
        default=True, description="Whether the weights of the chosen experts are made to sum to 1."
    )
    weight_scale: PositiveNumber = Field(default=1.0, description="Factor of the weights.")
    shared_d_ff: Positive | None = Field(
        default=None, description="Width of an expert that every step goes through. Default: none."
    )
    shared_gate: bool = Field(
        default=False, description="Whether the shared expert is weighed by a sigmoid of the step."
    )

    def complete(self, place: Mapping[str, Any]) -> Self:
        made = super().complete(place)
        if made.num_experts % made.groups:
            raise OptionError(
                "groups", f"{made.num_experts} experts do not divide into {made.groups} groups"
            )
        if made.groups > 1 and made.num_experts < 2 * made.groups:
            raise OptionError("groups", "a group is scored by two experts, so it needs two")
        if made.groups_per_token > made.groups:
            raise OptionError(
                "groups_per_token",
                f"there are {made.groups} groups",
                f"groups: {made.groups_per_token}",
            )
        available = made.num_experts // made.groups * made.groups_per_token
        if made.experts_per_token > available:
            raise OptionError(
                "experts_per_token",
                f"a step may choose among {available} experts, not {made.experts_per_token}",
                f"experts_per_token: {available}",
            )
        if made.shared_gate and made.shared_d_ff is None:
            raise OptionError(
                "shared_gate", "there is no shared expert to gate", "shared_d_ff: 1024"
            )
        return made

    def tensors(self, axes: Axes) -> Tensors:
        count, width, inner = axes.num_experts, axes.d_model, axes.d_ff
        tensors: Tensors = {
            "gate": (count, inner, width),
            "up": (count, inner, width),
            "down": (count, width, inner),
        }
        if self.bias:
            tensors |= {f"{n}_bias": (count, inner) for n in ("gate", "up")}
            tensors["down_bias"] = (count, width)
        tensors["router.weight"] = (count, width)
        if self.router_bias:
            tensors["router.bias"] = (count,)
        if self.shared_gate:
            tensors["shared_gate.weight"] = (1, width)
        return tensors

    def buffers(self, axes: Axes) -> Tensors:
        return {"correction_bias": (axes.num_experts,)} if self.correction_bias else {}

    def parts(self, axes: Axes) -> dict[str, Placed]:
        if self.shared_d_ff is None:
            return {}
        shared = Glu(d_ff=self.shared_d_ff, activation=self.activation, bias=False)
        return {"shared": place(shared, {"x": (axes.batch, axes.time, axes.d_model)})}

    def linears(self, axes: Axes) -> dict[str, LinearMap]:
        rows = axes.batch * axes.time
        router = {"router": LinearMap("router", rows)}
        return {**router, "shared_gate": LinearMap("router", rows)} if self.shared_gate else router

    def arguments(self, axes: Axes) -> dict[str, Any]:
        other = {"kind", "activation", "score", "shared_d_ff"}
        names = [name for name in type(self).model_fields if name not in other]
        given = {"d_model": axes.d_model, **{name: getattr(self, name) for name in names}}
        activation = Name(ACTIVATIONS[self.activation])
        return {**given, "activation": activation, "sigmoid": self.score == "sigmoid"}

    def products(self, axes: Axes) -> tuple[Product, ...]:
        row: Size = 2 * axes.batch * axes.time * axes.d_model
        expert: Size = row * self.experts_per_token * axes.d_ff
        wide = ("gate", "gate_bias", "up", "up_bias")
        found = (
            Product(row * axes.num_experts, ("x",), ("router.weight",)),
            Product(expert, ("x",), ("gate",)),
            Product(expert, ("x",), ("up",)),
            Product(expert, ("x", *wide), ("down",)),
        )
        return (
            (*found, Product(row, ("x",), ("shared_gate.weight",))) if self.shared_gate else found
        )

    def kept(self, axes: Axes, *, masked: bool = False, weights: bool = False) -> Kept:
        """Every step is kept once for each expert that it chooses."""
        steps, width = axes.batch * axes.time, axes.d_model
        rows = steps * self.experts_per_token
        tensors = KEPT.get(self.activation, 2) + 2 + (0 if self.limit is None else 2)
        chosen = rows * (3 * width + tensors * axes.d_ff + 5)
        routed = 2 * steps * axes.num_experts
        gated = steps * (width + 1) if self.shared_gate else 0
        shared = sum(part.component.kept(part.axes).numbers for part in self.parts(axes).values())
        return Kept(("x",), chosen + routed + gated + shared, 8 * (4 * rows + steps))

    def working(self, axes: Axes, *, masked: bool = False, weights: bool = False) -> Working:
        """Experts take turns: what comes and goes is small beside what all of them keep.

        A forward pass that keeps nothing is counted as if all steps chose the same expert.
        """
        steps, wide = axes.batch * axes.time, 3 if self.limit is None else 4
        routed = 3 * steps * axes.num_experts + steps * self.experts_per_token * 5
        forward = 2 * steps * axes.d_model + steps * wide * axes.d_ff + routed
        return Working(results=0, forward=forward)

    def label(self, axes: Axes) -> Label:
        shared = "" if self.shared_d_ff is None else ", 1 shared"
        return Label(
            "Experts", f"{self.experts_per_token} of {self.num_experts}{shared}, width {self.d_ff}"
        )
