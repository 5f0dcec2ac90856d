"""What scales: as dims or as plain numbers, alone or tied to each other."""

from __future__ import annotations

import pytest

import composer
from composer.components import KINDS
from composer.scaling import Factors, ScalingError, scaled
from tests.scaling.plans import plan

LITERAL = """
composer: 1
name: literal
inputs:
  tokens: {kind: tokens, vocab_size: 100}
decoders:
  decoder:
    from: tokens
    d_model: 96
    num_layers: 4
    attention: {num_heads: 6, num_kv_heads: 2}
    feed_forward: {kind: glu, d_ff: 256}
    layer:
      - attention
      - feed_forward
      - feed_forward: {kind: moe, num_experts: 4, experts_per_token: 2, d_ff: 64, shared_d_ff: 128}
outputs:
  logits: {from: decoder, head: lm}
"""
NUMBERED = """
composer: 1
name: numbered
inputs:
  tokens: {kind: tokens, vocab_size: 100}
encoders:
  encoder: {from: tokens, d_model: 32, num_layers: 4, attention: {num_heads: 2}}
outputs:
  states: {from: encoder.layers.2}
  all: {from: encoder}
"""


def test_dims_scale_where_they_are_written():
    found = scaled(plan("specs/llama.yaml"), Factors(width=2, depth=0.5))

    assert found.data == {
        "dims": {"d_model": 8192, "num_heads": 64, "num_kv_heads": 64, "d_ff": 22016},
        "decoders": {"decoder": {"num_layers": 16}},
    }


def test_plain_numbers_scale_where_they_stand_and_lists_are_written_whole():
    decoder = scaled(plan(LITERAL), Factors(width=2)).data["decoders"]["decoder"]

    assert decoder["d_model"] == 192
    assert decoder["attention"] == {"num_heads": 12, "num_kv_heads": 4}
    assert decoder["feed_forward"] == {"d_ff": 512}
    assert decoder["layer"][:2] == ["attention", "feed_forward"]
    moe = decoder["layer"][2]["feed_forward"]
    assert (moe["num_experts"], moe["d_ff"], moe["shared_d_ff"]) == (4, 128, 256)


def test_a_scaled_model_has_twice_the_width_everywhere():
    before = composer.graph("specs/patterns/image_captioning.yaml")
    after = scaled(plan("specs/patterns/image_captioning.yaml"), Factors(width=2)).graph

    assert [s.width for s in after.stacks] == [2 * s.width for s in before.stacks]
    assert after.tensors.keys() == before.tensors.keys()


@pytest.mark.parametrize(
    "spec", ["gpt2", "llama", "gemma2", "mixtral", "deepseek_v3", "transformer", "mamba", "mpt"]
)
def test_heads_keep_their_width(spec):
    one = plan(f"specs/{spec}.yaml")
    before = composer.graph(f"specs/{spec}.yaml")
    after = scaled(one, Factors(width=1.5, depth=2)).graph
    widths = [
        {
            getattr(node.component, "head_dim", None)
            for stack in graph.stacks
            for _, node in stack.nodes()
        }
        for graph in (before, after)
    ]

    assert widths[0] == widths[1]
    assert [len(s.layers) for s in after.stacks] == [2 * len(s.layers) for s in before.stacks]


def test_key_and_value_heads_divide_the_heads():
    heads = [
        (dims["num_heads"], dims["num_kv_heads"])
        for factor in (0.25, 0.5, 1.25, 1.5, 3)
        if (dims := scaled(plan("specs/mixtral.yaml"), Factors(width=factor)).data["dims"])
    ]

    assert heads == [(8, 2), (16, 4), (40, 10), (48, 12), (96, 24)]


def test_layers_that_belong_together_stay_together():
    one = plan("specs/gemma2.yaml")

    assert scaled(one, Factors(depth=1.3)).data["decoders"]["decoder"]["num_layers"] == 34
    assert one.depth(26, 0.01) == 2


def test_a_list_of_layer_types_grows_with_the_depth():
    decoder = scaled(plan("specs/deepseek_v3.yaml"), Factors(depth=2)).data["decoders"]["decoder"]

    assert decoder["num_layers"] == len(decoder["layer_types"]) == 122
    assert decoder["layer_types"][:7] == ["dense"] * 6 + ["moe"]


def test_layers_with_numbers_keep_the_depth():
    with pytest.raises(ScalingError, match=r"the depth cannot change: line \d+ names 'encoder\."):
        scaled(plan(NUMBERED), Factors(depth=2))

    assert scaled(plan(NUMBERED), Factors(width=2)).graph.stacks[0].width == 64


def test_a_width_that_comes_in_keeps_the_width():
    with pytest.raises(ScalingError, match=r"its structure forbids .*'regions'.*`project` module"):
        scaled(plan("specs/patterns/co_attention.yaml"), Factors(width=2))


def test_a_dim_that_is_two_things_is_refused():
    text = LITERAL.replace("vocab_size: 100", "vocab_size: n").replace("d_model: 96", "d_model: n")
    text = text.replace("name: literal", "name: literal\ndims: {n: 96}")

    with pytest.raises(ScalingError, match="dim 'n' is d_model and vocab_size at once"):
        scaled(plan(text), Factors(width=2))


@pytest.mark.parametrize("factor", [0.0, -1.0, float("nan"), float("inf")])
def test_a_factor_is_a_number_above_zero(factor):
    with pytest.raises(ScalingError, match="a factor of width is a number above 0"):
        scaled(plan("specs/gpt2.yaml"), Factors(width=factor))


def test_a_factor_beyond_what_the_language_has_names_the_most():
    for factors in (Factors(width=1e9), Factors(depth=1e9)):
        with pytest.raises(ScalingError, match=r"is too much; the most is [\d,]+, [\d.]+ times"):
            scaled(plan("specs/deepseek_v3.yaml"), factors)


def test_a_factor_that_rounds_to_nothing_names_the_next():
    with pytest.raises(ScalingError, match=r"the next width is 1\.08 times this one"):
        scaled(plan("specs/gpt2.yaml"), Factors(width=1.01))


def test_a_kind_says_what_its_own_options_are():
    assert all(set(cls.scales) <= set(cls.model_fields) for cls in KINDS.values()), (
        "what scales is an option"
    )
    assert KINDS["mla"].scales["kv_rank"] == "inner"
