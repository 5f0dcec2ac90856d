"""A program that is rounded in its graph: by data, where the spec says so, and as it lies in its file."""

from __future__ import annotations

import json
import zipfile

import pytest
import torch
from safetensors.torch import save_file

import composer
from composer.cli import main
from composer.diagnostics import SpecError
from composer.integrations.exporting.rounded import export_rounded

SPEC = """
composer: 1
name: small
inputs: {tokens: {kind: tokens, vocab_size: 40, padding: mask}}
decoders:
  decoder: {from: tokens, d_model: 16, num_layers: 2, attention: {num_heads: 2, position: rope}}
connections:
  - shared: [decoder.embed.tokens, logits.head]
  - shared: {within: decoder.layers, every: all}
outputs: {logits: {from: decoder, head: lm}}
initialization: torch
compress:
  - quantize: {on: %s, scheme: %s}
"""


@pytest.fixture(autouse=True)
def _torchao():
    pytest.importorskip("torchao")


def ids(shape=(4, 9)):
    return torch.randint(0, 40, shape, generator=torch.Generator().manual_seed(1))


def weights_of(program):
    """The dtype of the weight of each linear map, by where it comes from before it is floats again."""
    found = {}
    for node in program.graph.nodes:
        if node.target is torch.ops.aten.linear.default:
            read = node.args[1]
            rounded = "dequantize" in str(read.target)
            found.setdefault(rounded, set()).add(str(read.args[0] if rounded else read))
    return found


def test_what_is_shared_is_rounded_once_and_a_tied_head_is_left(tmp_path):
    model = composer.build(SPEC % ("'*'", "int8_static"), seed=0).eval()

    made = export_rounded(
        SPEC % ("'*'", "int8_static"), tmp_path / "small.pt2", [{"tokens": ids()}]
    )

    assert len(made.maps) == 12
    assert 0 < made.errors["logits"] < 0.05
    program = torch.export.load(made.path)
    found = weights_of(program)
    assert len(found[True]) == 6
    assert len(found[False]) == 1
    real = torch.ones(2, 5, dtype=torch.bool)
    after = program.module()(tokens=ids((2, 5)), tokens_mask=real)["logits"]
    before = model(tokens=ids((2, 5))).logits
    assert (after - before).norm() < 0.05 * before.norm()
    with zipfile.ZipFile(made.path) as file:
        pickled = [name for name in file.namelist() if name.endswith(("sample_inputs/model.pt",))]
        assert all(file.getinfo(name).file_size == 0 for name in pickled)


def test_only_what_is_named_is_rounded_by_the_command(tmp_path, capfd):
    (tmp_path / "s.yaml").write_text(SPEC % ("decoder.layers.*.feed_forward", "int8_static"))
    save_file({"tokens": ids()}, tmp_path / "d.safetensors")
    arguments = ["export", str(tmp_path / "s.yaml"), "--to", "torch-export", "--json"]

    out = str(tmp_path / "s.pt2")
    assert main([*arguments, "--data", str(tmp_path / "d.safetensors"), "-o", out]) == 0

    found = json.loads(capfd.readouterr().out)
    assert found["maps"] == [
        f"decoder.layers.{i}.feed_forward.{n}" for i in (0, 1) for n in ("up", "down")
    ]
    names = weights_of(torch.export.load(out))
    assert len(names[True]) == 2
    assert len(names[False]) == 5


@pytest.mark.parametrize(
    ("text", "data", "why"),
    [
        (SPEC % ("'*'", "int8_weight"), [{"tokens": ids()}], "with int8_static, not with int8_we"),
        (SPEC.partition("compress:")[0], [{"tokens": ids()}], "does not say what to round"),
        (SPEC % ("'*'", "int8_static"), [], "no batch of data"),
    ],
)
def test_what_a_program_cannot_have_is_refused(text, data, why, tmp_path):
    with pytest.raises(SpecError, match=why):
        export_rounded(text, tmp_path / "small.pt2", data)
    assert list(tmp_path.iterdir()) == []
