"""A new size is written into the text of a spec, and nothing else of it changes."""

from __future__ import annotations

from pathlib import Path

import pytest

import composer
from composer.language.document import plain
from composer.language.load import parse
from composer.scaling import ScalingError
from composer.scaling.amounts import amount, short
from composer.scaling.writing import as_file, check_name, with_size

DATA = {"dims": {"d_model": 128}, "decoders": {"decoder": {"num_layers": 3}}}
HEAD = """\
composer: 1   # the version
name: tiny
dims: {d_model: 64}
inputs:
  tokens: {kind: tokens, vocab_size: 100}
decoders:
  decoder: {from: tokens, d_model: d_model, num_layers: 2, attention: {num_heads: 4}}
"""
TAIL = "outputs: {logits: {from: decoder, head: lm}}  # the end\n"
SIZES = [
    "",
    "sizes:\n",
    "sizes: {}\n",
    "sizes: {small: {dims: {d_model: 32}}}\n",
    "sizes:\n  small: {}\n\n  # a remark\n  large:\n    dims: {d_model: 256}\n\n# not of the sizes\n",
    "sizes:\n    deep:\n        dims:\n            d_model: 32\n",
]


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("sizes", SIZES)
def test_every_other_line_stays(sizes, last, newline, tmp_path):
    text = (HEAD + TAIL + sizes if last else HEAD + sizes + TAIL).replace("\n", newline)
    made = with_size(text, "new", DATA)
    before, after = (t.splitlines() for t in (text, made))
    kept = [line for line in before if not line.startswith("sizes:")]
    file = tmp_path / "spec.yaml"
    file.write_bytes(made.encode())

    assert [line for line in after if line in kept] == kept
    assert composer.load(file, size="new").dims["d_model"] == 128
    assert len(composer.graph(file, size="new").stacks[0].layers) == 3
    assert (newline == "\r\n") == ("\r\n" in made)


@pytest.mark.parametrize("spec", sorted(Path("specs").glob("*.yaml")), ids=lambda p: p.stem)
def test_specs_of_the_zoo_can_be_written_to(spec):
    text = spec.read_text(encoding="utf-8")
    made = with_size(text, "new", {"dims": {"d_model": 64}})

    assert plain(parse(made, "made"))["sizes"]["new"] == {"dims": {"d_model": 64}}


def test_a_file_of_its_own_extends_the_spec_beside_it(tmp_path):
    base = tmp_path / "base.yaml"
    base.write_text(HEAD + TAIL, encoding="utf-8")
    tree = parse(HEAD + TAIL, "base")
    beside, away = tmp_path / "new.yaml", tmp_path / "far" / "new.yaml"
    away.parent.mkdir()
    for out in (beside, away):
        out.write_text(as_file(base, out, tree, "new", DATA), encoding="utf-8")

    assert "extends: base.yaml" in beside.read_text(encoding="utf-8")
    assert "extends" not in away.read_text(encoding="utf-8")
    assert composer.graph(beside).tensors == composer.graph(away).tensors


def test_a_name_is_new_and_simple():
    tree = parse(HEAD + TAIL + "sizes: {small: {}}\n", "spec")
    for name in ("small", "a b", "", "../x"):
        with pytest.raises(ScalingError):
            check_name(name, tree)
    check_name("350m", tree)


@pytest.mark.parametrize(
    ("text", "value"),
    [("350M", 350e6), ("1.5B", 1.5e9), ("124_439_808", 124439808), ("2e9", 2e9), ("1t", 1e12)],
)
def test_amounts(text, value):
    assert amount(text, "parameters") == value


@pytest.mark.parametrize("text", ["350", "12", "x", "", "-1M", "1e30", "1MM", "nan"])
def test_amounts_that_cannot_be_meant(text):
    with pytest.raises(ScalingError):
        amount(text, "parameters")


def test_a_number_without_its_unit_is_told_so():
    with pytest.raises(ScalingError, match="write 350M or 350B"):
        amount("350", "parameters")


def test_short_numbers():
    assert [short(n) for n in (999, 1e6, 354_823_168, 999_999_999, 1.5e9)] == [
        "999", "1M", "355M", "1B", "1.5B",
    ]  # fmt: skip
