"""The log of a run: a table of losses on disk, TensorBoard beside it, and a plot of both."""

from __future__ import annotations

import csv
import logging
import os
from contextlib import suppress
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

from typing_extensions import Self

from .errors import training_error

CSV = "log.csv"


@dataclass(frozen=True)
class Row:
    """Means a token (or an example) since the row before, or of all that is held out."""

    step: int
    split: str
    loss: float
    accuracy: float
    lr: float
    grad_norm: float | None = None


class Watch(Protocol):
    """Something that looks on while a model is trained."""

    def update(self, step: int) -> None:
        """An update has been made, or the run goes on from this step."""

    def row(self, row: Row) -> None:
        """A row was added to the log."""

    def note(self, text: str) -> None:
        """Something that a person should know."""


class Silent:
    """Looks at nothing, and hands notes to Python's logging."""

    def update(self, step: int) -> None:
        """Nothing."""

    def row(self, row: Row) -> None:
        """Nothing."""

    def note(self, text: str) -> None:
        """To the log of Python."""
        logging.getLogger("composer.training").info(text)


class Log:
    """The rows of a run; those after the step that it goes on from are dropped at the start."""

    def __init__(self, folder: Path, step: int, *, tensorboard: bool = False) -> None:
        """Opens the log in `folder`.

        Raises TrainingError where TensorBoard is wanted but not installed.
        """
        self._board = _board(folder, step) if tensorboard else None
        kept = [row for row in read_log(folder) if row.step <= step]
        part = folder / f".{CSV}.part"
        with part.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow([field.name for field in fields(Row)])
            writer.writerows(map(astuple, kept))
        part.replace(folder / CSV)
        self._file = (folder / CSV).open("a", newline="", encoding="utf-8")

    def add(self, row: Row) -> None:
        """Writes a row."""
        csv.writer(self._file, lineterminator="\n").writerow(astuple(row))
        self._file.flush()
        if self._board is not None:
            for name in ("loss", "accuracy", "lr", "grad_norm"):
                if (value := getattr(row, name)) is not None:
                    self._board.add_scalar(f"{row.split}/{name}", value, row.step)

    def sync(self) -> None:
        """Brings the rows to the disk."""
        os.fsync(self._file.fileno())

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        """Closes what is open."""
        self._file.close()
        if self._board is not None:
            self._board.close()


def read_log(folder: Path) -> list[Row]:
    """The rows of a log, up to one that was cut off or damaged."""
    file = folder / CSV
    if not file.exists():
        return []
    rows: list[Row] = []
    with suppress(ValueError):
        for line in file.read_text(encoding="utf-8", errors="replace").split("\n")[1:-1]:
            rows.append(_row(line.split(",")))  # noqa: PERF401 - those before a damaged one stay
    return rows


def plot(folder: Path) -> Path | None:
    """Draws the losses of a log into `loss.svg`; None where matplotlib is not installed."""
    try:
        from matplotlib.figure import Figure  # type: ignore[import-not-found,unused-ignore]
    except ImportError:
        return None
    rows = read_log(folder)
    figure = Figure(figsize=(6, 3.6), layout="constrained")
    axes = figure.subplots()
    for split in dict.fromkeys(row.split for row in rows):
        points = [(row.step, row.loss) for row in rows if row.split == split]
        axes.plot(*zip(*points, strict=True), label=split, marker="." if len(points) < 30 else "")  # noqa: PLR2004
    axes.set(xlabel="step", ylabel="loss (nats)")
    axes.legend()
    figure.savefig(folder / "loss.svg")
    return folder / "loss.svg"


def _row(values: list[str]) -> Row:
    step, split, *numbers, norm = values
    loss, accuracy, lr = map(float, numbers)
    return Row(int(step), split, loss, accuracy, lr, float(norm) if norm else None)


def _board(folder: Path, step: int) -> Any:  # noqa: ANN401 - torch types it loosely
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise training_error(
            "T502", "the log for TensorBoard needs tensorboard", "pip install tensorboard"
        ) from None
    return SummaryWriter(folder / "tensorboard", purge_step=step + 1)
