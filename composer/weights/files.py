"""Weights on disk: safetensors and nothing else, one file, its shards, or a folder of them.

What a file is, its content says and not its name. Tensors are read one at a time, when asked for.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError, safe_open
from typing_extensions import Self

from composer.targets.files import write_file

from .errors import WeightError, weight_error
from .operations import Shape

if TYPE_CHECKING:
    from torch import Tensor, dtype

INDEX = "*.safetensors.index.json"
MAX_INDEX_BYTES = 100 * 2**20
_PICKLES = {b"PK": "a file of torch.save", b"\x80\x02": "a pickle", b"\x80\x04": "a pickle"}


class WeightFiles:
    """The tensors of one or several files: shapes at once, values when they are read."""

    shapes: dict[str, Shape]
    metadata: dict[str, str]

    def __init__(self, path: str | Path) -> None:
        """Reads the headers of what lies at `path`.

        Raises WeightError where that is no whole set of safetensors.
        """
        self._open = ExitStack()
        self._file_of: dict[str, Path] = {}
        self._handles: dict[Path, Any] = {}
        self.shapes, self.metadata = {}, {}
        try:
            for file, names in _files(Path(path)).items():
                self._read_header(file, names)
        except BaseException:
            self._open.close()
            raise

    def read(self, name: str) -> Tensor:
        """A tensor, by its name."""
        file = self._file_of[name]
        if file not in self._handles:
            self._handles[file] = self._open.enter_context(safe_open(file, framework="pt"))
        tensor: Tensor = self._handles[file].get_tensor(name)
        return tensor

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Closes the files."""
        self._handles.clear()
        self._open.close()

    def _read_header(self, file: Path, names: frozenset[str] | None) -> None:
        try:
            with safe_open(file, framework="np") as header:  # only the header: no array is made
                found = {name: tuple(header.get_slice(name).get_shape()) for name in header.keys()}  # noqa: SIM118
                self.metadata |= header.metadata() or {}
        except (SafetensorError, OSError, ValueError) as error:
            raise _refusal(file, error) from None
        if names is not None and (missing := sorted(names - found.keys())):
            raise weight_error(
                "W411", f"the index says that '{missing[0]}' is in '{file}', but it is not"
            )
        for name, shape in found.items():
            if name in self._file_of:
                raise weight_error(
                    "W411", f"'{name}' is in '{self._file_of[name]}' and in '{file}'"
                )
            self._file_of[name] = file
            self.shapes[name] = shape


def save(
    path: str | Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None
) -> None:
    """Writes tensors as one safetensors file, which is there whole or not at all."""
    from safetensors.torch import save_file

    def write(file: Path) -> None:
        save_file(dict(tensors), file, metadata={"format": "pt", **(metadata or {})})

    try:
        write_file(Path(path), write)
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise weight_error("W410", f"cannot write '{path}': {reason}") from None


def cast(tensor: Tensor, kind: dtype | None) -> Tensor:
    """The tensor with its decimal numbers as `kind`, or as it is."""
    return tensor.to(kind) if kind is not None and tensor.is_floating_point() else tensor


def _files(path: Path) -> dict[Path, frozenset[str] | None]:
    """The files at a path, each with the names that an index promises there."""
    if path.is_dir():
        indexes = sorted(path.glob(INDEX))
        if len(indexes) > 1:
            names = ", ".join(index.name for index in indexes)
            raise weight_error(
                "W410",
                f"'{path}' has several sets of weights: {names}",
                "give the path of one index",
            )
        if indexes:
            return _indexed(indexes[0])
        shards = sorted(path.glob("*.safetensors"))
        if not shards:
            others = sorted(
                f.name for pattern in ("*.bin", "*.pt", "*.pth") for f in path.glob(pattern)
            )
            why = f"; '{others[0]}' may be a pickle, which is never read" if others else ""
            raise weight_error(
                "W410", f"'{path}' holds no safetensors{why}", "save them with safe serialization"
            )
        return dict.fromkeys(shards)
    if not path.is_file():
        raise weight_error("W410", f"there is no file or folder '{path}'")
    return _indexed(path) if _is_json(path) else {path: None}


def _is_json(path: Path) -> bool:
    """Whether a file is an index: read as a safetensors header's length, JSON is far too long."""
    with path.open("rb") as stream:
        start = stream.read(8)
    return start[:1] == b"{" and int.from_bytes(start, "little") > path.stat().st_size


def _indexed(index: Path) -> dict[Path, frozenset[str] | None]:
    """The shards that an index names, all of which lie in its folder."""
    weight_map = _weight_map(index)
    folder = index.parent.resolve()
    shards: dict[Path, set[str]] = {}
    for name, file in weight_map.items():
        target = index.parent / file
        if Path(file).is_absolute() or ".." in Path(file).parts or "\\" in file or "\0" in file:
            raise weight_error("W411", f"'{index}' names '{file}', which lies outside its folder")
        if not target.is_file():
            raise weight_error("W411", f"'{index}' names '{file}', which is not there")
        shards.setdefault(folder / file, set()).add(name)
    return {file: frozenset(names) for file, names in sorted(shards.items())}


def _weight_map(index: Path) -> dict[str, str]:
    if index.stat().st_size > MAX_INDEX_BYTES:
        raise weight_error("W411", f"the index '{index}' is larger than {MAX_INDEX_BYTES:,} bytes")
    try:
        data = json.loads(index.read_bytes())
    except (ValueError, RecursionError) as error:
        why = f"'{index}' is no index of safetensors: {error}"
        raise weight_error("W411", why) from None
    found = data.get("weight_map") if isinstance(data, dict) else None
    if (
        not isinstance(found, dict)
        or not found
        or not all(isinstance(file, str) for file in found.values())
    ):
        raise weight_error("W411", f"'{index}' has no 'weight_map' of names and files")
    return found


def _refusal(file: Path, error: Exception) -> WeightError:
    try:
        with file.open("rb") as stream:
            start = stream.read(2)
    except OSError as reason:
        return weight_error(
            "W410", f"cannot read '{file}': {(reason.strerror or str(reason)).lower()}"
        )
    if start in _PICKLES:
        return weight_error(
            "W410", f"'{file}' is {_PICKLES[start]}, which is never read: it could run code",
            "save it as safetensors where you trust it",
        )  # fmt: skip
    return weight_error("W410", f"'{file}' is no whole safetensors file: {error}")
