"""`composer import`: the spec of a model that another library's config describes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .output import message, product, settings
from .reading import Color


def import_config(
    config: Annotated[
        str, typer.Argument(metavar="CONFIG", help="A config.json, or a folder with one.",
                            show_default=False),
    ],
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="FILE", help="Where the spec goes; else stdout."),
    ] = None,
    _color: Color = None,
) -> None:  # fmt: skip
    """Write the spec of the model that a config of transformers describes.

    The spec says what the model computes; keys that it does not know are named, and values that it
    cannot say are errors.
    """
    from composer.configs import import_config as imported
    from composer.targets.files import write_file

    settings.spec = config
    made = imported(config)
    if out is None:
        product(made.text)
    else:
        write_file(out, made.text.encode())
        message(f"wrote {out}: {made.spec} with the sizes of {config}")
    if made.without_head:
        message(f"all of {', '.join(made.without_head)} but the head")
    if made.training:
        message(f"for training only, and left out: {', '.join(made.training)}")
    if made.unknown:
        message(f"not understood: {', '.join(made.unknown)}")
