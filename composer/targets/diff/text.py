"""A difference as text, with equal layers together, and as JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Hashable, Iterable, Iterator
from dataclasses import asdict
from itertools import groupby
from typing import TypeVar

from composer.language.flow import flow

from .compare import Change, Difference
from .tensors import Fate

T = TypeVar("T")

_SIGNS = {"added": "+", "removed": "-", "changed": "~"}
_LAYER = re.compile(r"\.layers\.(\d+)(?=\.|$)")
_MEANING = {
    "carried": "carry over as they are",
    "sliced": "carry over in part: they become smaller",
    "grown": "fill a part of what becomes larger",
    "reshaped": "have another number of axes and start anew",
    "new": "are new",
    "dropped": "are not used any more",
}


def to_text(difference: Difference) -> str:
    """The difference for people: +, - and ~ for what is added, removed and changed."""
    if difference.empty:
        return f"{difference.names[0]} and {difference.names[1]} are the same model\n"
    lines = [f"{difference.names[0]} -> {difference.names[1]}"]
    lines += _section("dims", _changes(difference.dims))
    lines += _section("parts", _changes(difference.nodes))
    lines += _section("connections", _changes(difference.connections))
    a, b = difference.parameters
    lines += ["", f"parameters: {a:,} -> {b:,} ({b / a:.3g} times)" if a else f"parameters: {b:,}"]
    before, after = difference.flops_per_token
    if before:
        times = f"({after / before:.3g} times, at {difference.steps} steps)"
        lines.append(f"FLOPs a token: {before:,.0f} -> {after:,.0f} {times}")
    lines += _tensors(difference.tensors)
    return "\n".join(lines) + "\n"


def to_json(difference: Difference) -> str:
    """The difference as JSON, every layer and tensor by itself."""
    data = asdict(difference)
    a, b = data.pop("names")
    return json.dumps({"a": a, "b": b, **data}, indent=2, ensure_ascii=False) + "\n"


def _section(title: str, lines: Iterable[str]) -> list[str]:
    found = list(lines)
    return ["", title, *found] if found else []


def _changes(changes: Iterable[Change]) -> Iterator[str]:
    every = [(change.path, (change.what, change.kind, _said(change)), change) for change in changes]
    for path, change in _together(every):
        kind = f" ({change.kind})" if change.kind else ""
        said = _said(change)
        yield f"  {_SIGNS[change.what]} {path}{kind}{': ' if said else ''}{said}"


def _said(change: Change) -> str:
    texts = []
    for name, (before, after) in change.options.items():
        own = f"{name} " if name != change.path else ""
        texts.append(f"{own}{_value(before)} -> {_value(after)}")
    return ", ".join(texts)


def _value(value: object) -> str:
    return "none" if value is None else flow(value)


def _tensors(tensors: tuple[Fate, ...]) -> list[str]:
    lines = ["", f"tensors of a checkpoint: {len(tensors)}"]
    for what, meaning in _MEANING.items():
        found = [fate for fate in tensors if fate.what == what]
        if not found:
            continue
        lines.append(f"  {len(found)} {meaning}")
        if what == "carried":
            found = [fate for fate in found if fate.source]
        every = [(f.name, (f.before, f.after, f.source), f) for f in found]
        lines += [f"    {path} {_shapes(fate)}" for path, fate in _together(every)]
    return lines


def _shapes(fate: Fate) -> str:
    shapes = [str(list(shape)) for shape in (fate.before, fate.after) if shape is not None]
    source = f" from {fate.source}" if fate.source else ""
    return " -> ".join(dict.fromkeys(shapes)) + source


def removed(difference: Difference) -> list[str]:
    """Parts that are gone, those of equal layers together."""
    gone = [(c.path, (), c.path) for c in difference.nodes if c.what == "removed"]
    return [path for path, _ in _together(gone)]


def _together(items: Iterable[tuple[str, Hashable, T]]) -> Iterator[tuple[str, T]]:
    """Items that are the same in several layers as one, with a path such as `a.layers.{0-5}.b`."""
    groups: dict[Hashable, list[tuple[int | None, str, T]]] = {}
    for path, same, item in items:
        layer = _LAYER.search(path)
        pattern = _LAYER.sub(".layers.{}", path, count=1)
        groups.setdefault((pattern, same), []).append(
            (int(layer[1]) if layer else None, path, item)
        )
    for (pattern, _), members in groups.items():  # type: ignore[misc]  # keys are pairs
        layers = [layer for layer, _, _ in members if layer is not None]
        name = pattern.replace("{}", _ranges(layers)) if len(layers) > 1 else members[0][1]
        yield name, members[0][2]


def _ranges(layers: list[int]) -> str:
    """`{0-5}` or `{0,2,4}`."""
    texts = []
    for _, run in groupby(enumerate(layers), key=lambda pair: pair[1] - pair[0]):
        numbers = [layer for _, layer in run]
        texts.append(f"{numbers[0]}-{numbers[-1]}" if len(numbers) > 1 else str(numbers[0]))
    return "{" + ",".join(texts) + "}"
