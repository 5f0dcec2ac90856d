"""The plans of a model in stages: each stage is a graph, split and sharded as the whole one is.

What is split is decided for the whole graph, so a tensor that several stages hold is cut alike in
all of them, and its gradients can be summed piece by piece.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from composer.graph.cuts import starts
from composer.graph.cutting import Stage, cut, held_by_several
from composer.graph.graph import Graph
from composer.graph.steps import steps
from composer.graph.tensors import set_owner
from composer.language.parallel import MeshFields, Parallelism

from .plan import Bytes, Plan, plan, refusal
from .splitting import Splitting


@dataclass(frozen=True)
class StagePlans:
    """The plan of the whole model over dp and tp, and the stages with theirs, the first one first."""

    whole: Plan
    stages: tuple[Stage, ...]
    plans: tuple[Plan, ...]

    @property
    def shared(self) -> Mapping[str, tuple[int, ...]]:
        """Tensors that several stages hold, and the numbers of these."""
        return held_by_several(self.stages)

    @property
    def fullest(self) -> int:
        """The stage with the device that holds most; the first of equals."""
        return max(range(len(self.plans)), key=lambda number: most(self.plans[number]).total)


def plan_stages(graph: Graph, asked: Parallelism, *, batch: int | None = None) -> StagePlans:
    """The plans of all stages of a model; `batch` as for `plan`.

    Raises SpecError for what cannot be cut or spread as asked.
    """
    whole = plan(graph, asked, batch=batch)
    stages = stages_of(graph, asked)
    return StagePlans(whole, stages, tuple(plan_of(stage, whole) for stage in stages))


def stages_of(graph: Graph, asked: Parallelism) -> tuple[Stage, ...]:
    """The stages of a model.

    Raises SpecError where it cannot be cut so.
    """
    try:
        return cut(graph, starts(graph, asked.mesh.pp, asked.pp.cuts))
    except ValueError as error:
        cuts = asked.pp.cuts
        fits = len(steps(graph)) if cuts is None else len(cuts) + 1
        raise refusal(str(error), f"pp: {fits}") from None


def plan_of(stage: Stage, whole: Plan) -> Plan:
    """The plan of a stage over dp and tp."""
    mesh, made = whole.mesh, whole.splitting
    owners = {path: set_owner(path, whole.graph.parts) for path, _ in stage.graph.nodes()}
    tensors = {
        own: replace(whole.tensors[stage.tensors[own]], name=own) for own in stage.graph.tensors
    }
    inner = Splitting(
        split={path: made.split[owner] for path, owner in owners.items() if owner in made.split},
        axes={own: one.axis for own, one in tensors.items() if one.axis is not None},
        whole={path: made.whole[owner] for path, owner in owners.items() if owner in made.whole},
    )
    asked = whole.asked.over(MeshFields(dp=mesh.dp, tp=mesh.tp))
    return Plan(stage.graph, asked, inner, tensors)


def most(layout: Plan) -> Bytes:
    """What the fullest device of a plan holds."""
    return layout.every[layout.fullest]
