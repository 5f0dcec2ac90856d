"""A stage as a module: its own source, and around it what comes in and goes on as a tuple."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from composer.graph.cutting import Stage
from composer.graph.graph import Graph, Output
from composer.targets.module import build_module

Values = dict[str, Tensor]


class StageModule(nn.Module):
    """A stage between its neighbours.

    `forward` takes what the stage before sent, in the order of `Stage.receives`, and the model's
    own inputs by name, of which it uses those that it needs: together, since torch's schedules have
    arguments of their own. It returns what the next stage receives; the last one returns the
    model's outputs, lists one by one. The first stage may take its first input by position. `model`
    is the module that the stage's source makes.
    """

    def __init__(self, stage: Stage, model: nn.Module, graph: Graph) -> None:
        super().__init__()
        self.stage, self.model = stage, model
        self.outputs = graph.outputs if not stage.sends else []

    def forward(
        self, *received: Tensor, inputs: Mapping[str, Tensor] | None = None
    ) -> tuple[Tensor, ...]:
        """What comes from the stage before, and the inputs -> what goes to the next one."""
        names = self.stage.receives or self.stage.inputs[:1]
        values: dict[str, Tensor | None] = dict(inputs or {})
        values |= dict(zip(names, map(_received, received), strict=False))
        given = {n: values[n] for n in (*self.stage.inputs, *self.stage.reads) if n in values}
        made = self.model(**{name: _unpacked(value) for name, value in given.items()})
        if self.outputs:
            return tuple(flat(getattr(made, output.name) for output in self.outputs))
        values |= {name: getattr(made, name) for name in self.stage.makes}
        device = next(value.device for value in given.values() if value is not None)
        return tuple(_packed(values[name], device) for name in self.stage.sends)


def stage_module(
    graph: Graph, stage: Stage, *, seed: int | None = None, device: torch.device | None = None
) -> StageModule:
    """A stage of a graph; with a `seed`, with the parameters that the whole model has with it.

    The whole model is made for that once, on the CPU, and thrown away: its parameters are drawn one
    after another, so no part of it can be drawn alone.
    """
    model = build_module(stage.graph, seed=seed)
    if seed is not None:
        fill(model, stage, build_module(graph, seed=seed).state_dict())
    return StageModule(stage, model.to(device), graph)


@torch.no_grad()
def fill(model: nn.Module, stage: Stage, state: Mapping[str, Tensor]) -> None:
    """Fills a stage's model with tensors that go by their first names in the whole graph."""
    own = model.state_dict()
    for name, whole in stage.tensors.items():
        own[name].copy_(state[whole])


def tensors_of(model: nn.Module, stage: Stage) -> Values:
    """The tensors of a stage's model by their first names in the whole graph."""
    own = model.state_dict()
    return {whole: own[name] for name, whole in stage.tensors.items()}


def named(outputs: tuple[Tensor, ...], wanted: list[Output]) -> dict[str, Tensor | list[Tensor]]:
    """The outputs of a model by name, of the tuple that its last stage returns."""
    left = iter(outputs)
    return {
        output.name: [next(left) for _ in output.layers] if output.layers else next(left)
        for output in wanted
    }


def flat(values: object) -> list[Tensor]:
    """Tensors and lists of them as one list."""
    found: list[Tensor] = []
    for value in values:  # type: ignore[attr-defined]  # any iterable
        found += value if isinstance(value, list) else [value]
    return found


def _received(value: Tensor) -> Tensor:
    """A value whose gradient can be sent back: only what is contiguous can."""
    if not value.requires_grad:
        return value
    value = value.view_as(value)
    value.register_hook(torch.Tensor.contiguous)  # type: ignore[no-untyped-call]
    return value


def _packed(value: Tensor | None, device: torch.device) -> Tensor:
    """A value that can be sent; where there is no mask, an empty one."""
    return torch.empty(0, dtype=torch.bool, device=device) if value is None else value.contiguous()


def _unpacked(value: Tensor | None) -> Tensor | None:
    return None if value is None or (value.dtype == torch.bool and not value.numel()) else value
