"""The tree of a spec: plain values that know where they were written.

Trees are values: nothing changes one after it is made, so parts may be shared between trees (and
are, where YAML has an alias).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

from composer.diagnostics import Span

_WIDTH = 80  # a list longer than this is written one item a line
_LONGEST_SIMPLE_KEY = 500  # YAML wants `? key` from 1024 characters on, escapes included


@dataclass(frozen=True, slots=True)
class Scalar:
    """One value; `quoted` if it was surely meant as text (quotes, a block, or `!!str`)."""

    value: str | int | float | bool | None
    span: Span
    quoted: bool = False


@dataclass(frozen=True, slots=True)
class Sequence:
    """A list."""

    items: tuple[Tree, ...]
    span: Span


@dataclass(frozen=True, slots=True)
class Entry:
    """One `key: value` of a mapping; `key` is the place of the key."""

    key: Span
    value: Tree


@dataclass(frozen=True, slots=True)
class Mapping:
    """Keys with their values, in the order written; a block's span is that of its first key."""

    entries: dict[str, Entry]
    span: Span


Tree: TypeAlias = Scalar | Sequence | Mapping
Loc: TypeAlias = tuple[str | int, ...]


def plain(tree: Tree) -> Any:  # noqa: ANN401 - a spec's data is of any shape
    """The tree as plain Python data, without places."""
    if isinstance(tree, Mapping):
        return {key: plain(entry.value) for key, entry in tree.entries.items()}
    if isinstance(tree, Sequence):
        return [plain(item) for item in tree.items]
    return tree.value


def get(tree: Tree, loc: Loc) -> Tree | None:
    """What stands at `loc`, or None if nothing does."""
    trail = _walk(tree, loc)
    return trail[-1] if len(trail) == len(loc) + 1 else None


def value_span(tree: Tree, loc: Loc) -> Span:
    """The place of the value at `loc`; if there is none, that of the deepest parent there is."""
    return _walk(tree, loc)[-1].span


def key_span(tree: Tree, loc: Loc) -> Span:
    """The place of the key at `loc`: an item's own place in a list, else as `value_span`."""
    trail = _walk(tree, loc)
    if len(trail) == len(loc) + 1 and loc:
        parent, last = trail[-2], loc[-1]
        if isinstance(parent, Mapping) and isinstance(last, str):
            return parent.entries[last].key
    return trail[-1].span


def merge(base: Tree, over: Tree) -> Tree:
    """`base` with everything that `over` says on top: mappings merge, all else is replaced.

    A mapping of another `kind` replaces the whole mapping: the options of one kind mean nothing
    to another.
    """
    if not (isinstance(base, Mapping) and isinstance(over, Mapping)) or _kinds_differ(base, over):
        return over
    entries = dict(base.entries)
    for key, entry in over.entries.items():
        below = entries.get(key)
        entries[key] = Entry(entry.key, merge(below.value, entry.value)) if below else entry
    return Mapping(entries, over.span)


def from_plain(data: object, span: Span) -> Tree:
    """Plain Python data as a tree whose every part stands at `span`; its text counts as quoted."""
    if isinstance(data, dict):
        return Mapping(
            {_text_key(key): Entry(span, from_plain(value, span)) for key, value in data.items()},
            span,
        )
    if isinstance(data, list | tuple):
        return Sequence(tuple(from_plain(item, span) for item in data), span)
    if data is None or isinstance(data, str | int | float):
        return Scalar(data, span, quoted=isinstance(data, str))
    raise TypeError(f"a spec holds no {type(data).__name__}")


def to_yaml(data: object) -> str:
    """Plain data as YAML text in block style, which reads back as the same data.

    >>> print(to_yaml({"name": "no", "sizes": [1, 2.5], "norm": {"eps": 1e-6}}), end="")
    name: "no"
    sizes: [1, 2.5]
    norm:
      eps: 1e-06
    """
    inline = _inline(data)
    lines = [inline] if inline is not None else _block(data)
    return "\n".join(lines) + "\n"


