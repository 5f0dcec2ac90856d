"""Distillation: a student learns what its teacher computes.

>>> distiller = build("student.yaml", teacher="teacher.safetensors", seed=0)  # doctest: +SKIP
>>> distiller({"tokens": tokens}, targets).total.backward()  # doctest: +SKIP

`train` runs the loop of `composer.training` with it; `distiller.plain()` is the student alone.
"""

from .building import build
from .distiller import Distiller, Losses
from .objective import Distilled, train

__all__ = ["Distilled", "Distiller", "Losses", "build", "train"]
