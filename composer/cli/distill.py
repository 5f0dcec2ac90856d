"""`composer distill`: trains the student of a spec on what its teacher computes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from . import output
from .build import folder_name
from .reading import Color, Overrides, Plugins, Size, Spec, read
from .train import Resume, report, watching


def distill(
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
    teacher: Annotated[
        Path | None,
        typer.Option(
            "--teacher", metavar="PATH", help="Its weights. Default: distill.teacher.weights."
        ),
    ] = None,
    weights: Annotated[
        Path | None,
        typer.Option("--weights", metavar="PATH", help="Safetensors that the student starts from."),
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
    from composer.language.train import TrainFields
    from composer.training.data import read_data

    settings = made.train or TrainFields()
    distiller = build(made, teacher=teacher, weights=weights, seed=settings.seed)
    texts = read_data(graph, data, evaluation=held_out, tokenizer=tokenizer, settings=settings)
    folder = out or Path("runs") / folder_name(made.name, size)
    with watching(settings.steps) as watch:
        result = train(
            distiller, texts, settings, out=folder, device=device, resume=resume.value,
            tensorboard=tensorboard, watch=watch,
        )  # fmt: skip
    output.product(report(result))
