"""Drawings in notebooks, which show whatever has a `_repr_html_`."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from composer.targets.diagram import Direction, Theme

from .inline import Drawing


@dataclass(frozen=True)
class Picture:
    """A drawing that a notebook shows; `alt` says in words what is on it."""

    alt: str
    svg: str = field(repr=False)

    def _repr_html_(self) -> str:
        return self.svg


def show(
    spec: str | Path, *, theme: Theme = "auto", depth: int | None = None,
    direction: Direction = "up", size: str | None = None, overrides: tuple[str, ...] = (),
) -> Picture:  # fmt: skip
    """The drawing of a spec: a path, or its YAML text of several lines.

    Raises SpecError, and DrawingError where Graphviz is missing or fails.
    """
    path = Path(spec) if isinstance(spec, Path) or "\n" not in spec else spec
    svg, alt = Drawing(theme, depth, direction, size, overrides).svg(path)
    return Picture(alt, svg)
