"""`--weights` of commands: one path for the whole model, or one for each of several maps by name."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from composer.graph.graph import Graph
from composer.language.spec import ModelSpec

if TYPE_CHECKING:
    from torch import Tensor

    from composer.weights import Weights

_NAMED = re.compile(r"([A-Za-z_][\w-]*)=(.+)", re.DOTALL)

WeightPlaces = Annotated[
    list[str] | None,
    typer.Option(
        "--weights",
        metavar="PATH|NAME=PATH",
        help="Safetensors: a file, its index, a folder. With NAME= those that one of the spec's "
        "weights reads, and it can be given several times.",
    ),
]


def places(texts: Iterable[str]) -> Weights:
    """Where weights lie: the one path, or the path of each name.

    Raises WeightError where a path without a name is not alone, or a name comes twice.
    """
    from composer.weights.errors import weight_error

    given = list(texts)
    found = [None if Path(text).exists() else _NAMED.fullmatch(text) for text in given]
    named = [(match[1], match[2]) for match in found if match is not None]
    if len(given) == 1 and not named:
        return given[0]
    if len(named) < len(given):
        plain = next(text for text, match in zip(given, found, strict=True) if match is None)
        fix = f"--weights NAME={plain}"
        raise weight_error("W409", f"'{plain}' has no name, and is not the only path", fix)
    names = [name for name, _ in named]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise weight_error("W409", f"'{twice}' has two paths", "give each name one path")
    return dict(named)


def audited(spec: ModelSpec, graph: Graph, weights: Weights) -> str:
    """What weights fill of a model, what starts anew and what is frozen; no tensor is read."""
    from composer.weights import audit

    return str(audit(graph, spec.weights, weights))


def whole(spec: ModelSpec, graph: Graph, weights: Weights) -> dict[str, Tensor]:
    """Every tensor of a model; those that the weights leave new are drawn with seed 0."""
    from composer.weights import load_whole

    return load_whole(graph, spec.weights, weights, seed=0)
