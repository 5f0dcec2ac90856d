"""Keeps committed drawings fresh: `python -m composer.integrations.fresh specs/*.yaml`.

Each spec that has an SVG beside it, or in `--folder`, is drawn anew where the two no longer agree.
What was drawn is known by a mark in the SVG and not by its bytes, which depend on the version of
Graphviz. The exit code is 1 where a file was written, so that pre-commit stops.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import composer
from composer.diagnostics import SpecError
from composer.targets import diagram
from composer.targets.files import write_file

from .inline import depth_of, direction_of, theme_of


def main(arguments: Sequence[str] | None = None) -> int:
    """Redraws what is stale; gives 1 if anything was, or if a spec cannot be drawn."""
    parser = argparse.ArgumentParser(prog="composer-draw", description=__doc__)
    parser.add_argument("specs", nargs="*", type=Path)
    parser.add_argument("--folder", type=Path, help="where the drawings lie; default: beside")
    parser.add_argument("--theme", type=theme_of, default="auto")
    parser.add_argument("--depth", type=depth_of)
    parser.add_argument("--direction", type=direction_of, default="up")
    asked = parser.parse_args(arguments)
    found = [_refresh(spec, asked) for spec in asked.specs]
    return int(any(found))


def _refresh(spec: Path, asked: argparse.Namespace) -> bool:
    """Whether a drawing was stale, or could not be made."""
    target = (asked.folder or spec.parent) / f"{spec.stem}.svg"
    if not target.is_file():
        return False
    try:
        graph = composer.graph(spec)
        depth = diagram.fitting_depth(graph) if asked.depth is None else asked.depth
        dot = diagram.draw(graph, theme=asked.theme, depth=depth, direction=asked.direction)
        if diagram.mark_of(dot, asked.theme) in target.read_text(encoding="utf-8"):
            return False
        write_file(target, diagram.render(dot, "svg", theme=asked.theme))
    except (SpecError, diagram.DrawingError) as error:
        sys.stderr.write(f"{error}\n")
        return True
    sys.stderr.write(f"drew {target}\n")
    return True


if __name__ == "__main__":
    sys.exit(main())
