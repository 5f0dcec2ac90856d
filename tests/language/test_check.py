"""From tree to spec: defaults, dims, kinds, branches. Mistakes have a folder of their own."""

from __future__ import annotations

import subprocess
import sys

import pytest

import composer
from composer.diagnostics import SpecError
from composer.language.names import MODULE_ATTRIBUTES, SOURCE_NAMES, name_problem, other_name

HEAD = """\
composer: 1
name: tiny
inputs:
  tokens: {kind: tokens, vocab_size: 100}
outputs:
  logits: {from: decoder, head: lm}
"""


def stack_of(body: str, rest: str = ""):
    """The stack of a spec whose only decoder is `body`."""
    (stack,) = composer.load(f"{HEAD}decoders:\n  decoder: {body}\n{rest}").stacks
    return stack


def branches_of(body: str, rest: str = "") -> dict[str, object]:
    """Its branches with their components."""
    (layer,) = stack_of(body, rest).types.values()
    return {branch.name: branch.made.component for branch in layer.branches if branch.made}


def test_the_nearest_value_wins_over_defaults():
    stack = stack_of(
        "{from: tokens, num_layers: 3, attention: {num_heads: 2}}",
        "defaults: {d_model: 32, num_layers: 2, dropout: 0.1, attention: {num_heads: 4, bias: false}}\n",
    )

    assert (stack.d_model, stack.num_layers, stack.dropout) == (32, 3, 0.1)
    attention = stack.types[""].branches[0].made.component
    assert (attention.num_heads, attention.bias) == (2, False)


def test_another_kind_replaces_the_options_of_the_default():
    branches = branches_of(
        "{from: tokens, feed_forward: {kind: glu, d_ff: 48}}",
        "defaults: {d_model: 32, num_layers: 2, attention: {num_heads: 4}, feed_forward: {kind: feed_forward, activation: relu}}\n",
    )

    assert branches["feed_forward"].kind == "glu"
    assert branches["feed_forward"].activation == "silu"


def test_a_kind_alone_is_not_left_aside():
    branches = branches_of(
        "{from: tokens, d_model: 32, num_layers: 2, attention: {num_heads: 4}, feed_forward: glu}"
    )

    assert branches["feed_forward"].kind == "glu"


def test_dims_are_written_with_each_other_in_any_order():
    stack = stack_of(
        "{from: tokens, d_model: width, num_layers: depth, attention: {num_heads: 4}}",
        "dims: {width: 8*depth, depth: half + half, half: 2}\n",
    )

    assert (stack.d_model, stack.num_layers) == (32, 4)


def test_sizes_of_a_pattern_are_expressions():
    spec = composer.load(
        "composer: 1\nname: rows\ndims: {n: 4}\n"
        "inputs: {flat: {kind: features, width: 32}}\n"
        "modules: {heads: {kind: rearrange, from: flat, pattern: 'b t (h d) -> b h t d', h: 2*n}}\n"
        "outputs: {out: {from: heads}}\n"
    )

    assert spec.modules[0].made.component.sizes() == {"h": 8}


def test_options_of_a_listed_cross_attention_count():
    spec = composer.load(
        f"{HEAD}encoders:\n  encoder: {{from: tokens}}\n"
        "decoders:\n  decoder: {from: tokens, layer: [attention, {cross_attention: {num_heads: 2, gate: tanh}}]}\n"
        "defaults: {d_model: 32, num_layers: 1, attention: {num_heads: 4}}\n"
    )
    layer = spec.stacks[1].types[""]

    assert layer.cross_attention.component.num_heads == 2
    assert layer.cross_wiring.gate.component.kind == "tanh"


def test_cross_attention_has_the_heads_of_self_attention():
    layer = stack_of(
        "{from: tokens, d_model: 32, num_layers: 1, attention: {num_heads: 4, num_kv_heads: 2, window: 3}}"
    ).types[""]

    assert layer.cross_attention.component.num_heads == 4
    assert layer.cross_attention.component.num_kv_heads == 2


def test_the_second_branch_of_a_kind_has_a_number():
    branches = branches_of(
        "{from: tokens, d_model: 32, num_layers: 1, attention: {num_heads: 4}, "
        "layer: [feed_forward, attention, feed_forward]}"
    )

    assert list(branches) == ["feed_forward", "attention", "feed_forward_2"]


def test_a_base_is_for_files_only():
    with pytest.raises(SpecError, match="only a spec in a file"):
        composer.load(
            f"extends: base.yaml\n{HEAD}decoders:\n  decoder: {{from: tokens, d_model: 8, num_layers: 1, attention: {{num_heads: 2}}}}\n"
        )


def test_problems_stand_in_the_order_of_the_file():
    with pytest.raises(SpecError) as caught:
        composer.load(
            "composer: 1\nname: [x]\ninputs:\n  a: {kind: toks}\noutputs:\n  o: {from: 3}\n"
            "decoders:\n  d: {d_modell: 3, num_layers: 0, from: a, attention: {num_heads: yes}}\n"
        )

    places = [(p.span.line, p.span.column) for p in caught.value.problems]
    assert places == sorted(places)
    assert len(places) == 6


@pytest.mark.parametrize("name", ["a", "decoder_2", "Encoder", "x1"])
def test_a_name_may_be(name):
    assert name_problem(name) is None


@pytest.mark.parametrize(
    "name", ["", "2nd", "a-b", "ä", "a" * 65, "class", "match", "train", "self"]
)
def test_a_name_may_not_be(name):
    assert name_problem(name) is not None


@pytest.mark.parametrize("name", ["my-decoder", "class", "none", "2nd", "train", "self", "ä", ""])
def test_another_name_is_one_that_may_be(name):
    fix = other_name(name)

    assert name_problem(fix.split("'")[1]) is None if "'" in fix else fix == "choose another name"


def test_every_attribute_of_a_torch_module_is_taken():
    # A process of its own: other libraries add attributes to torch's classes.
    listing = "from torch import nn; print(*dir(nn.Module()))"
    made = subprocess.run(
        [sys.executable, "-c", listing], capture_output=True, text=True, check=True
    )
    public = {name for name in made.stdout.split() if not name.startswith("_")}

    assert "register_buffer" in public
    assert sorted(public - MODULE_ATTRIBUTES - SOURCE_NAMES) == []
