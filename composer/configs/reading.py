"""What a config says, key by key, put into the tree of a spec."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from collections.abc import Mapping as AnyMapping
from itertools import chain, repeat
from math import log
from typing import Any

from composer.components.options import ExpressionError, calculate
from composer.diagnostics import Note, Problems, Span
from composer.language.document import (
    Entry,
    Mapping,
    Tree,
    from_plain,
    get,
    merge,
    plain,
    value_span,
)
from composer.language.fields import NAMED_SECTIONS
from composer.language.variants import put

from .declarations import Case, Declaration, Rule

_LOGARITHM = re.compile(r"ln\((\w+)\)")
_COUNT = re.compile(r"count\((\w+)\)")
_NAME = re.compile(r"[A-Za-z_]\w*")
_NOTHING = object()


class Reading:
    """One config on its way into a spec: the spec so far, and which keys have been understood."""

    def __init__(self, config: Mapping, spec: Mapping) -> None:
        """Begins with the family's own spec."""
        self.config, self.spec = config, spec
        self.problems = Problems()
        self.rules: dict[str, Rule] = {}
        self.values: dict[str, Any] = {}
        self.known: set[str] = set()

    def follow(self, declared: Declaration) -> None:
        """Puts what every key says into the spec; what it cannot say becomes a problem."""
        self.rules = {rule.name: rule for rule in declared.rules}
        self._check_architectures(declared)
        self._follow(declared.rules)
        self.known |= {*declared.no_effect, *declared.training}

    def unknown(self) -> list[str]:
        """The keys of the config that nothing is declared of."""
        keys = [key for key in _leaves(self.config) if not _covered(key, self.known)]
        return [key for key in keys if self._says_something(key)]

    def training(self, declared: Declaration) -> list[str]:
        """The keys that are left out because they matter in training only, unless they are zero."""
        names = set(declared.training)
        keys = [key for key in _leaves(self.config) if _covered(key, names)]
        return [key for key in keys if self._says_something(key)]

    def _says_something(self, key: str) -> bool:
        """Whether a key has a value other than null, zero, false, or nothing in brackets."""
        tree = self._tree(key)
        return tree is not None and bool(plain(tree))

    def _follow(self, rules: Iterable[Rule]) -> None:
        for rule in rules:
            try:
                self._rule(rule)
            except ExpressionError as error:  # noqa: PERF203 - each rule has a refusal of its own
                self._refuse(rule, f"'{rule.spellings[0]}' cannot be computed: {error}", "W422")

    def _rule(self, rule: Rule) -> None:
        self.known |= set(rule.spellings)
        value = self._value(rule)
        if value is _NOTHING:
            return
        self.values[rule.name] = value
        fields, cases = rule.fields, rule.cases
        of = _key(value if fields.of is None else self._calculated(fields.of, value))
        if fields.equals is not None and value != self._calculated(fields.equals, value):
            wanted = self._calculated(fields.equals, value)
            self._refuse(rule, f"{_said(rule, value)}, but the spec can say {wanted} only")
        elif cases is not None and of in cases:
            self._case(rule, cases[of])
        elif cases is not None and not fields.open:
            can = f"but the spec can say {_list(cases)}"
            why = can if fields.of is None else "which the spec cannot say"
            self._refuse(rule, f"{_said(rule, value)}, {why}")
        elif fields.each is not None:
            self._each(rule, value, fields.each)
        elif fields.items is not None and isinstance(value, list):
            self._items(rule, value, fields.items)
        else:
            self._put(rule, self._made(rule, value))

    def _value(self, rule: Rule) -> Any:  # noqa: ANN401 - any value of JSON
        """What the config says, or what its class takes for that; nothing where it stays open."""
        found = next((tree for name in rule.spellings if (tree := self._tree(name))), None)
        value = _NOTHING if found is None else plain(found)
        fields = rule.fields
        told = value is None and rule.cases is not None and "null" in rule.cases
        if (value is not None and value is not _NOTHING) or told:
            return value
        if fields.default_of is not None:
            return self._calculated(fields.default_of, None)
        if rule.has_default:
            return fields.default
        if not fields.optional:
            self._refuse(rule, f"the config has no '{rule.spellings[0]}'", "W422")
        return _NOTHING

    def _made(self, rule: Rule, value: Any) -> Any:  # noqa: ANN401
        """What is put into the spec for a value."""
        fields = rule.fields
        if fields.runs is not None:
            counts = {
                word: int(self._calculated(text, value)) for word, text in fields.runs.items()
            }
            return list(chain.from_iterable(repeat(word, max(n, 0)) for word, n in counts.items()))
        if fields.rows is not None:
            return self._rows(rule, value, fields.rows)
        return value if fields.value is None else self._calculated(fields.value, value)

    def _case(self, rule: Rule, case: Case) -> None:
        if case.plain:
            self._put(rule, case.value)
        else:
            self._set(case.values, rule.span)
            self._follow(case.rules)

    def _each(self, rule: Rule, items: Any, words: AnyMapping[str, Any]) -> None:  # noqa: ANN401
        listed, first = items if isinstance(items, list) else [items], rule.fields.first
        head = [] if first is None else self._translated(rule, listed[:1], first)
        rest = self._translated(rule, listed[1:] if first is not None else listed, words)
        if head is None or rest is None:
            return
        layers = period(rest)
        self._put(rule, {"first": head, "then": layers} if head and layers else head or layers)

    def _translated(
        self, rule: Rule, items: list[Any], words: AnyMapping[str, Any]
    ) -> list[Any] | None:
        """What each item says; None where one cannot be said, which becomes a problem."""
        strange = next((item for item in items if _key(item) not in words), _NOTHING)
        if strange is not _NOTHING:
            why = f"'{rule.spellings[0]}' has {_show(strange)}, but the spec can say {_list(words)}"
            self._refuse(rule, why)
            return None
        return [words[_key(item)] for item in items]

    def _items(self, rule: Rule, items: list[Any], paths: list[str]) -> None:
        """Puts each item where it goes; several that go to one place must be the same."""
        values = dict(zip(paths, items, strict=False))
        if len(items) != len(paths):
            self._refuse(rule, f"{_said(rule, items)}, but the spec has {len(paths)} of them")
        elif any(values[path] != item for path, item in zip(paths, items, strict=True)):
            self._refuse(rule, f"{_said(rule, items)}, but the spec has one number for both")
        else:
            made = {path: self._made(rule, item) for path, item in values.items()}
            self._set({**made, **rule.fields.set_}, rule.span)

    def _rows(
        self, rule: Rule, items: list[Any], row: AnyMapping[str, Any]
    ) -> list[dict[str, Any]]:
        """A mapping for each item; of what is a list too, each has the item at its place."""
        columns = {name: self._filled(value) for name, value in row.items()}
        lengths = {len(column) for column in columns.values() if isinstance(column, list)}
        if lengths != {len(items)}:
            self._refuse(rule, f"{_said(rule, items)}, but the lists beside it are not as long")
            return []
        rows = [
            {name: each[at] if isinstance(each, list) else each for name, each in columns.items()}
            for at in range(len(items))
        ]
        return [{**rows[0], **rule.fields.first_row}, *rows[1:]]

    def _put(self, rule: Rule, value: Any) -> None:  # noqa: ANN401
        to = rule.fields.to
        paths = [] if to is None else [to] if isinstance(to, str) else to
        self._set({**dict.fromkeys(paths, value), **rule.fields.set_}, rule.span)

    def _set(self, values: AnyMapping[str, Any], span: Span) -> None:
        for path, value in values.items():
            if value is None and not _is_there(self.spec, path):
                continue
            tree = from_plain(self._filled(value), span)
            section, _, name = path.partition(".")
            if section in NAMED_SECTIONS and "." not in name and not _is_there(self.spec, path):
                added = Mapping({name: Entry(span, tree)}, span)
                self.spec = _joined(self.spec, Mapping({section: Entry(span, added)}, span))
            else:
                self.spec = put(self.spec, path, tree, span)

    def _filled(self, data: Any) -> Any:  # noqa: ANN401
        """Data of a declaration, with each `=EXPRESSION` in it replaced by its value."""
        if isinstance(data, dict):
            return {key: self._filled(each) for key, each in data.items()}
        if isinstance(data, list):
            return [self._filled(each) for each in data]
        if not isinstance(data, str) or not data.startswith("="):
            return data
        name = data.removeprefix("=")
        known = name in self.rules or name in self.values
        return self._named(name) if known else self._calculated(name, None)

    def _calculated(self, text: str, value: Any) -> Any:  # noqa: ANN401
        """The value of an expression over the keys: `ln(key)` a logarithm, `count(key)` a length."""
        known = {name: self._named(name) for name in _NAME.findall(text)} | {"value": value}
        numbers = {name: each for name, each in known.items() if _is_number(each)}
        text = _COUNT.sub(lambda found: str(len(known.get(found[1]) or ())), text)
        logarithm = _LOGARITHM.sub(lambda found: repr(log(numbers.get(found[1], 1))), text)
        return calculate(logarithm, numbers)

    def _named(self, name: str) -> Any:  # noqa: ANN401
        """The value of a key, which an expression calls so."""
        if name not in self.values and name in self.rules:
            self.values[name] = self._value(self.rules[name])
        return self.values.get(name)

    def _tree(self, key: str) -> Tree | None:
        return get(self.config, tuple(key.split(".")))

    def _check_architectures(self, declared: Declaration) -> None:
        self.known.add("architectures")
        tree = self._tree("architectures")
        names = plain(tree) if tree is not None else None
        headless, wanted = declared.fields.without_head, declared.fields.architectures
        if tree is not None and names and not set(names) <= {*wanted, *headless}:
            why = f"the config is of {_list(names)}, but the spec is {_list(wanted)}"
            self.problems.add("W421", why, tree.span)

    def _refuse(self, rule: Rule, message: str, code: str = "W421") -> None:
        place = next((name for name in rule.spellings if self._tree(name)), None)
        span = value_span(self.config, tuple(place.split(".")) if place else ())
        reason = rule.fields.because
        self.problems.add(code, message, span, notes=[Note(reason)] if reason else [])


