"""Texts from disk: text files, JSON lines, and folders that `datasets` has saved."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from .errors import training_error

Record = tuple[str, ...]


def records(path: Path, columns: Sequence[str]) -> list[Record]:
    """The values of some columns, one record for each example.

    A text file is one record where one column is wanted; else each line is one, its columns in
    order between tabs. Raises TrainingError.
    """
    if path.is_dir():
        found: Iterable[Record] = _saved(path, columns)
    elif path.suffix in {".jsonl", ".ndjson"}:
        found = _json_lines(path, columns)
    else:
        found = _text(path, columns)
    made = list(found)
    if not made or any(not value for value in made[0]):
        raise training_error("T501", f"'{path}' holds no text")
    return made


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        why = f"'{path}' is no text in UTF-8: byte {error.start:,} is wrong"
        raise training_error("T501", why) from None
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise training_error("T501", f"cannot read '{path}': {reason}") from None


def _text(path: Path, columns: Sequence[str]) -> Iterator[Record]:
    text = _read(path)
    if len(columns) == 1:
        yield (text,)
        return
    for number, line in enumerate(text.splitlines(), start=1):
        values = tuple(line.split("\t"))
        if len(values) != len(columns) or not all(values):
            wanted = "<tab>".join(columns)
            raise training_error("T501", f"'{path}', line {number}, is not {wanted}")
        yield values


def _json_lines(path: Path, columns: Sequence[str]) -> Iterator[Record]:
    for number, line in enumerate(_read(path).split("\n"), start=1):
        if not line.strip():
            continue
        try:
            data = json.loads(line)
        except (ValueError, RecursionError) as error:
            why = f"'{path}', line {number}, is no JSON: {error}"
            raise training_error("T501", why) from None
        yield _values(data if isinstance(data, dict) else {}, columns, f"'{path}', line {number},")


def _saved(path: Path, columns: Sequence[str]) -> Iterator[Record]:
    try:
        from datasets import load_from_disk
    except ImportError:
        why = f"the folder '{path}' needs the library datasets"
        raise training_error("T501", why, "pip install datasets, or give a file") from None
    try:
        found = load_from_disk(str(path))
    except (OSError, ValueError) as error:
        raise training_error("T501", f"'{path}' is no saved dataset: {error}") from None
    if isinstance(found, dict):
        why = f"'{path}' holds several datasets: {', '.join(found)}"
        raise training_error("T501", why, f"give one of them, such as {path / next(iter(found))}")
    for number, row in enumerate(found):
        yield _values(row, columns, f"'{path}', row {number},")


def _values(row: dict[str, object], columns: Sequence[str], where: str) -> Record:
    values = [row.get(column) for column in columns]
    for column, value in zip(columns, values, strict=True):
        is_text = isinstance(value, str) and value
        is_label = column == "label" and isinstance(value, int)
        if not is_text and not is_label:
            raise training_error("T501", f"{where} has no text '{column}'")
    return tuple(str(value) for value in values)
