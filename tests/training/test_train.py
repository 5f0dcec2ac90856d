"""The loop, its data and its command."""

from __future__ import annotations

import json
import logging
import random

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import composer
from composer.training import IGNORED, Settings, TrainingError, read_data, share, train
from composer.training.data import Order
from composer.training.logs import read_log
from tests.training.specs import LM, PAIRS

CLASSES = """\
composer: 1
name: classes
inputs: {tokens: {kind: tokens, vocab_size: 256, padding: 0}}
encoders: {encoder: {from: tokens, d_model: 16, num_layers: 1, attention: {num_heads: 2}}}
outputs: {kind: {from: encoder, head: {kind: classification, num_classes: 2}}}
"""
QUICK = {"steps": 6, "batch_size": 2, "length": 8, "lr": 1e-2, "log_every": 2}


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text("one and two and three and four and " * 8)
    return path


def fitted(spec, data, settings, out, **options):
    model = composer.build(spec, seed=0)
    return model, train(model, spec, data, settings, out=out, **options)


def test_it_learns_what_a_loop_of_ones_own_learns(text, tmp_path):
    settings = Settings(**QUICK, warmup=3, clip=0.5)
    data = read_data(LM, text, settings=settings)
    model, _ = fitted(LM, data, settings, tmp_path / "run")

    own = composer.build(LM, seed=0)
    groups = composer.param_groups(own, LM, settings.lr, weight_decay=0.1)
    optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.95), fused=True)
    batches = iter(Order(len(data.train), 2, seed=0))
    for step in range(settings.steps):
        inputs, targets = data.collate([data.train[index] for index in next(batches)])
        loss = F.cross_entropy(own(**inputs).logits.flatten(0, 1), targets.flatten())
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(own.parameters(), 0.5)
        for group in optimizer.param_groups:
            group["lr"] = settings.lr * share(step, settings)
        optimizer.step()

    for name, tensor in own.state_dict().items():
        torch.testing.assert_close(model.state_dict()[name], tensor, rtol=1e-5, atol=1e-6)


def test_batches_of_one_update_learn_what_one_batch_learns(tmp_path):
    lines = ["a\tlonger text", "b\tx", "c\tand another", "d\ty"] * 3
    (tmp_path / "pairs.tsv").write_text("\n".join(lines))
    whole = Settings(**(QUICK | {"batch_size": 4, "length": 16, "steps": 2}))
    parts = whole.model_copy(update={"batch_size": 1, "accumulate": 4})
    data = read_data(PAIRS, tmp_path / "pairs.tsv", settings=whole)
    one = fitted(PAIRS, data, whole, tmp_path / "whole")[1].train
    four = fitted(PAIRS, data, parts, tmp_path / "parts")[1].train

    assert four.loss == pytest.approx(one.loss, rel=1e-4)
    assert four.grad_norm == pytest.approx(one.grad_norm, rel=1e-4)


def test_texts_become_inputs_and_targets(tmp_path):
    (tmp_path / "pairs.jsonl").write_text(
        "\n".join(
            json.dumps(one)
            for one in [{"source": "ab", "target": "c"}, {"source": "a", "target": "de"}]
        )
    )
    data = read_data(PAIRS, tmp_path / "pairs.jsonl")
    inputs, targets = data.collate([data.train[0], data.train[1]])

    assert inputs["source"].tolist() == [[97, 98, 3], [97, 3, 0]]
    assert inputs["source_mask"].tolist() == [[True] * 3, [True, True, False]]
    assert inputs["target"].tolist() == [[2, 99, 0], [2, 100, 101]]
    assert targets.tolist() == [[99, 3, IGNORED], [100, 101, 3]]


