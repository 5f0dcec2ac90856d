"""The page of the docs, made of the results that campaigns have left."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from textwrap import fill
from typing import Any

from bench.specs import ROOT
from bench.tables import Table, shown

RESULTS = Path(__file__).parent / "results"
PAGE = ROOT / "docs" / "reference" / "digits.md"
HEAD = """\
# Campaigns on digits

What methods are worth, measured on scikit-learn's 8 × 8 digits: 1,200 images to learn from, 197 to
choose settings by, 400 to report. They are small trainings on a CPU, run by `make digits`, which
writes this page; `python -m bench.digits NAME` runs one of them. Numbers say what holds here, not
what holds for large models.
"""


def save(name: str, table: Table, folder: Path = RESULTS) -> None:
    """Keeps the table of a campaign as JSON."""
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(table.data(), indent=2, ensure_ascii=False) + "\n"
    (folder / f"{name}.json").write_text(text, encoding="utf-8")


def page(folder: Path = RESULTS) -> str:
    """The page: a section a campaign, in alphabetical order."""
    found = (json.loads(p.read_text(encoding="utf-8")) for p in sorted(folder.glob("*.json")))
    return "\n".join([HEAD, *("\n".join(_section(data)) + "\n" for data in found)])


def _section(data: Mapping[str, Any]) -> Iterator[str]:
    yield f"## {data['title']}"
    if data["note"]:
        yield from ("", fill(data["note"], 100))
    rows = data["rows"]
    numbers = [not isinstance(cell, str) for cell in rows[0].values()]
    yield from ("", _row([name.replace("_", " ") for name in rows[0]]))
    yield "|" + "|".join("---:" if number else "---" for number in numbers) + "|"
    yield from (_row([shown(cell) for cell in row.values()]) for row in rows)
    if data["targets"]:
        yield ""
    for target in data["targets"]:
        verdict = "" if target["met"] else " (missed)"
        yield f"- {target['name']}: {shown(target['measured'])}, wanted {target['wanted']}{verdict}"


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"
