"""How much to measure: sizes and repetitions of a full run and of a quick one."""

from __future__ import annotations

from dataclasses import dataclass

from bench.timing import Rounds


@dataclass(frozen=True)
class Effort:
    """Sizes and repetitions of every topic."""

    name: str
    processes: int
    """Fresh processes for each command."""
    layers: tuple[int, ...]
    """Depths that growth is fitted over, rising."""
    repeats: int
    """Repetitions of what takes milliseconds."""
    forward: Rounds
    training: Rounds
    settings: tuple[str, ...]
    """Names of the settings (see `bench.sizes`) that models are compared at."""


FULL = Effort(
    name="full",
    processes=11,
    layers=(10, 30, 100, 300, 1000),
    repeats=5,
    forward=Rounds(seconds=8, fewest=9, most=61),
    training=Rounds(seconds=22, fewest=9, most=41),
    settings=("transformer base", "transformer small", "transformer small, padded", "llama-like"),
)

QUICK = Effort(
    name="quick",
    processes=7,
    layers=(10, 30, 100),
    repeats=3,
    forward=Rounds(seconds=2, fewest=5, most=31),
    training=Rounds(seconds=4, fewest=5, most=31),
    settings=("transformer small", "llama-like"),
)
