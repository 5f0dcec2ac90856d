"""The drawings of the site, made of specs: an SVG for each, for light and dark pages alike."""

from __future__ import annotations

from pathlib import Path

import composer
from composer.targets import diagram


def write(specs: Path, folder: Path) -> None:
    """Draws every spec below `specs` into `folder`, under the same relative path."""
    for spec in sorted(specs.rglob("*.yaml")):
        target = folder / spec.relative_to(specs).with_suffix(".svg")
        target.parent.mkdir(parents=True, exist_ok=True)
        drawn = diagram.draw(composer.graph(spec), theme="auto")
        target.write_bytes(diagram.render(drawn, "svg", theme="auto"))
