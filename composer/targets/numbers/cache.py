"""Bytes that a model holds between the steps of a generation.

A causal attention holds the keys and values of all steps, with a window those of the last ones;
cross-attention those of what it reads, whatever the step; a state space its state. Every place in
the graph has its own, also where parameters are shared.
"""

from __future__ import annotations

from dataclasses import dataclass

from composer.components.placed import Placed

from .setting import Setting


@dataclass(frozen=True)
class CacheBytes:
    """Bytes held after all steps of a setting, and those that one further step adds."""

    held: int = 0
    step: int = 0


def cache_bytes(placed: Placed, at: Setting) -> CacheBytes:
    """What a component and its parts hold."""
    cache = placed.component.cache(placed.axes)
    held, added = at.number(cache.fixed), 0
    if cache.step != 0:
        steps, step = at.number(placed.axes["time"]), at.number(cache.step)
        most = steps if cache.limit is None else cache.limit
        held += step * min(steps, most)
        added = step if cache.limit is None or steps < cache.limit else 0
    parts = [cache_bytes(part, at) for part in placed.parts.values()]
    return CacheBytes(
        held * at.bytes + sum(part.held for part in parts),
        added * at.bytes + sum(part.step for part in parts),
    )
