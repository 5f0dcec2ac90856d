"""What `peft` calls each kind of adapter: settings, names of tensors, and their shapes."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, cast

from composer.components.component import Component
from composer.components.ia3 import Ia3
from composer.components.lora import Lora

from .errors import weight_error

Found = Mapping[str, Component]
"""What adapts each linear map under one name, by the map's path."""


class Tuner(ABC):
    """A kind of adapter in files of `peft`; `names` gives theirs of a tensor's name."""

    names: ClassVar[Mapping[str, str]]
    same: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def settings(self, found: Found) -> dict[str, Any]:
        """The config of adapters. Raises WeightError where they do not have one in common."""

    def differences(self, config: Mapping[str, Any], found: Found) -> Iterator[tuple[str, str]]:
        """Where a config says something else than adapters: why, and a fix."""
        ours = self.settings(found)
        for key in ("peft_type", "fan_in_fan_out", *self.same):
            if config.get(key, ours[key]) != ours[key]:
                yield f"'{key}' is {config[key]!r} in the file, but {ours[key]!r} here", ""

    def shape(self, component: Component, shape: tuple[int, ...]) -> tuple[int, ...]:  # noqa: ARG002
        """Their shape of a tensor, as many numbers as ours."""
        return shape


class LoraTuner(Tuner):
    """Updates of low rank."""

    names: ClassVar[Mapping[str, str]] = {
        "a": "lora_A.weight",
        "b": "lora_B.weight",
        "magnitude": "lora_magnitude_vector",
    }
    same: ClassVar[tuple[str, ...]] = ("use_rslora", "use_dora", "bias")

    def settings(self, found: Found) -> dict[str, Any]:
        """Ranks and factors: those of most maps, and patterns for the others."""
        loras = {path: cast("Lora", each) for path, each in found.items()}
        several = {(c.scaling, c.dora, c.dropout) for c in loras.values()}
        if len(several) > 1:
            why = "adapters of one name have one scaling, dora and dropout in peft"
            raise weight_error("W408", why, "give those that differ another name")
        ((scaling, dora, dropout),) = several
        rank = Counter(c.rank for c in loras.values()).most_common(1)[0][0]
        alpha = Counter(_alpha(c) for c in loras.values()).most_common(1)[0][0]
        alphas = {re.escape(p): _alpha(c) for p, c in loras.items() if _alpha(c) != alpha}
        return {
            "peft_type": "LORA",
            "r": rank,
            "lora_alpha": alpha,
            "lora_dropout": dropout,
            "use_rslora": scaling == "rslora",
            "use_dora": dora,
            "bias": "none",
            "fan_in_fan_out": False,
            "init_lora_weights": True,
            "rank_pattern": {re.escape(p): c.rank for p, c in loras.items() if c.rank != rank},
            "alpha_pattern": alphas,
        }

    def differences(self, config: Mapping[str, Any], found: Found) -> Iterator[tuple[str, str]]:
        """Settings and factors; ranks are seen in the shapes."""
        yield from super().differences(config, found)
        for path, component in found.items():
            alpha = _of_pattern(config.get("alpha_pattern"), path, config.get("lora_alpha"))
            ours = _alpha(cast("Lora", component))
            if alpha != ours:
                yield (
                    f"alpha of '{path}' is {alpha} in the file, but {ours:g} here",
                    f"alpha: {alpha}",
                )


class Ia3Tuner(Tuner):
    """Learned factors."""

    names: ClassVar[Mapping[str, str]] = {"scale": "ia3_l"}

    def settings(self, found: Found) -> dict[str, Any]:
        """Maps whose inputs are rescaled are those of feed-forwards."""
        inputs = [path for path, each in found.items() if cast("Ia3", each).of == "input"]
        return {
            "peft_type": "IA3",
            "fan_in_fan_out": False,
            "init_ia3_weights": True,
            "feedforward_modules": "|".join(map(re.escape, inputs)),
        }

    def differences(self, config: Mapping[str, Any], found: Found) -> Iterator[tuple[str, str]]:
        """What is rescaled of each map."""
        yield from super().differences(config, found)
        for path, component in found.items():
            theirs = "input" if _is_named(path, config.get("feedforward_modules")) else "result"
            ours = cast("Ia3", component).of
            if theirs != ours:
                why = f"the file has factors of the {theirs} of '{path}', the spec of its {ours}"
                yield why, f"of: {theirs}"

    def shape(self, component: Component, shape: tuple[int, ...]) -> tuple[int, ...]:
        """A row where inputs are rescaled, a column for results."""
        return (1, *shape) if cast("Ia3", component).of == "input" else (*shape, 1)


TUNERS: Mapping[type[Component], Tuner] = {Lora: LoraTuner(), Ia3: Ia3Tuner()}


def tuner_of(component: Component) -> Tuner | None:
    """How `peft` has adapters of this kind, if it has them."""
    return TUNERS.get(type(component))


def _alpha(component: Lora) -> float:
    return component.rank if component.alpha is None else component.alpha


def _of_pattern(patterns: object, path: str, usual: object) -> object:
    """What a config says of a path, whose patterns are read as names or ends of names."""
    for key, value in patterns.items() if isinstance(patterns, dict) else ():
        if _ends(path, str(key)):
            return value
    return usual


def _is_named(path: str, names: object) -> bool:
    """Whether a path is among names, which are a list or, in one text, separated by bars."""
    several = names.split("|") if isinstance(names, str) else names
    return isinstance(several, list) and any(_ends(path, str(name)) for name in several)


def _ends(path: str, pattern: str) -> bool:
    name = pattern.replace("\\.", ".").removeprefix("^").removesuffix("$")
    return bool(name) and (path == name or path.endswith(f".{name}"))
