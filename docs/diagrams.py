"""The drawings of the site, made of specs: one for each, to stand within a page."""

from __future__ import annotations

from pathlib import Path

import composer
from composer.targets import diagram


def write(specs: Path, folder: Path) -> None:
    """Draws every spec below `specs` into `folder`, under the same relative path.

    The drawings are part of the page, not images, so that they follow its light or dark theme.
    """
    for spec in sorted(specs.rglob("*.yaml")):
        target = folder / spec.relative_to(specs).with_suffix(".html")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(f'<div class="diagram">\n{_drawn(spec)}\n</div>\n', encoding="utf-8")


def _drawn(spec: Path) -> str:
    """The `svg` element alone, without the declaration of a file."""
    data = diagram.render(diagram.draw(composer.graph(spec)), "svg", theme="auto")
    text = data.decode()
    return text[text.index("<svg") :].rstrip()
