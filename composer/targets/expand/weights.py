"""Maps of weights, whole: what a map extends stands in it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from composer.language.document import Mapping, Scalar, Sequence, Tree, get, plain
from composer.language.weights import WeightMap

from .options import Data


def map_data(weight_map: WeightMap) -> Data:
    """The keys of a map that needs no file; rules of the maps that it extends may match nothing."""
    sections = weight_map.sections
    paths = {"parts": weight_map.parts, "new": weight_map.new}
    named = {key: [path.text for path in several] for key, several in paths.items() if several}
    made = {
        **_description(sections),
        **named,
        "parameters": _parameters(sections),
        "rules": list(_rules(sections, ("rules",))),
        "layouts": {n: list(_rules(sections, ("layouts", n))) for n in _layouts(sections)},
    }
    return {key: value for key, value in made.items() if value}


def _description(sections: tuple[Mapping, ...]) -> Data:
    own = get(sections[0], ("description",))
    return {} if own is None else {"description": plain(own)}


def _parameters(sections: tuple[Mapping, ...]) -> Data:
    """Those of the first map that names one hold; in the order in which they are tried."""
    found: Data = {}
    for section in reversed(sections):
        tree = get(section, ("parameters",))
        found |= {} if tree is None else plain(tree)
    return found


def _layouts(sections: tuple[Mapping, ...]) -> dict[str, None]:
    trees = [get(section, ("layouts",)) for section in sections]
    return dict.fromkeys(name for t in trees if isinstance(t, Mapping) for name in t.entries)


def _rules(sections: tuple[Mapping, ...], where: tuple[str, ...]) -> Iterator[Any]:
    """The rules at a place of each map, its own first."""
    for section in sections:
        tree = get(section, where)
        for item in tree.items if isinstance(tree, Sequence) else ():
            yield plain(item) if section is sections[0] else _optional(item)


def _optional(item: Tree) -> Any:  # noqa: ANN401 - a rule is of any shape
    if isinstance(item, Scalar):
        source, _, target = str(item.value).partition("->")
        return {"from": source.strip(), "to": target.strip(), "optional": True}
    made = plain(item)
    return made if "tie" in made else {**made, "optional": True}
