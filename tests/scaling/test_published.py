"""Tables of papers, reproduced by specs: every count is that of a graph."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch

import composer
from composer.components import KINDS
from composer.plugins import load_plugin, module_name

HERE = Path(__file__).parent
PLUGIN = HERE / "relative.py"


def rows(name: str) -> dict:
    return json.loads((HERE / "data" / f"{name}.json").read_text(encoding="utf-8"))


@pytest.fixture
def relative():
    kinds = dict(KINDS)
    yield load_plugin(PLUGIN)
    sys.modules.pop(module_name(PLUGIN), None)
    KINDS.clear()
    KINDS.update(kinds)


def chinchilla(row: dict):
    keys = ("d_model", "d_ff", "head_dim", "num_heads")
    overrides = [f"dims.{key}={row[key]}" for key in keys]
    overrides.append(f"decoder.num_layers={row['num_layers']}")
    return composer.graph(HERE / "chinchilla.yaml", overrides=overrides)


def test_the_fifty_models_of_chinchilla(relative):
    table = rows("chinchilla")["rows"]
    off = [abs(chinchilla(row).parameters / 1e6 / row["parameters_millions"] - 1) for row in table]

    assert len(off) == 50
    assert max(off) < 0.007
    assert sorted(off)[25] < 0.0005


def test_relative_attention_is_what_its_declaration_says(relative):
    row = {"d_model": 32, "d_ff": 64, "head_dim": 8, "num_heads": 3, "num_layers": 2}
    graph = chinchilla(row)
    model = composer.build(graph, seed=0).eval()
    tokens = torch.randint(32_000, (2, 9))
    logits = model(tokens=tokens).logits

    assert sum(p.numel() for p in model.parameters()) == graph.parameters
    torch.testing.assert_close(model(tokens=tokens[:, :5]).logits, logits[:, :5])


@pytest.mark.parametrize("row", rows("gpt3")["rows"], ids=lambda row: row["name"])
def test_the_eight_models_of_gpt3(row):
    table = rows("gpt3")
    # As many heads as make the width; only the row for XL prints others.
    heads = row["num_heads"] if row["name"] != "xl" else row["d_model"] // row["head_dim"]
    overrides = [
        f"dims.d_model={row['d_model']}",
        f"dims.num_heads={heads}",
        f"dims.vocab_size={table['vocab_size']}",
        f"decoder.num_layers={row['num_layers']}",
        f"decoder.attention.head_dim={row['head_dim']}",
        f"decoder.embed.position.max_length={table['max_length']}",
    ]
    graph = composer.graph("specs/gpt2.yaml", overrides=overrides)

    assert graph.parameters / 1e6 == pytest.approx(row["parameters_millions"], rel=0.02)


@pytest.mark.parametrize(
    "row", rows("published")["rows"], ids=lambda row: f"{row['spec']}-{row['size']}"
)
def test_published_counts_are_exact(row):
    graph = composer.graph(f"specs/{row['spec']}.yaml", size=row["size"])

    assert graph.parameters == row["parameters"]


def test_the_original_transformer():
    base = composer.graph("specs/transformer.yaml", size="base")
    big = composer.graph("specs/transformer.yaml", size="big")

    assert round(base.parameters / 1e6, 1) == 63.1
    assert round(big.parameters / 1e6, 1) == 214.2
