"""A run: a model, its optimizer and its place in the data, and how they are saved and restored."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from importlib.metadata import version
from math import isfinite
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from composer.graph.graph import Graph
from composer.language.train import TrainFields
from composer.parallel.apply import parallelize
from composer.parallel.plan import Plan
from composer.parallel.ranks import Ranks, clip
from composer.targets.source.emit import emit

from .checkpoint import Checkpoint, save, save_together
from .data import Batch, Data, evaluation_batches, training_batches
from .errors import training_error
from .logs import Row
from .objective import CrossEntropy, Objective
from .optimizer import adamw, optimizer_tensors, parameters_by_name, restore_optimizer
from .randomness import random_numbers, random_tensors, restore_random
from .schedule import share
from .shards import Pieces
from .spread import Spread, mesh_text

_ONLY_WATCHING = {"log_every", "eval_every", "eval_batches", "checkpoint_every", "keep"}


class Run:
    """Everything that changes while a model is trained; `step` updates have been made."""

    def __init__(
        self, model: nn.Module, graph: Graph, data: Data, settings: TrainFields,
        device: torch.device, layout: Plan, ranks: Ranks, objective: Objective | None = None,
    ) -> None:  # fmt: skip
        self.objective = objective or CrossEntropy(data.output)
        self.objective.to(device)
        self.beside = self.objective.beside
        self.settings, self.data, self.device = settings, data, device
        self.spread, self.ranks = Spread(layout, ranks), ranks
        self.share = (ranks.place[0], ranks.copies)
        self.model = self._placed(model, graph, layout)
        self.forward = torch.compile(self.model) if settings.compile else self.model
        self.optimizer = adamw(self.model, graph, settings, self.beside)
        self.rates = [group["lr"] for group in self.optimizer.param_groups]
        self.identity = {
            **identity(graph, data, settings, device),
            **self.objective.identity,
            "the mesh": mesh_text(layout.asked),
        }
        self.step = self.batches = 0
        self.sums = Sums(device)
        self.stream: Iterator[Batch] = training_batches(data, settings, 0, self.share)

    def update(self) -> Tensor:
        """Makes one update; gives the norm of its gradients before they were cut."""
        self.model.train()
        batches = [next(self.stream) for _ in range(self.settings.accumulate)]
        self.batches += len(batches)
        # A mean over all of them: means of batches would weigh the tokens of short ones more.
        counted = torch.tensor(sum(self.objective.count(*batch) for batch in batches))
        count = max(int(self.ranks.over_copies(counted)), 1)
        count_each = count / self.ranks.copies  # gradients of copies are averaged
        for inputs, targets in map(self._here, batches):
            self._learn(inputs, targets, count_each)
        norm = self._norm(self.settings.clip or float("inf"))
        for group, rate in zip(self.optimizer.param_groups, self.rates, strict=True):
            group["lr"] = rate * share(self.step, self.settings)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.step += 1
        return norm

    def row(self, norm: Tensor) -> Row:
        """The means since the last row.

        Raises TrainingError where the loss is no number any more.
        """
        loss, accuracy = self.sums.means(self.ranks)
        self.sums = Sums(self.device)
        self._check(loss)
        return Row(self.step, "train", loss, accuracy, self._rate(), float(norm))

    @torch.no_grad()
    def evaluate(self) -> Row:
        """The means over what is held out."""
        self.model.eval()
        sums = Sums(self.device)
        batches = evaluation_batches(self.data, self.settings, self.share)
        for batch, counts in batches:
            self._score(*self._here(batch), sums if counts else Sums(self.device))
        loss, accuracy = sums.means(self.ranks)
        return Row(self.step, "evaluation", loss, accuracy, self._rate())

    def save(self, folder: Path) -> Path:
        """Writes a checkpoint.

        Raises TrainingError where that is not possible, or the loss is no number any more.
        """
        sums = self.sums.numbers(self.ranks)
        self._check(sums[0])
        tensors: dict[str, dict[str, Tensor]] = {
            "model": model_tensors(self.model),
            "optimizer": optimizer_tensors(self.optimizer, self.model, self.beside),
        }
        if beside := model_tensors(self.beside):
            tensors["beside"] = beside
        state = {"step": self.step, "batches": self.batches, "sums": sums, "run": self.identity}
        keep = self.settings.keep
        if self.spread.together:
            write = partial(self.spread.write, groups=tensors, device=self.device)
            return save_together(folder, self.step, write, tensors, state, keep, self.ranks)
        tensors["random"] = random_tensors(self.device)
        state["random"] = random_numbers()
        return save(folder, self.step, tensors, state, keep)

    def restore(self, found: Checkpoint) -> None:
        """Goes back to what a checkpoint holds.

        Raises TrainingError where it is that of another model.
        """
        state, spread = found.state, self.spread
        with torch.no_grad():
            spread.fill(model_tensors(self.model), Pieces(found.path, "model"), found.path)
            if beside := model_tensors(self.beside):
                spread.fill(beside, Pieces(found.path, "beside"), found.path)
        parameters = parameters_by_name(self.model, self.beside)
        averages = spread.averages(Pieces(found.path, "optimizer"), parameters)
        restore_optimizer(self.optimizer, parameters, averages)
        self.step, self.batches = state["step"], state["batches"]
        self.sums = Sums(self.device, state["sums"] if self.share[0] == 0 else (0.0, 0, 0))
        self.stream = training_batches(self.data, self.settings, self.batches, self.share)
        as_before = state["run"].get("the mesh") == self.identity["the mesh"]
        if spread.together:
            spread.restore_random(found.path, self.device, as_before=as_before)
        elif as_before:
            restore_random(found.tensors("random"), state["random"], self.device)

    def _placed(self, model: nn.Module, graph: Graph, layout: Plan) -> nn.Module:
        """What of the model this rank trains, on its device."""
        model = model.to(self.device)
        if self.ranks.mesh is not None:
            parallelize(model, graph, self.ranks.mesh, layout.asked)
        return model

    def _here(self, batch: Batch) -> Batch:
        """A batch on the device."""
        inputs, targets = batch
        here = {name: value.to(self.device) for name, value in inputs.items()}
        return here, targets.to(self.device)

    def _learn(self, inputs: Mapping[str, Tensor], targets: Tensor, count: float) -> None:
        """Adds the gradients of a batch's loss, divided by `count`."""
        loss = self._loss(inputs, targets, self.sums, self.settings.label_smoothing)
        (loss / count).backward()  # type: ignore[no-untyped-call]

    def _norm(self, limit: float) -> Tensor:
        """The norm of all gradients, which are cut to a limit."""
        together = clip if self.spread.together else nn.utils.clip_grad_norm_
        return together([*self.model.parameters(), *self.beside.parameters()], limit)

    def _score(self, inputs: Mapping[str, Tensor], targets: Tensor, sums: Sums) -> None:
        """Adds the losses and hits of a batch to `sums`."""
        self._loss(inputs, targets, sums)

    def _loss(
        self, inputs: Mapping[str, Tensor], targets: Tensor, sums: Sums, smoothing: float = 0.0
    ) -> Tensor:
        """The sum of the losses of a batch; losses and hits are added to `sums`."""
        half = self.settings.precision == "bfloat16"
        with torch.autocast(self.device.type, torch.bfloat16, enabled=half):
            scored = self.objective.score(self.forward, inputs, targets, smoothing)
        sums.add(scored.loss.detach(), scored.hits, scored.count)
        return scored.loss

    def _rate(self) -> float:
        """The rate of the last update."""
        return self.settings.lr * share(self.step - 1, self.settings)

    def _check(self, loss: float) -> None:
        if not isfinite(loss):
            raise training_error(
                "T505", f"the loss is {loss} at step {self.step}",
                "set a lower lr, more warmup or clip; checkpoints from before are kept",
            )  # fmt: skip


