"""What keeps the depth of a spec from changing: connections and paths that number layers."""

from __future__ import annotations

import re
from collections.abc import Iterator

from composer.language.document import Loc, Mapping, Scalar, Sequence, Tree, get

_NUMBERED = re.compile(r"\w+\.layers\.\d+(?:\.|$)")


def depth_obstacle(tree: Tree) -> tuple[str, str] | None:
    """Why the layers cannot become more or fewer, and what to write instead; None if they can."""
    for _, scalar in _scalars(tree, ()):
        if isinstance(scalar.value, str) and _NUMBERED.match(scalar.value):
            return (
                f"the depth cannot change: line {scalar.span.line} names '{scalar.value}'",
                "scale the width alone, or name layers by a rule such as `aligned` or `every 4`",
            )
    connections = get(tree, ("connections",))
    for index, _ in enumerate(connections.items if isinstance(connections, Sequence) else ()):
        for kind, key in (("skip", "pairs"), ("cross", "layers")):
            listed = get(tree, ("connections", index, kind, key))
            if isinstance(listed, Sequence):
                return (
                    f"the depth cannot change: line {listed.span.line} numbers layers",
                    "scale the width alone, or write a rule such as `mirror` or `every 4`",
                )
    return None


def _scalars(tree: Tree, loc: Loc) -> Iterator[tuple[Loc, Scalar]]:
    """Every scalar that may name a part, with its place; maps of weights name other things."""
    if isinstance(tree, Scalar):
        yield loc, tree
    elif isinstance(tree, Sequence):
        for index, item in enumerate(tree.items):
            yield from _scalars(item, (*loc, index))
    elif isinstance(tree, Mapping):
        for key, entry in tree.entries.items():
            if loc or key not in {"weights", "sizes", "description", "title"}:
                yield from _scalars(entry.value, (*loc, key))
