"""Maps of weights for parts that are called otherwise: the first words of what rules write."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from composer.diagnostics import Problems

from .document import Entry, Mapping, Scalar, Sequence, Tree, get, key_span, plain
from .validate import describe, guess
from .wants import listed


def renamed(maps: list[Mapping], names: Tree | None, problems: Problems) -> Iterator[Mapping]:
    """Maps with other words for parts; a word that they do not write is added to the problems."""
    if names is None or not _are_names(names, problems):
        yield from maps
        return
    assert isinstance(names, Mapping), "names are a mapping"
    known = dict.fromkeys(
        word for section in maps for tree in _rule_lists(section) for item in tree.items
        for word in _words(_target(item))
    )  # fmt: skip
    for name in names.entries:
        if name not in known:
            fix = guess(name, known) or (f"it writes {listed(known)}" if known else "add extends")
            why = f"no rule of an extended map writes '{name}'"
            problems.add("C131", why, key_span(names, (name,)), fix=fix)
    words = {name: str(word) for name, word in plain(names).items()}
    for section in maps:
        yield _section(section, words)


def _are_names(names: Tree, problems: Problems) -> bool:
    """Whether names stand for names; what does not is added to the problems."""
    before, fix = len(problems), "names: {decoder: text}"
    if not isinstance(names, Mapping):
        why = f"names wants parts with what they are called here, not {describe(names)}"
        problems.add("C105", why, names.span, fix=fix)
        return False
    for name, entry in names.entries.items():
        text = entry.value.value if isinstance(entry.value, Scalar) else None
        if not isinstance(text, str) or not re.fullmatch(r"\w+", text):
            why = f"'{name}' wants the name of a part, not {describe(entry.value)}"
            problems.add("C105", why, entry.value.span, fix=fix)
    return len(problems) == before


def _rule_lists(section: Mapping) -> Iterator[Sequence]:
    layouts = get(section, ("layouts",))
    inner = [e.value for e in layouts.entries.values()] if isinstance(layouts, Mapping) else []
    yield from (t for t in [get(section, ("rules",)), *inner] if isinstance(t, Sequence))


def _section(section: Mapping, words: dict[str, str]) -> Mapping:
    """A map whose rules write other words."""
    entries = dict(section.entries)
    for key, entry in section.entries.items():
        tree = entry.value
        if key == "rules":
            entries[key] = Entry(entry.key, _list(tree, words))
        elif key == "layouts" and isinstance(tree, Mapping):
            made = {n: Entry(e.key, _list(e.value, words)) for n, e in tree.entries.items()}
            entries[key] = Entry(entry.key, Mapping(made, tree.span))
    return Mapping(entries, section.span)


def _list(tree: Tree, words: dict[str, str]) -> Tree:
    if not isinstance(tree, Sequence):
        return tree
    return Sequence(tuple(_item(item, words) for item in tree.items), tree.span)


def _item(item: Tree, words: dict[str, str]) -> Tree:
    target = _target(item)
    if isinstance(item, Scalar) and target:
        source = str(item.value).partition("->")[0]
        return replace(item, value=f"{source.strip()} -> {_written(target, words)}")
    if isinstance(item, Mapping) and target:
        entry = item.entries["to"]
        to = Scalar(_written(target, words), entry.value.span, quoted=True)
        return Mapping({**item.entries, "to": Entry(entry.key, to)}, item.span)
    return item


def _target(item: Tree) -> str:
    """What a rule writes; nothing where it is no rule, or one without a target."""
    text = item if isinstance(item, Scalar) else get(item, ("to",))
    if not isinstance(text, Scalar) or not isinstance(text.value, str):
        return ""
    return text.value.partition("->")[2].strip() if text is item else text.value


def _words(target: str) -> list[str]:
    """The parts that a pattern writes: of `(one|two)_logits.head.{p}`, `one_logits` and the other."""
    found = re.fullmatch(r"(\w*)(?:\(([\w|]+)\))?(\w*)", target.partition(".")[0])
    if found is None or not found[0]:
        return []
    return [f"{found[1]}{word}{found[3]}" for word in (found[2] or "").split("|")]


def _written(target: str, words: dict[str, str]) -> str:
    found = _words(target)
    if not set(found) & set(words):
        return target
    new = [words.get(word, word) for word in found]
    rest = target.partition(".")
    return (new[0] if len(new) == 1 else f"({'|'.join(new)})") + "".join(rest[1:])
