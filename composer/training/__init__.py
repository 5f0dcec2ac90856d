"""Training: a loop that goes on exactly where it was killed, and checks of how sizes are followed.

>>> data = read_data("spec.yaml", "text.txt")  # doctest: +SKIP
>>> train(composer.build("spec.yaml", seed=0), "spec.yaml", data, out="runs/first")  # doctest: +SKIP
"""

from composer.language.train import TrainFields as Settings

from .data import IGNORED, Data, read_data
from .errors import TrainingError
from .logs import Row
from .loop import Result, train
from .schedule import share

__all__ = [
    "IGNORED",
    "Data",
    "Result",
    "Row",
    "Settings",
    "TrainingError",
    "read_data",
    "share",
    "train",
]
