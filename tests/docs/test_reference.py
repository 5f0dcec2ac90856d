"""The reference leaves nothing out."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

from composer.components import KINDS
from composer.language.load import Fault

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def reference():
    spec = importlib.util.spec_from_file_location("reference", ROOT / "docs" / "reference.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_kind_and_each_of_its_options_is_there(reference):
    page = "\n".join(reference.kinds())
    missing = [
        f"{kind}.{option}"
        for kind, cls in KINDS.items()
        for option in cls.model_fields
        if option != "kind" and f"| `{option}` |" not in _section(page, kind)
    ]

    assert missing == []


def _section(page: str, kind: str) -> str:
    return page.split(f"\n### {kind}\n")[1].split("\n### ", maxsplit=1)[0]


def test_every_key_is_there(reference):
    page = "\n".join(reference.keys())
    keys = {
        field.alias or name
        for _, model, _ in reference.SECTIONS
        for name, field in model.model_fields.items()
    }

    assert [key for key in sorted(keys) if f"| `{key}` |" not in page] == []


def test_every_code_that_is_used_is_explained_and_no_other(reference):
    source = "\n".join(
        path.read_text(encoding="utf-8") for path in (ROOT / "composer").rglob("*.py")
    )
    used = set(re.findall(r"[\"\[]([CGSDIWTPEQ]\d{3})[\"\]]", source))

    assert used == reference.CODES.keys() - {fault.code for fault in Fault}


def test_every_key_and_option_is_described(reference):
    rows = [line for page in (reference.keys(), reference.kinds()) for line in page]

    assert [row for row in rows if row.startswith("| `") and row.endswith("|  |")] == []
