"""`composer lottery`: what the rounds leave, where they start, and what is refused."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file

import composer
from composer.cli import main

SPEC = """
composer: 1
name: bytes
inputs: {tokens: {kind: tokens, vocab_size: 259}}
decoders: {decoder: {from: tokens, d_model: 16, num_layers: 2, attention: {num_heads: 2}}}
connections: [shared: {within: decoder.layers, every: all}]
outputs: {logits: {from: decoder, head: lm}}
compress: [prune: {on: decoder.layers, amount: 0.75}]
train: {steps: 4, batch_size: 2, length: 8, lr: 0.01, warmup: 0}
"""


@pytest.fixture
def given(tmp_path):
    (tmp_path / "spec.yaml").write_text(SPEC)
    (tmp_path / "text.txt").write_text("what is left learns as well as the whole. " * 30)
    return ["lottery", str(tmp_path / "spec.yaml"), "--data", str(tmp_path / "text.txt")]


def test_rounds_leave_less_and_start_where_the_first_did(given, tmp_path, capfd):
    out = tmp_path / "ticket"
    assert main([*given, "--rounds", "2", "-o", str(out), "--json"]) == 0

    rounds = json.loads(capfd.readouterr().out)
    assert [round(one["left"], 2) for one in rounds] == [1.0, 0.5, 0.25]
    assert len({one["loss"] for one in rounds}) == 3
    model, start = (load_file(out / f"{name}.safetensors") for name in ("model", "start"))
    first = composer.build(SPEC, seed=0).state_dict()
    name = "decoder.layers.0.feed_forward.up.weight"
    zero = start[name] == 0
    assert torch.equal(start[name], first[name].masked_fill(zero, 0))
    assert torch.equal(model[name] == 0, zero)
    assert not torch.equal(model[name], start[name])
    again = composer.build(SPEC, weights=out / "model.safetensors")
    assert torch.equal(again.decoder.layers[1].feed_forward.up.weight, model[name])


def test_a_step_to_go_back_to_is_one_of_the_training(given, tmp_path, capfd):
    out = tmp_path / "ticket"
    assert main([*given, "--rounds", "1", "--rewind", "2", "-o", str(out)]) == 0

    said = capfd.readouterr().out
    assert "25.0 %" in said
    assert "dense kernels no faster" in said
    start = load_file(out / "start.safetensors")
    first = composer.build(SPEC, seed=0).state_dict()
    name = "decoder.layers.0.feed_forward.up.weight"
    kept = start[name] != 0
    assert not torch.equal(start[name][kept], first[name][kept])
    assert not torch.equal(start["logits.head.weight"], first["logits.head.weight"])


@pytest.mark.parametrize(
    ("more", "why"),
    [
        (["--rewind", "4"], "cannot go back to update 4 of 4"),
        (["--set", "compress=[{quantize: {on: '*', scheme: int8_weight}}]"], "prunes nothing"),
        (["--out", "."], "is not empty"),
    ],
)
def test_what_cannot_be_is_refused(given, tmp_path, capfd, monkeypatch, more, why):
    monkeypatch.chdir(tmp_path)
    before = sorted(path.name for path in tmp_path.iterdir())

    assert main([*given, *more]) != 0

    assert why in capfd.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == before
