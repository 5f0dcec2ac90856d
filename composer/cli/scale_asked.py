"""What `composer scale` is asked for, and whether that can be meant."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .output import UsageError

if TYPE_CHECKING:
    from composer.graph.graph import Graph
    from composer.scaling import Factors, Law
    from composer.scaling.series import Member

FACTORS = "depth=1.2,width=1.29"
"""Of compound scaling, unless others are given."""


@dataclass(frozen=True)
class Asked:
    """What a command asks for; the first four exclude each other."""

    params: str | None
    flops: str | None
    compound: float | None
    series: str | None
    width: float | None
    depth: float | None
    law: str | None
    base: str


def check_asked(
    asked: Asked, *, write: bool, out: Path | None, plot: Path | None, tabled: bool,
    name: str | None,
) -> None:  # fmt: skip
    """Refuses flags that contradict each other."""
    goals = {
        f"--{key}": value
        for key in ("params", "flops", "compound", "series")
        if (value := getattr(asked, key)) is not None
    }
    factors = [f"--{key}" for key in ("width", "depth") if getattr(asked, key) is not None]
    if len(goals) > 1:
        raise UsageError(f"{' and '.join(goals)} contradict each other: give one of them")
    if not goals and not factors:
        raise UsageError("nothing says how far: give --width, --depth, --compound, --params, ...")
    if factors and ({"--compound", "--series"} & set(goals) or (goals and len(factors) > 1)):
        raise UsageError(f"{', '.join([*goals, *factors])}: too many say how far; leave one out")
    if asked.law is not None and not {"--params", "--flops", "--series"} & set(goals):
        raise UsageError("--law belongs to --params, --flops or --series")
    if asked.base != FACTORS and asked.compound is None:
        raise UsageError("--factors belongs to --compound")
    if asked.series is None and (plot is not None or tabled):
        raise UsageError("--plot and --format belong to --series")
    if asked.series is not None and (write or out is not None or name is not None):
        raise UsageError("a series is a table: --write, -o and --as belong to one size")
    if write and out is not None:
        raise UsageError("--write and -o contradict each other: give one of them")
    if plot is not None and plot.suffix not in {".svg", ".png"}:
        raise UsageError(f"'{plot}' is none of .svg, .png")


def law_of(graph: Graph, asked: Asked) -> Law | None:
    """The law that is named; for a budget the first, and otherwise none.

    Raises ScalingError where it says nothing of such a model.
    """
    from composer.scaling import LAWS, ScalingError
    from composer.scaling.laws import why_not

    if asked.law is not None and asked.law not in LAWS:
        raise ScalingError(f"there is no law '{asked.law}'", f"laws: {', '.join(LAWS)}")
    name = asked.law or ("chinchilla20" if asked.flops is not None else None)
    if name is None:
        return None
    if why := why_not(graph):
        raise ScalingError(
            f"the law {name} says nothing of this model: {why}", "give --params without a law"
        )
    return LAWS[name]


def compound_factors(phi: float, text: str) -> Factors:
    """The factors of compound scaling (Tan and Le, 2019, arXiv:1905.11946)."""
    from composer.scaling import Factors, ScalingError

    base = {"depth": 1.0, "width": 1.0, "length": 1.0}
    for item in text.split(","):
        key, _, value = item.partition("=")
        try:
            base[key.strip()] = float(value)
        except ValueError:
            raise ScalingError(f"'{item}' is no factor", "--factors depth=1.2,width=1.29") from None
    if base.keys() - {"depth", "width", "length"}:
        raise ScalingError(f"'{text}' names something else than depth, width and length")
    cost = base["depth"] * base["width"] ** 2 * base["length"]
    if min(base.values()) < 1 or not 1.9 <= cost <= 2.1:  # noqa: PLR2004 - about 2 is the rule
        raise ScalingError(
            f"depth * width^2 * length is {cost:.3f}, not within 1.9 to 2.1, or a factor is below 1",
            "--factors depth=1.2,width=1.29",
        )
    if not abs(phi) <= 40:  # noqa: PLR2004 - a trillion times
        raise ScalingError(f"--compound {phi:g} is too far", "--compound 3")
    return Factors(base["width"] ** phi, base["depth"] ** phi, 1.0, base["length"] ** phi)


def name_of(asked: Asked, found: Member) -> str:
    """The name of a size that is given none: how it was asked for."""
    if asked.params is not None:
        return asked.params.strip().lower().replace(" ", "")
    if asked.flops is not None:
        return found.name.lower()
    if asked.compound is not None:
        return f"compound-{asked.compound:g}"
    factors = (("width", asked.width), ("depth", asked.depth))
    return "-".join(f"{key}-x{value:g}" for key, value in factors if value is not None)
