"""`composer distill`: trains the student of a spec on what its teacher computes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from . import output
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


def distill(
    spec: Spec,
    data: DataPath,
    held_out: HeldOut = None,
    tokenizer: TokenizerFile = None,
    teacher: Annotated[
        Path | None,
        typer.Option(
            "--teacher", metavar="PATH", help="Its weights. Default: distill.teacher.weights."
        ),
    ] = None,
    weights: FirstWeights = None,
    out: RunFolder = None,
    device: Device = None,
    resume: Resuming = Resume.exact,
    tensorboard: TensorBoard = False,
    size: Size = None,
    overrides: Overrides = None,
    plugins: Plugins = None,
    _color: Color = None,
) -> None:
    """Train a model on what its teacher computes, as the spec's section `distill` says.

    It runs as `composer train` does: the same folder, and a run that was stopped goes on exactly.
    How it learns is the spec's section `train`; --set train.KEY=VALUE changes it.
    """
    made, graph = read(spec, size, overrides, plugins)
    from composer.distillation import build, train

    settings = settings_of(made)
    distiller = build(made, teacher=teacher, weights=weights, seed=settings.seed)
    texts = read_texts(made, graph, data, held_out, tokenizer)
    with watching(settings.steps) as watch:
        result = train(
            distiller, texts, settings, out=out or run_folder(made, size), device=device,
            resume=resume.value, tensorboard=tensorboard, watch=watch,
        )  # fmt: skip
    output.product(report(result))
