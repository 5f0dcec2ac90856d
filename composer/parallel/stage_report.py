"""The plans of stages in rows: what each stage computes, and what a device of it holds."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from composer.graph.cutting import Stage

from . import report
from .plan import Bytes
from .stage_plans import StagePlans, most

_NAMED = 3  # tensors that are named where several stages hold them


@dataclass(frozen=True)
class Row:
    """A stage: what it computes, and what its fullest device holds."""

    number: int
    steps: str
    parameters: int
    held: Bytes


def rows(plans: StagePlans) -> list[Row]:
    """The stages, the first one first."""
    pairs = zip(plans.stages, plans.plans, strict=True)
    return [
        Row(stage.number, steps(stage), layout.graph.parameters, most(layout))
        for stage, layout in pairs
    ]


def steps(stage: Stage) -> str:
    """What a stage computes, by its first step and its last one."""
    return " to ".join(dict.fromkeys([stage.steps[0].name, stage.steps[-1].name]))


def shared_in_words(plans: StagePlans) -> str:
    """What several stages hold; empty where nothing is."""
    shared = plans.shared
    if not shared:
        return ""
    named = list(shared.items())[:_NAMED]
    texts = [f"{name} ({', '.join(map(str, numbers))})" for name, numbers in named]
    more = len(shared) - len(named)
    return "; ".join(texts) + (f"; and {more} more" if more else "")


def data(plans: StagePlans) -> dict[str, Any]:
    """The plans as plain data."""
    stages = []
    for stage, layout in zip(plans.stages, plans.plans, strict=True):
        known = report.data(layout)
        kept = {key: known[key] for key in ("parameters", "parts", "device", "tensors")}
        names = {"steps": [step.name for step in stage.steps]}
        stages.append({"stage": stage.number, **names, "sends": list(stage.sends), **kept})
    held = most(plans.plans[plans.fullest])
    return {
        "mesh": plans.whole.mesh.model_dump(),
        "world": plans.whole.mesh.world,
        "parameters": plans.whole.graph.parameters,
        "stages": stages,
        "shared": {name: list(numbers) for name, numbers in plans.shared.items()},
        "fullest": {"stage": plans.fullest, **asdict(held), "total": held.total},
    }
