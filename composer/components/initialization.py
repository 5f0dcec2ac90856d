"""How parameters start."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field

from composer.shapes import Axes

from .component import Component, Role
from .options import PositiveNumber


class _Initialization(Component):
    """What all share: a function of `composer.nn` that `Module.apply` is given."""

    role: ClassVar[Role] = "operator"
    slots: ClassVar[tuple[str, ...]] = ("initialization",)
    signature: ClassVar[str] = " -> "

    def arguments(self, axes: Axes) -> dict[str, Any]:
        return {name: getattr(self, name) for name in type(self).model_fields if name != "kind"}


class Normal(_Initialization):
    """Matrices and embeddings from a normal distribution, biases zero (Radford et al., 2019)."""

    kind: Literal["normal"] = "normal"
    module: ClassVar[str] = "init_normal"
    examples: ClassVar[tuple[Mapping[str, Any], ...]] = ({}, {"std": 0.01})

    std: PositiveNumber = Field(default=0.02, description="Standard deviation.")


class Xavier(_Initialization):
    """Matrices uniform within ±√(6 / (in + out)) (Glorot and Bengio, 2010), biases zero.

    Embeddings are normal with standard deviation 1/√width.
    """

    kind: Literal["xavier"] = "xavier"
    module: ClassVar[str] = "init_xavier"
    examples: ClassVar[tuple[Mapping[str, Any], ...]] = ({},)


class FanIn(_Initialization):
    """Matrices normal with standard deviation gain/√width-of-input (LeCun et al., 1998).

    Biases are zero, embeddings and heads normal with `std`: at every width, states start with one
    size. The start of parametrizations that follow the width.
    """

    kind: Literal["fan_in"] = "fan_in"
    module: ClassVar[str] = "init_fan_in"
    examples: ClassVar[tuple[Mapping[str, Any], ...]] = ({}, {"gain": 0.5, "std": 0.1})

    gain: PositiveNumber = Field(default=1.0, description="Factor of the deviation of matrices.")
    std: PositiveNumber = Field(
        default=0.02, description="Standard deviation of embeddings and heads."
    )


class Default(_Initialization):
    """As torch's modules do it when they are made."""

    kind: Literal["torch"] = "torch"
    module: ClassVar[str] = "torch"
    examples: ClassVar[tuple[Mapping[str, Any], ...]] = ({},)
