"""Distillation in the loop of `composer train`: checkpoints, exact resume, the command."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file

import composer
from composer import distillation
from composer.training import Settings, TrainingError, read_data, train
from composer.training.logs import read_log
from composer.training.objective import CrossEntropy
from tests.distillation.specs import LM, written

SETTINGS = {
    "steps": 8, "batch_size": 2, "length": 8, "lr": 1e-2, "log_every": 2, "eval_every": 4, "keep": 2,
    "checkpoint_every": 4,
}  # fmt: skip
MATCHED = """\
  loss: {soft: {temperature: 3}, hard: {weight: 0.5}}
  match:
    - {teacher: decoder.layers.3, student: decoder.layers.1, project: true}
    - {teacher: decoder.layers.1.attention.weights, student: decoder.layers.0.attention.weights}
"""


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text("one and two and three and four and " * 8)
    return path


def student(tmp_path, distill=MATCHED, **options):
    return written(tmp_path, distill, LM, width=8, dropout=0.2, **options)


def distiller_of(path, seed=1):
    return distillation.build(path, teacher=composer.build(path.parent / "teacher.yaml", seed=seed))


def files_of(folder):
    return {file.name: file.read_bytes() for file in sorted(folder.iterdir())}


class KilledError(Exception):
    """What ends a run in its midst."""


class Killer:
    """Looks on, and ends the run after some updates."""

    def __init__(self, after):
        self.after = after

    def update(self, step):
        if step == self.after:
            raise KilledError

    def row(self, row):
        """Nothing."""

    def note(self, text):
        """Nothing."""


def test_a_killed_run_goes_on_bit_by_bit(tmp_path, text):
    path, settings = student(tmp_path), Settings(**SETTINGS)
    data = read_data(path, text, evaluation=text, settings=settings)
    whole = distillation.train(distiller_of(path), data, settings, out=tmp_path / "whole")
    for after in (3, 7):
        with pytest.raises(KilledError):
            distillation.train(
                distiller_of(path), data, settings, out=tmp_path / "cut", watch=Killer(after)
            )
    cut = distillation.train(distiller_of(path), data, settings, out=tmp_path / "cut")

    assert files_of(whole.checkpoint) == files_of(cut.checkpoint)
    assert (tmp_path / "whole/log.csv").read_bytes() == (tmp_path / "cut/log.csv").read_bytes()
    started = load_file(whole.checkpoint.with_name("step-00000004") / "beside.safetensors")
    ended = load_file(whole.checkpoint / "beside.safetensors")
    assert all(not torch.equal(started[name], ended[name]) for name in ended)


def test_what_is_saved_is_the_student_alone(tmp_path, text):
    path, settings = student(tmp_path), Settings(**SETTINGS)
    data = read_data(path, text, settings=settings)
    distiller = distiller_of(path)
    result = distillation.train(distiller, data, settings, out=tmp_path / "run")
    saved = composer.build(path, weights=result.checkpoint / "model.safetensors")
    ours, theirs = saved.state_dict(), distiller.plain().state_dict()

    assert sorted(file.name for file in result.checkpoint.iterdir()) == [
        "MANIFEST.json", "beside.safetensors", "model.safetensors", "optimizer.safetensors",
        "random.safetensors", "state.json",
    ]  # fmt: skip
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_a_student_goes_on_from_weights_of_its_own(tmp_path):
    path = student(tmp_path)
    own = composer.build(path, seed=9).state_dict()
    composer.weights.save(tmp_path / "own.safetensors", own)
    teacher = composer.build(tmp_path / "teacher.yaml", seed=1)
    made = distillation.build(path, teacher=teacher, weights=tmp_path / "own.safetensors")

    assert all(torch.equal(tensor, made.student.state_dict()[name]) for name, tensor in own.items())


def test_another_teacher_is_another_run(tmp_path, text):
    path, settings = student(tmp_path), Settings(**SETTINGS)
    data = read_data(path, text, settings=settings)
    distillation.train(distiller_of(path), data, settings, out=tmp_path / "run")
    with pytest.raises(TrainingError, match="of another run: the teacher changed"):
        distillation.train(distiller_of(path, seed=2), data, settings, out=tmp_path / "run")
    path.write_text(path.read_text().replace("temperature: 3", "temperature: 4"))
    with pytest.raises(TrainingError, match=r"of another run: distill\.loss changed"):
        distillation.train(distiller_of(path), data, settings, out=tmp_path / "run")


def test_hard_targets_alone_learn_what_training_learns(tmp_path, text):
    path, settings = student(tmp_path, "  loss: {hard: {}}\n"), Settings(**SETTINGS)
    data = read_data(path, text, settings=settings)
    one = distillation.train(distiller_of(path), data, settings, out=tmp_path / "one")
    graph, model = composer.graph(path), composer.build(path, seed=0)
    other = train(
        model, graph, data, settings, out=tmp_path / "other", objective=CrossEntropy("logits")
    )

    assert one.train.loss == pytest.approx(other.train.loss, rel=1e-5)
    assert one.train.accuracy == other.train.accuracy


def test_batches_of_one_update_learn_what_one_batch_learns(tmp_path, text):
    path, whole = student(tmp_path), Settings(**SETTINGS | {"batch_size": 4, "steps": 2})
    path.write_text(path.read_text().replace("dropout: 0.2", "dropout: 0.0"))
    parts = whole.model_copy(update={"batch_size": 1, "accumulate": 4})
    data = read_data(path, text, settings=whole)
    one = distillation.train(distiller_of(path), data, whole, out=tmp_path / "one").train
    four = distillation.train(distiller_of(path), data, parts, out=tmp_path / "four").train

    assert four.loss == pytest.approx(one.loss, rel=1e-4)
    assert four.grad_norm == pytest.approx(one.grad_norm, rel=1e-3)


def test_the_command_distils_and_goes_on(tmp_path, text, run):
    train_section = "train: {steps: 6, batch_size: 2, length: 8, lr: 1e-2, checkpoint_every: 2}\n"
    path = student(tmp_path, more=train_section)
    teacher = tmp_path / "teacher.safetensors"
    composer.weights.save(teacher, composer.build(tmp_path / "teacher.yaml", seed=1).state_dict())
    command = ("distill", path, "--data", text, "--teacher", teacher, "-o", tmp_path / "run")
    none = run("distill", path, "--data", text, "-o", tmp_path / "none")
    first = run(*command)
    again = run(*command, "--set", "train.steps=8", "--resume", "loose")

    assert none[0] == 1
    assert "the teacher has no weights" in none[2]
    assert first[0] == 0, first[2]
    assert "run/checkpoints/step-00000006/model.safetensors" in first[1]
    assert again[0] == 0, again[2]
    assert "goes on from step 6" in again[2]
    assert [row.step for row in read_log(tmp_path / "run")] == [6, 8]


def test_a_spec_without_a_teacher_is_refused(tmp_path, text, run):
    path = student(tmp_path)
    bare = tmp_path / "bare.yaml"
    bare.write_text(path.read_text().partition("distill:")[0])
    code, _, err = run("distill", bare, "--data", text, "-o", tmp_path / "run")

    assert code == 1
    assert "'student' has no section distill" in err
