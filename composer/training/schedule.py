"""The learning rate over the steps: a rise from zero, then a fall to its last value."""

from __future__ import annotations

from math import cos, pi

from composer.language.train import TrainFields


def share(step: int, settings: TrainFields) -> float:
    """The rate of the update after `step` updates, as a share of the peak.

    It depends on the step alone, so nothing of it is kept in a checkpoint.

    >>> [share(step, TrainFields(steps=5, warmup=2, schedule="linear")) for step in range(5)]
    [0.5, 1.0, 0.7, 0.4, 0.1]
    """
    if step < settings.warmup:
        return (step + 1) / settings.warmup
    if settings.schedule == "constant":
        return 1.0
    first = max(settings.warmup - 1, 0)
    done = (step - first) / max(settings.steps - 1 - first, 1)
    left = (1 + cos(pi * done)) / 2 if settings.schedule == "cosine" else 1 - done
    return round(settings.final_lr + (1 - settings.final_lr) * left, 12)
