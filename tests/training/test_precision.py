"""Runs that compute in fewer bits: float16 with a scaled loss, and products of float32."""

from __future__ import annotations

import math
from functools import partial

import pytest
import torch

import composer
from composer.training import Settings, TrainingError, read_data, train
from composer.training import run as running
from composer.training.checkpoint import newest

SPEC = """\
composer: 1
name: lm
inputs: {tokens: {kind: tokens, vocab_size: 256}}
decoders: {decoder: {from: tokens, d_model: 16, num_layers: 1, attention: {num_heads: 2}}}
outputs: {logits: {from: decoder, head: lm}}
"""
QUICK = {"steps": 8, "batch_size": 2, "length": 8, "lr": 1e-2, "log_every": 2, "checkpoint_every": 4,
         "keep": 9}  # fmt: skip


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text("one and two and three and four and " * 8)
    return path


def fitted(text, out, **settings):
    chosen = Settings(**(QUICK | settings))
    data = read_data(SPEC, text, settings=chosen)
    model = composer.build(SPEC, seed=0)
    return model, train(model, SPEC, data, chosen, out=out, device="cpu")


def scale_in(folder):
    return newest(folder / "checkpoints")[0].state["scaler"]


def test_float16_computes_other_numbers_of_the_same_model(text, tmp_path):
    losses = []
    for precision in ("float32", "float16"):
        model, result = fitted(text, tmp_path / precision, precision=precision)
        losses.append(result.train.loss)
        assert {p.dtype for p in model.parameters()} == {torch.float32}

    assert losses[0] != losses[1]
    assert losses[0] == pytest.approx(losses[1], rel=0.02)
    assert scale_in(tmp_path / "float32") == {}


def test_gradients_that_are_too_large_lower_the_scale_and_change_nothing(
    text, tmp_path, monkeypatch
):
    first = 2.0**40
    monkeypatch.setattr(running, "GradScaler", partial(running.GradScaler, init_scale=first))
    model, result = fitted(text, tmp_path / "run", precision="float16")
    start = composer.build(SPEC, seed=0)

    assert scale_in(tmp_path / "run")["scale"] == first / 2**8
    assert not math.isfinite(result.train.grad_norm)
    assert all(
        torch.equal(a, b) for a, b in zip(model.parameters(), start.parameters(), strict=True)
    )


def test_a_run_in_float16_goes_on_exactly(text, tmp_path, monkeypatch):
    scaler = partial(running.GradScaler, init_scale=2.0**24, growth_interval=2)
    monkeypatch.setattr(running, "GradScaler", scaler)
    whole, _ = fitted(text, tmp_path / "run", precision="float16")
    (scale,) = {scale_in(tmp_path / "run")["scale"]}
    last = tmp_path / "run" / "checkpoints" / "step-00000008" / "model.safetensors"
    last.write_bytes(last.read_bytes()[:-1])
    again, _ = fitted(text, tmp_path / "run", precision="float16")

    assert scale != 2.0**24
    assert scale_in(tmp_path / "run")["scale"] == scale
    assert all(
        torch.equal(a, b) for a, b in zip(whole.parameters(), again.parameters(), strict=True)
    )


def test_gradients_that_are_no_numbers_at_any_scale_stop_the_run(text, tmp_path, monkeypatch):
    monkeypatch.setattr(running, "GradScaler", partial(running.GradScaler, init_scale=2.0**-22))

    def lost(self, inputs, targets, count):
        whole(self, inputs, targets, count)
        next(self.model.parameters()).grad.fill_(float("nan"))

    whole = running.Run._learn
    monkeypatch.setattr(running.Run, "_learn", lost)
    with pytest.raises(TrainingError, match="no numbers in float16") as refused:
        fitted(text, tmp_path / "run", precision="float16")

    assert refused.value.problems[0].code == "T505"


def test_several_devices_refuse_float16():
    from composer.language.parallel import Parallelism
    from composer.training.loop import check_together

    graph = composer.graph(SPEC)
    with pytest.raises(composer.SpecError, match="float16 are scaled on one device"):
        check_together(graph, Settings(precision="float16"), Parallelism())


def test_products_are_as_exact_as_is_asked_and_then_as_before(text, tmp_path, monkeypatch):
    seen = []
    learn = running.Run._learn

    def looking(self, *given):
        seen.append(torch.get_float32_matmul_precision())
        learn(self, *given)

    monkeypatch.setattr(running.Run, "_learn", looking)
    before = torch.get_float32_matmul_precision()
    fitted(text, tmp_path / "high", matmul_precision="high", steps=2)
    fitted(text, tmp_path / "highest", steps=2)

    assert seen == ["high"] * 2 + ["highest"] * 2
    assert torch.get_float32_matmul_precision() == before
