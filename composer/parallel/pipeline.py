"""Pipelines: the stages of a model on devices in a row, run by torch's own schedules.

A batch is split into microbatches that follow each other through the stages. Losses are sums over
what is scored, divided by one number for the whole batch, so that the update is that of one device,
however padding is spread over the microbatches. Gradients of tensors that several stages hold, such
as a tied embedding and head, are summed over these stages, so they stay one tensor.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.pipelining import PipelineStage, Schedule1F1B, ScheduleGPipe

from composer.graph.cuts import starts
from composer.graph.cutting import Stage, cut, held_by_several
from composer.graph.graph import Graph
from composer.graph.tensors import first_names
from composer.language.parallel import PpFields

from .stages import StageModule, named, stage_module

Outputs = dict[str, Tensor | list[Tensor]]
Loss = Callable[[Outputs, Tensor], Tensor]
"""The sum of the losses of some outputs against their targets."""

Name = Literal["gpipe", "1f1b"]
Schedule = ScheduleGPipe | Schedule1F1B
_SCHEDULES: dict[Name, type[Schedule]] = {"gpipe": ScheduleGPipe, "1f1b": Schedule1F1B}
_KEPT = 8  # schedules of different lengths; each holds buffers for what it receives


def pipeline(
    graph: Graph, settings: PpFields | None = None, *, rows: Sequence[Sequence[int]] | None = None,
    seed: int | None = None, device: torch.device | None = None,
) -> Pipeline:  # fmt: skip
    """The stage of this process, after `torch.distributed` has started.

    `rows` are the processes of each copy of the model, first stage first; without them all are one
    row. Every process of all rows calls this. With a `seed`, parameters are those that the whole
    model has with it.

    >>> row = pipeline(graph, seed=0)  # doctest: +SKIP
    >>> loss = row.step(inputs, targets, loss, count=number_of_targets)  # doctest: +SKIP
    >>> row.sum_shared()  # doctest: +SKIP
    >>> torch.optim.AdamW(row.model.parameters()).step()  # doctest: +SKIP

    Raises ValueError where the model does not run in so many steps, or 1f1b has fewer microbatches
    than stages.
    """
    chosen, place = settings or PpFields(), device or torch.device("cpu")
    every = [tuple(row) for row in rows or [range(dist.get_world_size())]]
    count = len(every[0])
    stages = cut(graph, starts(graph, count, chosen.cuts))
    row, group, shared = _groups(stages, every)
    stage = stages[row.index(dist.get_rank())]
    module = stage_module(graph, stage, seed=seed, device=place)
    parts = chosen.microbatches or count
    if chosen.schedule == "1f1b" and parts < count:
        msg = f"1f1b wants a microbatch for each of {count} stages, not {parts}"
        raise ValueError(msg)
    return Pipeline(graph, stages, module, group, row, place, parts, chosen.schedule, shared)


def _groups(
    stages: Sequence[Stage], rows: Sequence[tuple[int, ...]]
) -> tuple[tuple[int, ...], dist.ProcessGroup, dict[str, dist.ProcessGroup]]:
    """This process's row, its group, and by tensor the group of the stages that share it."""
    several = held_by_several(stages)
    own: tuple[tuple[int, ...], dist.ProcessGroup] | None = None
    shared: dict[str, dist.ProcessGroup] = {}
    for row in rows:  # every process makes the groups of all rows, in one order
        whole = dist.new_group(list(row))
        groups = {n: dist.new_group([row[i] for i in n]) for n in dict.fromkeys(several.values())}
        if dist.get_rank() in row:
            here = row.index(dist.get_rank())
            own = (row, whole)
            shared = {name: groups[n] for name, n in several.items() if here in n}
    assert own is not None, "every process is in one of the rows"
    return (*own, shared)


