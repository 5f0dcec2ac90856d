"""What a fix says works: the mistaken text replaced by what the fix says gives a graph."""

from __future__ import annotations

from pathlib import Path

import pytest

import composer

HERE = Path(__file__).parent

LENGTHS = ("target: {kind: tokens,", "target: {kind: tokens, length: source,")
MADE = "modules:\n  made: {kind: project, from: %s, d_model: 32}\n"

FIXES = {
    "attention/head_without_vocab_size": [("head: lm", "head: {kind: lm, vocab_size: 32_000}")],
    "attention/heads_do_not_divide": [("num_heads: 5", "num_heads: 4")],
    "attention/kv_heads_do_not_divide": [("num_kv_heads: 3", "num_kv_heads: 2")],
    "attention/embed_unlike_the_stack": [(", embed: {d_model: 16}", ", embed: {}")],
    "attention/learned_too_short": [("max_length: 32", "max_length: 64")],
    "attention/learned_without_length": [
        ("position: learned", "position: {kind: learned, max_length: 512}")
    ],
    "attention/rope_odd": [("head_dim: 7", "head_dim: 8")],
    "attention/rope_odd_by_division": [("num_heads: 4", "num_heads: 4, head_dim: 4")],
    "connections/connection_of_two_keys": [("    shared: [", "  - shared: ["), ("layers, decoder.layers", "embed, decoder.embed")],
    "cross/cross_aligned_unequal": [("layers: aligned", "layers: all")],
    "cross/cross_every_too_far": [("every 4", "[0]")],
    "cross/cross_from_all_layers": [("encoder.layers.*, to: decoder", "encoder, to: decoder, layers: aligned")],
    "cross/cross_causal_said_in_the_stack": [("cross_attention: {causal: true}", ""), ("to: decoder}", "to: decoder, causal: true}"), LENGTHS],
    "cross/cross_from_tokens": [("from: source, to", "from: encoder, to"), ("decoders:", "encoders:\n  encoder: {from: source}\ndecoders:")],
    "cross/cross_layers_word": [("odd", "every 2")],
    "cross/cross_no_heads": [("decoder: {from: target}", "decoder: {from: target, cross_attention: {num_heads: 8}}")],
    "cross/cross_weighted_of_a_layer": [("encoder.layers.0", "encoder")],
    "einops/einops_two_unknown": [('d"}', 'd", h: 4}')],
    "keys/missing_num_heads": [("num_layers: 2}", "num_layers: 2, attention: {num_heads: 4}}")],
    "keys/unknown_key_of_huggingface": [("hidden_size", "d_model")],
    "keys/version_as_text": [('"1"', "1")],
    "kinds/branch_left_out": [(", feed_forward: none", ", layer: [attention]")],
    "kinds/branch_needs_options": [("conv]", "conv: {kernel_size: 3}]")],
    "kinds/kind_of_norm_placement": [("norm: pre", "norm: {placement: pre}")],
    "kinds/layer_is_a_word": [("layer: attention", "layer: [attention, feed_forward]")],
    "masks/mask_causal_reads_all": [("{from: source}\ndecoders", "{from: source}\n  decoders"), ("encoders:\n", "decoders:\n"), ("  decoders:\n", ""), ("to: decoder}", "to: decoder, causal: true}")],
    "masks/mask_causal_reads_all_by_skip": [("decoders:", "  decoders:"), ("encoders:\n", "decoders:\n"), ("  decoders:\n", "")],
    "masks/mask_of_two": [("from: [a, b]", "from: [a, b], mask: drop")],
    "masks/mask_rearranged": [('(b t) d"', '(b t) d", mask: drop')],
    "modules/module_is_a_word": [("made: pool", "made: {kind: pool, from: frames}")],
    "parallel/parallel_combine_without_output": [("combine: add", "combine: {kind: concat, axis: time}, output: fused"), ("  a: {", "  c: {from: fused}\n  a: {")],
    "parallel/parallel_direction": [("words to regions", "words -> regions")],
    "parallel/parallel_direction_of_three": [(", direction: words -> regions", "")],
    "parallel/parallel_no_heads": [("layer: [feed_forward]", "layer: [feed_forward], cross_attention: {num_heads: 8}")],
    "parallel/parallel_twice": [("\n  - parallel: {stacks: [regions, words], exchange: cross}", "")],
    "references/all_layers_into_a_head": [("decoder.layers.*", "both"), ("outputs:", "modules:\n  both: {kind: mean, from: decoder.layers.*}\noutputs:"), ("head: lm", "head: {kind: lm, vocab_size: 100}")],
    "references/undefined_layer": [("layers.2", "layers.1")],
    "references/unused_input": [("head: lm}\n", "head: lm}\n  more: {from: extra}\n")],
    "references/unused_final_norm": [("final_norm: rmsnorm", "final_norm: false")],
    "references/unused_layers": [("num_layers: 2", "num_layers: 1")],
    "shapes/shapes_do_not_meet_add": [("from: [a, b]", "from: [a, made]"), ("modules:\n", MADE % "b")],
    "shapes/shapes_do_not_meet_length": [("{kind: add,", "{kind: concat, axis: time,"), ("{kind: concat, from", "{kind: concat, axis: time, from")],
    "shapes/shapes_do_not_meet_stack": [("from: frames, d_model", "from: made, d_model"), ("encoders:", MADE % "frames" + "encoders:")],
    "shared/shared_unknown_part": [("embed.token,", "embed.tokens,")],
    "shared/shared_within_different_types": [("decoder.layers, every", "decoder.layers.*.feed_forward, every")],
    "shared/shared_within_does_not_divide": [("every: 2", "every: all")],
    "shared/shared_within_no_stack": [("within: encoder,", "within: encoder.layers,")],
    "shared/shared_within_unknown_part": [("atention", "attention")],
    "sizes/expression_32k": [("32k", "32_000")],
    "skip/skip_backwards": [("from: decoder.layers.3, to: decoder.layers.1", "from: decoder.layers.1, to: decoder.layers.3")],
    "skip/skip_layer_and_stack": [("to: decoder}\n  - skip", "to: decoder}\n  -  skip"), (", to: decoder}\noutputs", ", to: decoder.layers.1}\noutputs")],
    "skip/skip_layers_and_pairs": [(", pairs: mirror", "")],
    "skip/skip_mirror_unequal": [("pairs: mirror", "pairs: [[0, 1]]")],
    "skip/skip_to_the_next": [("to: decoder.layers.1", "to: decoder.layers.2")],
    "skip/skip_without_pairs": [("to: decoder}\noutputs", "to: decoder, pairs: mirror}\noutputs")],
    "types/layer_types_without_types": [("full]", "full]\n    types: {local: {}, full: {}}")],
    "types/types_without_layer_types": [("    types:", "    layer_types: [local, full]\n    types:")],
    "values/cite_is_a_word": [("arXiv:1706.03762", "[arXiv:1706.03762]")],
    "values/from_is_a_list": [("[tokens]", "tokens")],
    "values/final_norm_without_norm": [("final_norm: true", "final_norm: layernorm")],
    "values/placement_typo": [("prenorm", "pre")],
}  # fmt: skip


@pytest.mark.parametrize("case", sorted(FIXES))
def test_the_fix_works(case):
    text = (HERE / f"{case}.yaml").read_text(encoding="utf-8")
    for old, new in FIXES[case]:
        assert old in text
        text = text.replace(old, new)

    assert composer.graph(text).outputs


@pytest.mark.parametrize("case", sorted(FIXES))
def test_the_message_says_a_fix(case):
    assert "fix: " in (HERE / f"{case}.txt").read_text(encoding="utf-8")
