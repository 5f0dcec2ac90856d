"""One spec of several texts: the base that it extends, the size that is chosen, and overrides."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NoReturn

from composer.diagnostics import Note, Problem, SpecError, Span

from .check import NAMED_SECTIONS
from .document import Entry, Mapping, Scalar, Tree, get, key_span, merge, plain
from .load import load, parse_scalar
from .slots import without
from .validate import guess

MAX_BASES = 16


def read(path: str | Path, *, size: str | None = None, overrides: Iterable[str] = ()) -> Tree:
    """The tree of a spec file with its base, one of its sizes, and `name.option=value` applied.

    Raises SpecError where a text cannot be read or a name does not exist.
    """
    path = Path(path)
    return apply(_with_bases(path, path.parent.resolve(), ()), size=size, overrides=overrides)


def apply(tree: Tree, *, size: str | None = None, overrides: Iterable[str] = ()) -> Tree:
    """`tree` with one of its sizes and overrides applied."""
    if not isinstance(tree, Mapping):
        return tree
    tree = _sized(tree, size)
    for override in overrides:
        tree = _overridden(tree, override)
    return tree


def sizes_of(tree: Tree) -> list[str]:
    """The names of a spec's sizes."""
    sizes = get(tree, ("sizes",))
    return list(sizes.entries) if isinstance(sizes, Mapping) else []


def _with_bases(path: Path, root: Path, seen: tuple[Path, ...]) -> Tree:
    tree = load(path)
    base = get(tree, ("extends",))
    if base is None or not isinstance(tree, Mapping):
        return tree
    if not isinstance(base, Scalar) or not isinstance(base.value, str):
        _refuse("C110", "extends wants the path of a spec", base.span, fix="extends: base.yaml")
    target = path.parent / str(plain(base))
    resolved = target.resolve()
    if resolved in (*seen, path.resolve()):
        _refuse("C110", f"'{plain(base)}' extends itself", base.span)
    if len(seen) >= MAX_BASES:
        _refuse("C110", f"more than {MAX_BASES} specs extend each other", base.span)
    if not resolved.is_relative_to(root):
        _refuse(
            "C110", f"'{plain(base)}' lies outside the spec's folder", base.span,
            fix="move the base beside the spec, or below it",
        )  # fmt: skip
    if not resolved.is_file():
        _refuse("C110", f"there is no file '{plain(base)}' beside the spec", base.span)
    below = _with_bases(target, root, (*seen, path.resolve()))
    return merge(below, without(tree, ["extends"]))


def _sized(tree: Mapping, size: str | None) -> Mapping:
    sizes = get(tree, ("sizes",))
    if size is None:
        return without(tree, ["sizes"])
    names = sizes_of(tree)
    if size not in names:
        span = key_span(tree, ("sizes",)) if names else tree.span
        fix = guess(size, names) or (f"sizes: {', '.join(names)}" if names else None)
        _refuse("C111", f"the spec has no size '{size}'", span, fix=fix)
    chosen = get(tree, ("sizes", size))
    assert chosen is not None
    body = without(tree, ["sizes"])
    if isinstance(chosen, Scalar) and chosen.value is None:
        return body
    if not isinstance(chosen, Mapping):
        _refuse("C111", f"size '{size}' wants a mapping of what it changes", chosen.span)
    del sizes
    merged = merge(body, chosen)
    assert isinstance(merged, Mapping)
    return Mapping(merged.entries, tree.span)


def _overridden(tree: Mapping, override: str) -> Mapping:
    path, equals, text = override.partition("=")
    span = Span("--set", 1, 1, len(override) + 1, override)
    if not equals or not path.strip():
        _refuse("C112", f"'{override}' is not NAME.OPTION=VALUE", span, fix="--set decoder.num_layers=12")
    parts = path.strip().split(".")
    section = _section_of(tree, parts[0], span)
    loc = [section, *parts] if section != parts[0] else parts
    at = override.index("=") + 1
    value = parse_scalar(text, Span("--set", 1, at + 1, len(override) + 1, override))
    return _put(tree, loc, value, Span("--set", 1, 1, at, override))


def _section_of(tree: Mapping, name: str, span: Span) -> str:
    """The section that a name stands in, or the name where it is a section itself."""
    if name in tree.entries and name not in {"composer", "sizes", "extends"}:
        return name
    known = {
        key: section
        for section in (*NAMED_SECTIONS, "dims")
        if isinstance(entries := get(tree, (section,)), Mapping)
        for key in entries.entries
    }
    if name not in known:
        _refuse(
            "C112", f"nothing is called '{name}'", span,
            fix=guess(name, known) or f"names: {', '.join(known)}",
        )  # fmt: skip
    return known[name]


def _put(tree: Mapping, loc: list[str], value: Tree, span: Span) -> Mapping:
    head, *rest = loc
    entry = tree.entries.get(head)
    if not rest:
        below = value
    elif entry is None or (isinstance(entry.value, Scalar) and entry.value.value is None):
        below = _put(Mapping({}, span), rest, value, span)
    elif isinstance(entry.value, Mapping):
        below = _put(entry.value, rest, value, span)
    elif isinstance(entry.value, Scalar) and isinstance(entry.value.value, str):
        kind = Mapping({"kind": Entry(entry.value.span, entry.value)}, entry.value.span)
        below = _put(kind, rest, value, span)
    else:
        _refuse("C112", f"'{head}' holds no options", span, notes=[Note("it is written here", entry.key)])
    return Mapping({**tree.entries, head: Entry(span, below)}, tree.span)


def _refuse(
    code: str, message: str, span: Span, *, fix: str | None = None, notes: Iterable[Note] = ()
) -> NoReturn:
    raise SpecError([Problem(code, message, span, tuple(notes), fix)])
