"""The gallery as Markdown: every spec of the repository with what it says of itself, drawn.

`docs/conf.py` runs this before each build; nothing that it writes is committed.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import composer
from composer.graph.graph import Graph

SECTIONS = {
    "Models": ("", "Real models, each with the sizes and options of the original."),
    "Patterns": (
        "patterns",
        "Small specs that show one structure each; see [patterns](patterns.md).",
    ),
}
"""Folders below `specs`, by the heading that their drawings stand under."""


def write(specs: Path, folder: Path) -> None:
    """Writes gallery.md into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    text = "\n".join(lines(specs))
    (folder / "gallery.md").write_text(text + "\n", encoding="utf-8")


def lines(specs: Path) -> Iterator[str]:
    """The page below its title; paths are those from a page in `docs`."""
    for title, (folder, about) in SECTIONS.items():
        yield from (f"## {title}", "", about, "")
        for spec in sorted((specs / folder).glob("*.yaml")):
            yield from _entry(spec, f"../specs/{spec.relative_to(specs).as_posix()}")


def _entry(spec: Path, path: str) -> Iterator[str]:
    graph = composer.graph(spec)
    yield from (f"### {plain(graph.title or graph.name)}", "")
    yield from (f"{' '.join(_about(graph))} `{path.removeprefix('../')}`", "")
    yield from (f"```{{composer}} {path}", "```", "")


def _about(graph: Graph) -> Iterator[str]:
    """Its own sentence, its papers, and its size."""
    if graph.description:
        yield plain(graph.description.rstrip(".")) + "."
    yield f"{graph.parameters:,} parameters."
    if graph.cite:
        yield plain(", ".join(graph.cite)) + "."


def plain(text: str) -> str:
    """Text that Markdown takes as it is."""
    words = " ".join(text.split())
    return "".join(f"\\{char}" if char in "\\`*_{}[]<>#|&" else char for char in words)
