"""The section `parallel` of a spec."""

from __future__ import annotations

import pytest

import composer
from composer.language.parallel import MeshFields, Parallelism

SPEC = """
composer: 1
name: tiny
dims: {n: 2}
inputs: {tokens: {kind: tokens, vocab_size: 256}}
decoders: {decoder: {from: tokens, d_model: 8, num_layers: 4, attention: {num_heads: n}}}
outputs: {logits: {from: decoder, head: lm}}
"""


def read(section: str) -> Parallelism:
    return composer.load(f"{SPEC}parallel: {section}").parallel


def test_a_spec_without_the_section_says_nothing():
    assert composer.load(SPEC).parallel is None


def test_all_of_it_is_read():
    made = read(
        "{mesh: {dp: 2, tp: n, pp: 2}, fsdp: {unit: model, precision: bfloat16}, tp: {sequence: true}, "
        "pp: {cuts: [decoder.layers.2], schedule: gpipe, microbatches: 4}}"
    )
    assert made.mesh.world == 8
    assert (made.fsdp.unit, made.fsdp.precision) == ("model", "bfloat16")
    assert made.tp.sequence
    assert (made.pp.cuts, made.pp.schedule, made.pp.microbatches) == (
        ["decoder.layers.2"],
        "gpipe",
        4,
    )


def test_what_is_left_out_has_defaults():
    assert read("{}") == Parallelism()
    assert read("{mesh: {tp: 2}}").over(MeshFields(dp=4)).mesh.world == 4


def test_copies_are_kept_whole_without_shards():
    assert read("{fsdp: false}").fsdp is None
    assert read("{fsdp: true}") == Parallelism()
    assert read("{fsdp: false}").data()["fsdp"] is False


@pytest.mark.parametrize("section", ["{mesh: {dp: 2}}", "{fsdp: false, tp: {sequence: true}}"])
def test_the_expanded_spec_says_the_same(section):
    from composer.targets.expand import expand

    spec = composer.load(f"{SPEC}parallel: {section}")
    text = expand(spec, composer.graph(spec))
    assert composer.load(text).parallel == spec.parallel
