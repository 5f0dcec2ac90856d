"""A new size written into the text of a spec, whose comments and layout stay as they are."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from composer.language.document import Mapping, get, plain, to_yaml, value_span
from composer.language.flow import flow, key
from composer.language.load import parse
from composer.language.variants import sizes_of

from .overlay import entry_lines, joined
from .search import ScalingError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.x-]{0,63}")
_TOP = re.compile(r"[^\s#]")


def entry(tree: Mapping, size: str | None, data: dict[str, Any]) -> dict[str, Any]:
    """What an entry of `sizes` says: the changes over those of the size that they start from."""
    start = get(tree, ("sizes", size)) if size is not None else None
    said = plain(start) if isinstance(start, Mapping) else {}
    return joined({k: v for k, v in said.items() if k not in {"name", "title"}}, data)


def check_name(name: str, tree: Mapping) -> None:
    """Raises ScalingError for a name that no new size can have."""
    if not _NAME.fullmatch(name):
        raise ScalingError(f"'{name}' is no name of a size", "letters, digits, - . and _: 350m")
    if name in sizes_of(tree):
        raise ScalingError(f"the spec has a size '{name}' already", "another name: --as NAME")


def with_size(text: str, name: str, data: dict[str, Any]) -> str:
    """`text`, the file of a spec, with one more entry of its `sizes`."""
    tree = parse(text, "<spec>")
    made = _inserted(text, tree, name, data)
    after = plain(parse(made, "<spec>"))
    wanted = plain(tree)
    wanted["sizes"] = {**(wanted.get("sizes") or {}), name: data}
    assert after == wanted, "the new text says something else than the old one and the new size"
    return made


def as_file(path: Path, out: Path, tree: Mapping, name: str, data: dict[str, Any]) -> str:
    """The text of a spec of its own: one that extends `path` where it may, else all of it."""
    base = path.resolve()
    if base.is_relative_to(out.parent.resolve()):
        relative = os.path.relpath(base, out.parent.resolve())
        lines = ["composer: 1", f"name: {flow(name)}", f"extends: {flow(relative)}"]
        return "\n".join([*lines, *(f"{k}: {flow(v)}" for k, v in data.items())]) + "\n"
    body = {k: v for k, v in plain(tree).items() if k not in {"sizes", "extends"}}
    return to_yaml(joined({**body, "name": name}, data))


def _inserted(text: str, tree: Mapping, name: str, data: dict[str, Any]) -> str:
    newline = "\r\n" if "\r\n" in text else "\n"
    lines = text.splitlines()
    if "sizes" not in tree.entries:
        lines += ["", "sizes:", *entry_lines(name, data, 2)]
        return newline.join(lines) + newline
    sizes = get(tree, ("sizes",))
    first = tree.entries["sizes"].key.line  # 1-based
    span = value_span(tree, ("sizes",))
    if isinstance(sizes, Mapping) and lines[span.line - 1][span.column - 1] == "{":
        item = f"{key(name)}: {flow(data)}" + (", " if sizes.entries else "")
        line = lines[span.line - 1]
        lines[span.line - 1] = line[: span.column] + item + line[span.column :]
    else:
        if not isinstance(sizes, Mapping):
            lines[first - 1] = "sizes:"
        indent = span.column - 1 if isinstance(sizes, Mapping) else 2
        end = _end(lines, first)
        lines[end:end] = entry_lines(name, data, indent)
    return newline.join(lines) + newline


def _end(lines: list[str], first: int) -> int:
    """The index after the last line of the block whose key stands in line `first`, 1-based."""
    end = last = first
    while end < len(lines) and not _TOP.match(lines[end]):
        end += 1
        if lines[end - 1].strip() and lines[end - 1][0] != "#":
            last = end
    return last
