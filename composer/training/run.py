"""A run: a model, its optimizer and its place in the data, and how they are saved and restored."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from math import isfinite
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from composer.graph.graph import Graph
from composer.language.train import TrainFields
from composer.targets.source.emit import emit

from . import checkpoint
from .checkpoint import Checkpoint
from .data import Batch, Data, evaluation_batches, training_batches
from .errors import training_error
from .logs import Row
from .objective import CrossEntropy, Objective
from .optimizer import adamw, optimizer_tensors, restore_optimizer
from .randomness import random_numbers, random_tensors, restore_random
from .schedule import share

_ONLY_WATCHING = {"log_every", "eval_every", "eval_batches", "checkpoint_every", "keep"}


class Run:
    """Everything that changes while a model is trained; `step` updates have been made."""

    def __init__(
        self, model: nn.Module, graph: Graph, data: Data, settings: TrainFields,
        device: torch.device, objective: Objective | None = None,
    ) -> None:  # fmt: skip
        self.objective = objective or CrossEntropy(data.output)
        self.objective.to(device)
        self.beside = self.objective.beside
        self.settings, self.data, self.device = settings, data, device
        self.model = model.to(device)
        self.forward = torch.compile(model) if settings.compile else model
        self.optimizer = adamw(model, graph, settings, self.beside)
        self.rates = [group["lr"] for group in self.optimizer.param_groups]
        self.identity = {
            **_identity(graph, data, settings, device),
            **self.objective.identity,
        }
        self.step = self.batches = 0
        self.sums = _Sums(device)
        self.stream: Iterator[Batch] = training_batches(data, settings, 0)

    def update(self) -> Tensor:
        """Makes one update; gives the norm of its gradients before they were cut."""
        self.model.train()
        batches = [next(self.stream) for _ in range(self.settings.accumulate)]
        self.batches += len(batches)
        # A mean over all of them: means of batches would weigh the tokens of short ones more.
        count = max(sum(self.objective.count(*batch) for batch in batches), 1)
        for inputs, targets in batches:
            loss = self._loss(inputs, targets, self.sums, self.settings.label_smoothing)
            (loss / count).backward()  # type: ignore[no-untyped-call]
        trained = [*self.model.parameters(), *self.beside.parameters()]
        norm = nn.utils.clip_grad_norm_(trained, self.settings.clip or float("inf"))
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
        loss, accuracy = self.sums.means()
        self.sums = _Sums(self.device)
        self._check(loss)
        return Row(self.step, "train", loss, accuracy, self._rate(), float(norm))

    @torch.no_grad()
    def evaluate(self) -> Row:
        """The means over what is held out."""
        self.model.eval()
        sums = _Sums(self.device)
        for number, (inputs, targets) in enumerate(evaluation_batches(self.data, self.settings)):
            if number == self.settings.eval_batches:
                break
            self._loss(inputs, targets, sums)
        loss, accuracy = sums.means()
        return Row(self.step, "evaluation", loss, accuracy, self._rate())

    def save(self, folder: Path) -> Path:
        """Writes a checkpoint.

        Raises TrainingError where that is not possible, or the loss is no number any more.
        """
        self._check(float(self.sums.loss))
        tensors = {
            "model": model_tensors(self.model),
            "optimizer": optimizer_tensors(self.optimizer, self.model, self.beside),
            "random": random_tensors(self.device),
        }
        if beside := model_tensors(self.beside):
            tensors["beside"] = beside
        state = {
            "step": self.step,
            "batches": self.batches,
            "sums": self.sums.numbers(),
            "random": random_numbers(),
            "run": self.identity,
        }
        return checkpoint.save(folder, self.step, tensors, state, self.settings.keep)

    def restore(self, found: Checkpoint) -> None:
        """Goes back to what a checkpoint holds.

        Raises TrainingError where it is that of another model.
        """
        state = found.state
        with torch.no_grad():
            _copy(found.tensors("model"), model_tensors(self.model), found.path)
            if beside := model_tensors(self.beside):
                _copy(found.tensors("beside"), beside, found.path)
        tensors = found.tensors("optimizer")
        restore_optimizer(self.optimizer, self.model, tensors, self.beside)
        self.step, self.batches = state["step"], state["batches"]
        self.sums = _Sums(self.device, state["sums"])
        self.stream = training_batches(self.data, self.settings, self.batches)
        restore_random(found.tensors("random"), state["random"], self.device)

    def _loss(
        self, inputs: Mapping[str, Tensor], targets: Tensor, sums: _Sums, smoothing: float = 0.0
    ) -> Tensor:
        """The sum of the losses of a batch; losses and hits are added to `sums`."""
        inputs = {name: value.to(self.device) for name, value in inputs.items()}
        targets = targets.to(self.device)
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


class _Sums:
    """Losses, hits and targets since the last row; on the device, so that nothing waits for it."""

    def __init__(self, device: torch.device, numbers: Sequence[float] = (0.0, 0, 0)) -> None:
        loss, hits, count = numbers
        self.loss = torch.tensor(loss, dtype=torch.float64, device=device)
        self.hits = torch.tensor(hits, dtype=torch.int64, device=device)
        self.count = torch.tensor(count, dtype=torch.int64, device=device)

    def add(self, loss: Tensor, hits: Tensor, count: Tensor) -> None:
        self.loss += loss
        self.hits += hits
        self.count += count

    def numbers(self) -> list[float]:
        return [self.loss.item(), self.hits.item(), self.count.item()]

    def means(self) -> tuple[float, float]:
        loss, hits, count = self.numbers()
        return loss / max(count, 1), hits / max(count, 1)


def model_tensors(model: nn.Module) -> dict[str, Tensor]:
    """Parameters and buffers that are saved, each shared one once."""
    first: dict[int, str] = {}
    state: dict[str, Tensor] = model.state_dict(keep_vars=True)
    for name, tensor in state.items():
        first.setdefault(id(tensor), name)
    return {name: state[name] for name in first.values()}


def _copy(saved: Mapping[str, Tensor], own: Mapping[str, Tensor], path: Path) -> None:
    """Fills a model's tensors with those that were saved."""
    shapes = [{name: one.shape for name, one in group.items()} for group in (saved, own)]
    if shapes[0] != shapes[1]:
        names = sorted(dict(shapes[0].items() ^ shapes[1].items()))
        raise training_error("T503", f"'{path}' is of another model: see '{names[0]}'")
    for name, tensor in own.items():
        tensor.copy_(saved[name])


def _identity(
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