def test_classes_are_learned_from_json_lines(tmp_path):
    rows = [{"text": "aaaa" * (n % 3 + 1) if n % 2 else "zzz", "label": n % 2} for n in range(12)]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    settings = Settings(**(QUICK | {"steps": 40, "batch_size": 6}))
    data = read_data(
        CLASSES, tmp_path / "rows.jsonl", evaluation=tmp_path / "rows.jsonl", settings=settings
    )
    _, result = fitted(CLASSES, data, settings, tmp_path / "run")

    assert data.labels == ("0", "1")
    assert result.evaluation.accuracy == 1.0


def test_a_tokenizer_file_is_read(tmp_path, text):
    tokenizers = pytest.importorskip("tokenizers")
    words = {"[UNK]": 0, "<s>": 1, "</s>": 2, "one": 3, "and": 4, "two": 5}
    made = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token="[UNK]"))
    made.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    made.save(str(tmp_path / "tokenizer.json"))
    data = read_data(LM, text, tokenizer=tmp_path / "tokenizer.json", settings=Settings(length=4))

    assert data.train[0][0].tolist() == [3, 4, 5, 4, 0]


def test_a_run_goes_on_exactly_and_leaves_random_states_alone(text, tmp_path):
    settings = Settings(**QUICK, checkpoint_every=2, keep=9)
    data = read_data(LM, text, evaluation=text, settings=settings)
    states = random.getstate(), torch.get_rng_state(), numpy_state()
    one, _ = fitted(LM, data, settings, tmp_path / "run")
    log = (tmp_path / "run" / "log.csv").read_text()
    last = tmp_path / "run" / "checkpoints" / "step-00000006" / "model.safetensors"
    last.write_bytes(last.read_bytes()[:-1])
    notes = []
    two, result = fitted(LM, data, settings, tmp_path / "run", watch=Notes(notes))

    assert "damaged" in notes[0]
    assert notes[1] == "goes on from step 4"
    assert result.steps == 6
    assert (tmp_path / "run" / "log.csv").read_text() == log
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))
    assert random.getstate() == states[0]
    assert torch.equal(torch.get_rng_state(), states[1])
    assert numpy_state() == states[2]


def numpy_state():
    return np.random.get_state()[1].tolist()  # noqa: NPY002 - the global one


class Notes:
    def __init__(self, notes):
        self.note = notes.append

    def update(self, step):
        pass

    def row(self, row):
        assert row.loss > 0


def test_another_run_is_refused_by_what_has_changed(text, tmp_path, caplog):
    data = read_data(LM, text, settings=Settings(**QUICK))
    fitted(LM, data, Settings(**QUICK), tmp_path / "run")
    other = Settings(**(QUICK | {"lr": 1e-3, "log_every": 1}))
    with pytest.raises(TrainingError, match=r"another run: train\.lr changed"):
        fitted(LM, data, other, tmp_path / "run")
    with caplog.at_level(logging.INFO, "composer.training"):
        fitted(LM, data, other, tmp_path / "run", resume="loose")

    assert "train.lr changed" in caplog.text


def test_shared_parameters_are_saved_once_and_a_checkpoint_builds_the_model(text, tmp_path):
    tied = LM + "connections: [{shared: [decoder.embed.tokens, logits.head]}]\n"
    settings = Settings(**QUICK)
    data = read_data(tied, text, settings=settings)
    model, result = fitted(tied, data, settings, tmp_path / "run")
    again = composer.build(tied, weights=result.checkpoint / "model.safetensors")

    assert all(
        torch.equal(a, b) for a, b in zip(again.parameters(), model.parameters(), strict=True)
    )


def test_a_loss_that_is_no_number_stops_the_run_before_it_is_saved(text, tmp_path):
    settings = Settings(
        **(QUICK | {"lr": 1e30, "steps": 50}), clip=None, checkpoint_every=1, keep=99
    )
    data = read_data(LM, text, settings=settings)
    with pytest.raises(TrainingError, match="loss is") as refused:
        fitted(LM, data, settings, tmp_path / "run")

    assert refused.value.problems[0].code == "T505"


