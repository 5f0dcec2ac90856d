"""What differs between two models, and what of a checkpoint carries over."""

from __future__ import annotations

import json

import pytest
import torch

import composer
from composer.targets.diff import compare, fates, to_json, to_text

TINY = """
composer: 1
name: tiny
inputs:
  tokens: {kind: tokens, vocab_size: 50}
decoders:
  decoder: {from: tokens, d_model: 16, num_layers: 2, attention: {num_heads: 2}}
outputs:
  logits: {from: decoder, head: lm}
"""
TIED = TINY + "connections: [{shared: [decoder.embed.tokens, logits.head]}]\n"


def made(spec: str, *overrides: str):
    loaded = composer.load(spec, overrides=overrides)
    return loaded, composer.graph(loaded)


def difference(a, b):
    return compare(a, b, ("a", "b"), steps=8)


def by_name(a, b) -> dict:
    return {fate.name: fate for fate in fates(a[1], b[1])}


def test_the_same_model_has_no_difference():
    found = difference(made(TINY), made(TINY))

    assert found.empty
    assert to_text(found) == "a and b are the same model\n"


def test_more_layers_are_new_and_the_others_carry_over():
    found = by_name(made(TINY), made(TINY, "decoder.num_layers=3"))

    assert {fate.what for name, fate in found.items() if ".layers.2." in name} == {"new"}
    assert {fate.what for name, fate in found.items() if ".layers.2." not in name} == {"carried"}


@pytest.mark.parametrize(("width", "what"), [(8, "sliced"), (32, "grown")])
def test_another_width_is_a_slice_or_grows(width, what):
    found = by_name(made(TINY), made(TINY, f"decoder.d_model={width}"))

    assert {fate.what for fate in found.values()} == {what}
    assert found["decoder.norm.weight"].before == (16,)
    assert found["decoder.norm.weight"].after == (width,)


def test_untying_gives_both_names_the_one_tensor():
    found = by_name(made(TIED), made(TINY))

    assert found["logits.head.weight"].what == "carried"
    assert found["logits.head.weight"].source == "decoder.embed.tokens.weight"
    assert "dropped" not in {fate.what for fate in found.values()}


def test_tying_drops_what_has_no_name_any_more():
    found = by_name(made(TINY), made(TIED))

    assert found["logits.head.weight"].what == "dropped"
    assert not difference(made(TINY), made(TIED)).empty


def test_a_checkpoint_loads_as_it_is_said():
    """What carries over can be copied by name, and every other tensor is named as new."""
    a, b = made(TIED), made(TINY, "decoder.num_layers=3")
    checkpoint = composer.build(a[1], seed=0).state_dict()
    model = composer.build(b[1], seed=1)
    own = model.state_dict()
    for fate in fates(a[1], b[1]):
        if fate.what == "carried":
            own[fate.name].copy_(checkpoint[fate.source or fate.name])
        else:
            assert fate.what == "new"
            assert fate.name not in checkpoint
    before, after = composer.build(a[1], seed=0).decoder, model.decoder
    assert torch.equal(before.layers[1].attention.q.weight, after.layers[1].attention.q.weight)
    assert torch.equal(model.logits.head.weight, model.decoder.embed.tokens.weight)


def test_text_puts_equal_layers_together():
    text = to_text(difference(made(TINY), made(TIED, "decoder.num_layers=4")))

    assert "  ~ decoder (stack): layers 2 -> 4\n" in text
    assert "  + decoder.layers.{2-3}.attention (attention)\n" in text
    assert "  + shared: [decoder.embed.tokens, logits.head]\n" in text
    assert "decoder.layers.{2-3}.attention.q.weight [16, 16]\n" in text
    assert "  1 are not used any more\n    logits.head.weight [50, 16]\n" in text


def test_options_and_kinds_are_compared():
    text = to_text(
        difference(made(TINY), made(TINY, "decoder.norm=rmsnorm", "decoder.attention.bias=false"))
    )

    assert "~ decoder.layers.{0-1}.attention (attention): bias true -> false\n" in text
    assert "~ decoder.norm (layernorm -> rmsnorm): kind layernorm -> rmsnorm" in text


def test_numbers_are_those_of_the_graphs():
    a, b = made("specs/gpt2.yaml"), made("specs/llama.yaml")
    found = difference(a, b)
    data = json.loads(to_json(found))

    assert data["parameters"] == [124_439_808, 6_738_415_616]
    names = {fate["name"] for fate in data["tensors"] if fate["after"]}
    assert names == set(b[1].tensors)
    assert {f["source"] or f["name"] for f in data["tensors"] if f["before"]} == set(a[1].tensors)
