"""Sections that list changes of a model, each one kind with its options: `adapt`, `compress`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from .document import Entry, Mapping, Sequence, get
from .slots import Checking
from .validate import describe, guess
from .wants import listed


def changes_in(
    tree: Mapping, section: str, kinds: Iterable[str], check: Checking, *,
    one: str, many: str, fix: str,
) -> Iterator[tuple[str, Entry]]:  # fmt: skip
    """Kind and options of each change of a section, in order; there is none without the section.

    What is wrong is added to the problems, which call the changes `one` and `many`: `a pass`,
    `passes`.
    """
    written = get(tree, (section,))
    if written is None:
        return
    if not isinstance(written, Sequence) or not written.items:
        found = "an empty list" if isinstance(written, Sequence) else describe(written)
        message = f"{section} wants a list of {many}, not {found}"
        check.problems.add("C105", message, written.span, fix=fix)
        return
    known = list(kinds)
    for item in written.items:
        if not isinstance(item, Mapping) or len(item.entries) != 1:
            message = f"{one} is one kind with its options, not {describe(item)}"
            check.problems.add("C105", message, item.span, fix=fix)
            continue
        ((kind, entry),) = item.entries.items()
        if kind in known:
            yield kind, entry
            continue
        near = guess(kind, known) or f"kinds: {listed(known)}"
        noun = one.partition(" ")[2]
        check.problems.add("C103", f"unknown {noun} '{kind}'", entry.key, fix=near)
