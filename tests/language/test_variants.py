"""One spec of several texts: bases, sizes, overrides."""

from __future__ import annotations

import pytest

import composer
from composer.diagnostics import SpecError
from composer.language.document import plain
from composer.language.variants import MAX_BASES, read, sizes_of, with_bases

SPEC = """\
composer: 1
name: tiny
dims: {width: 32}
inputs:
  tokens: {kind: tokens, vocab_size: 100}
decoders:
  decoder: {from: tokens, d_model: width, num_layers: 2, attention: {num_heads: 4}}
outputs:
  logits: {from: decoder, head: lm}
sizes:
  base: {}
  none:
  large:
    dims: {width: 64}
    decoders: {decoder: {num_layers: 4}}
"""


@pytest.fixture
def spec(tmp_path):
    path = tmp_path / "spec.yaml"
    path.write_text(SPEC)
    return path


def stack(loaded):
    return loaded.stacks[0].d_model, loaded.stacks[0].num_layers


@pytest.mark.parametrize(
    ("size", "expected"),
    [(None, (32, 2)), ("base", (32, 2)), ("none", (32, 2)), ("large", (64, 4))],
)
def test_a_size_changes_what_it_names(spec, size, expected):
    assert stack(composer.load(spec, size=size)) == expected


def test_text_and_data_have_sizes_too(spec):
    assert stack(composer.load(SPEC, size="large")) == (64, 4)
    data = plain(read(spec)) | {"sizes": {"large": {"dims": {"width": 64}}}}
    assert stack(composer.load(data, size="large")) == (64, 2)


def test_overrides_come_after_the_size_and_in_order(spec):
    overrides = ["decoder.num_layers=3", "width=16", "decoder.num_layers = 5"]

    assert stack(composer.load(spec, size="large", overrides=overrides)) == (16, 5)


def test_an_override_goes_into_a_word(spec):
    loaded = composer.load(spec, overrides=["outputs.logits.head.bias=true"])

    assert loaded.outputs[0].head.component.bias is True


def test_an_override_makes_what_is_left_out(spec):
    loaded = composer.load(spec, overrides=["decoder.feed_forward.activation=relu"])

    assert loaded.stacks[0].types[""].branches[1].made.component.activation == "relu"


@pytest.mark.parametrize("section", ["initialization", "title", "defaults.dropout"])
def test_an_override_names_a_section_that_is_left_out(spec, section):
    value = {"initialization": "xavier", "title": "Tiny", "defaults.dropout": "0.1"}[section]

    assert composer.load(spec, overrides=[f"{section}={value}"])


def test_sizes_of_a_spec(spec):
    from composer.language.load import load

    assert sizes_of(load(spec)) == ["base", "none", "large"]


def test_a_base_lies_under_what_extends_it(tmp_path):
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "root.yaml").write_text(SPEC)
    (tmp_path / "base.yaml").write_text("extends: inner/root.yaml\ndims: {width: 48}\n")
    (tmp_path / "spec.yaml").write_text(
        "extends: base.yaml\nname: mine\ndecoders: {decoder: {num_layers: 7}}\n"
    )
    loaded = composer.load(tmp_path / "spec.yaml")

    assert (loaded.name, *stack(loaded)) == ("mine", 48, 7)


def extending(folder, text):
    (folder / "base.yaml").write_text(SPEC)
    (folder / "spec.yaml").write_text(f"extends: base.yaml\n{text}")
    return folder / "spec.yaml"


def test_sizes_of_a_base_are_offered_by_a_spec_without_its_own(tmp_path):
    path = extending(tmp_path, "dims: {width: 48}\n")

    assert sizes_of(with_bases(path)) == ["base", "none", "large"]
    assert stack(composer.load(path, size="large")) == (64, 4)


@pytest.mark.parametrize(
    ("own", "expected"),
    [
        ("{large: {decoders: {decoder: {num_layers: 6}}}, huge: {}}", ["large", "huge"]),
        ("{}", []),
        ("null", []),
    ],
)
def test_sizes_of_a_spec_replace_those_of_its_base(tmp_path, own, expected):
    path = extending(tmp_path, f"sizes: {own}\n")

    assert sizes_of(with_bases(path)) == expected
    with pytest.raises(SpecError, match="no size 'none'"):
        composer.load(path, size="none")
    if "large" in expected:
        assert stack(composer.load(path, size="large")) == (32, 6)


def refusal(path) -> str:
    with pytest.raises(SpecError) as caught:
        composer.load(path)
    (problem,) = caught.value.problems
    return problem.message


@pytest.mark.parametrize(
    "base", ["../secret.yaml", "/etc/passwd", "link.yaml", "folder/../../secret.yaml"]
)
def test_a_base_outside_the_folder_is_not_read(tmp_path, base):
    folder = tmp_path / "specs"
    (folder / "folder").mkdir(parents=True)
    (tmp_path / "secret.yaml").write_text("name: secret\n")
    (folder / "link.yaml").symlink_to(tmp_path / "secret.yaml")
    (folder / "spec.yaml").write_text(f"extends: {base}\n")

    assert "lies outside" in refusal(folder / "spec.yaml")


@pytest.mark.parametrize("base", ["a" * 300, "loop.yaml", "a" * 5000])
def test_a_base_that_is_no_path_is_refused(tmp_path, base):
    (tmp_path / "loop.yaml").symlink_to(tmp_path / "loop.yaml")
    (tmp_path / "spec.yaml").write_text(f"extends: {base}\n")

    assert "is not a path" in refusal(tmp_path / "spec.yaml") or "no file" in refusal(
        tmp_path / "spec.yaml"
    )


def test_bases_end(tmp_path):
    for number in range(MAX_BASES + 2):
        (tmp_path / f"{number}.yaml").write_text(f"extends: {number + 1}.yaml\n")

    assert refusal(tmp_path / "0.yaml") == f"more than {MAX_BASES} specs extend each other"
