"""Committed drawings: drawn anew where the spec has changed, and left alone where not."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from composer.integrations.fresh import main

ROOT = Path(__file__).resolve().parents[2]
TINY = (ROOT / "specs/patterns/tiny_lm.yaml").read_text(encoding="utf-8")


@pytest.fixture
def spec(tmp_path):
    path = tmp_path / "tiny.yaml"
    path.write_text(TINY, encoding="utf-8")
    return path


def test_a_stale_drawing_is_drawn_once(spec, capfd):
    drawing = spec.with_suffix(".svg")
    drawing.write_text("<svg/>")

    assert main([str(spec)]) == 1
    assert f"drew {drawing}" in capfd.readouterr().err
    first = drawing.read_bytes()
    assert main([str(spec)]) == 0
    drawing.write_bytes(first.replace(b"<!-- ", b"<!--  "))  # another version of Graphviz
    assert main([str(spec)]) == 0

    spec.write_text(TINY.replace("num_layers: 4", "num_layers: 5"), encoding="utf-8")
    assert main([str(spec)]) == 1
    assert "×5" in drawing.read_text(encoding="utf-8")


def test_how_it_is_drawn_counts_too(spec):
    spec.with_suffix(".svg").write_text("<svg/>")
    main([str(spec)])

    assert main([str(spec), "--theme", "dark"]) == 1
    assert main([str(spec), "--theme", "dark"]) == 0
    assert main([str(spec), "--theme", "dark", "--depth", "0"]) == 1


def test_a_spec_without_a_drawing_gets_none_and_folders_may_differ(spec, tmp_path):
    assert main([str(spec)]) == 0
    assert list(tmp_path.iterdir()) == [spec]

    (tmp_path / "images").mkdir()
    (tmp_path / "images/tiny.svg").write_text("")
    assert main([str(spec), "--folder", str(tmp_path / "images")]) == 1


def test_a_wrong_spec_is_said_and_keeps_its_drawing(spec, capfd):
    spec.with_suffix(".svg").write_text("<svg/>")
    spec.write_text(TINY.replace("num_layers", "num_layer"), encoding="utf-8")

    assert main([str(spec)]) == 1
    assert "did you mean 'num_layers'?" in capfd.readouterr().err
    assert spec.with_suffix(".svg").read_text() == "<svg/>"


def test_the_hooks_name_commands_that_exist():
    hooks = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8"))

    assert {hook["id"]: hook["entry"] for hook in hooks} == {
        "composer-check": "composer check",
        "composer-draw": "python -m composer.integrations.fresh",
    }
