"""How much to measure: sizes and repetitions of a full run and of a quick one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from bench.sizes import LlamaSize, Size, TransformerSize
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
    enough: float
    """Seconds after which nothing of that is repeated once more."""
    forward: Rounds
    training: Rounds
    sizes: Mapping[str, Size]
    """Sizes that models are compared at, by name."""


_SMALL = TransformerSize(128, 4, num_layers=2, batch=2, time=256)
_LLAMA = LlamaSize(256, 8, 2, d_ff=704, num_layers=4, batch=2, time=256)

FULL = Effort(
    name="full",
    processes=11,
    layers=(10, 30, 100, 300, 1000),
    repeats=5,
    enough=2.0,
    forward=Rounds(seconds=8, fewest=9, most=61),
    training=Rounds(seconds=22, fewest=9, most=41),
    sizes={
        "transformer base": TransformerSize(512, 8, num_layers=6, batch=2, time=128),
        "transformer small": _SMALL,
        "transformer small, padded": replace(_SMALL, padded=True),
        "llama-like": _LLAMA,
    },
)

QUICK = Effort(
    name="quick",
    processes=7,
    layers=(10, 25, 60),
    repeats=3,
    enough=0.1,
    forward=Rounds(seconds=1.5, fewest=5, most=31),
    training=Rounds(seconds=2.5, fewest=5, most=31),
    sizes={"transformer small": _SMALL, "llama-like": _LLAMA},
)
