"""The loop: update after update, now and then a row of the log and a checkpoint.

A run that was killed at any moment and started again makes the same numbers, to the last bit, as
one that never stopped: all that they depend on is in the checkpoint (parameters, the optimizer's
averages, random states, how many batches were read) or follows from the step (rate, order).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import nn

from composer.compiler import Source, load
from composer.compiler import graph as graph_of
from composer.compression import prepare
from composer.graph.graph import Graph
from composer.language.parallel import Parallelism
from composer.language.spec import ModelSpec
from composer.language.train import TrainFields
from composer.parallel.plan import plan, refusal
from composer.parallel.ranks import Ranks, launched

from .checkpoint import Checkpoint, at_step, locked, newest, sweep
from .data import Data
from .errors import training_error
from .logs import Log, Row, Silent, Watch, plot, read_log
from .objective import Objective
from .randomness import seeded
from .run import Run, identity
from .shards import join
from .staged import StagedRun, check_stages

CHECKPOINTS = "checkpoints"
_BETWEEN_COPIES = 1_000_003  # of seeds, so that copies drop out different units
Resume = Literal["exact", "loose"]


@dataclass(frozen=True)
class Result:
    """What a run has come to: the last rows of its log, and where its parameters lie."""

    steps: int
    train: Row
    evaluation: Row | None
    checkpoint: Path
    plot: Path | None
    parameters: Path


def train(
    model: nn.Module, spec: Source | ModelSpec | Graph, data: Data,
    settings: TrainFields | None = None, *, out: str | Path, device: str | torch.device | None = None,
    resume: Resume = "exact", tensorboard: bool = False, watch: Watch | None = None,
    parallel: Parallelism | None = None, objective: Objective | None = None,
) -> Result:  # fmt: skip
    """Trains a model, or goes on from the newest checkpoint in `out`.

    `model` is what `composer.build` makes of `spec`; `settings` are those of its `train` section
    unless others are given. An `exact` run goes on only where everything is as it was; a `loose`
    one says what is not. Random states of the process are left as they were. A spec whose
    `compress` is `aware` trains with rounded weights; checkpoints hold those that are rounded. What
    is learned is the targets of the data, unless an `objective` says otherwise. With `parallel`, by
    default the spec's section, every process that a launcher has started calls this.

    >>> data = read_data("spec.yaml", "text.txt")  # doctest: +SKIP
    >>> train(composer.build("spec.yaml"), "spec.yaml", data, out="runs/first")  # doctest: +SKIP

    Raises SpecError, of which TrainingError tells what training cannot go on with.
    """
    made = spec if isinstance(spec, (ModelSpec, Graph)) else load(spec)
    graph = made if isinstance(made, Graph) else graph_of(made)
    chosen = settings or getattr(made, "train", None) or TrainFields()
    prepare(graph, model)
    asked = parallel or getattr(made, "parallel", None) or Parallelism()
    if asked.mesh.world > 1:
        check_together(graph, chosen, asked, objective)
    layout = plan(graph, asked, batch=chosen.batch_size)
    device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    what = {**identity(graph, data, chosen, device), "parallel": asked, "resume": resume}
    with launched(asked, what) as ranks:
        watching = watch if watch is not None and ranks.rank == 0 else Silent()
        seed = chosen.seed + _BETWEEN_COPIES * ranks.place[0]
        with _alone(Path(out), ranks), seeded(seed, device):
            made_by = StagedRun if asked.mesh.pp > 1 else Run
            run = made_by(model, graph, data, chosen, device, layout, ranks, objective)
            return _trained(run, Path(out), resume, watching, tensorboard=tensorboard)


def check_together(
    graph: Graph, settings: TrainFields, asked: Parallelism, objective: Objective | None = None
) -> None:
    """What several ranks cannot do.

    Raises SpecError.
    """
    if objective is not None:
        raise refusal("what a teacher says is learned on one device", "--mesh dp=1")
    if graph.compressions:
        raise refusal("a model that is being compressed is trained on one device", "--mesh dp=1")
    if asked.mesh.pp > 1:
        check_stages(graph, settings, asked)
    if settings.compile:
        raise refusal("a model over several devices is not compiled", "--set train.compile=false")


def _trained(run: Run, folder: Path, resume: Resume, watch: Watch, *, tensorboard: bool) -> Result:
    """Goes on from the newest checkpoint until the last step."""
    first = run.ranks.rank == 0
    saved = _resume(run, folder / CHECKPOINTS, resume, watch)
    with Log(folder, run.step, tensorboard=tensorboard) if first else nullcontext() as log:
        while run.step < run.settings.steps:
            saved = _step(run, folder / CHECKPOINTS, log, watch) or saved
    assert saved is not None, "there is at least one step, and the last one is saved"
    parameters, drawn = saved / "model.safetensors", None
    if run.spread.together:
        parameters = folder / "model.safetensors"
    if first:
        drawn = plot(folder)
        if run.spread.together:
            join(saved, "model", parameters)
    run.ranks.wait()
    rows = {row.split: row for row in read_log(folder)}
    return Result(run.step, rows["train"], rows.get("evaluation"), saved, drawn, parameters)


@contextmanager
def _alone(folder: Path, ranks: Ranks) -> Iterator[None]:
    """Keeps other runs out of a folder; the first rank holds the lock for all."""
    with locked(folder) if ranks.rank == 0 else nullcontext():
        yield


def _step(run: Run, folder: Path, log: Log | None, watch: Watch) -> Path | None:
    """One update, and what is due after it; gives a checkpoint if that is."""
    norm = run.update()
    watch.update(run.step)
    settings, last = run.settings, run.step == run.settings.steps
    rows = []
    if last or run.step % settings.log_every == 0:
        rows.append(run.row(norm))
    if run.data.evaluation is not None and (last or run.step % settings.eval_every == 0):
        rows.append(run.evaluate())
    for row in rows:
        if log is not None:
            log.add(row)
        watch.row(row)
    if last or run.step % settings.checkpoint_every == 0:
        if log is not None:
            log.sync()  # no checkpoint is ahead of its log
        return run.save(folder)
    return None


def _resume(run: Run, folder: Path, resume: Resume, watch: Watch) -> Path | None:
    """Goes on from the newest whole checkpoint, if there is one.

    Raises TrainingError where it is that of another run.
    """
    found: Checkpoint | None = None
    damaged: list[Path] = []
    if run.ranks.rank == 0:
        sweep(folder)
        found, damaged = newest(folder)
    step = run.ranks.from_first(-1 if found is None else found.step)
    found = None if step < 0 else at_step(folder, step)
    for path in damaged:
        watch.note(f"'{path}' is damaged and not used")
    if found is None:
        return None
    before = found.state["run"]
    changed = [key for key, value in run.identity.items() if before.get(key) != value]
    if changed and resume == "exact":
        raise training_error(
            "T503", f"'{found.path}' is of another run: {', '.join(changed)} changed",
            "give another --out; or --resume loose, which goes on all the same",
        )  # fmt: skip
    if changed:
        watch.note(f"the run is no exact one any more: {', '.join(changed)} changed")
    run.restore(found)
    watch.note(f"goes on from step {run.step}")
    watch.update(run.step)
    return found.path
