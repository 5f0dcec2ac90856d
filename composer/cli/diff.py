"""`composer diff`: what differs between two specs, or two sizes of one."""

from __future__ import annotations

from enum import Enum
from typing import Annotated

import typer

from .output import UsageError, product
from .reading import Color, Overrides, Plugins, read

_MOST = 2


class Format(str, Enum):
    """How the difference is written."""

    text = "text"
    json = "json"


def diff(
    specs: Annotated[
        list[str],
        typer.Argument(metavar="SPEC [SPEC]", help="One spec or two.", show_default=False),
    ],
    sizes: Annotated[
        list[str] | None,
        typer.Option("--size", metavar="NAME", help="A size; twice for one of each."),
    ] = None,
    length: Annotated[
        int, typer.Option("--length", min=1, help="Steps that FLOPs are counted for.")
    ] = 1024,
    form: Annotated[Format, typer.Option("--format", help="How it is written.")] = Format.text,
    overrides: Overrides = None,
    plugins: Plugins = None,
    _color: Color = None,
) -> None:
    """Show what differs between two specs, or two sizes of one.

    Parts, connections, parameters, FLOPs, and which tensors of a checkpoint of the first carry
    over to the second. With one spec and one size, the spec without a size comes first.
    """
    from composer.targets.diff import compare, to_json, to_text

    pairs = _pairs(specs, sizes or [])
    made = [read(spec, size, overrides, plugins) for spec, size in pairs]
    names = [f"{spec} --size {size}" if size else spec for spec, size in pairs]
    found = compare(made[0], made[1], (names[0], names[1]), length)
    product(to_text(found) if form is Format.text else to_json(found))


def _pairs(specs: list[str], sizes: list[str]) -> list[tuple[str, str | None]]:
    """Which size of which spec stands on each side."""
    if len(specs) > _MOST or len(sizes) > _MOST:
        raise UsageError("two specs, or two sizes, are compared; more were given")
    if specs == ["-", "-"]:
        raise UsageError("stdin holds one spec; give the path of the other")
    if len(specs) == 1 and not sizes:
        raise UsageError("there is nothing to compare it with: give another spec, or --size twice")
    if len(specs) == 1:
        chosen = [None, *sizes][-_MOST:]
        return [(specs[0], size) for size in chosen]
    if not sizes:
        return [(spec, None) for spec in specs]
    return list(zip(specs, [sizes[0], sizes[-1]], strict=True))
