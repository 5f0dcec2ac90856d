"""`composer train`: trains the model of a spec on texts, and goes on where it was stopped."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import output
from .build import folder_name
from .meshes import Mesh, asked_for
from .reading import Color, Overrides, Plugins, Size, Spec, read

if TYPE_CHECKING:
    from rich.progress import Progress

    from composer.training.logs import Row
    from composer.training.loop import Result


class Resume(str, Enum):
    """When to go on from a checkpoint."""

    exact = "exact"
    loose = "loose"


def train(
    spec: Spec,
    data: Annotated[
        Path,
        typer.Option(
            "--data", metavar="PATH", help="Text, .jsonl, or a folder of `datasets`; it is learned."
        ),
    ],
    held_out: Annotated[
        Path | None,
        typer.Option("--eval", metavar="PATH", help="The same, to be evaluated on."),
    ] = None,
    tokenizer: Annotated[
        Path | None,
        typer.Option("--tokenizer", metavar="FILE", help="A tokenizer.json. Default: bytes."),
    ] = None,
    steps: Annotated[int | None, typer.Option("--steps", help="train.steps: updates.")] = None,
    batch_size: Annotated[
        int | None, typer.Option("--batch-size", help="train.batch_size: examples at once.")
    ] = None,
    length: Annotated[
        int | None, typer.Option("--length", help="train.length: tokens of an example.")
    ] = None,
    lr: Annotated[float | None, typer.Option("--lr", help="train.lr: the learning rate.")] = None,
    compiled: Annotated[
        bool, typer.Option("--compile", help="train.compile: use torch.compile.")
    ] = False,
    weights: Annotated[
        Path | None,
        typer.Option("--weights", metavar="PATH", help="Safetensors to start from."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="DIR", help="Default: runs/NAME or runs/NAME-SIZE."),
    ] = None,
    device: Annotated[
        str | None, typer.Option("--device", help="Default: cuda where there is one, else cpu.")
    ] = None,
    resume: Annotated[
        Resume,
        typer.Option(
            "--resume", help="exact: only where nothing has changed; loose: all the same."
        ),
    ] = Resume.exact,
    tensorboard: Annotated[
        bool, typer.Option("--tensorboard", help="Also write a log for TensorBoard.")
    ] = False,
    mesh: Mesh = None,
    size: Size = None,
    overrides: Overrides = None,
    plugins: Plugins = None,
    _color: Color = None,
) -> None:
    """Train a model on texts, as the spec's section `train` says.

    The run is written to a folder: log.csv, checkpoints, a plot of the loss. The same command goes
    on where it was stopped or killed, and makes the same numbers as if it had never been.
    --set train.KEY=VALUE sets any other key. On several devices, start it with torchrun.
    """
    flags = {
        "steps": steps,
        "batch_size": batch_size,
        "length": length,
        "lr": lr,
        "compile": "true" if compiled else None,
    }
    given = [f"train.{key}={value}" for key, value in flags.items() if value is not None]
    made, graph = read(spec, size, [*(overrides or ()), *given], plugins)
    from composer.compiler import build
    from composer.language.train import TrainFields
    from composer.training.data import read_data
    from composer.training.loop import train as run

    settings, parallel = made.train or TrainFields(), asked_for(made, mesh)
    texts = read_data(graph, data, evaluation=held_out, tokenizer=tokenizer, settings=settings)
    model = build(made, seed=settings.seed, weights=weights)
    folder = out or Path("runs") / folder_name(made.name, size)
    with watching(settings.steps) as watch:
        result = run(
            model, graph, texts, settings, out=folder, device=device,
            resume=resume.value, tensorboard=tensorboard, watch=watch, parallel=parallel,
        )  # fmt: skip
    if os.environ.get("RANK", "0") == "0":
        output.product(report(result))


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
