"""A run whose model is cut into stages: its updates, and its checkpoints by the whole model's names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import cast

import torch
import torch.distributed as dist
from torch import Tensor, nn

from composer.graph.cuts import starts
from composer.graph.graph import Graph
from composer.graph.tensors import first_names
from composer.language.parallel import Parallelism
from composer.language.train import TrainFields
from composer.parallel.pipeline import Outputs, Pipeline, pipeline
from composer.parallel.plan import Plan, refusal
from composer.parallel.ranks import Ranks
from composer.parallel.stages import fill

from .errors import training_error
from .objective import hits_and_count, loss_of
from .run import Run, Sums, model_tensors
from .shards import Piece, Pieces
from .spread import Spread


class StagedRun(Run):
    """A run of which every process trains one stage; copies of the stages share batches along dp."""

    stages: Pipeline

    def _placed(self, model: nn.Module, graph: Graph, layout: Plan) -> nn.Module:
        assert self.ranks.mesh is not None, "stages are on several devices"
        rows = self.ranks.mesh.mesh.flatten(1).T.tolist()
        self.stages = pipeline(graph, layout.asked.pp, rows=rows, device=self.device)
        fill(self.stages.model, self.stages.stage, model.state_dict())
        self.spread = StagedSpread(layout, self.ranks, self.stages, model_tensors(model))
        return self.stages.model

    def _learn(self, inputs: Mapping[str, Tensor], targets: Tensor, count: float) -> None:
        found: list[Tensor] = []
        smoothing = self.settings.label_smoothing

        def loss(outputs: Outputs, wanted: Tensor) -> Tensor:
            scores = cast("Tensor", outputs[self.data.output])
            found.append(hits_and_count(scores, wanted))
            return loss_of(scores, wanted, smoothing)

        total = self.stages.step(inputs, targets, loss, count=count)
        # The first step also scores what torch makes up to learn shapes; that comes first.
        self._add(self.sums, total, found[-self.stages.microbatches :])

    def _norm(self, limit: float) -> Tensor:
        self.stages.sum_shared()
        for parameter in self.model.parameters():
            if parameter.grad is not None:
                parameter.grad = self.ranks.over_copies(parameter.grad) / self.ranks.copies
        return self.stages.clip(limit)

    def _score(self, inputs: Mapping[str, Tensor], targets: Tensor, sums: Sums) -> None:
        outputs, found = self.stages.forward(inputs), []
        total = torch.zeros((), device=self.device)
        if outputs is not None:
            scores = cast("Tensor", outputs[self.data.output])
            found, total = [hits_and_count(scores, targets)], loss_of(scores, targets)
        dist.broadcast(total, self.stages.ranks[-1], group=self.stages.group)
        self._add(sums, total, found)

    def _add(self, sums: Sums, loss: Tensor, found: list[Tensor]) -> None:
        """Adds what the last stage has found, on every stage."""
        numbers = torch.zeros(2, dtype=torch.int64, device=self.device)
        for each in found:
            numbers += each
        dist.broadcast(numbers, self.stages.ranks[-1], group=self.stages.group)
        sums.add(loss, numbers[0], numbers[1])


def check_stages(graph: Graph, settings: TrainFields, asked: Parallelism) -> None:
    """What stages cannot be trained with.

    Raises SpecError.
    """
    mesh, pp = asked.mesh, asked.pp
    if mesh.tp > 1:
        raise refusal("stages along pp are not split along tp, too", "tp: 1")
    if mesh.dp > 1 and asked.fsdp is not None:
        raise refusal("copies of stages are whole, and not sharded along dp", "fsdp: false")
    if settings.precision != "float32":
        raise refusal("stages are trained in float32", "--set train.precision=float32")
    try:
        starts(graph, mesh.pp, pp.cuts)
    except ValueError as error:
        raise refusal(str(error), f"--mesh pp={len(pp.cuts or ()) + 1}") from None
    parts = pp.microbatches or mesh.pp
    if pp.schedule == "1f1b" and parts < mesh.pp:
        why = f"1f1b wants a microbatch for each of {mesh.pp} stages, not {parts}"
        raise refusal(why, f"--set parallel.pp.microbatches={mesh.pp}")
    if settings.batch_size % (parts * mesh.dp):
        why = f"a batch of {settings.batch_size} does not divide into {parts} microbatches"
        near = max(settings.batch_size // (parts * mesh.dp), 1) * parts * mesh.dp
        raise refusal(f"{why} for each of dp: {mesh.dp}", f"--set train.batch_size={near}")


class StagedSpread(Spread):
    """Tensors of a stage under the names of the whole model; the first that has one writes it."""

    def __init__(self, layout: Plan, ranks: Ranks, row: Pipeline, saved: Iterable[str]) -> None:
        super().__init__(layout, ranks)
        self.row = row
        firsts = first_names(row.graph)
        self.saved = {firsts[name]: name for name in saved}
        self.own = dict(self._own_names())

    def _own_names(self) -> Iterator[tuple[str, str]]:
        """Names of what the stage has in its own model, and in the whole one."""
        stage = self.row.stage
        for name, first in first_names(stage.graph).items():
            yield name, self.saved[stage.tensors[first]]

    def pieces(self, tensors: Mapping[str, Tensor]) -> dict[str, Piece]:
        """All of the tensors of this stage, called as in the whole model."""
        made = {}
        for name, tensor in tensors.items():
            key, mark, own = name.rpartition(":")
            writes = self.ranks.place[0] == 0 and self.row.owns(own)
            shape = tuple(tensor.shape)
            piece = Piece(tensor, (0,) * len(shape), shape, writes)
            made[f"{key}{mark}{self.own[own]}"] = piece
        return made

    def fill(self, own: Mapping[str, Tensor], saved: Pieces, path: Path) -> None:
        """Fills the tensors of this stage with what of them was saved.

        Raises TrainingError where those of another model were.
        """
        for name, piece in self.pieces(own).items():
            if saved.shapes.get(name) != piece.shape:
                raise training_error("T503", f"'{path}' is of another model: see '{name}'")
            piece.tensor.copy_(saved.read(name, piece.start, piece.shape))

    def averages(self, saved: Pieces, parameters: Mapping[str, nn.Parameter]) -> dict[str, Tensor]:
        """What an optimizer has gathered for the parameters of this stage."""
        own = {self.own[name]: name for name in parameters}
        made = {}
        for name, shape in saved.shapes.items():
            key, _, parameter = name.partition(":")
            if parameter in own:
                made[f"{key}:{own[parameter]}"] = saved.read(name, (0,) * len(shape), shape)
        return made
