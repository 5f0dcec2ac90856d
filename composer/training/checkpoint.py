"""Checkpoints that are there whole or not at all.

A checkpoint is a folder `step-00000200` of safetensors, `state.json`, and `MANIFEST.json` with the
size and the hash of each of them. It is written under another name, every file and the folder are
brought to the disk, and one rename gives it its name; only then older ones go. Which one is the
newest is read from the folders themselves: there is no pointer that could be wrong.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from composer.parallel.ranks import Ranks

from .errors import training_error
from .shards import join_indices

MANIFEST = "MANIFEST.json"
STATE = "state.json"
_NAME = re.compile(r"step-(\d{8,})")


@dataclass(frozen=True)
class Checkpoint:
    """A whole checkpoint: how many updates it holds, and where it lies."""

    step: int
    path: Path

    def tensors(self, name: str) -> dict[str, Tensor]:
        """One of its groups of tensors, on the CPU; empty where it has none of that name."""
        file = self.path / f"{name}.safetensors"
        return load_file(file) if file.exists() else {}

    @property
    def state(self) -> dict[str, Any]:
        """What is not a tensor."""
        made: dict[str, Any] = json.loads((self.path / STATE).read_bytes())
        return made


def save(
    folder: Path,
    step: int,
    tensors: Mapping[str, Mapping[str, Tensor]],
    state: Mapping[str, Any],
    keep: int = 2,
) -> Path:
    """Writes a checkpoint, then removes all but the newest `keep`; gives its folder.

    Raises TrainingError where that is not possible; checkpoints from before stay as they are.
    """
    target = folder / f"step-{step:08d}"
    with _explained(target) as part:
        _begin(part)
        for name, group in tensors.items():
            save_file(_plain(group), part / f"{name}.safetensors")
        _finish(part, target, state, keep)
    return target


def save_together(
    folder: Path,
    step: int,
    write: Callable[[Path], None],
    groups: Iterable[str],
    state: Mapping[str, Any],
    keep: int,
    ranks: Ranks,
) -> Path:
    """The same by several ranks, each of which writes what it has; the first one does the rest."""
    target = folder / f"step-{step:08d}"
    with _explained(target) as part:
        if ranks.rank == 0:
            _begin(part)
        ranks.wait()
        write(part)
        ranks.wait()
        if ranks.rank == 0:
            for name in groups:
                join_indices(part, name)
            _finish(part, target, state, keep)
        ranks.wait()
    return target


@contextmanager
def _explained(target: Path) -> Iterator[Path]:
    """The folder in which a checkpoint is written; what goes wrong is told, and nothing is left."""
    part = target.with_name(f".{target.name}.part")
    try:
        yield part
    except (OSError, SafetensorError) as error:
        with suppress(OSError):
            _remove(part)
        reason = getattr(error, "strerror", None) or str(error)
        raise training_error(
            "T504", f"cannot write the checkpoint '{target}': {reason}",
            "make room, and run it again: it goes on from the checkpoint before",
        ) from None  # fmt: skip


def _begin(part: Path) -> None:
    part.parent.mkdir(parents=True, exist_ok=True)
    _remove(part)
    part.mkdir()


def _finish(part: Path, target: Path, state: Mapping[str, Any], keep: int) -> None:
    """What is written last: the state, the manifest, and the name."""
    (part / STATE).write_text(_json(state), encoding="utf-8")
    (part / MANIFEST).write_text(_manifest(part), encoding="utf-8")
    for file in (*sorted(part.iterdir()), part):
        sync(file)
    _remove(target)  # only a damaged one can have this name: a whole one would be gone on from
    part.rename(target)
    sync(target.parent)
    _prune(target.parent, keep)


def newest(folder: Path) -> tuple[Checkpoint | None, list[Path]]:
    """The newest whole checkpoint of a folder, and newer ones that are damaged."""
    damaged: list[Path] = []
    for step, path in reversed(_all(folder)):
        if is_whole(path):
            return Checkpoint(step, path), damaged
        damaged.append(path)
    return None, damaged


def at_step(folder: Path, step: int) -> Checkpoint:
    """The checkpoint after so many updates, which is known to be whole."""
    return Checkpoint(step, folder / f"step-{step:08d}")


def is_whole(path: Path) -> bool:
    """Whether a checkpoint is what was written: every byte, and no file more or less."""
    try:
        state = json.loads((path / STATE).read_bytes())
        written = (path / MANIFEST).read_text(encoding="utf-8")
        return bool(written == _manifest(path) and path.name == f"step-{state['step']:08d}")
    except (OSError, ValueError, KeyError, TypeError):
        return False


def sweep(folder: Path) -> None:
    """Removes what a killed run has left half written."""
    for path in folder.glob(".step-*"):
        _remove(path)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keeps a second run out of a folder; the lock ends with the process, however it ends.

    Raises TrainingError where another run holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if sys.platform == "win32":
        yield
        return
    import fcntl

    with (folder / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise training_error(
                "T503",
                f"another run is writing to '{folder}'",
                "wait for it, or give another --out",
            ) from None
        yield


def sync(path: Path) -> None:
    """Brings a file, or the names in a folder, to the disk."""
    if sys.platform == "win32" and path.is_dir():
        return  # a folder cannot be opened there, and its names need no sync
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _all(folder: Path) -> list[tuple[int, Path]]:
    """Every folder that is named as a checkpoint, oldest first."""
    found = [(_NAME.fullmatch(path.name), path) for path in folder.glob("step-*")]
    return sorted((int(name[1]), path) for name, path in found if name)


def _prune(folder: Path, keep: int) -> None:
    """Removes all but the newest; each first loses its name, so that none is ever half there."""
    for _, path in _all(folder)[:-keep]:
        old = path.with_name(f".{path.name}.old")
        _remove(old)
        path.rename(old)
        _remove(old)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _manifest(folder: Path) -> str:
    """The text that a folder's manifest has if nothing in it has changed."""
    files = sorted(path for path in folder.iterdir() if path.name != MANIFEST)
    entries = {path.name: {"bytes": path.stat().st_size, "sha256": _sha256(path)} for path in files}
    return _json({"format": 1, "files": entries})


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()


def _json(data: Mapping[str, Any]) -> str:
    return json.dumps(data, indent=1, sort_keys=True, allow_nan=False) + "\n"


def _plain(group: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().contiguous() for name, tensor in group.items()}
