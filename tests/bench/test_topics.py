"""Every topic runs at tiny settings; how fast is measured by `python -m bench`, never here."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch

import composer
from bench import settings
from bench.__main__ import TOPICS, main, run
from bench.effort import FULL, QUICK, Effort
from bench.memory import peak_bytes
from bench.settings import AGAIN, BUILT, TIGHT, TORCH, setting
from bench.sizes import LlamaSize, TransformerSize
from bench.specs import DEEP, deep
from bench.timing import Rounds

ONCE = Rounds(seconds=0, fewest=1, most=1)
SMALL = TransformerSize(16, 2, num_layers=1, batch=2, time=6, vocab_size=20)
PADDED = replace(SMALL, padded=True)
LLAMA = LlamaSize(16, 4, 2, d_ff=24, num_layers=2, batch=2, time=6, vocab_size=20)
TINY = Effort(
    name="tiny", processes=1, layers=(4, 8), repeats=1, enough=0.0, forward=ONCE, training=ONCE,
    sizes={"small": SMALL, "padded": PADDED, "llama": LLAMA},
)  # fmt: skip
TABLES = {"startup": 1, "construction": 2, "growth": 2, "models": 2 * len(TINY.sizes)}


@pytest.mark.parametrize("topic", TOPICS)
def test_a_topic_gives_tables_that_json_can_hold(topic, monkeypatch):
    two = {name: DEEP[name] for name in ("decoder-only", "wired one by one")}
    monkeypatch.setattr("bench.growth.DEEP", two)

    results = run(TINY, [topic])

    tables = json.loads(json.dumps(results, allow_nan=False))["topics"][topic]
    assert TABLES[topic] == len(tables)
    for table in tables:
        assert table["rows"], f"'{table['title']}' is empty"
        numbers = [
            cell for row in table["rows"] for cell in row.values() if not isinstance(cell, str)
        ]
        assert all(number is not None for number in numbers)


@pytest.mark.parametrize("name", DEEP)
def test_a_deep_spec_has_the_depth_that_is_asked_for(name):
    text, overrides = deep(name, 12)

    layers = {
        stack.name: len(stack.layers) for stack in composer.graph(text, overrides=overrides).stacks
    }

    assert {layers[stack] for stack in DEEP[name][1]} == {12}


def test_the_command_prints_its_tables_and_writes_them(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr("bench.__main__.QUICK", TINY)
    file = tmp_path / "made" / "results.json"

    main(["models", "--quick", "--output", str(file)])

    results = json.loads(file.read_text(encoding="utf-8"))
    assert {"cpu", "cores", "threads", "system", "python", "torch"} == set(results["machine"])
    assert list(results["topics"]) == ["models"]
    printed = capsys.readouterr().out
    assert all(table["title"] in printed for table in results["topics"]["models"])


@pytest.mark.parametrize("size", [SMALL, PADDED, LLAMA], ids=["small", "padded", "llama"])
def test_contenders_compute_the_same(size):
    made = setting("tiny", size)

    wanted = {BUILT, TIGHT, AGAIN} | ({TORCH} if isinstance(size, TransformerSize) else set())
    assert wanted == set(made.contenders)
    logits = [contender.logits(**made.inputs) for contender in made.contenders.values()]
    for found in logits[1:]:
        torch.testing.assert_close(found, logits[0], rtol=1e-4, atol=1e-5)


def test_a_contender_that_computes_something_else_is_refused(monkeypatch):
    copy = settings.copy_renamed
    copied = []

    def copy_wrongly_at_last(built, rival, renames):
        copy(built, rival, renames)
        copied.append(rival)
        if len(copied) == 2:
            rival.layers[0].down.weight.data.add_(0.1)

    monkeypatch.setattr(settings, "copy_renamed", copy_wrongly_at_last)

    with pytest.raises(AssertionError, match="logits of hand-written, again differs"):
        setting("tiny", LLAMA)


def test_peak_bytes_counts_what_is_held_at_once():
    def run():
        first = torch.empty(1000)
        del first
        torch.empty(500), torch.empty(1000)

    assert peak_bytes(run) == 4 * 1500


@pytest.mark.parametrize("effort", [FULL, QUICK], ids=["full", "quick"])
def test_efforts_hold_to_what_is_promised(effort):
    assert effort.processes >= 7
    assert list(effort.layers) == sorted(effort.layers)
    assert len(effort.layers) >= 3
    assert effort.forward.fewest <= effort.forward.most
