"""The text of an imported spec, which stands alone: the family's layout, the map of weights in it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from composer.language.document import to_yaml

_WIDTH = 100
_ALONE = ("composer", "name", "title", "description", "cite", "dims", "initialization")
_WITHOUT_DIMS = {"dims", "weights", "name", "title", "description", "cite"}
_WORD = re.compile(r"(?<![\w.])[A-Za-z_]\w*(?![\w.])")


def text_of(spec: dict[str, Any], folder: Path, comments: Iterable[str]) -> str:
    """A spec as YAML, below comments; maps that it names are found in `folder` and written out."""
    lines = [f"# {comment}" for comment in comments]
    weights = spec.get("weights") or {}
    for section, value in spec.items():
        if section == "weights" or not value:
            continue
        lines += [] if section in _ALONE else [""]
        lines += _entry(section, value, "")
    lines += ["", "weights:"]
    for name, file in weights.items():
        lines += [f"  {name}:", *_map(folder / file, "    ")]
    return "\n".join(lines) + "\n"


def without_unused(spec: dict[str, Any]) -> dict[str, Any]:
    """A spec without the sizes of other models, types of layers and dims that nothing uses."""
    kept = {key: value for key, value in spec.items() if key != "sizes"}
    for section in ("encoders", "decoders"):
        stacks = kept.get(section) or {}
        kept |= {section: {name: _typed(stack) for name, stack in stacks.items()}} if stacks else {}
    dims = dict(kept.get("dims") or {})
    rest = {key: value for key, value in kept.items() if key not in _WITHOUT_DIMS}
    while unused := dims.keys() - set(_words([rest, dims])):
        dims = {name: value for name, value in dims.items() if name not in unused}
    return {**kept, "dims": dims} if "dims" in kept else kept


def _typed(stack: dict[str, Any]) -> dict[str, Any]:
    if "layer_types" not in stack or "types" not in stack:
        return stack
    listed, count = stack["layer_types"], stack.get("num_layers")
    if isinstance(listed, list) and isinstance(count, int):
        listed = listed[:count]
    named = set(_words(listed))
    used = {name: each for name, each in stack["types"].items() if name in named}
    return {**stack, "layer_types": listed, "types": used}


def _words(data: object) -> Iterator[str]:
    """The names that stand in values, other than as the first part of a path."""
    if isinstance(data, dict):
        for value in data.values():
            yield from _words(value)
    elif isinstance(data, list):
        for item in data:
            yield from _words(item)
    elif isinstance(data, str):
        yield from _WORD.findall(data)


def _entry(key: str, value: object, indent: str) -> list[str]:
    """A key with its value, on one line where that fits."""
    head = f"{indent}{_flow(key)}:"
    line = f"{head} {_flow(value)}"
    nested = isinstance(value, dict) and any(isinstance(each, dict) for each in value.values())
    if not isinstance(value, dict | list) or (len(line) <= _WIDTH and not (nested and not indent)):
        return [line]
    if isinstance(value, dict):
        below = [_entry(name, each, f"{indent}  ") for name, each in value.items()]
        return [head, *(text for lines in below for text in lines)]
    return [head, *(f"{indent}  - {_flow(item)}" for item in value)]


def _flow(value: object) -> str:
    """A value on one line."""
    if isinstance(value, dict):
        return f"{{{', '.join(f'{_flow(key)}: {_flow(each)}' for key, each in value.items())}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(_flow, value))}]"
    return to_yaml(value).removesuffix("\n")


def _map(file: Path, indent: str) -> list[str]:
    """The lines of a map, with the map that it extends in place of its name."""
    lines: list[str] = []
    for line in file.read_text(encoding="utf-8").splitlines():
        base = re.fullmatch(r"extends: *(\S+)", line)
        if base:
            lines += [f"{indent}extends:", *_map(file.parent / base[1], f"{indent}  ")]
        else:
            lines.append(f"{indent}{line}".rstrip())
    return lines
