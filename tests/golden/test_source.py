"""The emitted source of a few specs, line by line; `--update` rewrites, review reads the difference."""

from __future__ import annotations

from pathlib import Path

import pytest

import composer
from composer.cli import main
from composer.targets.diagram import draw

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
SPECS = {
    "transformer": "specs/transformer.yaml",
    "shared_encoder_decoder": "specs/patterns/shared_encoder_decoder.yaml",
    "hierarchical_skips": "specs/patterns/hierarchical_skips.yaml",
    "co_attention": "specs/patterns/co_attention.yaml",
    "parallel_updates": "specs/patterns/parallel_updates.yaml",
    "sliding": "specs/patterns/sliding.yaml",
    "universal": "specs/patterns/universal.yaml",
    "multi_source": "specs/patterns/multi_source.yaml",
    "cross_attention": "specs/patterns/cross_attention.yaml",
    "rearrange": "specs/patterns/rearrange.yaml",
    "llama": "specs/llama.yaml",
    "adapted": "tests/specs/adapted.yaml",
    "adapted_kinds": "tests/specs/adapted_kinds.yaml",
    "compressed": "tests/specs/compressed.yaml",
    "pruned": "tests/specs/pruned.yaml",
}


@pytest.mark.parametrize("name", SPECS)
def test_the_source_is_the_one_that_was_read(name, golden):
    golden(HERE / f"{name}.py.txt", composer.source(ROOT / SPECS[name]))


@pytest.mark.parametrize("name", ["adapted", "adapted_kinds"])
def test_an_adapted_model_is_drawn_and_described_as_it_was_read(
    name, golden, capsys, monkeypatch
):
    monkeypatch.setenv("COLUMNS", "160")
    path = ROOT / SPECS[name]
    golden(HERE / f"{name}.dot.txt", draw(composer.graph(path)))
    assert main(["describe", str(path)]) == 0
    golden(HERE / f"{name}.describe.txt", capsys.readouterr().out)


def test_linked_source_is_the_same_text_with_imports(golden):
    golden(
        HERE / "transformer.linked.py.txt",
        composer.source(ROOT / SPECS["transformer"], mode="linked"),
    )
