"""One spec of several texts: the base that it extends, the size that is chosen, and overrides."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NoReturn

from composer.diagnostics import Note, Problem, Problems, Span, SpecError

from .document import Entry, Mapping, Scalar, Tree, get, key_span, merge
from .fields import NAMED_SECTIONS, ModelFields
from .load import load, parse_scalar
from .slots import is_none, without
from .validate import describe, guess
from .wants import listed

MAX_BASES = 16


def read(path: str | Path, *, size: str | None = None, overrides: Iterable[str] = ()) -> Tree:
    """The tree of a spec file with its base, one of its sizes, and `name.option=value` applied.

    Raises SpecError where a text cannot be read or a name does not exist.
    """
    path = Path(path)
    return apply(with_bases(path), size=size, overrides=overrides)


def with_bases(path: Path) -> Tree:
    """The tree of a spec file merged over the specs that it extends, its sizes still in it."""
    return _with_bases(path, path.parent.resolve(), ())


def files_of(path: Path) -> list[Path]:
    """A spec file and those that it extends, nearest first.

    Raises SpecError where one cannot be read.
    """
    found = [path]
    while len(found) <= MAX_BASES:
        base = get(load(found[-1]), ("extends",))
        if not isinstance(base, Scalar) or not isinstance(base.value, str):
            break
        found.append(found[-1].parent / base.value)
    return found


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


def _with_bases(path: Path, root: Path, seen: tuple[tuple[Path, Note], ...]) -> Tree:
    """The tree of a file over those of its bases; `seen` are the files on the way to it."""
    tree = load(path)
    base = get(tree, ("extends",))
    if base is None or not isinstance(tree, Mapping):
        return tree
    if not isinstance(base, Scalar) or not isinstance(base.value, str):
        message = f"extends wants the path of a spec, not {describe(base)}"
        _refuse("C110", message, base.span, fix="extends: base.yaml")
    target, resolved = path.parent / base.value, _resolved(path.parent / base.value, base)
    way = (*seen, (path.resolve(), Note(f"'{path.name}' extends '{base.value}' here", base.span)))
    if resolved in [file for file, _ in way]:
        notes = [note for _, note in way[:-1]]
        _refuse(
            "C110",
            f"'{base.value}' extends itself",
            base.span,
            fix="remove this extends",
            notes=notes,
        )
    if len(seen) >= MAX_BASES:
        _refuse("C110", f"more than {MAX_BASES} specs extend each other", base.span)
    if not resolved.is_relative_to(root):
        _refuse(
            "C110",
            f"'{base.value}' lies outside the spec's folder",
            base.span,
            fix="move the base beside the spec, or below it",
        )
    if not resolved.is_file():
        message = f"there is no file '{base.value}' beside '{path.name}'"
        _refuse("C110", message, base.span, fix="write its path from the folder of this file")
    return _over(_with_bases(target, root, way), without(tree, ["extends"]))


def _over(base: Tree, tree: Mapping) -> Tree:
    """A spec merged over its base; its own sizes are all that it has, else it has the base's.

    A size of the base changes what the base says, which may mean another model here.
    """
    if isinstance(base, Mapping) and "sizes" in tree.entries:
        base = without(base, ["sizes"])
    return merge(base, tree)


def _resolved(path: Path, base: Scalar) -> Path:
    """Where a path leads to, links followed."""
    try:
        resolved = path.resolve()
        resolved.is_file()
    except (OSError, RuntimeError, ValueError):  # e.g. too long, a circle of links, a NUL
        _refuse("C110", f"{describe(base)} is not a path", base.span, fix="extends: base.yaml")
    return resolved


def _sized(tree: Mapping, size: str | None) -> Mapping:
    _check_sizes(tree)
    body = without(tree, ["sizes"])
    if size is None:
        return body
    names = sizes_of(tree)
    if size not in names:
        span = key_span(tree, ("sizes",)) if names else tree.span
        fix = guess(size, names) or (f"sizes: {', '.join(names)}" if names else "leave out --size")
        _refuse("C111", f"the spec has no size '{size}'", span, fix=fix)
    chosen = get(tree, ("sizes", size))
    if not isinstance(chosen, Mapping):
        return body  # nothing is said of it
    merged = merge(body, chosen)
    assert isinstance(merged, Mapping)
    return Mapping(merged.entries, tree.span)


def _check_sizes(tree: Mapping) -> None:
    """Sizes are mappings of what they change, chosen or not."""
    sizes, problems = get(tree, ("sizes",)), Problems()
    if sizes is None or is_none(sizes):
        return
    if not isinstance(sizes, Mapping):
        problems.add(
            "C111",
            f"sizes wants names with what each changes, not {describe(sizes)}",
            sizes.span,
            fix="sizes: {base: {}, large: {dims: {d_model: 1024}}}",
        )
    else:
        for name, entry in sizes.entries.items():
            _check_size(name, entry.value, tree, problems)
    problems.raise_if_any()


def _check_size(size: str, changes: Tree, tree: Mapping, problems: Problems) -> None:
    if is_none(changes):
        return
    if not isinstance(changes, Mapping):
        message = f"size '{size}' wants a mapping of what it changes, not {describe(changes)}"
        problems.add("C111", message, changes.span, fix=f"{size}: {{dims: {{d_model: 1024}}}}")
        return
    sections = [
        key for key in ModelFields.model_fields if key not in {"composer", "extends", "sizes"}
    ]
    for section, entry in changes.entries.items():
        if section not in sections:
            fix = guess(section, sections) or f"sections: {', '.join(sections)}"
            problems.add("C102", f"unknown key '{section}' in size '{size}'", entry.key, fix=fix)
        elif section in NAMED_SECTIONS and isinstance(entry.value, Mapping):
            known = get(tree, (section,))
            names = list(known.entries) if isinstance(known, Mapping) else []
            for name, changed in entry.value.entries.items():
                if name not in names and (hint := guess(name, names)):
                    message = f"'{name}' is not one of {section}, which size '{size}' changes"
                    problems.add("C111", message, changed.key, fix=hint)


def _overridden(tree: Mapping, override: str) -> Mapping:
    path, equals, text = override.partition("=")
    span = Span("--set", 1, 1, len(override) + 1, override)
    if not equals or not path.strip():
        _refuse(
            "C112",
            f"'{override}' is not NAME.OPTION=VALUE",
            span,
            fix="--set decoder.num_layers=12",
        )
    at = override.index("=") + 1
    value = parse_scalar(text, Span("--set", 1, at + 1, len(override) + 1, override))
    return put(tree, path.strip(), value, span, Span("--set", 1, 1, at, override))


def put(tree: Mapping, path: str, value: Tree, span: Span, key: Span | None = None) -> Mapping:
    """`tree` with a value at a path such as `decoder.attention.window`.

    The path is read at `span`, or its words stand at `key`. Raises SpecError where nothing has the
    first name, or nothing can be set inside a value.
    """
    parts = path.split(".")
    if not all(parts):
        _refuse(
            "C112",
            f"'{path}' has an empty name in it",
            span,
            fix="--set decoder.num_layers=12",
        )
    section = _section_of(tree, parts[0], parts[1] if len(parts) > 1 else None, span)
    return _put(tree, [section, *parts] if section != parts[0] else parts, value, key or span)


def _check_part(tree: Mapping, section: str, part: str | None, span: Span) -> None:
    """A part that is named below its section must be there already."""
    known = get(tree, (section,))
    if part is None or section not in NAMED_SECTIONS or not isinstance(known, Mapping):
        return
    if part not in known.entries:
        names = list(known.entries)
        fix = guess(part, names) or f"names: {listed(names)}"
        _refuse("C112", f"nothing under {section} is called '{part}'", span, fix=fix)


def _section_of(tree: Mapping, name: str, part: str | None, span: Span) -> str:
    """The section that a name stands in, or the name where it is a section itself."""
    if name in {"composer", "sizes", "extends"}:
        _refuse(
            "C112",
            f"'{name}' cannot be set",
            span,
            fix="set what it changes, e.g. decoder.num_layers=12",
        )
    if name in ModelFields.model_fields:
        _check_part(tree, name, part, span)
        return name
    known = {
        key: section
        for section in (*NAMED_SECTIONS, "dims")
        if isinstance(entries := get(tree, (section,)), Mapping)
        for key in entries.entries
    }
    if name not in known:
        _refuse(
            "C112",
            f"nothing is called '{name}'",
            span,
            fix=guess(name, known) or f"names: {listed(known)}",
        )
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
        what = f"is {describe(entry.value)}" if isinstance(entry.value, Scalar) else "is a list"
        message = f"'{head}' {what}, so nothing can be set inside it"
        fix = (
            f"set all of it: --set {head}=..."
            if isinstance(entry.value, Scalar)
            else "change it in the file"
        )
        _refuse("C112", message, span, fix=fix, notes=[Note("it is written here", entry.key)])
    return Mapping({**tree.entries, head: Entry(span, below)}, tree.span)


def _refuse(
    code: str, message: str, span: Span, *, fix: str | None = None, notes: Iterable[Note] = ()
) -> NoReturn:
    raise SpecError([Problem(code, message, span, tuple(notes), fix)])
