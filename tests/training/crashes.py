"""Runs that are killed again and again, and must end as if they never were.

    make crashes                    200 runs, each killed once or twice or more
    python -m tests.training.crashes --runs 20 --without random

Each run is a process of its own, killed by SIGKILL: at its n-th operation on files, most often in the
middle of a checkpoint, or after a random time. It is started again until it ends. Then parameters,
the optimizer's averages, random states and the log must equal, bit by bit, those of a run that was
left alone. With `--without PART`, a part of the state is not restored, and nearly no run may pass.
`--precision float16` scales losses so that some updates are left out; without `scaler` it is taken.
With `--world 2` a run is two processes that share each batch; one is killed, and then all end.
"""

from __future__ import annotations

import argparse
import copy
import hashlib
import os
import random
import shutil
import signal
import socket
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

import composer
from composer.language.parallel import MeshFields, Parallelism
from composer.training import checkpoint, loop, read_data
from composer.training import run as running

SPEC = """\
composer: 1
name: crashing
inputs: {tokens: {kind: tokens, vocab_size: 256}}
decoders:
  decoder:
    {from: tokens, d_model: 8, num_layers: 1, dropout: 0.2, attention: {num_heads: 2, position: rope}}
outputs: {logits: {from: decoder, head: lm}}
train:
  {steps: STEPS, batch_size: 2, accumulate: 2, length: 8, lr: 1e-2, warmup: 5, log_every: 3,
   eval_every: 6, eval_batches: 2, checkpoint_every: 2, keep: 1}
"""
STEPS = 24
SPEC = SPEC.replace("STEPS", str(STEPS))
TEXT = " ".join(f"{n} times {n + 1} is {n * (n + 1)}." for n in range(12))
PARTS = ("random", "cursor", "optimizer", "schedule", "sums", "scaler")
OPERATIONS = ("mkdir", "rename", "fsync", "open", "unlink", "rmdir", "replace")


def main() -> int:
    """Runs the campaign; the exit status is 0 if all is as it must be."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--without", choices=PARTS, help="a part that is not restored")
    parser.add_argument("--timed", type=float, default=0.4, help="share of kills after a time")
    parser.add_argument("--precision", choices=("float32", "float16"), default="float32")
    parser.add_argument("--world", type=int, default=1, help="processes of a run")
    chosen = parser.parse_args()
    precision = "float16" if chosen.without == "scaler" else chosen.precision
    torch.set_num_threads(1)  # a process that is forked has none of the others' threads
    with tempfile.TemporaryDirectory() as folder:
        found = campaign(
            Path(folder), chosen.runs, chosen.seed, chosen.without, chosen.timed, precision,
            chosen.world,
        )  # fmt: skip
    landed = sum((run.landed for run in found), Counter[str]())
    same, kills = sum(run.same for run in found), landed.total()
    print(f"{same} of {chosen.runs} runs are bit-identical after {kills} kills, which landed")  # noqa: T201 - the report
    for place, count in landed.most_common():
        print(f"  {count:>4}  {place}")  # noqa: T201
    if not chosen.without:
        return 0 if same == chosen.runs else 1
    resumed = [run.same for run in found if run.resumed]
    print(f"{sum(resumed)} of {len(resumed)} that went on from a checkpoint are")  # noqa: T201
    return 0 if resumed and sum(resumed) * 10 <= len(resumed) else 1


@dataclass(frozen=True)
class Killed:
    """A run that was killed.

    Whether it has ended as if it had been left alone, where kills have landed, and whether it had
    steps to take from a checkpoint on.
    """

    same: bool
    landed: Counter[str]
    resumed: bool


def campaign(
    folder: Path,
    runs: int,
    seed: int,
    without: str | None = None,
    timed: float = 0.4,
    precision: str = "float32",
    world: int = 1,
) -> list[Killed]:
    """What becomes of so many runs.

    A share of the kills is `timed`; all others are at an operation on files, and so the same again.
    """
    chance = random.Random(seed)
    text = folder / "text.txt"
    text.write_text(TEXT)
    work = prepared(text, precision, world)
    assert attempt(lambda: work(folder / "whole", None), world=world) == 0
    wanted = digest(folder / "whole")
    found = []
    for number in range(runs):
        out = folder / str(number)
        places, resumed = killed_until_done(
            lambda out=out: work(out, without), out, chance, timed, world
        )
        found.append(Killed(digest(out) == wanted, places, resumed))
        shutil.rmtree(out)
    return found


def prepared(text: Path, precision: str, world: int) -> Callable[[Path, str | None], None]:
    """One process of a run; what is the same in all of them is made once, before they fork."""
    spec = composer.load(SPEC, overrides=[f"train.precision={precision}"])
    # From here the scale falls until gradients are numbers, and rises to where they are none again.
    running.GradScaler = partial(running.GradScaler, init_scale=2.0**24, growth_interval=2)
    data = read_data(spec, text, evaluation=text)
    graph, model = composer.graph(spec), composer.build(spec, seed=0)
    source = composer.source(graph)
    shared = Parallelism(mesh=MeshFields(dp=world))

    def work(out: Path, without: str | None) -> None:
        running.emit = lambda graph: source
        loop.plot = lambda folder: None
        if without is not None:
            forget(without)
        loop.train(
            copy.deepcopy(model), graph, data, spec.train, out=out, device="cpu", parallel=shared
        )

    # torch loads more of itself with the first update: once here, not in each process.
    loop.train(copy.deepcopy(model), graph, data, spec.train, out=text.with_name("first"))
    return work


def forget(part: str) -> None:
    """Restores all but a part, in this process."""
    whole = running.Run.restore

    def restore(run: running.Run, found: checkpoint.Checkpoint) -> None:
        gathered, scale = run.optimizer.state_dict(), run.scaler.state_dict()
        whole(run, found)
        if part == "random":
            torch.manual_seed(0)
        elif part == "cursor":
            run.stream = running.training_batches(run.data, run.settings, run.batches + 1)
        elif part == "optimizer":
            run.optimizer.load_state_dict(gathered)
        elif part == "scaler":
            run.scaler.load_state_dict(scale)
        elif part == "sums":
            run.sums = running._Sums(run.device)

    running.Run.restore = restore
    if part == "schedule":
        share, first = running.share, []
        running.share = lambda step, settings: share(step - first_of(first, step), settings)


def first_of(seen: list[int], step: int) -> int:
    """The first step that was asked for, as of a schedule that starts anew in each process."""
    if not seen:
        seen.append(step)
    return seen[0]


def killed_until_done(
    work: Callable[[], None], out: Path, chance: random.Random, timed: float, world: int
) -> tuple[Counter[str], bool]:
    """Starts a run again until it ends; kills its first processes.

    Says where, and whether a process then had steps to take from a checkpoint on.
    """
    landed, kills, resumed = Counter[str](), 0, False
    while True:
        aimed = chance.randrange(1, 60) if chance.random() >= timed else None
        after = None if aimed else chance.uniform(0.0, 1.0)
        if kills >= 3:
            aimed = after = None
        status = attempt(work, aimed, after, world, chance.randrange(world))
        if status == 0:
            return landed, resumed
        assert status == -signal.SIGKILL, f"a run ended with {status} by itself"
        kills += 1
        landed[place_of(out)] += 1
        resumed |= 0 < steps_kept(out) < STEPS


def attempt(
    work: Callable[[], None], aimed: int | None = None, after: float | None = None,
    world: int = 1, victim: int = 0,
) -> int:  # fmt: skip
    """Runs work in as many processes as asked; one is killed at an operation, or after a time.

    When one has ended by a kill or a fault, all others are killed, as a launcher does.
    """
    sys.stdout.flush()
    port = free_port() if world > 1 else 0
    ranks = [
        started(work, aimed if rank == victim else None, rank, world, port)
        for rank in range(world)
    ]  # fmt: skip
    if after is not None:
        time.sleep(after)
        kill(ranks[victim])
    statuses = {}
    while len(statuses) < world:
        ended, status = os.wait()
        statuses[ended] = os.waitstatus_to_exitcode(status)
        if statuses[ended]:
            for rank in ranks:
                kill(rank)
    return statuses[ranks[victim]] or max(statuses.values(), key=abs)


def started(
    work: Callable[[], None], aimed: int | None, rank: int, world: int, port: int
) -> int:  # fmt: skip
    """The process that does the work of one rank."""
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        if world > 1:
            place = {"RANK": rank, "WORLD_SIZE": world, "MASTER_PORT": port}
            os.environ.update({"MASTER_ADDR": "127.0.0.1", **{k: str(v) for k, v in place.items()}})
        if aimed is not None:
            kill_at(aimed)
        work()
        status = 0
    except Exception:  # noqa: BLE001 - shown, and then the status says it
        traceback.print_exc()
    finally:
        os._exit(status)


def kill(process: int) -> None:
    """Kills a process of ours, if it has not been waited for."""
    with suppress(ProcessLookupError):
        os.kill(process, signal.SIGKILL)


def free_port() -> int:
    """A port on which nothing listens."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


