"""The options of `composer scale`."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer


class Format(str, Enum):
    """How a series is written."""

    table = "table"
    json = "json"
    csv = "csv"


Width = Annotated[float | None, typer.Option("--width", metavar="FACTOR", help="Times as wide.")]
Depth = Annotated[
    float | None, typer.Option("--depth", metavar="FACTOR", help="Times as many layers.")
]
Compound = Annotated[
    float | None,
    typer.Option(
        "--compound", metavar="PHI", help="Depth and width together: 2^PHI times the FLOPs."
    ),
]
Base = Annotated[
    str,
    typer.Option(
        "--factors", metavar="depth=A,width=B[,length=C]",
        help="Of --compound; A * B^2 * C lies in 1.9 to 2.1.",
    ),
]  # fmt: skip
Params = Annotated[
    str | None, typer.Option("--params", metavar="N", help="Number of parameters: 350M.")
]
Flops = Annotated[
    str | None, typer.Option("--flops", metavar="C", help="Training budget in FLOPs: 1e20.")
]
Series = Annotated[
    str | None, typer.Option("--series", metavar="N..N", help="A table of sizes: 10M..1B.")
]
Law = Annotated[
    str | None,
    typer.Option("--law", metavar="NAME", help="chinchilla20, hoffmann-refit or kaplan."),
]
MultipleOf = Annotated[
    int | None,
    typer.Option("--multiple-of", min=1, help="Of every width. Default: as it is, up to 64."),
]
Length = Annotated[int, typer.Option("--length", min=1, help="Steps that FLOPs are counted for.")]
NewName = Annotated[str | None, typer.Option("--as", metavar="NAME", help="Name of the new size.")]
IntoFile = Annotated[
    bool, typer.Option("--write", help="Add it to the file's sizes, the rest kept as it is.")
]
NewFile = Annotated[
    Path | None,
    typer.Option("-o", "--out", metavar="FILE", help="Write it as a spec of its own."),
]
Plot = Annotated[
    Path | None, typer.Option("--plot", metavar="FILE", help="Draw a series, as .svg or .png.")
]
SeriesFormat = Annotated[Format, typer.Option("--format", help="How a series is written.")]
