"""The mesh that `--mesh` and `--world` give, over that of a spec."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from .output import UsageError

if TYPE_CHECKING:
    from composer.language.parallel import Parallelism
    from composer.language.spec import ModelSpec

Mesh = Annotated[
    str | None,
    typer.Option("--mesh", metavar="AXIS=N,...", help="Devices along dp, tp and pp: dp=2,tp=4."),
]


def asked_for(spec: ModelSpec, mesh: str | None, world: int | None = None) -> Parallelism:
    """The section `parallel` of a spec with the mesh of the command line.

    With a `world` and no dp given, dp is what is left of it. Raises UsageError for a text that is
    no mesh, and for one that has not as many devices.
    """
    from composer.language.parallel import MeshFields, Parallelism

    asked = spec.parallel or Parallelism()
    given = {} if mesh is None else _axes(mesh)
    sizes = {**(asked.mesh.model_dump() if mesh is None else {}), **given}
    made = MeshFields(**sizes)
    if world is not None and "dp" not in given and world % (rest := made.tp * made.pp) == 0:
        made = MeshFields(**{**sizes, "dp": world // rest})
    if world is not None and made.world != world:
        axes = ", ".join(f"{axis} {size}" for axis, size in made.model_dump().items())
        raise UsageError(f"--world {world}: the mesh has {made.world} devices: {axes}")
    return asked.over(made)


def _axes(text: str) -> dict[str, int]:
    """The numbers of `dp=2,tp=4`."""
    found: dict[str, int] = {}
    for word in text.split(","):
        axis, _, number = (each.strip() for each in word.partition("="))
        if axis not in {"dp", "tp", "pp"} or not number.isascii() or not number.isdigit():
            raise UsageError(f"--mesh {text}: wants AXIS=N with dp, tp or pp, such as dp=2,tp=4")
        if axis in found or not 0 < int(number) <= 1_000_000:  # noqa: PLR2004 - more than there are
            raise UsageError(f"--mesh {text}: {axis} is given twice, or is no number of devices")
        found[axis] = int(number)
    return found
