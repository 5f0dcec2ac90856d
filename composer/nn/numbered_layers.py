"""Layers of a stack that stands on several machines."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from torch import nn


class NumberedLayers(nn.Module):
    """Layers of a stack from number `first` on, under their numbers in the whole stack."""

    def __init__(self, layers: Iterable[nn.Module], first: int = 0) -> None:
        super().__init__()
        for number, layer in enumerate(layers, first):
            self.add_module(str(number), layer)

    def __iter__(self) -> Iterator[nn.Module]:
        """The layers, in order."""
        return (self[int(number)] for number in self._modules)

    def __getitem__(self, number: int) -> nn.Module:
        """The layer with a number in the whole stack."""
        return self.get_submodule(str(number))
