"""Where a rule applies: the names on both sides for every choice of its captures.

Rules are read in both directions: from the names of a source to those of a graph, and back.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from composer.language.patterns import Binding, Pattern
from composer.language.weight_rules import Rule

from .operations import Shape

Key = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Instance:
    """A rule with its captures fixed; `count` is how many pieces are stacked or taken apart."""

    rule: Rule
    sources: tuple[str, ...]
    targets: tuple[str, ...]
    count: int = 1


@dataclass(frozen=True)
class Broken:
    """A rule that applies in part only, why, and the names it would have written."""

    rule: Rule
    why: str
    targets: tuple[str, ...] = ()


@dataclass
class Found:
    """The instances of all rules, and what they leave."""

    made: list[Instance] = field(default_factory=list)
    broken: list[Broken] = field(default_factory=list)
    ignored: tuple[str, ...] = ()
    unmatched: tuple[str, ...] = ()
    dead: tuple[Rule, ...] = ()


@dataclass(frozen=True)
class _Side:
    """One side of a rule: its pattern, what numbers pieces, their axis, and the parts."""

    pattern: Pattern | None
    over: str | None
    axis: int
    parts: tuple[str, ...]

    def match(self, name: str) -> Binding | None:
        binding = None if self.pattern is None else self.pattern.match(name)
        if binding is not None and self.parts and binding["part"] not in self.parts:
            return None
        return binding

    def write(self, binding: Binding, count: int) -> tuple[str, ...]:
        """Its names: by the number of the piece, then by part."""
        assert self.pattern is not None, "only what both sides have is written"
        return tuple(
            self.pattern.write({**binding, **self._row(row), **({"part": part} if part else {})})
            for row in range(count if self.over else 1)
            for part in (self.parts or ("",))
        )

    def _row(self, row: int) -> Binding:
        return {self.over: str(row)} if self.over else {}


def from_sources(
    rules: Sequence[Rule], sources: Mapping[str, Shape], targets: Iterable[str]
) -> Found:
    """The instances of `rules` on these sources; each source goes to the first rule it matches."""
    sides = [(_source_side(rule), _target_side(rule)) for rule in rules]
    taken, unmatched = _taken([here for here, _ in sides], ((name,) for name in sources))
    found = Found(unmatched=unmatched)
    found.ignored = tuple(n for i, r in enumerate(rules) if r.target is None for n in taken[i])
    for number, rule in enumerate(rules):
        if rule.source is None:
            filled = [name for name in targets if _target_side(rule).match(name) is not None]
            found.made += [Instance(rule, (), (name,)) for name in filled]
            found.dead += () if filled else (rule,)
            continue
        found.dead += () if taken[number] else (rule,)
        if rule.target is not None:
            for read, written, count in _pairs(sides[number], taken[number], sources, rule, found):
                found.made.append(Instance(rule, read, written, count))
    return found


def from_targets(
    rules: Sequence[Rule], targets: Mapping[str, Shape], names: Mapping[str, Sequence[str]]
) -> Found:
    """The instances of `rules` that write these targets, each known by several `names`."""
    shapes = {name: targets[owner] for owner, several in names.items() for name in several}
    sides = [(_target_side(rule), _source_side(rule)) for rule in rules]
    taken, unmatched = _taken([here for here, _ in sides], names.values())
    found = Found(unmatched=unmatched)
    for number, rule in enumerate(rules):
        if rule.source is None:
            found.made += [Instance(rule, (), (name,)) for name in taken[number]]
        elif rule.target is not None:
            for read, written, count in _pairs(sides[number], taken[number], shapes, rule, found):
                found.made.append(Instance(rule, written, read, count))
    return found


def _source_side(rule: Rule) -> _Side:
    over, axis = (rule.stack.over, rule.stack.axis) if rule.stack else (None, 0)
    return _Side(rule.source, over, axis, tuple(rule.join.parts) if rule.join else ())


def _target_side(rule: Rule) -> _Side:
    over, axis = (rule.unstack.over, rule.unstack.axis) if rule.unstack else (None, 0)
    return _Side(rule.target, over, axis, tuple(rule.split.parts) if rule.split else ())


def _taken(
    sides: Sequence[_Side], tensors: Iterable[Sequence[str]]
) -> tuple[list[dict[str, Binding]], tuple[str, ...]]:
    """For each rule the names that it reads; each tensor once, by the first rule that knows it."""
    taken: list[dict[str, Binding]] = [{} for _ in sides]
    unmatched = []
    for names in tensors:
        reads = (
            (number, name, binding)
            for number, side in enumerate(sides)
            for name in names
            if (binding := side.match(name)) is not None
        )
        first = next(reads, None)
        if first is None:
            unmatched.append(names[0])
        else:
            taken[first[0]][first[1]] = first[2]
    return taken, tuple(unmatched)


def _pairs(
    sides: tuple[_Side, _Side], taken: Mapping[str, Binding], shapes: Mapping[str, Shape],
    rule: Rule, found: Found,
) -> Iterable[tuple[tuple[str, ...], tuple[str, ...], int]]:  # fmt: skip
    """The names that are read and written together, and how many pieces they are."""
    here, there = sides
    inner = {here.over, "part" if here.parts else None}
    groups: dict[Key, list[Binding]] = {}
    for binding in taken.values():
        key = tuple(sorted((name, word) for name, word in binding.items() if name not in inner))
        groups.setdefault(key, []).append(binding)
    for key, bindings in groups.items():
        count = len({binding[here.over] for binding in bindings}) if here.over else 1
        read = here.write(dict(key), count)
        missing = [name for name in read if name not in taken]
        if missing:
            lone = next(name for name, binding in taken.items() if binding in bindings)
            why = f"'{lone}' needs '{missing[0]}' beside it"
            found.broken.append(Broken(rule, why, there.write(dict(key), 1)))
            continue
        shape = shapes[read[0]]
        if there.over and there.axis >= len(shape):
            found.broken.append(Broken(rule, f"'{read[0]}' has no axis {there.axis}"))
            continue
        count = shape[there.axis] if there.over else count
        yield read, there.write(dict(key), count), count
