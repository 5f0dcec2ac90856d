"""What keeps a model from being trained, or a run from going on."""

from __future__ import annotations

from composer.diagnostics import Problem, SpecError


class TrainingError(SpecError):
    """Data, a checkpoint or a loss that training cannot go on with."""


def training_error(code: str, message: str, fix: str | None = None) -> TrainingError:
    """An error of one problem without a place in the spec."""
    return TrainingError([Problem(code, message, None, fix=fix)])
