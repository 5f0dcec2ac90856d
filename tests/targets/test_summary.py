"""The summary: its counts add up, and what is shared is counted once and named."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

import composer
from composer.shapes import show
from composer.targets.summary import Row, _ranges, summarize, to_csv, to_json

ROOT = Path(__file__).resolve().parents[2]
SPECS = sorted(
    [
        *ROOT.glob("specs/*.yaml"),
        *ROOT.glob("specs/patterns/*.yaml"),
        *ROOT.glob("tests/specs/*.yaml"),
    ]
)

SHARING = """
composer: 1
name: sharing
inputs:
  source: {kind: tokens, vocab_size: 100}
  target: {kind: tokens, vocab_size: 100}
defaults: {d_model: 32, num_layers: 4, attention: {num_heads: 2}}
encoders:
  encoder: {from: source}
decoders:
  decoder: {from: target}
connections:
  - cross: {from: encoder, to: decoder}
  - shared: {within: encoder.layers, every: 2}
  - shared: {within: decoder.layers.*.feed_forward, every: 2}
  - shared: [encoder.embed.tokens, decoder.embed.tokens, logits.head]
outputs:
  logits: {from: decoder, head: lm}
"""


def rows_of(spec: object, **options) -> dict[str, Row]:
    return {row.path: row for row in summarize(composer.graph(spec, **options)).rows}


@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.stem)
def test_counts_add_up_at_every_level(path):
    graph = composer.graph(path)
    rows = summarize(graph).rows

    assert graph.parameters == sum(row.parameters for row in rows if row.depth == 0)
    for index, row in enumerate(rows):
        below = []
        for inner in rows[index + 1 :]:
            if inner.depth <= row.depth:
                break
            below.append(inner)
        direct = [inner.parameters for inner in below if inner.depth == row.depth + 1]
        if direct:
            assert row.parameters == sum(direct)


def test_the_base_transformer():
    summary = summarize(composer.graph(ROOT / "specs/transformer.yaml"))
    rows = {row.path: row for row in summary.rows}
    attention = rows["decoder.layers.0-5.cross_attention"]

    assert summary.parameters == 63_082_496
    assert summary.bytes("fp32") == 4 * 63_082_496
    assert summary.bytes("bf16") == 2 * 63_082_496
    assert attention.kind == "cross_attention"
    assert attention.parameters == 6 * (4 * 512 * 512 + 4 * 512)
    assert attention.layers == (0, 1, 2, 3, 4, 5)
    assert attention.sets == 6
    assert show(rows["logits"].output) == "[batch, target, 37000]"


def test_what_is_shared_is_counted_once_and_names_its_owner():
    rows = rows_of(SHARING)

    assert rows["encoder.embed"].parameters == 100 * 32
    assert rows["decoder.embed"].parameters == 0
    assert rows["decoder.embed"].shared == ("encoder.embed.tokens",)
    assert rows["logits"].parameters == 0
    assert rows["logits"].shared == ("encoder.embed.tokens",)


def test_layers_of_one_set_are_folded_and_counted_once_a_set():
    rows = rows_of(SHARING)
    layers, feed_forward = rows["encoder.layers.0-3"], rows["decoder.layers.0-3.feed_forward"]
    once = 2 * 32 * 128 + 128 + 32

    assert layers.sets == 2
    assert len(layers.layers) == 4
    assert feed_forward.sets == 2
    assert feed_forward.parameters == 2 * once
    assert feed_forward.shared == ("decoder.layers.0.feed_forward", "decoder.layers.2.feed_forward")


def test_layers_that_share_with_those_of_another_stack_name_them_by_one_pattern():
    rows = rows_of(ROOT / "specs/patterns/shared_encoder_decoder.yaml")

    assert rows["decoder.layers.0-3.attention"].shared == ("encoder.layers.*.attention",)
    assert rows["decoder.layers.0-3.attention"].parameters == 0


def test_layers_of_different_types_have_rows_of_their_own():
    rows = rows_of(ROOT / "specs/patterns/sliding.yaml")
    layers = {path: row.label for path, row in rows.items() if row.kind == "layer"}

    assert layers == {"decoder.layers.0-4,6-10": "sliding", "decoder.layers.5,11": "full"}


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [
        ((0,), "0"),
        ((0, 1), "0-1"),
        ((0, 1, 2, 5), "0-2,5"),
        ((1, 3), "1,3"),
        ((0, 4, 8, 12), "0-12:4"),
        ((0, 4, 8, 13), "0,4,8,13"),
    ],
)
def test_layer_numbers_are_written_short(numbers, expected):
    assert _ranges(numbers) == expected


def test_json_has_every_row_with_sizes_as_numbers_and_lengths_as_names():
    summary = summarize(composer.graph(SHARING))
    data = json.loads(to_json(summary))

    assert data["parameters"] == summary.parameters
    assert data["bytes"] == {"fp32": 4 * summary.parameters, "bf16": 2 * summary.parameters}
    assert [part["path"] for part in data["parts"]] == [row.path for row in summary.rows]
    assert data["parts"][-1]["output"] == ["batch", "target", 100]
    assert data["parts"][-1]["shared_with"] == ["encoder.embed.tokens"]


def test_csv_has_a_line_for_each_row():
    summary = summarize(composer.graph(SHARING))
    lines = list(csv.DictReader(io.StringIO(to_csv(summary))))

    assert [line["path"] for line in lines] == [row.path for row in summary.rows]
    assert [int(line["parameters"]) for line in lines] == [row.parameters for row in summary.rows]
    assert lines[0]["output"] == "[batch, source]"
