"""`composer lottery`: trains a model in rounds with fewer and fewer weights, each from the same start."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from composer.graph.graph import Graph

from . import output
from .progress import watching
from .reading import Color, Overrides, Plugins, Size, Spec, read
from .training_options import (
    DataPath,
    Device,
    FirstWeights,
    HeldOut,
    TokenizerFile,
    read_texts,
    run_folder,
    settings_of,
)

if TYPE_CHECKING:
    from rich.console import RenderableType

    from composer.compression import Ticket


def lottery(
    spec: Spec,
    data: DataPath,
    held_out: HeldOut = None,
    tokenizer: TokenizerFile = None,
    rounds: Annotated[int, typer.Option("--rounds", min=1, help="How often it is pruned.")] = 7,
    rewind: Annotated[
        int,
        typer.Option(
            "--rewind", metavar="STEP", min=0,
            help="Weights go back to those after so many updates. Default: to the start.",
        ),
    ] = 0,
    weights: FirstWeights = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="DIR", help="Default: runs/NAME-lottery."),
    ] = None,
    device: Device = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the rounds as JSON.")] = False,
    size: Size = None,
    overrides: Overrides = None,
    plugins: Plugins = None,
    _color: Color = None,
) -> None:  # fmt: skip
    """Find out how few weights learn as well as all of them: train, prune, rewind, train again.

    What is zero after the last round is as `prune` of the spec's `compress` says; how a round learns
    is its section `train`. Writes model.safetensors, trained with its zeros, and start.safetensors,
    what the last round began with. Rounds begin anew each time. Losses are those on --eval, if given.
    """
    made, graph = read(spec, size, overrides, plugins)
    from composer.compiler import build
    from composer.training.tickets import find_ticket

    settings = settings_of(made)
    texts = read_texts(made, graph, data, held_out, tokenizer)
    model = build(made, seed=settings.seed, weights=weights)
    folder = out or Path(f"{run_folder(made, size)}-lottery")
    with watching(settings.steps) as watch:
        ticket = find_ticket(
            graph, model, texts, settings, out=folder, rounds=rounds, rewind=rewind,
            device=device, watch=watch,
        )  # fmt: skip
    _show(ticket, graph, as_json=as_json)
    output.message(f"wrote {folder / 'model.safetensors'}")


def _show(ticket: Ticket, graph: Graph, *, as_json: bool) -> None:
    """The rounds as JSON, or as a table with what is to be known of each compression."""
    if as_json:
        found = [{"left": one.left, "loss": one.result} for one in ticket.rounds]
        output.product(json.dumps(found, indent=2) + "\n")
        return
    output.show(_table(ticket))
    notes = [each.options.note for each in graph.compressions if each.options.note]
    output.product("\n" + "".join(f"note    {note}\n" for note in dict.fromkeys(notes)))


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
