"""Writing files all or none: into a folder of their own first, and then into place.

An error, or a kill, before the last step leaves everything as it was. Files of one folder are put
into place one after another; where that fails half-way, those already there are taken back.
"""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TypeAlias

Content: TypeAlias = "bytes | Callable[[Path], None]"
"""What a file holds, or what writes it: for what is too large to be held twice."""


def write_folder(folder: Path, files: Mapping[str, Content]) -> None:
    """Writes `files`, by name, into `folder`, which is made where it is missing.

    Other files of the folder stay. Raises OSError with nothing changed where one cannot be written.
    """
    parent = _made(folder.parent)
    work = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=parent))
    try:
        new = work / "new"
        new.mkdir()
        for name, data in files.items():
            _write(new / name, data)
        if folder.exists():
            _replace_each(new, folder, work / "old", files)
        else:
            new.rename(folder)
        _sync(parent)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def write_file(path: Path, data: Content) -> None:
    """Writes one file: whoever reads it sees the old one or the new one.

    Raises OSError with nothing changed where it cannot be written.
    """
    if path.exists() and not path.is_file():
        path.write_bytes(_bytes(data))  # a pipe or a device such as /dev/stdout: nothing to keep
        return
    target = path.resolve()  # through a link, so that the link stays one
    _made(target.parent)
    handle, name = tempfile.mkstemp(prefix=f".{target.name}-", dir=target.parent)
    os.close(handle)
    work = Path(name)
    try:
        _write(work, data)
        work.replace(target)
        _sync(target.parent)
    finally:
        work.unlink(missing_ok=True)


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _bytes(data: Content) -> bytes:
    if not callable(data):
        return data
    with tempfile.TemporaryDirectory() as folder:
        data(work := Path(folder) / "file")
        return work.read_bytes()


def _write(path: Path, data: Content) -> None:
    if callable(data):
        data(path)
        data = b""
    with path.open("ab") as stream:  # the file is new, or holds what was written just now
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())
    path.chmod(0o666 & ~_umask())


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _replace_each(new: Path, folder: Path, old: Path, files: Iterable[str]) -> None:
    """Moves each file of `new` to `folder`; on an error, what `folder` held comes back."""
    for name in files:
        _refuse_folder(folder / name)
    old.mkdir()
    placed: list[str] = []
    try:
        for name in files:
            target = folder / name
            placed.append(name)
            if _is_there(target):
                target.rename(old / name)
            (new / name).rename(target)
    except BaseException:
        for name in placed:
            if not (new / name).exists():
                (folder / name).unlink()
            if _is_there(old / name):
                (old / name).rename(folder / name)
        raise


def _is_there(path: Path) -> bool:
    return path.exists() or path.is_symlink()


def _refuse_folder(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))


def _sync(folder: Path) -> None:
    """Makes the names in a folder last, where the system can open folders."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
