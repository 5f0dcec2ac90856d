"""`composer train` along pp: the numbers of one process, exact resume, checkpoints for any cut."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from safetensors.torch import load_file

import composer
from composer.diagnostics import SpecError
from composer.language.parallel import MeshFields, Parallelism, PpFields
from composer.training import Settings, read_data, train
from composer.training.logs import read_log
from tests.parallel.group import run

SPEC = """\
composer: 1
name: lm
inputs: {tokens: {kind: tokens, vocab_size: 257}}
decoders:
  decoder: {from: tokens, d_model: 16, num_layers: 4, dropout: DROPOUT, attention: {num_heads: 4}}
connections:
  - shared: [decoder.embed.tokens, logits.head]
  - shared: {within: decoder.layers, every: 2}
outputs: {logits: {from: decoder, head: lm}}
"""
PLAIN, DROPPED = SPEC.replace("DROPOUT", "0.0"), SPEC.replace("DROPOUT", "0.2")
STAGES = Parallelism(
    MeshFields(pp=2, dp=2), fsdp=None, pp=PpFields(cuts=["decoder.layers.1"], microbatches=2)
)
QUICK = {"batch_size": 8, "length": 8, "lr": 1e-2, "schedule": "constant", "log_every": 2,
         "eval_every": 2, "checkpoint_every": 2, "accumulate": 2, "clip": 0.5}  # fmt: skip


def trained(
    folder: str, spec: str, out: str, steps: int, asked: Parallelism | None, **options: str
):
    text = Path(folder) / "text.txt"
    settings = Settings(steps=steps, **QUICK)
    data = read_data(spec, text, evaluation=text, settings=settings)
    model = composer.build(spec, seed=0)
    return train(
        model, spec, data, settings, out=Path(folder) / out, device="cpu", parallel=asked, **options
    )


def by_four(folder: str) -> dict[str, object]:
    """Runs of two rows of two stages: one to compare with, one that is stopped half way."""
    trained(folder, PLAIN, "plain", 4, STAGES)
    trained(folder, DROPPED, "whole", 4, STAGES)
    trained(folder, DROPPED, "stopped", 2, STAGES)
    trained(folder, DROPPED, "stopped", 4, STAGES)
    return {}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The runs of four processes, and one of one process."""
    made = tmp_path_factory.mktemp("staged")
    (made / "text.txt").write_text("one and two and three and four and " * 12)
    run(4, by_four, made, str(made))
    trained(str(made), PLAIN, "alone", 4, None)
    return made


def test_rows_of_a_log_are_those_of_one_process(folder):
    staged, alone = read_log(folder / "plain"), read_log(folder / "alone")

    assert len(staged) == len(alone) == 4
    for one, other in zip(staged, alone, strict=True):
        assert (one.step, one.split, one.accuracy) == (other.step, other.split, other.accuracy)
        assert one.loss == pytest.approx(other.loss, rel=1e-5)


def test_parameters_are_those_of_one_process(folder):
    staged = load_file(folder / "plain/model.safetensors")
    alone = load_file(folder / "alone/checkpoints/step-00000004/model.safetensors")

    assert staged.keys() == alone.keys()
    assert max(float((staged[n] - alone[n]).abs().max()) for n in alone) < 1e-4
    assert composer.build(PLAIN, weights=folder / "plain/model.safetensors")


def test_a_run_that_was_stopped_ends_as_one_that_was_not(folder):
    whole, stopped = (
        load_file(folder / name / "model.safetensors") for name in ("whole", "stopped")
    )

    assert all(bool((whole[name] == stopped[name]).all()) for name in whole)
    assert read_log(folder / "whole") == read_log(folder / "stopped")


def test_one_process_goes_on_from_a_checkpoint_of_stages(folder):
    shutil.copytree(folder / "plain", folder / "on")
    trained(str(folder), PLAIN, "on", 6, None, resume="loose")
    trained(str(folder), PLAIN, "alone", 6, None)

    on, alone = read_log(folder / "on")[-1], read_log(folder / "alone")[-1]
    assert (on.step, on.split) == (alone.step, alone.split) == (6, "evaluation")
    assert on.loss == pytest.approx(alone.loss, rel=1e-5)


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        (Parallelism(MeshFields(pp=2, tp=2)), "not split along tp"),
        (Parallelism(MeshFields(pp=2, dp=2)), "not sharded along dp"),
        (Parallelism(MeshFields(pp=9)), "5 steps, too few for 9 stages"),
        (Parallelism(MeshFields(pp=3), pp=PpFields(cuts=["logits"])), "do not make 3 stages"),
        (Parallelism(MeshFields(pp=2), pp=PpFields(microbatches=1)), "1f1b wants a microbatch"),
        (Parallelism(MeshFields(pp=3)), "a batch of 8 does not divide into 3 microbatches"),
    ],
)
def test_what_stages_cannot_be_is_refused_before_anything_starts(asked, why, tmp_path):
    (tmp_path / "text.txt").write_text("one and two " * 20)
    with pytest.raises(SpecError, match=why):
        trained(str(tmp_path), PLAIN, "out", 1, asked)
