"""Expanding: the text says everything, and says the same model."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import composer
from composer.graph.graph import Graph
from composer.language.document import plain
from composer.language.load import load, parse
from composer.language.variants import sizes_of
from composer.targets.diagram import draw
from composer.targets.expand import expand

ROOT = Path(__file__).resolve().parents[2]
PATHS = sorted(
    [
        *ROOT.glob("specs/*.yaml"),
        *ROOT.glob("specs/patterns/*.yaml"),
        *ROOT.glob("tests/specs/*.yaml"),
    ]
)
CASES = [(path, size) for path in PATHS for size in [None, *sizes_of(load(path))]]

HEAD = """
composer: 1
name: made
inputs:
  a: {kind: features, width: 16, length: 12}
  b: {kind: features, width: 24, length: 6}
"""
LAYERS = f"""{HEAD}
encoders:
  one:
    from: a
    d_model: 16
    num_layers: 4
    dropout: 0.1
    norm: {{kind: rmsnorm, placement: sandwich}}
    attention: {{num_heads: 4, qk_scale: 0.5}}
    cross_attention: {{qk_scale: null, num_kv_heads: 2}}
    feed_forward: {{kind: glu, d_ff: 20, multiple_of: 8}}
    layer_types: [wide, narrow]
    types:
      wide:
        norm: {{eps: 1e-3}}
        layer:
          - feed_forward: {{scale: 0.5, norm: none}}
          - attention: {{position: rope, norm: {{kind: layernorm, placement: post}}}}
          - conv: {{kernel_size: 3, name: local, residual: false}}
          - cross_attention: {{gate: tanh}}
          - feed_forward: {{scale: 0.5, d_ff: 8}}
      narrow:
        attention: {{window: 3}}
        dropout: 0.0
        layer:
          - parallel: {{branches: [attention, feed_forward], combine: concat, norms: each}}
          - cross_attention
  two: {{from: b, d_model: 24, num_layers: 4, attention: {{num_heads: 2}}}}
connections:
  - cross: {{from: two, to: one}}
outputs:
  states: {{from: one}}
"""
INSERTING = f"""{HEAD}
encoders:
  two: {{from: b, d_model: 24, num_layers: 4, attention: {{num_heads: 2}}}}
  one: {{from: a, d_model: 16, num_layers: 4, attention: {{num_heads: 2}}}}
  mixed: {{from: a, d_model: 16, num_layers: 1, attention: {{num_heads: 2}}}}
connections:
  - skip: {{from: two, to: one, pairs: mirror, combine: gated}}
  - cross: {{from: [two, one], to: mixed, combine: flat}}
  - cross: {{from: two, to: mixed, read: weighted}}
outputs:
  states: {{from: mixed}}
"""


def expanded(spec: object, size: str | None = None) -> str:
    made = composer.load(spec, size=size)
    return expand(made, composer.graph(made))


def drawn(graph: Graph) -> str:
    """The drawing without the places in the file, which expanding moves."""
    return re.sub(r'[^\s"&;]*:\d+', "", draw(graph))


def assert_same_model(spec: object, size: str | None = None) -> None:
    """Linked source is compared: standalone source is made from it and the same library."""
    made = composer.load(spec, size=size)
    first = composer.graph(made)
    text = expand(made, first)
    again = composer.load(text)
    second = composer.graph(again)

    assert composer.source(first, mode="linked") == composer.source(second, mode="linked")
    assert drawn(first) == drawn(second)
    assert text == expand(again, second)


@pytest.mark.parametrize("listed", ["", "layer: [attention, cross_attention, feed_forward]"])
def test_a_cross_attention_that_is_wired_unlike_the_others_stays_so(listed):
    wired = "num_heads: 2, norm: none, residual: false, scale: 0.5"
    assert_same_model(f"""{HEAD}
encoders:
  two: {{from: b, d_model: 24, num_layers: 1, attention: {{num_heads: 2}}}}
  one:
    from: a
    d_model: 16
    num_layers: 2
    attention: {{num_heads: 4}}
    cross_attention: {{{wired}}}
    {listed}
connections:
  - cross: {{from: two, to: one}}
outputs:
  states: {{from: one}}
""")


@pytest.mark.parametrize(
    ("path", "size"), CASES, ids=[f"{path.stem}-{size or 'plain'}" for path, size in CASES]
)
def test_the_expanded_spec_is_the_same_model_and_a_fixed_point(path, size):
    assert_same_model(path, size)


@pytest.mark.parametrize("spec", [LAYERS, INSERTING], ids=["layers", "inserting"])
def test_layers_of_ones_own_survive(spec):
    assert_same_model(spec)


def test_nothing_is_left_to_defaults_elsewhere():
    text = expanded(ROOT / "specs/transformer.yaml", "big")
    data = plain(parse(text, "expanded.yaml"))
    decoder = data["decoders"]["decoder"]

    assert not data.keys() & {"dims", "defaults", "extends", "sizes"}
    assert data["name"] == "transformer-big"
    assert decoder["attention"]["head_dim"] == 64
    assert decoder["attention"]["causal"] is True
    assert decoder["feed_forward"]["d_ff"] == 4096
    assert decoder["embed"]["vocab_size"] == 37_000
    assert decoder["embed"]["dropout"] == 0.3
    assert decoder["layer"] == ["attention", "cross_attention", "feed_forward"]
    assert decoder["final_norm"] is False
    assert data["outputs"]["logits"]["head"]["vocab_size"] == 37_000
    assert data["connections"][0]["cross"]["read"] == "last"
    assert data["initialization"] == {"kind": "xavier"}


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_every_option_of_every_part_stands_in_the_text(path):
    graph = composer.graph(path)
    text = expanded(path)
    for part in [*graph.inputs, *graph.modules]:
        for name, value in part.node.component:
            if value is not None:
                assert f"{name}: " in text or f"{name}:\n" in text


def test_what_connections_insert_is_said_above_them():
    comments = [line.strip() for line in expanded(INSERTING).splitlines() if "#" in line]

    assert comments == [
        "# inserts one.layers.0.skip_project and its like: Linear 24 → 16",
        "# inserts a resampling of two to the length of one",
        "# inserts mixed.two_project: Linear 24 → 16, on two",
        "# inserts mixed.two_mix_2: a learned mix of the 4 states of two",
    ]


def test_text_that_looks_like_something_else_stays_text():
    spec = LAYERS.replace("name: made", 'name: "no"\ntitle: "a: b # c"\ncite: ["1.5"]')
    made = composer.load(expanded(spec))

    assert made.name == "no"
    assert made.title == "a: b # c"
    assert made.cite == ("1.5",)
