"""Tensors of several ranks in one checkpoint: a file for each rank, and where each piece belongs.

`NAME.json` says of every tensor its whole shape and its pieces: the file, and where the piece begins
along each axis. So a checkpoint of four ranks is read by two, by one, or as whole tensors, and only
what a rank needs is read. A piece that several ranks have is written by one of them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from composer.targets.files import write_file

Starts = tuple[int, ...]


@dataclass(frozen=True)
class Piece:
    """A part of a tensor: its numbers, where they begin, and the shape of the whole."""

    tensor: Tensor
    start: Starts
    shape: tuple[int, ...]
    written: bool = True


def write(folder: Path, name: str, rank: int, pieces: Mapping[str, Piece]) -> None:
    """Writes the pieces of one rank, and beside them where they belong."""
    file = f"{name}-{rank:05d}.safetensors"
    kept = {key: one for key, one in pieces.items() if one.written and one.tensor.numel()}
    plain = {key: one.tensor.detach().cpu().contiguous() for key, one in kept.items()}
    save_file(plain, folder / file)
    index = {
        key: {"shape": list(one.shape), "pieces": [{"file": file, "start": list(one.start)}]}
        for key, one in kept.items()
    }
    (folder / f".{name}-{rank:05d}.json").write_text(json.dumps(index), encoding="utf-8")


def join_indices(folder: Path, name: str) -> None:
    """One index of what all ranks have written, in place of theirs."""
    whole: dict[str, Any] = {}
    for path in sorted(folder.glob(f".{name}-*.json")):
        for key, entry in json.loads(path.read_bytes()).items():
            known = whole.setdefault(key, {"shape": entry["shape"], "pieces": []})
            known["pieces"] += entry["pieces"]
        path.unlink()
    text = json.dumps(whole, indent=1, sort_keys=True) + "\n"
    (folder / f"{name}.json").write_text(text, encoding="utf-8")


class Pieces:
    """The tensors of a group of a checkpoint, whole or in parts, by whichever ranks it was written."""

    def __init__(self, folder: Path, name: str) -> None:
        index = folder / f"{name}.json"
        self.folder = folder
        if index.exists():
            self._entries: dict[str, Any] = json.loads(index.read_bytes())
        else:
            self._entries = _one_file(folder, f"{name}.safetensors")

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shapes of the whole tensors."""
        return {name: tuple(entry["shape"]) for name, entry in self._entries.items()}

    def read(self, name: str, start: Starts, shape: tuple[int, ...]) -> Tensor:
        """A part of a tensor, on the CPU."""
        made: Tensor | None = None
        for piece in self._entries[name]["pieces"]:
            with safe_open(self.folder / piece["file"], framework="pt") as file:
                part = file.get_slice(name)
                begin, size = piece["start"], part.get_shape()
                low = [max(a, b) for a, b in zip(start, begin, strict=True)]
                high = [
                    min(a + n, b + m) for a, n, b, m in zip(start, shape, begin, size, strict=True)
                ]
                if any(a >= b for a, b in zip(low, high, strict=True)):
                    continue
                if not shape:
                    scalar: Tensor = file.get_tensor(name)
                    return scalar
                inner = tuple(slice(a - b, z - b) for a, b, z in zip(low, begin, high, strict=True))
                found = part[inner]
            if made is None:
                made = torch.empty(shape, dtype=found.dtype)
            made[tuple(slice(a - b, z - b) for a, b, z in zip(low, start, high, strict=True))] = (
                found
            )
        return torch.empty(shape) if made is None else made

    def whole(self) -> dict[str, Tensor]:
        """All tensors, put together."""
        return {n: self.read(n, (0,) * len(shape), shape) for n, shape in self.shapes.items()}


def join(folder: Path, name: str, out: Path) -> None:
    """Writes the tensors of a group to one file of safetensors."""
    tensors = Pieces(folder, name).whole()
    write_file(out, lambda path: save_file(tensors, path))


def _one_file(folder: Path, file: str) -> dict[str, Any]:
    with safe_open(folder / file, framework="pt") as opened:
        shapes = {name: opened.get_slice(name).get_shape() for name in opened.keys()}  # noqa: SIM118 - no dict
    return {
        name: {"shape": list(shape), "pieces": [{"file": file, "start": [0] * len(shape)}]}
        for name, shape in shapes.items()
    }
