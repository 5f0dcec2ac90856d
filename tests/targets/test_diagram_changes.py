"""A drawing shows what differs from another model: borders of new and changed boxes, and names."""

from __future__ import annotations

import re

import pytest

import composer
from composer.cli import main
from composer.targets import diagram
from composer.targets.diagram.theme import DARK, LIGHT
from composer.targets.diff import compare, removed

SPEC = """
composer: 1
name: tiny
inputs:
  tokens: {kind: tokens, vocab_size: 50}
decoders:
  decoder: {from: tokens, d_model: 16, num_layers: 2, attention: {num_heads: 2}}
outputs:
  logits: {from: decoder, head: lm}
"""


def drawn(before: str, after: str, theme: str = "light", depth: int = 1) -> str:
    pairs = [(spec, composer.graph(spec)) for spec in map(composer.load, (before, after))]
    found = compare(*pairs, ("before", "after"), steps=8)
    tints = {c.path: c.what for c in found.nodes if c.what != "removed"}
    changes = diagram.Changes(tints, tuple(removed(found)))
    return diagram.draw(pairs[1][1], theme=theme, depth=depth, changes=changes)


def marked(dot: str, color: str) -> set[str]:
    """Names of nodes with a border of a colour."""
    pattern = rf'^\s+"?([\w.]+)"? \[.*color="{color}",.* penwidth=2\.6'
    return set(re.findall(pattern, dot, re.MULTILINE)) - {"graph"}  # which is a block


def test_an_option_changes_its_box_alone():
    dot = drawn(SPEC, SPEC.replace("num_heads: 2", "num_heads: 4"))

    assert marked(dot, LIGHT.changed) == {"decoder.attention"}
    assert marked(dot, LIGHT.added) == set()
    assert "changed" in dot


def test_a_new_branch_is_added_and_an_old_one_named():
    other = SPEC.replace(
        "num_layers: 2,", "num_layers: 2, layer: [attention, {conv: {kernel_size: 3}}],"
    )
    forth, back = drawn(SPEC, other), drawn(other, SPEC)

    assert {"decoder.conv", "decoder.conv_norm"} <= marked(forth, LIGHT.added)
    assert "removed: decoder.layers.{0-1}.feed_forward_norm" in forth
    assert "decoder.layers.{0-1}.conv" in back
    assert {"decoder.feed_forward", "decoder.feed_forward_norm"} <= marked(back, LIGHT.added)


def test_more_layers_change_the_block():
    dot = drawn(SPEC, SPEC.replace("num_layers: 2", "num_layers: 3"))

    assert marked(dot, LIGHT.changed) == set()
    assert f'color="{LIGHT.changed}", fillcolor="{LIGHT.block}", penwidth=2.6' in dot


def test_a_stack_as_one_box_is_changed_with_what_is_in_it():
    dot = drawn(SPEC, SPEC.replace("num_heads: 2", "num_heads: 4"), depth=0)

    assert marked(dot, LIGHT.changed) == {"decoder.layers"}


def test_themes_have_their_own_colours():
    dot = drawn(SPEC, SPEC.replace("num_heads: 2", "num_heads: 4"), theme="dark")

    assert marked(dot, DARK.changed) == {"decoder.attention"}


def test_the_same_model_is_drawn_as_ever():
    assert drawn(SPEC, SPEC) == diagram.draw(composer.graph(SPEC))


@pytest.mark.parametrize("arguments", [("--diff", "specs/gpt2.yaml"), ("--diff-size", "xl")])
def test_the_command_marks_changes(tmp_path, arguments):
    file = tmp_path / "drawing.dot"

    assert main(["draw", "specs/gpt2.yaml", "--size", "medium", *arguments, "-o", str(file)]) == 0
    assert "decoder.attention" in marked(file.read_text(encoding="utf-8"), LIGHT.changed)
