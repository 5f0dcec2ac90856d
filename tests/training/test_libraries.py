"""What `composer train` reads and writes with other libraries: theirs, not stand-ins."""

from __future__ import annotations

import io
import json
import random

import pytest

import composer
from composer.cli.progress import watching
from composer.training import Settings, read_data
from composer.training.logs import Row, read_log
from tests.training.specs import LM, PAIRS

SHORT = f"{LM}train: {{steps: 4, batch_size: 2, length: 8, log_every: 2, eval_every: 4}}\n"
ROWS = [{"source": f"{n} and {n}", "target": f"{2 * n}"} for n in range(8)]


@pytest.fixture
def saved(tmp_path):
    datasets = pytest.importorskip("datasets")
    made = datasets.Dataset.from_list(ROWS)
    made.save_to_disk(tmp_path / "rows")
    datasets.DatasetDict({"train": made, "test": made}).save_to_disk(tmp_path / "splits")
    return tmp_path


def items(data):
    return [[column.tolist() for column in data.train[n]] for n in range(len(data.train))]


def test_a_saved_dataset_is_what_json_lines_are(saved):
    (saved / "rows.jsonl").write_text("\n".join(map(json.dumps, ROWS)))
    lines = read_data(PAIRS, saved / "rows.jsonl")
    folder = read_data(PAIRS, saved / "rows")
    split = read_data(PAIRS, saved / "splits" / "train")

    assert items(folder) == items(lines) == items(split)
    assert folder.digest == lines.digest


@pytest.mark.parametrize(
    ("spec", "name", "says"),
    [
        (PAIRS, "splits", "holds several datasets: train, test"),
        (SHORT, "rows", "row 0, has no text 'text'"),
        (PAIRS, "", "is no saved dataset"),
    ],
)
def test_a_dataset_that_does_not_fit_is_refused(saved, spec, name, says):
    with pytest.raises(composer.SpecError, match="T501") as refused:
        read_data(spec, saved / name)

    assert says in str(refused.value)


def test_the_command_trains_with_a_tokenizer_on_a_saved_dataset(saved, run):
    tokenizers = pytest.importorskip("tokenizers")
    made = tokenizers.Tokenizer(tokenizers.models.BPE(unk_token="<unk>"))
    made.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    trainer = tokenizers.trainers.BpeTrainer(vocab_size=60, special_tokens=["<unk>", "<s>", "</s>"])
    made.train_from_iterator([value for row in ROWS for value in row.values()], trainer)
    made.save(str(saved / "tokenizer.json"))
    (saved / "pairs.yaml").write_text(PAIRS)
    code, out, err = run(
        "train", saved / "pairs.yaml", "--data", saved / "rows", "--tokenizer",
        saved / "tokenizer.json", "--steps", 2, "--batch-size", 2, "-o", saved / "run",
    )  # fmt: skip
    data = read_data(PAIRS, saved / "rows", tokenizer=saved / "tokenizer.json")

    assert code == 0, err
    assert "model.safetensors" in out
    assert items(data)[3] == [
        [*made.encode("3 and 3").ids, 2],
        [1, *made.encode("6").ids, 2],
    ]


def test_logs_are_the_same_in_tensorboard_and_csv(tmp_path, run):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    (tmp_path / "spec.yaml").write_text(SHORT)
    (tmp_path / "text.txt").write_text("one and two and three and four and " * 8)
    command = ("train", tmp_path / "spec.yaml", "--data", tmp_path / "text.txt", "--eval",
               tmp_path / "text.txt", "--tensorboard", "-o", tmp_path / "run")  # fmt: skip
    code, _, err = run(*command)
    board = EventAccumulator(str(tmp_path / "run" / "tensorboard"))
    board.Reload()
    rows = read_log(tmp_path / "run")
    written = {
        (tag, event.step): event.value
        for tag in board.Tags()["scalars"]
        for event in board.Scalars(tag)
    }
    expected = {
        (f"{row.split}/{name}", row.step): getattr(row, name)
        for row in rows
        for name in ("loss", "accuracy", "lr", "grad_norm")
        if getattr(row, name) is not None
    }

    assert code == 0, err
    assert [(row.split, row.step) for row in rows] == [
        ("train", 2), ("train", 4), ("evaluation", 4),
    ]  # fmt: skip
    assert written == pytest.approx(expected, rel=1e-6)


def test_the_losses_are_drawn(tmp_path, run):
    pytest.importorskip("matplotlib")
    (tmp_path / "spec.yaml").write_text(SHORT)
    (tmp_path / "text.txt").write_text("one and two and three and four and " * 8)
    code, out, err = run("train", tmp_path / "spec.yaml", "--data", tmp_path / "text.txt", "--eval",
                         tmp_path / "text.txt", "-o", tmp_path / "run")  # fmt: skip
    drawn = (tmp_path / "run" / "loss.svg").read_text()

    assert code == 0, err
    assert f"plot: {tmp_path / 'run' / 'loss.svg'}" in out
    for label in ("train", "evaluation", "step", "loss (nats)"):
        assert f"<!-- {label} -->" in drawn


def test_a_terminal_sees_a_bar(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    screen = Terminal()
    monkeypatch.setattr("sys.stderr", screen)
    monkeypatch.setenv("TERM", "xterm")
    with watching(steps=4) as watch:
        watch.update(3)
        watch.row(Row(3, "train", random.random(), 0.5, 1e-3))

    assert "3/4" in screen.getvalue()
    assert "step       3  loss 0." in screen.getvalue()


def test_bytes_need_no_library(tmp_path):
    (tmp_path / "text.txt").write_text("é" * 20)
    data = read_data(SHORT, tmp_path / "text.txt", settings=Settings(length=4))

    assert items(data)[0] == [[0xC3, 0xA9, 0xC3, 0xA9, 0xC3]]
