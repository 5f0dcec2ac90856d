"""How far a training run is, while it runs, and what it came to."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from . import output

if TYPE_CHECKING:
    from rich.progress import Progress

    from composer.training.logs import Row
    from composer.training.loop import Result


class _Lines:
    """A bar where there is a terminal, and a line for each row of the log."""

    def __init__(self, bar: Progress, steps: int) -> None:
        self._bar, self._task = bar, bar.add_task("", total=steps)

    def update(self, step: int) -> None:
        """Moves the bar."""
        self._bar.update(self._task, completed=step)

    def row(self, row: Row) -> None:
        """A row of the log as a line."""
        self.note(_line(row))

    def note(self, text: str) -> None:
        """A line; one that is too long for the terminal is not wrapped by hand."""
        self._bar.console.print(text, markup=False, soft_wrap=True)


@contextmanager
def watching(steps: int) -> Iterator[_Lines]:
    """Something that shows on stderr how far a run is."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    colored = output.colored(sys.stderr)
    console = Console(file=sys.stderr, no_color=not colored, highlight=False)
    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    hidden = not sys.stderr.isatty()
    with Progress(*columns, console=console, transient=True, disable=hidden) as bar:
        yield _Lines(bar, steps)


def _line(row: Row) -> str:
    what = "" if row.split == "train" else f"  {row.split}"
    return f"step {row.step:>7,}  loss {row.loss:.4f}  accuracy {row.accuracy:.3f}{what}"


def report(result: Result) -> str:
    """The last rows, and where the parameters lie."""
    rows = [row for row in (result.train, result.evaluation) if row is not None]
    lines = [_line(row) for row in rows]
    lines.append(f"parameters: {result.parameters}")
    if result.plot is None:
        lines.append("no plot, because matplotlib is not installed")
    else:
        lines.append(f"plot: {result.plot}")
    return "\n".join(lines) + "\n"
