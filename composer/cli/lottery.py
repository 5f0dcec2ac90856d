"""`composer lottery`: trains a model in rounds with fewer and fewer weights, each from the same start."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import output
from .build import folder_name
from .reading import Color, Overrides, Plugins, Size, Spec, read
from .train import watching

if TYPE_CHECKING:
    from rich.console import RenderableType

    from composer.compression import Ticket


def lottery(
    spec: Spec,
    data: Annotated[
        Path,
        typer.Option(
            "--data", metavar="PATH", help="Text, .jsonl, or a folder of `datasets`; it is learned."
        ),
    ],
    held_out: Annotated[
        Path | None,
        typer.Option("--eval", metavar="PATH", help="The same; losses are those on it."),
    ] = None,
    tokenizer: Annotated[
        Path | None,
        typer.Option("--tokenizer", metavar="FILE", help="A tokenizer.json. Default: bytes."),
    ] = None,
    rounds: Annotated[int, typer.Option("--rounds", min=1, help="How often it is pruned.")] = 7,
    rewind: Annotated[
        int,
        typer.Option(
            "--rewind", metavar="STEP", min=0,
            help="Weights go back to those after so many updates. Default: to the start.",
        ),
    ] = 0,
    weights: Annotated[
        Path | None,
        typer.Option("--weights", metavar="PATH", help="Safetensors to start from."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="DIR", help="Default: runs/NAME-lottery."),
    ] = None,
    device: Annotated[
        str | None, typer.Option("--device", help="Default: cuda where there is one, else cpu.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the rounds as JSON.")] = False,
    size: Size = None,
    overrides: Overrides = None,
    plugins: Plugins = None,
    _color: Color = None,
) -> None:  # fmt: skip
    """Find out how few weights learn as well as all of them: train, prune, rewind, train again.

    What is zero after the last round is as `prune` of the spec's `compress` says; how a round learns
    is its section `train`. Writes model.safetensors, trained with its zeros, and start.safetensors,
    what the last round began with. Rounds begin anew each time.
    """
    made, graph = read(spec, size, overrides, plugins)
    from composer.compiler import build
    from composer.language.train import TrainFields
    from composer.training.data import read_data
    from composer.training.tickets import find_ticket

    settings = made.train or TrainFields()
    texts = read_data(graph, data, evaluation=held_out, tokenizer=tokenizer, settings=settings)
    model = build(made, seed=settings.seed, weights=weights)
    folder = out or Path("runs") / f"{folder_name(made.name, size)}-lottery"
    with watching(settings.steps) as watch:
        ticket = find_ticket(
            graph, model, texts, settings, out=folder, rounds=rounds, rewind=rewind,
            device=device, watch=watch,
        )  # fmt: skip
    if as_json:
        found = [{"left": one.left, "loss": one.result} for one in ticket.rounds]
        output.product(json.dumps(found, indent=2) + "\n")
    else:
        output.show(_table(ticket))
        notes = [each.options.note for each in graph.compressions if each.options.note]
        output.product("\n" + "".join(f"note    {note}\n" for note in dict.fromkeys(notes)))
    output.message(f"wrote {folder / 'model.safetensors'}")


def _table(ticket: Ticket) -> RenderableType:
    """A row for each training, the first with all weights."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, show_edge=False, header_style="bold")
    for title in ("round", "left", "loss"):
        table.add_column(title, justify="right")
    for number, one in enumerate(ticket.rounds):
        table.add_row(str(number), f"{100 * one.left:.1f} %", f"{one.result:.4f}")
    return table
