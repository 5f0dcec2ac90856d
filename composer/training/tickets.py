"""Lottery tickets of a spec: its model is trained on data, pruned and trained again, round after round."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from pathlib import Path

import torch
from torch import nn

from composer.compression import Ticket, lottery
from composer.graph.graph import Graph
from composer.language.train import TrainFields
from composer.targets.files import write_folder
from composer.weights import save, stamp

from .data import Data
from .errors import training_error
from .logs import Silent, Watch
from .loop import train

MODEL, START = "model.safetensors", "start.safetensors"


def find_ticket(
    graph: Graph, model: nn.Module, data: Data, settings: TrainFields, *, out: Path, rounds: int,
    rewind: int = 0, device: str | None = None, watch: Watch | None = None,
) -> Ticket:  # fmt: skip
    """Trains a model `rounds` + 1 times, pruned between as its spec says; gives the rounds.

    Weights go back to those that the model came with or, with `rewind`, to those after so many
    updates. `out` gets a folder of each training, and at the end model.safetensors, what was
    trained last, and start.safetensors, what that began with; zeros in both. The result of a round
    is its loss, on the data that are held out where there are some.

    Raises SpecError, of which CompressionError tells of a spec that prunes nothing, and
    TrainingError of a folder that is not empty, or of more updates than a training has.
    """
    _check(out, settings, rewind)
    place = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    done = 0

    def once(model: nn.Module) -> float:
        nonlocal done
        folder = out / f"round-{done}"
        result = train(model, graph, data, settings, out=folder, device=place, watch=watch)
        done += 1
        return (result.evaluation or result.train).loss

    def warm(model: nn.Module) -> None:
        with suppress(_EnoughError):
            until = _Until(rewind)
            train(model, graph, data, settings, out=out / "warm", device=place, watch=until)

    model.to(place)
    ticket = lottery(graph, model, once, rounds=rounds, warm=warm if rewind else None)
    _write(graph, model, ticket, out)
    return ticket


class _EnoughError(Exception):
    """A training has come as far as it should."""


class _Until(Silent):
    """Ends a training after some of its updates, whose rates are those of the whole."""

    def __init__(self, steps: int) -> None:
        self._steps = steps

    def update(self, step: int) -> None:
        """Raises _EnoughError where that is the last one."""
        if step == self._steps:
            raise _EnoughError


def _check(out: Path, settings: TrainFields, rewind: int) -> None:
    if out.exists() and any(out.iterdir()):
        why = f"'{out}' is not empty, and rounds begin anew"
        raise training_error("T503", why, "give another --out")
    if not 0 <= rewind < settings.steps:
        why = f"weights cannot go back to update {rewind} of {settings.steps}"
        raise training_error("T501", why, f"a number from 0 to {settings.steps - 1}")


def _write(graph: Graph, model: nn.Module, ticket: Ticket, out: Path) -> None:
    files = {}
    for name, state in ((MODEL, model.state_dict()), (START, ticket.start)):
        tensors = {key: state[key].cpu() for key in graph.state}
        files[name] = partial(save, tensors=tensors, metadata=stamp(graph))
    write_folder(out, files)
