"""Random single mistakes in good specs."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from composer.language.document import plain
from composer.language.variants import with_bases

ROOT = Path(__file__).parents[2]
FOLDERS = ("specs", "specs/patterns", "tests/specs", "tests/golden_diagrams")

VALUES: tuple[Any, ...] = (
    None, True, False, "yes", "none", "", 0, 1, -1, 2, 3, 5, 7, 64, 2.5, 1e-5, 1e9, [], {}, [1], [[0, 1]],
    ["a", "b"], {"kind": "rope"}, {"a": 1}, "every 2", "aligned", "mirror", "all", "a -> b", "d_model/3",
    "2*d_model", "1//0", "train", "self", "lm", "tanh", "concat", "rmsnorm", "attention", "feed_forward",
    "cross_attention", "parallel", "pool", "learned", "sinusoidal", "rope", "mask", "time", "b t d -> b d t",
)  # fmt: skip
"""Values that some key somewhere takes, and some that none does."""

Path_ = tuple[str | int, ...]


def good_specs() -> dict[str, Any]:
    """The plain data of every spec of the repository that is meant to be right."""
    paths = [path for folder in FOLDERS for path in sorted((ROOT / folder).glob("*.yaml"))]
    specs = {path.relative_to(ROOT).as_posix(): plain(with_bases(path)) for path in paths}
    for spec in specs.values():
        spec.pop("weights", None)  # files beside the spec, and a mutant is no file
    return specs


def mutant(spec: Any, chance: random.Random) -> Any:
    """A copy of `spec` with one mistake, or what may be one."""
    made = copy.deepcopy(spec)
    chance.choice([_delete, _rename, _retype, _retype, _swap, _rewire, _rewire, _copy, _repeat])(
        made, chance
    )
    return made


def _places(tree: Any, path: Path_ = ()) -> Iterator[Path_]:
    items = (
        tree.items()
        if isinstance(tree, dict)
        else enumerate(tree)
        if isinstance(tree, list)
        else ()
    )
    for key, value in items:
        yield (*path, key)
        yield from _places(value, (*path, key))


def _get(tree: Any, path: Path_) -> Any:
    for part in path:
        tree = tree[part]
    return tree


def _set(tree: Any, path: Path_, value: Any) -> None:
    _get(tree, path[:-1])[path[-1]] = value


def _delete(tree: Any, chance: random.Random) -> None:
    path = chance.choice(list(_places(tree)))
    del _get(tree, path[:-1])[path[-1]]


def _rename(tree: Any, chance: random.Random) -> None:
    path = chance.choice([path for path in _places(tree) if isinstance(path[-1], str)])
    parent, key = _get(tree, path[:-1]), str(path[-1])
    at = chance.randrange(len(key))
    new = chance.choice(
        [key[:at] + key[at + 1 :], key[:at] + "x" + key[at:], key + "s", key.upper(), "train"]
    )
    items = [(new if name == key else name, value) for name, value in parent.items()]
    parent.clear()
    parent.update(items)


def _retype(tree: Any, chance: random.Random) -> None:
    _set(tree, chance.choice(list(_places(tree))), copy.deepcopy(chance.choice(VALUES)))


def _swap(tree: Any, chance: random.Random) -> None:
    numbers = [p for p in _places(tree) if isinstance(_get(tree, p), int | float)]
    if len(numbers) > 1:
        first, other = chance.sample(numbers, 2)
        one, two = _get(tree, first), _get(tree, other)
        _set(tree, first, two)
        _set(tree, other, one)


def _rewire(tree: Any, chance: random.Random) -> None:
    """One name for another, or for a path below one."""
    words = [path for path in _places(tree) if isinstance(_get(tree, path), str)]
    names = [str(key) for section in tree.values() if isinstance(section, dict) for key in section]
    ends = ["", "", "", ".layers", ".layers.0", ".layers.*", ".layers.1.attention", ".layers.*.feed_forward",
            ".layers.0.attention.weights", ".layers.*.cross_attention.weights", ".embed.tokens", ".head"]  # fmt: skip
    if words and names:
        _set(tree, chance.choice(words), chance.choice(names) + chance.choice(ends))


def _copy(tree: Any, chance: random.Random) -> None:
    """A piece of the spec in another place."""
    places = list(_places(tree))
    piece = copy.deepcopy(_get(tree, chance.choice(places)))
    _set(tree, chance.choice(places), piece)


def _repeat(tree: Any, chance: random.Random) -> None:
    """An item of a list or an entry of a mapping a second time, or in a neighbour."""
    path = chance.choice(list(_places(tree)))
    parent, value = _get(tree, path[:-1]), copy.deepcopy(_get(tree, path))
    if isinstance(parent, list):
        parent.insert(chance.randrange(len(parent) + 1), value)
    else:
        others = [p for p in _places(tree) if isinstance(_get(tree, p), dict)]
        target = _get(tree, chance.choice(others)) if others else parent
        target.setdefault(path[-1] if chance.random() < 0.7 else f"{path[-1]}_2", value)