@dataclass
class Pipeline:
    """The stage of this process in a row of processes.

    `ranks` are the processes of the row, first stage first, and `group` is theirs. `shared` maps
    first names in the whole graph to the groups of stages that hold the tensor. Every process calls
    every method, with the same batch.
    """

    graph: Graph
    stages: tuple[Stage, ...]
    module: StageModule
    group: dist.ProcessGroup
    ranks: tuple[int, ...]
    device: torch.device
    microbatches: int
    schedule: Name = "1f1b"
    shared: Mapping[str, dist.ProcessGroup] = field(default_factory=dict)
    _made: dict[object, Schedule] = field(default_factory=dict, repr=False)
    _loss: Loss | None = field(default=None, repr=False)
    _count: float = 1

    @property
    def stage(self) -> Stage:
        """What this process computes."""
        return self.module.stage

    @property
    def model(self) -> nn.Module:
        """The module that the stage's source makes; its parameters are trained."""
        return self.module.model

    def step(
        self, inputs: Mapping[str, Tensor], targets: Tensor, loss: Loss, *, count: float = 1
    ) -> Tensor:
        """Runs a batch forward and backward, which adds to the gradients.

        `inputs` are those of the whole model. Gives the sum of the losses on every process; the
        gradients are those of this sum divided by `count`. Call `sum_shared` before they are used.

        Raises ValueError where the batch does not divide into the microbatches.
        """
        self._loss, self._count = loss, count
        losses: list[Tensor] = []
        last = self.stage.number == len(self.stages) - 1
        made = self._schedule(inputs, targets, training=True)
        made.step(
            *self._first(inputs), **self._rest(inputs), target=targets if last else None,
            losses=losses if last else None, return_outputs=False,
        )  # fmt: skip
        total = torch.stack([one.detach() for one in losses]).sum() if last else torch.zeros(())
        total = total.to(self.device) * count
        dist.broadcast(total, self.ranks[-1], group=self.group)
        return total

    @torch.no_grad()
    def forward(self, inputs: Mapping[str, Tensor]) -> Outputs | None:
        """The outputs of the whole model on the last stage, None on the others."""
        made = self._schedule(inputs, None, training=False)
        found = made.step(*self._first(inputs), **self._rest(inputs))
        if found is None:
            return None
        tensors = found if isinstance(found, tuple) else (found,)
        return named(tensors, self.graph.outputs)

    @torch.no_grad()
    def sum_shared(self) -> None:
        """Sums the gradients of the tensors that several stages hold over these stages."""
        own = dict(self.model.named_parameters(remove_duplicate=False))
        names = {whole: name for name, whole in self.stage.tensors.items()}
        for whole, group in self.shared.items():
            parameter = own.get(names.get(whole, ""))
            if parameter is None or not parameter.requires_grad:
                continue
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            dist.all_reduce(parameter.grad, group=group)

    @torch.no_grad()
    def clip(self, limit: float) -> Tensor:
        """The norm of all gradients of all stages; where it is over the limit, cuts them to it."""
        total = torch.zeros((), dtype=torch.float64, device=self.device)
        grads = [p.grad for p in self.model.parameters() if p.grad is not None]
        for name, parameter in self.model.named_parameters():
            if parameter.grad is not None and self.owns(name):
                total += parameter.grad.square().sum()
        dist.all_reduce(total, group=self.group)
        norm = total.sqrt()
        for grad in grads:
            grad.mul_((limit / (norm + 1e-6)).clamp(max=1.0))  # as in torch
        return norm

    def owns(self, name: str) -> bool:
        """Whether this stage is the first that holds a tensor of its model."""
        whole = self.stage.tensors.get(self.first_names[name])
        return all(whole not in s.tensors.values() for s in self.stages[: self.stage.number])

    @cached_property
    def first_names(self) -> dict[str, str]:
        """For each name of a tensor of the stage's model the first one in its graph."""
        return first_names(self.stage.graph)

    def _score(self, outputs: Tensor | tuple[Tensor, ...], targets: Tensor) -> Tensor:
        """The loss of a microbatch, as torch's schedules ask for it."""
        assert self._loss is not None, "a step says what the loss is"
        tensors = outputs if isinstance(outputs, tuple) else (outputs,)
        return self._loss(named(tensors, self.graph.outputs), targets) / self._count

    def _first(self, inputs: Mapping[str, Tensor]) -> tuple[Tensor, ...]:
        """What the first stage is given by position: torch wants something there."""
        return () if self.stage.number else (inputs[self.stage.inputs[0]],)

    def _rest(self, inputs: Mapping[str, Tensor]) -> dict[str, Any]:
        names = self.stage.inputs if self.stage.number else self.stage.inputs[1:]
        given = {name: inputs[name] for name in names if name in inputs}
        return {"inputs": given} if given else {}  # torch cannot split nothing

    def _schedule(
        self, inputs: Mapping[str, Tensor], targets: Tensor | None, *, training: bool
    ) -> Schedule:
        """A schedule for inputs of these shapes: its buffers are for them only."""
        shapes = tuple(sorted((name, tuple(value.shape)) for name, value in inputs.items()))
        key = (shapes, None if targets is None else tuple(targets.shape), training)
        if key not in self._made:
            if len(self._made) == _KEPT:
                self._made.pop(next(iter(self._made)))
            stage = PipelineStage(
                self.module, self.stage.number, len(self.stages), self.device, group=self.group
            )
            batch = next(iter(inputs.values())).shape[0]
            self._made[key] = (
                self._training(stage, batch) if training else self._plain(stage, batch)
            )
        return self._made[key]

    def _training(self, stage: PipelineStage, batch: int) -> Schedule:
        if batch % self.microbatches:
            msg = f"a batch of {batch} does not divide into {self.microbatches} microbatches"
            raise ValueError(msg)
        made = _SCHEDULES[self.schedule]
        return made(stage, self.microbatches, loss_fn=self._score, scale_grads=False)

    def _plain(self, stage: PipelineStage, batch: int) -> Schedule:
        """A schedule that goes forward only; what does not divide is one microbatch."""
        return ScheduleGPipe(stage, 1 if batch % self.microbatches else self.microbatches)
