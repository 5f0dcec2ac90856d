"""Speed and memory of built models against hand-written ones and torch's own, with equal weights.

All take turns in one process, and each round gives one ratio, so that what else the machine does
touches all of them alike. A second copy of the hand-written model shows the noise: how far a model
can be from itself.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F

from bench.effort import Effort
from bench.memory import peak_bytes
from bench.settings import AGAIN, BUILT, TIGHT, Contender, Setting, setting
from bench.tables import Cell, Table, Target
from bench.timing import Action, Quartiles, Rounds, interleaved, quartiles, ratios

COLUMNS = (
    "model", "cpu_milliseconds", "speed_low", "speed_median", "speed_high", "peak_mebibytes"
)  # fmt: skip


def measure(effort: Effort) -> Iterator[Table]:
    """One table of forward passes and one of training steps for each setting, on one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # more of them wait for each other, which counts as computing
    for name, size in effort.sizes.items():
        made = setting(name, size)
        yield _compared(f"forward: {_about(made)}", _forwards(made), effort.forward)
        yield _compared(f"training step: {_about(made)}", _steps(made), effort.training)
    torch.set_num_threads(threads)


def _about(made: Setting) -> str:
    return f"{made.name} ({made.about})"


def _forwards(made: Setting) -> dict[str, Action]:
    return {name: _forward(contender, made) for name, contender in made.contenders.items()}


def _forward(contender: Contender, made: Setting) -> Action:
    def run() -> None:
        contender.model.eval()
        with torch.inference_mode():
            contender.logits(**made.inputs)

    return run


def _steps(made: Setting) -> dict[str, Action]:
    return {name: _step(contender, made) for name, contender in made.contenders.items()}


def _step(contender: Contender, made: Setting) -> Action:
    """Forward, cross entropy, backward, and AdamW in its fused form."""
    model = contender.model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, fused=True)

    def run() -> None:
        model.train()
        optimizer.zero_grad()
        logits = contender.logits(**made.inputs)
        F.cross_entropy(logits.flatten(0, 1), made.labels.flatten()).backward()
        optimizer.step()

    return run


def _compared(title: str, actions: dict[str, Action], rounds: Rounds) -> Table:
    seconds = interleaved(actions, rounds)
    speeds = {name: ratios(seconds[TIGHT], seconds[name]) for name in actions}
    rows: list[tuple[Cell, ...]] = []
    for name, action in actions.items():
        milliseconds = 1000 * quartiles(seconds[name]).median
        rows.append((name, milliseconds, *speeds[name], peak_bytes(action) / 2**20))
    count = len(seconds[TIGHT])
    note = (
        f"one thread; speed: {TIGHT} = 1, quartiles of {count} rounds; "
        "peak: tensors above what is there before"
    )
    return Table(title, COLUMNS, tuple(rows), (_target(speeds),), note)


def _target(speeds: dict[str, Quartiles]) -> Target:
    """As fast as the hand-written model, but for what this one differs from its own copy."""
    noise = max(abs(1 - speed) for speed in speeds[AGAIN])
    measured = speeds[BUILT].median
    wanted = f">= 1 within a noise of {noise:.3f}"
    met = measured >= 1 - noise
    return Target(f"speed of {BUILT} relative to {TIGHT}", wanted, measured, met)