def _walk(tree: Tree, loc: Loc) -> list[Tree]:
    """The trees passed on the way to `loc`, from `tree` on, as far as the way exists."""
    trail = [tree]
    for part in loc:
        below = _step(trail[-1], part)
        if below is None:
            break
        trail.append(below)
    return trail


def _step(tree: Tree, part: str | int) -> Tree | None:
    if isinstance(tree, Mapping) and isinstance(part, str) and part in tree.entries:
        return tree.entries[part].value
    if isinstance(tree, Sequence) and isinstance(part, int) and 0 <= part < len(tree.items):
        return tree.items[part]
    return None


def _kinds_differ(base: Mapping, over: Mapping) -> bool:
    below, above = get(base, ("kind",)), get(over, ("kind",))
    if not (isinstance(below, Scalar) and isinstance(above, Scalar)):
        return False
    return below.value != above.value


def _text_key(key: object) -> str:
    if not isinstance(key, str):
        raise TypeError(f"a key of a spec is text, not {type(key).__name__}")
    return key


# Writing YAML. A value is either one piece of text (`_inline`) or a block of lines.


def _inline(data: object) -> str | None:
    """`data` on one line, or None if it needs a block."""
    if isinstance(data, dict):
        return None if data else "{}"
    if not isinstance(data, list | tuple):
        return _scalar(data)
    if any(isinstance(item, dict) and item for item in data):
        return None
    items = [_inline(item) for item in data]
    text = f"[{', '.join(item or '' for item in items)}]"
    return text if None not in items and len(text) <= _WIDTH else None


def _block(data: object) -> list[str]:
    """The lines of a mapping or list that does not fit on one."""
    if isinstance(data, dict):
        return [line for key, value in data.items() for line in _entry(_text_key(key), value)]
    assert isinstance(data, list | tuple), "all else fits on one line"
    return [line for item in data for line in _item(item)]


def _entry(key: str, value: object) -> Iterator[str]:
    head = f"{_text(key)}:"
    if len(key) > _LONGEST_SIMPLE_KEY:
        yield f"? {_text(key)}"
        head = ":"
    inline = _inline(value)
    if inline is not None:
        yield f"{head} {inline}"
        return
    yield head
    yield from (f"  {line}" for line in _block(value))


def _item(item: object) -> Iterator[str]:
    inline = _inline(item)
    first, *rest = _block(item) if inline is None else [inline]
    yield f"- {first}"
    yield from (f"  {line}" for line in rest)


def _scalar(value: object) -> str:
    if isinstance(value, str):
        return _text(value)
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return _NOT_FINITE.get(repr(value)) or repr(value)
    raise TypeError(f"a spec holds no {type(value).__name__}")


_NOT_FINITE = {"inf": ".inf", "-inf": "-.inf", "nan": ".nan"}

# Words that some reader of YAML takes for null, a boolean or a number.
_WORDS = frozenset({"null", "true", "false", "yes", "no", "on", "off", "y", "n"})
_WORD = r"[A-Za-z0-9_./^+*()<>=|-]+(?::[A-Za-z0-9/][A-Za-z0-9_./^+*()<>=|-]*)*"
_PLAIN = re.compile(rf"(?=[A-Za-z0-9_/(]){_WORD}(?: {_WORD})*")
_LIKE_A_NUMBER = re.compile(r"[0-9][0-9A-Fa-f_.:+xobTZ -]*")
# JSON's quotes are YAML's, but JSON leaves these as they are.
_HIDDEN = re.compile(
    "[\x7f-\xa0\u061c\u200b-\u200f\u2028-\u202f\u2060-\u206f\ud800-\udfff\ufeff\ufffe\uffff]"
)


def _text(text: str) -> str:
    """`text`, in double quotes unless every reader takes it for text without them."""
    clear = _PLAIN.fullmatch(text) and not _LIKE_A_NUMBER.fullmatch(text)
    if clear and text.lower() not in _WORDS:
        return text
    return _HIDDEN.sub(
        lambda found: f"\\u{ord(found[0]):04x}", json.dumps(text, ensure_ascii=False)
    )