def test_bfloat16_computes_other_numbers_of_the_same_model(text, tmp_path):
    losses = []
    for precision in ("float32", "bfloat16"):
        settings = Settings(**QUICK, precision=precision)
        data = read_data(LM, text, settings=settings)
        model, result = fitted(LM, data, settings, tmp_path / precision)
        losses.append(result.train.loss)
        assert {p.dtype for p in model.parameters()} == {torch.float32}

    assert losses[0] != losses[1]
    assert losses[0] == pytest.approx(losses[1], rel=0.02)


def test_the_rate_rises_and_falls():
    cosine = Settings(steps=11, warmup=2, final_lr=0.0)
    constant = Settings(steps=11, warmup=2, schedule="constant")

    assert [share(step, cosine) for step in (0, 1, 10)] == [0.5, 1.0, 0.0]
    assert [share(step, constant) for step in (0, 1, 10)] == [0.5, 1.0, 1.0]
    assert share(5, cosine) > share(6, cosine) > 0.3


def test_every_round_has_every_example_and_any_batch_can_be_the_first():
    order = iter(Order(7, 3, seed=1))
    batches = [next(order) for _ in range(14)]
    places = [place for batch in batches for place in batch]

    assert [sorted(places[at : at + 7]) for at in range(0, 42, 7)] == [list(range(7))] * 6
    assert places[:7] != places[7:14]
    assert next(iter(Order(7, 3, seed=1, start=5))) == batches[5]


@pytest.mark.parametrize(
    ("spec", "content", "settings", "code", "says"),
    [
        (LM, "ab", {}, "T501", "too few for one window"),
        (PAIRS, "one line without a tab", {}, "T501", "line 1, is not source<tab>target"),
        (LM.replace("256", "100"), "a text", {}, "T502", "256 tokens, but 'tokens' knows 100"),
        (LM.replace("decoder", "encoder"), "a text", {}, "T502", "see no later one"),
        (LM, "a text", {"task": "classification"}, "T502", "scores of classes"),
        (CLASSES, "a\tx\nb\ty\nc\tz", {}, "T502", "3 labels, but 'kind' scores 2"),
        (CLASSES.replace(", padding: 0", ""), "a\tx\nbb\ty", {}, "T502", "has no padding"),
        (LM.replace("d_model: 16,", "d_model: 16, embed: {position: {kind: learned, max_length: 4}},"),
         "a longer text", {"length": 8}, "T502", "positions end at 4"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(tmp_path, spec, content, settings, code, says):
    path = tmp_path / "data.txt"
    path.write_text(content)
    with pytest.raises(TrainingError) as refused:
        first_batch(spec, path, Settings(**settings))

    assert refused.value.problems[0].code == code
    assert says in str(refused.value)


def first_batch(spec, path, settings):
    data = read_data(spec, path, settings=settings)
    return data.collate([data.train[index] for index in range(2)])


def test_the_command_trains_and_goes_on(tmp_path, text, run):
    (tmp_path / "spec.yaml").write_text(
        LM + "train: {batch_size: 2, length: 8, checkpoint_every: 2}\n"
    )
    command = ("train", tmp_path / "spec.yaml", "--data", text, "--eval", text, "--steps", 4,
               "-o", tmp_path / "run")  # fmt: skip
    code, out, err = run(*command)
    again, same, noted = run(*command)

    assert (code, again) == (0, 0)
    assert "step       4  loss" in err
    assert "model.safetensors" in out
    assert "goes on from step 4" in noted
    assert same == out
    assert [row.split for row in read_log(tmp_path / "run")] == ["train", "evaluation"]


def test_the_command_says_what_is_wrong(tmp_path, text, run):
    (tmp_path / "spec.yaml").write_text(LM)
    code, _, err = run("train", tmp_path / "spec.yaml", "--data", tmp_path / "none.txt")
    zero, _, wrong = run("train", tmp_path / "spec.yaml", "--data", text, "--steps", 0)

    assert code == 2
    assert "T501" in err
    assert zero == 1
    assert "steps wants" in wrong
