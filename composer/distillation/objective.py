"""Distillation as an objective of `composer.training`: its loop, checkpoints and exact resume."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from composer.language.train import TrainFields
from composer.targets.source.emit import emit
from composer.training.data import IGNORED, Data
from composer.training.logs import Watch
from composer.training.loop import Result, Resume
from composer.training.loop import train as run
from composer.training.objective import Forward, Scored

from .distiller import Distiller


class Distilled(nn.Module):
    """What a distiller's student is trained for; `output` is what its accuracy is read from.

    The loss of a batch is the mean that the distiller gives, times its rows. A row is right where
    the class is that of the target, or the teacher's where there is no target.
    """

    def __init__(self, distiller: Distiller, output: str) -> None:
        super().__init__()
        self.distiller, self.output = distiller, output
        self.beside = distiller.projections
        self.identity: Mapping[str, Any] = _identity(distiller)

    def count(self, inputs: Mapping[str, Tensor], targets: Tensor) -> int:
        """Number of rows that are compared."""
        return int(self._rows(inputs, targets).sum())

    def score(
        self, forward: Forward, inputs: Mapping[str, Tensor], targets: Tensor, smoothing: float
    ) -> Scored:
        """What a batch costs, the outputs of the student being those of `forward`."""
        outputs, taught = forward(**inputs), self.distiller.taught(inputs)
        losses = self.distiller.compare(outputs, taught, inputs, targets, smoothing=smoothing)
        rows = self._rows(inputs, targets)
        right = self._right(targets, taught)
        hits = (getattr(outputs, self.output).argmax(-1) == right) & rows
        return Scored(losses.total * rows.sum(), hits.sum(), rows.sum())

    def _rows(self, inputs: Mapping[str, Tensor], targets: Tensor) -> Tensor:
        """Which rows are compared, in the shape of the targets."""
        if self.distiller.pairing.scores is None:
            return targets != IGNORED
        real = self.distiller.rows(inputs, targets)
        return torch.ones_like(targets, dtype=torch.bool) if real is None else real

    def _right(self, targets: Tensor, taught: Any) -> Tensor:  # noqa: ANN401
        """The right class of each row."""
        scores = self.distiller.pairing.scores
        if scores is None:
            return targets
        best = getattr(taught, scores.teacher).argmax(-1)
        return torch.where(targets == IGNORED, best, targets)


def train(
    distiller: Distiller, data: Data, settings: TrainFields | None = None, *, out: str | Path,
    device: str | torch.device | None = None, resume: Resume = "exact", tensorboard: bool = False,
    watch: Watch | None = None,
) -> Result:  # fmt: skip
    """Trains the student of a distiller, as `composer.training.train` does a model.

    Parameters in its checkpoints are those of the student alone, learned maps lie beside them.

    >>> distiller = composer.distillation.build("student.yaml")  # doctest: +SKIP
    >>> train(distiller, data, out="runs/distilled")  # doctest: +SKIP

    Raises SpecError, of which TrainingError tells what training cannot go on with.
    """
    scores = distiller.pairing.scores
    objective = Distilled(distiller, data.output if scores is None else scores.student)
    return run(
        distiller.student, distiller.pairing.plain, data, settings or distiller.spec.train, out=out,
        device=device, resume=resume, tensorboard=tensorboard, watch=watch, objective=objective,
    )  # fmt: skip


def _identity(distiller: Distiller) -> dict[str, Any]:
    """All that the loss depends on beside the student and the data."""
    spec, pairing = distiller.distill, distiller.pairing
    digest = hashlib.sha256(emit(pairing.teacher).encode())
    for name, tensor in distiller.teacher.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy())
    scores, matched = pairing.scores, zip(spec.matches, pairing.matches, strict=True)
    return {
        "the teacher": digest.hexdigest(),
        "distill.loss": [spec.temperature, spec.soft, spec.hard],
        "distill.outputs": [] if scores is None else [scores.student, scores.teacher],
        "distill.match": [
            [written.student.text, written.teacher.text, match.loss, match.weight]
            for written, match in matched
        ],
    }
