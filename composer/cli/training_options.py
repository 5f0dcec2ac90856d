"""What `composer train`, `distill` and `lottery` are asked alike, and what that says of a run."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from composer.graph.graph import Graph
from composer.language.spec import ModelSpec

from .build import folder_name

if TYPE_CHECKING:
    from composer.language.train import TrainFields
    from composer.training.data import Data


class Resume(str, Enum):
    """When to go on from a checkpoint."""

    exact = "exact"
    loose = "loose"


DataPath = Annotated[
    Path,
    typer.Option(
        "--data", metavar="PATH", help="Text, .jsonl, or a folder of `datasets`; it is learned."
    ),
]
HeldOut = Annotated[
    Path | None, typer.Option("--eval", metavar="PATH", help="The same, to be evaluated on.")
]
TokenizerFile = Annotated[
    Path | None,
    typer.Option("--tokenizer", metavar="FILE", help="A tokenizer.json. Default: bytes."),
]
FirstWeights = Annotated[
    Path | None, typer.Option("--weights", metavar="PATH", help="Safetensors to start from.")
]
RunFolder = Annotated[
    Path | None,
    typer.Option("--out", "-o", metavar="DIR", help="Default: runs/NAME or runs/NAME-SIZE."),
]
Device = Annotated[
    str | None, typer.Option("--device", help="Default: cuda where there is one, else cpu.")
]
Resuming = Annotated[
    Resume,
    typer.Option("--resume", help="exact: only where nothing has changed; loose: all the same."),
]
TensorBoard = Annotated[
    bool, typer.Option("--tensorboard", help="Also write a log for TensorBoard.")
]


def settings_of(spec: ModelSpec) -> TrainFields:
    """How a model is trained: its section `train`, or the defaults of one."""
    from composer.language.train import TrainFields

    return spec.train or TrainFields()


def read_texts(
    spec: ModelSpec, graph: Graph, data: Path, held_out: Path | None, tokenizer: Path | None
) -> Data:
    """What a model is trained and evaluated on; raises SpecError for what it cannot take."""
    from composer.training.data import read_data

    settings = settings_of(spec)
    return read_data(graph, data, evaluation=held_out, tokenizer=tokenizer, settings=settings)


def run_folder(spec: ModelSpec, size: str | None) -> Path:
    """Where a run is written that is told no folder."""
    return Path("runs") / folder_name(spec.name, size)
