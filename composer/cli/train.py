"""`composer train`: trains the model of a spec on texts, and goes on where it was stopped."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from . import output
from .meshes import Mesh, asked_for
from .progress import report, watching
from .reading import Color, Overrides, Plugins, Size, Spec, read
from .training_options import (
    DataPath,
    Device,
    FirstWeights,
    HeldOut,
    Resume,
    Resuming,
    RunFolder,
    TensorBoard,
    TokenizerFile,
    read_texts,
    run_folder,
    settings_of,
)

Steps = Annotated[int | None, typer.Option("--steps", help="train.steps: updates.")]
BatchSize = Annotated[
    int | None, typer.Option("--batch-size", help="train.batch_size: examples at once.")
]
Length = Annotated[int | None, typer.Option("--length", help="train.length: tokens of an example.")]
LearningRate = Annotated[float | None, typer.Option("--lr", help="train.lr: the learning rate.")]
Compiled = Annotated[bool, typer.Option("--compile", help="train.compile: use torch.compile.")]


def train(
    spec: Spec,
    data: DataPath,
    held_out: HeldOut = None,
    tokenizer: TokenizerFile = None,
    steps: Steps = None,
    batch_size: BatchSize = None,
    length: Length = None,
    lr: LearningRate = None,
    compiled: Compiled = False,
    weights: FirstWeights = None,
    out: RunFolder = None,
    device: Device = None,
    resume: Resuming = Resume.exact,
    tensorboard: TensorBoard = False,
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
    flags = _as_overrides(
        steps=steps, batch_size=batch_size, length=length, lr=lr,
        compile="true" if compiled else None,
    )  # fmt: skip
    made, graph = read(spec, size, [*(overrides or ()), *flags], plugins)
    from composer.compiler import build
    from composer.training.loop import train as run

    settings, parallel = settings_of(made), asked_for(made, mesh)
    texts = read_texts(made, graph, data, held_out, tokenizer)
    model = build(made, seed=settings.seed, weights=weights)
    with watching(settings.steps) as watch:
        result = run(
            model, graph, texts, settings, out=out or run_folder(made, size), device=device,
            resume=resume.value, tensorboard=tensorboard, watch=watch, parallel=parallel,
        )  # fmt: skip
    if os.environ.get("RANK", "0") == "0":
        output.product(report(result))


def _as_overrides(**flags: float | str | None) -> list[str]:
    """Flags of their own as what `--set` would say."""
    return [f"train.{key}={value}" for key, value in flags.items() if value is not None]
