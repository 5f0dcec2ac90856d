"""A run's tensors as pieces of a checkpoint, and back, whether one rank has all of them or many."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from composer.language.parallel import Parallelism
from composer.parallel.plan import Plan
from composer.parallel.ranks import Ranks

from .errors import training_error
from .randomness import random_numbers, random_tensors, restore_random
from .shards import Piece, Pieces, write


class Spread:
    """Which part of every parameter this rank has."""

    def __init__(self, layout: Plan, ranks: Ranks) -> None:
        self.layout, self.ranks = layout, ranks

    @property
    def together(self) -> bool:
        """Whether several ranks write a checkpoint."""
        return self.ranks.mesh is not None

    def pieces(self, tensors: Mapping[str, Tensor]) -> dict[str, Piece]:
        """What this rank has of tensors called as a parameter, `KEY:PARAMETER`, or as a buffer."""
        return {name: self._piece(name, tensor) for name, tensor in tensors.items()}

    def _piece(self, name: str, tensor: Tensor) -> Piece:
        shape = tuple(tensor.shape)
        parameter = name.rpartition(":")[2]
        planned = self.layout.tensors.get(self.layout.graph.aliases.get(parameter, parameter))
        if planned is None or not shape:
            return Piece(tensor, (0,) * len(shape), shape, self.ranks.rank == 0)
        place = self.ranks.place
        return Piece(_own(tensor), planned.start(place), shape, planned.first(place))

    def fill(self, own: Mapping[str, Tensor], saved: Pieces, path: Path) -> None:
        """Fills tensors with what of them was saved.

        Raises TrainingError where those of another model were.
        """
        shapes = {name: tuple(tensor.shape) for name, tensor in own.items()}
        if saved.shapes != shapes:
            names = sorted(dict(saved.shapes.items() ^ shapes.items()))
            raise training_error("T503", f"'{path}' is of another model: see '{names[0]}'")
        for name, piece in self.pieces(own).items():
            piece.tensor.copy_(saved.read(name, piece.start, tuple(piece.tensor.shape)))

    def averages(self, saved: Pieces, parameters: Mapping[str, nn.Parameter]) -> dict[str, Tensor]:
        """What an optimizer has gathered, spread as the parameters are."""
        return {
            name: self._average(name, shape, saved, parameters[name.partition(":")[2]])
            for name, shape in saved.shapes.items()
        }

    def _average(
        self, name: str, shape: tuple[int, ...], saved: Pieces, like: nn.Parameter
    ) -> Tensor:
        if not shape:
            return saved.read(name, (), ())
        piece = self._piece(name, like)
        part = saved.read(name, piece.start, tuple(piece.tensor.shape))
        if not isinstance(like, DTensor):
            return part
        return DTensor.from_local(
            part.to(like.device), like.device_mesh, like.placements, run_check=False,
            shape=like.shape, stride=like.stride(),
        )  # fmt: skip

    def write(
        self, folder: Path, groups: Mapping[str, Mapping[str, Tensor]], device: torch.device
    ) -> None:
        """Writes what this rank has, and the states of its random generators."""
        for name, tensors in groups.items():
            write(folder, name, self.ranks.rank, self.pieces(tensors))
        file = folder / f"random-{self.ranks.rank:05d}"
        save_file(random_tensors(device), file.with_suffix(".safetensors"))
        file.with_suffix(".json").write_text(json.dumps(random_numbers()), encoding="utf-8")

    def restore_random(self, folder: Path, device: torch.device, *, as_before: bool) -> None:
        """Sets the generators of this rank to what was saved, if as many ranks had saved theirs."""
        file = folder / f"random-{self.ranks.rank:05d}"
        if not as_before:
            return
        numbers = json.loads(file.with_suffix(".json").read_bytes())
        restore_random(load_file(file.with_suffix(".safetensors")), numbers, device)


def mesh_text(asked: Parallelism) -> str:
    """A mesh and what is done along it, as one text: on other meshes sums have another order."""
    return json.dumps(asked.data(), sort_keys=True) if asked.mesh.world > 1 else "one device"


def _own(tensor: Tensor) -> Tensor:
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor
