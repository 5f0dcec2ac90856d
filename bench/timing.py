"""Timing on a machine that others use too.

CPU time, which others touch less than what a clock on the wall shows; turns in one process, ratios
within a round, medians and quartiles.
"""

from __future__ import annotations

import gc
import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

Action = Callable[[], object]


class Quartiles(NamedTuple):
    """A quarter of the values lies below `low`, half below `median`, a quarter above `high`."""

    low: float
    median: float
    high: float


@dataclass(frozen=True)
class Rounds:
    """How often to measure: `fewest` times, then while `seconds` last, but at most `most` times."""

    seconds: float
    fewest: int
    most: int

    def wants_more(self, done: int, started: float) -> bool:
        """Whether another round follows `done` ones that began at `started` (perf_counter)."""
        within = time.perf_counter() - started < self.seconds
        return done < self.fewest or (within and done < self.most)


def quartiles(values: Sequence[float]) -> Quartiles:
    """The quartiles of `values`; of a single one, three times itself."""
    if len(values) == 1:
        return Quartiles(values[0], values[0], values[0])
    return Quartiles(*statistics.quantiles(values, n=4, method="inclusive"))


def interleaved(actions: Mapping[str, Action], rounds: Rounds) -> dict[str, list[float]]:
    """Seconds that this process computes for each action in each round.

    A round runs all of them, each round in another order; one before them warms up, uncounted.
    """
    for action in actions.values():
        action()
    names = list(actions)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    started = time.perf_counter()
    done = 0
    while rounds.wants_more(done, started):
        turn = done % len(names)
        for name in names[turn:] + names[:turn]:
            seconds[name].append(_seconds(actions[name]))
        done += 1
    return seconds


def cpu_seconds(action: Action, repeats: int, enough: float) -> float:
    """Median of the seconds this process computes for `action`; what others compute does not count.

    It is repeated until `repeats` or `enough` seconds are reached.
    """
    found: list[float] = []
    while not found or (len(found) < repeats and sum(found) < enough):
        gc.collect()
        found.append(_seconds(action))
    return statistics.median(found)


def _seconds(action: Action) -> float:
    """CPU seconds of all threads of this process while `action` runs."""
    start = time.process_time()
    action()
    return time.process_time() - start


def ratios(of: Sequence[float], to: Sequence[float]) -> Quartiles:
    """Quartiles of the ratios of two timings, round by round."""
    return quartiles([a / b for a, b in zip(of, to, strict=True)])


def fitted_exponent(sizes: Sequence[int], seconds: Sequence[float]) -> float:
    """The p of seconds = c * sizes^p that fits best, by least squares over the logarithms.

    >>> round(fitted_exponent([10, 100, 1000], [0.1, 1.0, 10.0]), 3)
    1.0
    """
    return statistics.linear_regression(
        [math.log(size) for size in sizes], [math.log(second) for second in seconds]
    ).slope
