"""What decoding keeps from one step to the next."""

from __future__ import annotations

from collections.abc import Callable
from typing import overload

import torch
from torch import Tensor


class Cache:
    """Tensors that decoding keeps, each by its place in the graph, batch first.

    `start` is the number of steps that are held. `cache["decoder"][3]["attention"]` is the same
    cache seen from one place, so a layer that is applied twice keeps two of each. `tensors` change
    from step to step, `fixed` ones are made once of what does not grow. Steps are added in place: a
    cache that was handed to a model is what follows, not what was before.
    """

    def __init__(self) -> None:
        self.start = 0
        self.tensors: dict[str, Tensor] = {}
        self.fixed: dict[str, Tensor] = {}
        self.place = ""

    def __getitem__(self, name: str | int) -> Cache:
        seen = Cache()
        seen.start, seen.tensors, seen.fixed = self.start, self.tensors, self.fixed
        seen.place = (
            f"{self.place}layers.{name}." if isinstance(name, int) else f"{self.place}{name}."
        )
        return seen

    def held(self, name: str) -> Tensor | None:
        """What is kept here under a name."""
        return self.tensors.get(self.place + name)

    def keep(self, name: str, tensor: Tensor) -> Tensor:
        """Keeps a tensor under a name, in place of what was there."""
        self.tensors[self.place + name] = tensor
        return tensor

    def once(self, name: str, make: Callable[[], Tensor]) -> Tensor:
        """What does not grow: made at the first step, and held from then on."""
        place = self.place + name
        if place not in self.fixed:
            self.fixed[place] = make()
        return self.fixed[place]

    def extend(self, name: str, new: Tensor, dim: int, window: int | None = None) -> Tensor:
        """What is held with the `new` steps behind it, along `dim`.

        With a `window` only as many steps are kept as the next one may still read.
        """
        if window is not None:
            return self._slide(name, new, dim, window)
        total = self.start + new.shape[dim]
        room = self.held(name)
        if room is None or room.shape[dim] < total:
            room = self.keep(name, _wider(room, new, dim, self.start, total))
        room.narrow(dim, self.start, new.shape[dim]).copy_(new)
        return room.narrow(dim, 0, total)

    def _slide(self, name: str, new: Tensor, dim: int, window: int) -> Tensor:
        before = self.held(name)
        joined = new if before is None else torch.cat([before, new], dim=dim)
        kept = min(window - 1, joined.shape[dim])
        self.keep(name, joined.narrow(dim, joined.shape[dim] - kept, kept).clone())
        return joined

    def whole(self, x: Tensor) -> Tensor:
        """A sequence as long as all steps so far, for what asks for its length only.

        x (batch, new steps, width) -> (batch, held and new steps, width), without values.
        """
        return x.new_empty(1).expand(x.shape[0], self.start + x.shape[1], x.shape[-1])

    def select(self, rows: Tensor) -> None:
        """Keeps these rows of the batch, each of the same example as the row in its place."""
        for name, tensor in self.tensors.items():
            self.tensors[name] = tensor.index_select(0, rows)

    def repeat(self, times: int) -> None:
        """Keeps every row of the batch so many times, one after the other."""
        for kept in (self.tensors, self.fixed):
            for name, tensor in kept.items():
                kept[name] = tensor.repeat_interleave(times, dim=0)

    @property
    def bytes(self) -> int:
        """Bytes of all that is kept, room for further steps included."""
        kept = [*self.tensors.values(), *self.fixed.values()]
        return sum(tensor.untyped_storage().nbytes() for tensor in kept)


def _wider(room: Tensor | None, new: Tensor, dim: int, start: int, total: int) -> Tensor:
    """Room for twice as many steps, those that are held copied into it."""
    sizes = list(new.shape)
    sizes[dim] = max(32, 2 * total)
    wider = new.new_empty(sizes)
    if room is not None:
        wider.narrow(dim, 0, start).copy_(room.narrow(dim, 0, start))
    return wider


@overload
def recent(table: Tensor, x: Tensor) -> Tensor: ...
@overload
def recent(table: tuple[Tensor, ...], x: Tensor) -> tuple[Tensor, ...]: ...
def recent(table: Tensor | tuple[Tensor, ...], x: Tensor) -> Tensor | tuple[Tensor, ...]:
    """The last rows of a table (..., steps, width), those of the steps of x (batch, steps, ...)."""
    if isinstance(table, tuple):
        return tuple(each[..., -x.shape[1] :, :] for each in table)
    return table[..., -x.shape[1] :, :]
