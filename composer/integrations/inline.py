"""A drawing as part of a page: one `svg` element that follows the page's theme."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

import composer
from composer.targets import diagram

_SVG = "http://www.w3.org/2000/svg"


@dataclass(frozen=True)
class Drawing:
    """How a model is drawn: as `composer draw` does, in both themes unless one is named.

    `alt` stands in place of the words that are made from the graph, for those who cannot see it.
    """

    theme: diagram.Theme = "auto"
    depth: int | None = None
    direction: diagram.Direction = "up"
    size: str | None = None
    overrides: tuple[str, ...] = ()
    alt: str = ""

    def svg(self, spec: Path | str) -> tuple[str, str]:
        """The element of a spec, by its path or its text, and what it shows in words.

        Raises SpecError, and DrawingError where Graphviz is missing or fails.
        """
        source = spec if isinstance(spec, Path) else f"{spec}\n"
        graph = composer.graph(source, size=self.size, overrides=self.overrides)
        depth = diagram.fitting_depth(graph) if self.depth is None else self.depth
        dot = diagram.draw(graph, theme=self.theme, depth=depth, direction=self.direction)
        alt = self.alt or diagram.describe(graph)
        return element(diagram.render(dot, "svg", theme=self.theme), alt), alt


def element(svg: bytes, alt: str) -> str:
    """The `svg` element of a file: as wide as the page at most, without ids that others may have."""
    root = ET.fromstring(svg)  # noqa: S314 - just drawn
    for group in root.iter(f"{{{_SVG}}}g"):
        group.attrib.pop("id", None)
    root.attrib.update({"aria-label": alt, "style": "max-width:100%;height:auto"})
    ET.register_namespace("", _SVG)
    return ET.tostring(root, encoding="unicode")


def depth_of(text: str) -> int:
    """A depth as it is written in a page. Raises ValueError."""
    if text.strip() not in {"0", "1", "2"}:
        raise ValueError("depth is 0, 1 or 2")
    return int(text)


def theme_of(text: str) -> diagram.Theme:
    """A theme as it is written in a page. Raises ValueError."""
    if text == "light":
        return "light"
    if text == "dark":
        return "dark"
    if text == "auto":
        return "auto"
    raise ValueError("theme is light, dark or auto")


def direction_of(text: str) -> diagram.Direction:
    """A direction as it is written in a page. Raises ValueError."""
    if text == "up":
        return "up"
    if text == "right":
        return "right"
    raise ValueError("direction is up or right")


def overrides_of(text: str) -> tuple[str, ...]:
    """Overrides as they are written in a page, one after the other: `decoder.num_layers=2 ...`."""
    return tuple(text.split())
