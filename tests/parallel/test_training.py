"""Training on several devices: the same numbers, exact resume, checkpoints for any number of ranks."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import composer
from composer.language.parallel import MeshFields, Parallelism, TpFields
from composer.training import Settings, read_data, train
from composer.training.checkpoint import newest
from composer.training.logs import read_log
from composer.training.shards import Pieces
from tests.parallel.group import run

SPEC = """\
composer: 1
name: lm
inputs: {tokens: {kind: tokens, vocab_size: 257}}
decoders:
  decoder: {from: tokens, d_model: 16, num_layers: 2, dropout: DROPOUT, attention: {num_heads: 4}}
connections: [{shared: [decoder.embed.tokens, logits.head]}]
outputs: {logits: {from: decoder, head: lm}}
"""
PLAIN, DROPPED = SPEC.replace("DROPOUT", "0.0"), SPEC.replace("DROPOUT", "0.2")
FOUR = Parallelism(MeshFields(dp=2, tp=2), tp=TpFields(sequence=True))
TWO = (Parallelism(MeshFields(dp=2)), Parallelism(MeshFields(tp=2)))
QUICK = {"batch_size": 4, "length": 8, "lr": 1e-2, "schedule": "constant", "log_every": 2,
         "eval_every": 2, "checkpoint_every": 2, "accumulate": 2, "clip": 0.5}  # fmt: skip


def write_text(folder: Path) -> Path:
    path = folder / "text.txt"
    path.write_text("one and two and three and four and " * 6)
    return path


def trained(folder: str, spec: str, out: str, steps: int, asked: Parallelism | None, **options):
    text = Path(folder) / "text.txt"
    settings = Settings(steps=steps, **QUICK)
    data = read_data(spec, text, evaluation=text, settings=settings)
    model = composer.build(spec, seed=0)
    made = train(
        model, spec, data, settings, out=Path(folder) / out, device="cpu", parallel=asked, **options
    )
    return model, made


def by_four(folder: str) -> dict[str, object]:
    """Runs of four ranks: one to compare with one process, one that was stopped half way."""
    _, result = trained(folder, PLAIN, "plain", 4, FOUR)
    trained(folder, DROPPED, "whole", 4, FOUR)
    trained(folder, DROPPED, "stopped", 2, FOUR)
    trained(folder, DROPPED, "stopped", 4, FOUR)
    return {"parameters": str(result.parameters)}


def by_two(folder: str) -> list[float]:
    """How far parameters and averages that two ranks load are from those that four have saved."""
    from composer.compiler import graph as graph_of
    from composer.parallel.plan import plan
    from composer.parallel.ranks import launched
    from composer.training.run import Run

    found, _ = newest(Path(folder) / "plain" / "checkpoints")
    whole = {name: Pieces(found.path, name).whole() for name in ("model", "optimizer")}
    settings, graph, differences = Settings(steps=4, **QUICK), graph_of(PLAIN), []
    data = read_data(PLAIN, Path(folder) / "text.txt", settings=settings)
    for asked in TWO:
        with launched(asked, {"spec": PLAIN}) as ranks:
            layout, cpu = plan(graph, asked), torch.device("cpu")
            run_ = Run(composer.build(PLAIN, seed=1), graph, data, settings, cpu, layout, ranks)
            run_.restore(found)
            for name, parameter in run_.model.named_parameters():
                state = run_.optimizer.state[parameter]
                pairs = [(parameter, whole["model"][name])]
                pairs += [(state[k], whole["optimizer"][f"{k}:{name}"]) for k in state]
                for mine, saved in pairs:
                    full = mine.full_tensor() if hasattr(mine, "full_tensor") else mine
                    differences.append(float((full.detach() - saved).abs().max()))
    return differences


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("runs")
    write_text(made)
    run(4, by_four, made / "four", str(made))
    return made


def test_the_log_is_that_of_one_process(folder):
    trained(str(folder), PLAIN, "one", 4, None)
    one, four = read_log(folder / "one"), read_log(folder / "plain")

    assert [(row.step, row.split) for row in one] == [(row.step, row.split) for row in four]
    for a, b in zip(one, four, strict=True):
        assert b.loss == pytest.approx(a.loss, rel=1e-5)
        assert b.accuracy == a.accuracy
        assert b.grad_norm == (
            None if a.grad_norm is None else pytest.approx(a.grad_norm, rel=1e-4)
        )


def test_a_run_goes_on_exactly(folder):
    whole, stopped = (
        load_file(folder / name / "model.safetensors") for name in ("whole", "stopped")
    )

    assert all(torch.equal(whole[name], stopped[name]) for name in whole)
    assert read_log(folder / "whole") == read_log(folder / "stopped")


def test_two_ranks_load_what_four_have_saved(folder):
    differences = run(2, by_two, folder / "two", str(folder))

    assert len(differences) > 100
    assert max(differences) == 0


def test_one_process_loads_it_and_goes_on(folder):
    model, _ = trained(str(folder), PLAIN, "plain", 4, None, resume="loose")
    saved = load_file(folder / "plain" / "model.safetensors")
    built = composer.build(PLAIN, weights=folder / "plain" / "model.safetensors")

    assert saved.keys() == composer.graph(PLAIN).state.keys()
    for name, parameter in model.named_parameters():
        assert torch.equal(parameter, saved[name])
        assert torch.equal(built.get_parameter(name), saved[name])


def launch(folder: Path, spec: str, rank: int, port: int, steps: int = 4) -> subprocess.Popen:
    """One rank of a run of two, as torchrun would start it."""
    file = folder / f"spec-{rank}.yaml"
    file.write_text(spec)
    command = [sys.executable, "-m", "composer", "train", str(file), "--data", "text.txt",
               "--mesh", "dp=2", "--out", "run", "--device", "cpu", "--steps", str(steps),
               "--length", "8", "--batch-size", "4", "--set", "train.log_every=1"]  # fmt: skip
    env = {**os.environ, "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2",
           "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1",
           "PYTHONPATH": str(Path(composer.__file__).parents[1])}  # fmt: skip
    return subprocess.Popen(
        command, cwd=folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


@pytest.fixture
def port():
    import socket

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def test_ranks_with_different_specs_are_refused(tmp_path, port):
    write_text(tmp_path)
    ranks = [launch(tmp_path, spec, rank, port) for rank, spec in enumerate([PLAIN, DROPPED])]
    texts = [rank.communicate(timeout=120)[1] for rank in ranks]

    assert [rank.returncode for rank in ranks] == [2, 2]
    assert all("the model of rank 1 differ from rank 0" in text for text in texts)


def test_one_dead_rank_ends_all(tmp_path, port):
    write_text(tmp_path)
    ranks = [launch(tmp_path, PLAIN, rank, port, steps=1_000_000) for rank in range(2)]
    log = tmp_path / "run" / "log.csv"
    end = time.monotonic() + 120
    while time.monotonic() < end and not (log.exists() and log.read_text().count("\n") > 2):
        time.sleep(0.2)
    ranks[1].send_signal(signal.SIGKILL)
    killed = time.monotonic()
    try:
        ranks[0].wait(timeout=30)
    finally:
        for rank in ranks:
            rank.kill()
            rank.communicate()

    assert ranks[0].returncode not in {0, -signal.SIGKILL}
    assert time.monotonic() - killed < 30
