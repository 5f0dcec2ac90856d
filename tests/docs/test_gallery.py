"""The gallery leaves no spec out."""

from __future__ import annotations

import importlib.util
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_every_spec_is_drawn_once():
    spec = importlib.util.spec_from_file_location("gallery", ROOT / "docs/gallery.py")
    gallery = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(gallery)
    lines = list(gallery.lines(ROOT / "specs"))
    drawn = [line.removeprefix("```{composer} ../") for line in lines if "{composer}" in line]
    there = [*(ROOT / "specs").glob("*.yaml"), *(ROOT / "specs/patterns").glob("*.yaml")]

    assert sorted(drawn) == sorted(str(path.relative_to(ROOT)) for path in there)
    assert gallery.plain("a *b* <c> [d]") == r"a \*b\* \<c\> \[d\]"