class Sums:
    """Losses, hits and targets since the last row; on the device, so that nothing waits for it."""

    def __init__(self, device: torch.device, numbers: Sequence[float] = (0.0, 0, 0)) -> None:
        loss, hits, count = numbers
        self.loss = torch.tensor(loss, dtype=torch.float64, device=device)
        self.hits = torch.tensor(hits, dtype=torch.int64, device=device)
        self.count = torch.tensor(count, dtype=torch.int64, device=device)

    def add(self, loss: Tensor, hits: Tensor, count: Tensor) -> None:
        """Adds those of a batch."""
        self.loss += loss
        self.hits += hits
        self.count += count

    def numbers(self, ranks: Ranks) -> list[float]:
        """Loss, hits and number of targets, of all copies."""
        return [ranks.over_copies(each).item() for each in (self.loss, self.hits, self.count)]

    def means(self, ranks: Ranks) -> tuple[float, float]:
        """Loss and accuracy by target."""
        loss, hits, count = self.numbers(ranks)
        return loss / max(count, 1), hits / max(count, 1)


def model_tensors(model: nn.Module) -> dict[str, Tensor]:
    """Parameters and buffers that are saved, each shared one once."""
    first: dict[int, str] = {}
    state: dict[str, Tensor] = model.state_dict(keep_vars=True)
    for name, tensor in state.items():
        first.setdefault(id(tensor), name)
    return {name: state[name] for name in first.values()}


def identity(
    graph: Graph, data: Data, settings: TrainFields, device: torch.device
) -> dict[str, Any]:
    """All that the numbers of a run depend on, by what it is called."""
    endless = {"steps", "final_lr"} if settings.schedule == "constant" else set()
    chosen = settings.model_dump(exclude=_ONLY_WATCHING | endless)
    source = hashlib.sha256(emit(graph).encode()).hexdigest()
    return {
        "the model": source,
        "the data": data.digest,
        **{f"train.{key}": value for key, value in chosen.items()},
        "the version of torch": torch.__version__,
        "the version of composer": version("graph-composer"),
        "the number of threads": torch.get_num_threads(),
        "the device": str(device),
    }