def period(items: list[Any]) -> list[Any]:
    """The shortest list that gives these items when it is repeated.

    >>> period(["a", "b", "a", "b", "a"])
    ['a', 'b']
    """
    for length in range(1, len(items) + 1):
        if all(item == items[at % length] for at, item in enumerate(items)):
            return items[:length]
    return items


def _joined(spec: Mapping, over: Mapping) -> Mapping:
    made = merge(spec, over)
    assert isinstance(made, Mapping), "two mappings make one"
    return made


def _is_there(spec: Mapping, path: str) -> bool:
    """Whether a spec says something at a path, whose first name stands in one of its sections."""
    loc = tuple(path.split("."))
    starts = [(), *((section,) for section in spec.entries)]
    return any(get(spec, (*start, *loc)) is not None for start in starts)


def _leaves(tree: Tree, path: str = "") -> Iterator[str]:
    if not isinstance(tree, Mapping) or not tree.entries:
        yield path
        return
    for key, entry in tree.entries.items():
        yield from _leaves(entry.value, f"{path}.{key}" if path else key)


def _covered(key: str, known: set[str]) -> bool:
    words = key.split(".")
    return any(".".join(words[:count]) in known for count in range(1, len(words) + 1))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _key(value: object) -> str:
    """How a value is spelled as a key of cases."""
    return value if isinstance(value, str) else json.dumps(value)


def _show(value: object) -> str:
    return f"'{value}'" if isinstance(value, str) else json.dumps(value)


def _said(rule: Rule, value: object) -> str:
    return f"'{rule.spellings[0]}' is {_show(value)}"


def _list(values: Iterable[str]) -> str:
    return ", ".join(values) or "nothing"
