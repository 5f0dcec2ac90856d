"""What a spec freezes, the built model freezes: no more, no less, and for as long as it lives."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch

import composer
from composer.cli.describe import totals
from composer.graph.covering import covering, starred
from composer.graph.tensors import first_names
from composer.targets.diagram.describe import facts
from composer.targets.source.freezing import freeze
from composer.targets.summary import summarize

ROOT = Path(__file__).resolve().parents[2]
SPEC = ROOT / "tests" / "specs" / "frozen.yaml"

SMALL = """
composer: 1
name: small
inputs: {tokens: {kind: tokens, vocab_size: 11}}
decoders:
  decoder: {from: tokens, d_model: 8, num_layers: 4, attention: {num_heads: 2}}
outputs: {logits: {from: decoder, head: lm}}
"""


def frozen_in(model):
    """Names of what a model freezes, further names of shared parameters too."""
    named = model.named_parameters(remove_duplicate=False)
    return {name for name, parameter in named if not parameter.requires_grad}


def declared(spec):
    """Names of what a graph freezes, likewise."""
    graph = composer.graph(spec)
    return {name for name, first in first_names(graph).items() if first in graph.frozen}


def frozen(text):
    """What `freeze: ...` freezes of the small model."""
    return declared(f"{SMALL}freeze: {text}\n")


def test_the_model_freezes_what_the_graph_says():
    found = frozen_in(composer.build(SPEC))

    assert found == declared(SPEC)
    assert "writer.layers.3.cross_attention.q.weight" in found
    assert "logits.head.weight" in found
    assert "decoder.layers.0.feed_forward.up.weight" in found
    assert "decoder.layers.0.feed_forward.up.bias" not in found
    assert {n for n in found if n.startswith("writer.layers.2")} == {
        f"writer.layers.2.attention.{m}.{p}" for m in "qkvo" for p in ("weight", "bias")
    }


def test_the_source_says_it_part_by_part():
    assert freeze(composer.graph(SPEC)) == [
        "self.encoder.requires_grad_(False)",
        "self.decoder.embed.requires_grad_(False)",
        "self.decoder.norm.requires_grad_(False)",
        "self.logits.requires_grad_(False)",
        "self.words.requires_grad_(False)",
        "for layer in self.shared.layers[:2]:",
        "    layer.requires_grad_(False)",
        "for layer in self.decoder.layers:",
        "    layer.attention_norm.requires_grad_(False)",
        "    layer.attention.requires_grad_(False)",
        "    layer.feed_forward_norm.requires_grad_(False)",
        "for layer in self.decoder.layers[:1]:",
        "    layer.feed_forward.up.weight.requires_grad_(False)",
        "    layer.feed_forward.down.requires_grad_(False)",
        "for layer in self.decoder.layers[1:]:",
        "    layer.feed_forward.requires_grad_(False)",
        "for layer in (self.writer.layers[0], self.writer.layers[2]):",
        "    layer.attention.requires_grad_(False)",
        "for layer in self.writer.layers[3:]:",
        "    layer.requires_grad_(False)",
    ]


def test_it_outlives_copies_materialising_and_loading():
    model = composer.build(SPEC, seed=0)
    wanted = frozen_in(model)
    with torch.device("meta"):
        empty = composer.build(SPEC)
    assigned = composer.build(SPEC)
    assigned.load_state_dict(model.state_dict(), assign=True)

    assert frozen_in(copy.deepcopy(model)) == wanted
    assert frozen_in(empty.to_empty(device="cpu")) == wanted
    assert frozen_in(assigned) == wanted
    assert frozen_in(model.double()) == wanted


def test_a_step_of_training_changes_the_rest_only():
    model = composer.build(SPEC, seed=0)
    before = copy.deepcopy(model.state_dict())
    out = model(source=torch.randint(23, (2, 5)), target=torch.randint(19, (2, 4)))
    (out.logits.square().mean() + out.words.square().mean()).backward()
    torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=1.0).step()

    same = {
        name for name, tensor in model.state_dict().items() if torch.equal(tensor, before[name])
    }
    bias = {name for name in same if name.endswith("k.bias")}  # softmax takes no notice of it
    assert same - bias == declared(SPEC) - bias


def test_freezing_changes_no_value():
    text = SPEC.read_text()
    free = composer.build(text[: text.index("freeze:")], seed=0).state_dict()
    kept = composer.build(text, seed=0).state_dict()

    assert free.keys() == kept.keys()
    assert all(torch.equal(free[name], kept[name]) for name in free)


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("decoder.embed", 1),
        ("[decoder.embed, logits]", 2),
        ("decoder.layers.2", 16),
        ("decoder.layers.*.attention", 32),
        ("decoder.layers.*.attention*", 40),
        ("decoder.layers.*.attention.(q|v)", 16),
        ("decoder.layers.(0|1).*_norm", 8),
        ("decoder.layers.*.*.bias", 8),
        ("{parts: decoder, except: [decoder.layers.3, decoder.norm]}", 1 + 3 * 16),
        ('"*"', 1 + 4 * 16 + 2 + 1),
    ],
)
def test_paths_name_what_is_at_or_below_them(text, count):
    assert len(frozen(text)) == count


def test_a_model_may_be_frozen_whole():
    model = composer.build(f'{SMALL}freeze: "*"\n')

    assert freeze(composer.graph(f'{SMALL}freeze: "*"\n')) == ["self.requires_grad_(False)"]
    assert not any(parameter.requires_grad for parameter in model.parameters())


def test_summaries_count_what_is_frozen():
    graph = composer.graph(SPEC)
    model = composer.build(SPEC)
    found = summarize(graph)

    assert found.frozen == sum(p.numel() for p in model.parameters() if not p.requires_grad)
    assert found.frozen == sum(row.frozen for row in found.rows if row.depth == 0)
    for name in ("encoder", "shared", "decoder", "writer"):
        part = getattr(model, name)
        row = next(row for row in found.rows if row.path == name)
        assert row.frozen == sum(p.numel() for p in part.parameters() if not p.requires_grad)


def test_covering_is_the_fewest_paths():
    names = {"a.x.w": True, "a.x.b": True, "a.y.w": False, "b.w": True}

    assert covering(names) == ["a.x", "b"]
    assert covering(dict.fromkeys(names, True)) == [""]
    assert covering(dict.fromkeys(names, False)) == []


def test_layers_are_told_together_where_all_are_there():
    paths = ["s.layers.0.n", "s.layers.1.n", "t.layers.0.n", "u.layers"]

    assert starred(paths, {"s": 2, "t": 2}) == ["s.layers.*.n", "t.layers.0.n", "u.layers"]


def test_tables_and_drawings_say_it():
    graph = composer.graph(f"{SMALL}freeze: decoder\n")
    free = composer.graph(SMALL)

    assert totals(summarize(graph)).splitlines()[1] == "88 trainable, 3,592 frozen"
    assert facts(graph)[-1] == "3.68 k parameters, 3.59 k of them frozen"
    assert "frozen" not in totals(summarize(free)) + facts(free)[-1]