def kill_at(count: int) -> None:
    """Kills this process in place of its operation on files of that number."""
    left = [count]

    def guarded(operation: Callable[..., object]) -> Callable[..., object]:
        def call(*arguments: object, **options: object) -> object:
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return operation(*arguments, **options)

        return call

    for name in OPERATIONS:
        setattr(os, name, guarded(getattr(os, name)))
    checkpoint.save_file = torn(guarded(checkpoint.save_file), left)


def torn(save_file: Callable[..., object], left: list[int]) -> Callable[..., object]:
    """A `save_file` that is also killed when half of the file is written."""

    def call(tensors: object, path: Path) -> None:
        save_file(tensors, path)
        left[0] -= 1
        if left[0] == 0:
            os.truncate(path, path.stat().st_size // 2)
            os.kill(os.getpid(), signal.SIGKILL)

    return call


def place_of(out: Path) -> str:
    """Where a kill has landed, by what it has left."""
    folder = out / loop.CHECKPOINTS
    names = [path.name for path in folder.glob(".step-*")] if folder.is_dir() else []
    if any(name.endswith(".part") for name in names):
        return "within a checkpoint"
    if names:
        return "while an old checkpoint was removed"
    return "between checkpoints" if steps_kept(out) else "before the first checkpoint"


def steps_kept(out: Path) -> int:
    """Steps of the newest checkpoint; 0 if there is none."""
    folder = out / loop.CHECKPOINTS
    whole = checkpoint.newest(folder)[0] if folder.is_dir() else None
    return 0 if whole is None else whole.step


def digest(out: Path) -> str:
    """Everything that a run has come to: its last checkpoint and its log, as one hash."""
    found, damaged = checkpoint.newest(out / loop.CHECKPOINTS)
    assert found is not None
    assert not damaged
    made = hashlib.sha256((out / "log.csv").read_bytes())
    for file in sorted(found.path.iterdir()):
        made.update(file.name.encode() + file.read_bytes())
    return made.hexdigest()


if __name__ == "__main__":
    sys.exit(main())
