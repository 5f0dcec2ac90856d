"""Weight maps: how the tensors of another implementation become those of a spec.

A map is the path of a YAML file beside the spec, a list of rules, or a mapping with the keys of
such a file; `composer.weights` says what they mean and carries them out.
"""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Mapping as AnyMapping
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import Any

from pydantic import Field

from composer.diagnostics import Problems, Span, SpecError

from .document import Entry, Mapping, Scalar, Sequence, Tree, get, plain
from .fields import Fields, Text
from .load import load
from .paths import TensorPath, paths_in
from .renaming import renamed
from .validate import describe, validate
from .weight_rules import Parameters, Rule, rules_in

MAX_BASES = 8


class MapFields(Fields):
    """The keys of a map."""

    description: Text | None = Field(default=None, description="Whose names these are.")
    extends: Text | None = Field(default=None, description="A map whose rules follow these.")
    names: Any = Field(
        default=None, description="What parts that the extended map writes are called here."
    )
    parts: Any = Field(default=None, description="Paths of what is filled. Default: everything.")
    new: Any = Field(default=None, description="Paths of what of it is not filled.")
    parameters: Any = Field(default=None, description="Words that the patterns use as {name}.")
    rules: Any = Field(
        default=None, description="The rules; of several that match, the first holds."
    )
    layouts: Any = Field(default=None, description="Further rules by the layout that has them.")


@dataclass(frozen=True)
class Layout:
    """One of the ways in which a source may be named."""

    name: str
    rules: tuple[Rule, ...]
    parameters: Parameters = field(default_factory=dict, hash=False)


@dataclass(frozen=True)
class WeightMap:
    """A map: its name and the layouts it knows, of which the first that fits a source is used.

    With `parts`, it fills these only; what is `new` keeps the values that it starts with.
    `sections` is what was written: the map itself, then those that it extends.
    """

    name: str
    layouts: tuple[Layout, ...]
    span: Span = field(compare=False)
    parts: tuple[TensorPath, ...] = ()
    new: tuple[TensorPath, ...] = ()
    sections: tuple[Mapping, ...] = field(default=(), compare=False)


def weights_in(tree: Mapping, problems: Problems) -> dict[str, WeightMap]:
    """The maps under `weights`, by name; what is wrong with them is added to the problems."""
    section = get(tree, ("weights",))
    if section is None or (isinstance(section, Scalar) and section.value is None):
        return {}
    if not isinstance(section, Mapping):
        problems.add(
            "C105", f"weights wants names with maps, not {describe(section)}", section.span,
            fix="weights: {huggingface: maps/llama.yaml}",
        )  # fmt: skip
        return {}
    found = {
        name: weight_map(name, entry.value, problems) for name, entry in section.entries.items()
    }
    return {name: made for name, made in found.items() if made is not None}


def read_map(path: str | Path) -> WeightMap:
    """The map that a file holds.

    Raises SpecError with every problem that it has.
    """
    problems = Problems()
    tree = load(path)
    made = weight_map(Path(path).stem, tree, problems)
    problems.raise_if_any()
    assert made is not None, "what could not be read has a problem"
    return made


def weight_map(name: str, tree: Tree, problems: Problems) -> WeightMap | None:
    """The map that `tree` describes, or None with the reason among the problems."""
    before = len(problems)
    sections = list(_sections(tree, problems))
    if len(problems) > before:
        return None
    parameters = _parameters(sections, problems)
    layouts = tuple(_layouts(sections, parameters, problems)) if len(problems) == before else ()
    if len(problems) == before and not any(layout.rules for layout in layouts):
        problems.add("C131", f"the map '{name}' has no rules", tree.span, fix='rules: ["a -> b"]')
    parts, new = (_paths(sections, key, problems) for key in ("parts", "new"))
    if len(problems) > before:
        return None
    return WeightMap(name, layouts, tree.span, parts, new, tuple(sections))


# Files


def _sections(tree: Tree, problems: Problems, depth: int = 0) -> Iterator[Mapping]:
    """The mapping of a map, then those that it extends."""
    if isinstance(tree, Scalar) and isinstance(tree.value, str):
        if depth == MAX_BASES:
            why = f"more than {MAX_BASES} maps extend each other"
            problems.add("C130", why, tree.span)
            return
        base = _file(tree, problems)
        if base is not None:
            yield from _sections(base, problems, depth + 1)
        return
    if isinstance(tree, Sequence):
        yield Mapping({"rules": Entry(tree.span, tree)}, tree.span)
        return
    if validate(MapFields, tree, problems, where="a weight map", dims={}) is None:
        return
    assert isinstance(tree, Mapping), "only a mapping is valid"
    yield tree
    base = get(tree, ("extends",))
    below = []
    if base is not None and plain(base) is not None:
        below = list(_sections(base, problems, depth))
    yield from renamed(below, get(tree, ("names",)), problems)


def _file(path: Scalar, problems: Problems) -> Tree | None:
    """The map in a file that is named in another one."""
    folder = Path(path.span.file).parent
    target = folder / str(path.value)
    if path.span.file.startswith("<"):
        why = f"'{path.value}' is a file beside the spec, but this spec is no file"
        fix = "write the rules into the spec, or load the spec from a file"
        problems.add("C130", why, path.span, fix=fix)
        return None
    if not target.resolve().is_relative_to(folder.resolve()):
        problems.add(
            "C130", f"'{path.value}' lies outside the folder of '{path.span.file}'", path.span
        )
        return None
    if not target.is_file():
        problems.add(
            "C130", f"there is no file '{path.value}' beside '{path.span.file}'", path.span
        )
        return None
    try:
        return load(target)
    except SpecError as error:
        for problem in error.problems:
            problems.add(problem.code, problem.message, problem.span, problem.notes, problem.fix)
        return None


def _paths(sections: list[Mapping], key: str, problems: Problems) -> tuple[TensorPath, ...]:
    """The paths under a key; those of the first map that has it hold."""
    found = (tree for section in sections if (tree := get(section, (key,))) is not None)
    tree = next(found, None)
    return () if tree is None else paths_in(tree, key, problems)


# Parameters and layouts


def _parameters(sections: list[Mapping], problems: Problems) -> dict[str, tuple[str | int, ...]]:
    """The values that each parameter may have; those of the first map that names it hold."""
    found: dict[str, tuple[str | int, ...]] = {}
    for section in reversed(sections):
        tree = get(section, ("parameters",))
        if tree is None:
            continue
        if not isinstance(tree, Mapping):
            problems.add(
                "C105", f"parameters wants names with words, not {describe(tree)}", tree.span
            )
            continue
        for name, entry in tree.entries.items():
            value = plain(entry.value)
            values = tuple(value) if isinstance(value, list) else (value,)
            if not values or not all(type(item) in {str, int} for item in values):
                problems.add(
                    "C105",
                    f"parameter '{name}' wants a word, a number or a list of these",
                    entry.value.span,
                )
                continue
            if not name.isidentifier() or len(name) == 1 or name == "part":
                problems.add(
                    "C131",
                    f"a parameter cannot be called '{name}'",
                    entry.key,
                    fix="use a longer word",
                )
                continue
            found[name] = values
    return found


def _layouts(
    sections: list[Mapping], parameters: AnyMapping[str, tuple[str | int, ...]], problems: Problems
) -> Iterator[Layout]:
    """Every layout with every choice of parameters."""
    named: dict[str, list[tuple[Tree, bool]]] = {}
    common: list[tuple[Tree, bool]] = []
    for section in sections:
        own = section is sections[0]
        layouts = get(section, ("layouts",)) or Mapping({}, section.span)
        if not isinstance(layouts, Mapping):
            why = f"layouts wants names with rules, not {describe(layouts)}"
            problems.add("C105", why, layouts.span)
            return
        for name, entry in layouts.entries.items():
            named.setdefault(name, []).append((entry.value, own))
        rules = get(section, ("rules",))
        common += [] if rules is None else [(rules, own)]
    before = len(problems)
    for name, lists in (named or {"": []}).items():
        for values in product(*parameters.values()):
            chosen = dict(zip(parameters, values, strict=True))
            made = tuple(_rules([*lists, *common], chosen, problems))
            yield Layout(_title(name, chosen, parameters), made, chosen)
            if len(problems) > before:
                return  # another choice of parameters would say the same again


def _title(name: str, chosen: Parameters, parameters: AnyMapping[str, Any]) -> str:
    open_ones = [f"{key} '{value}'" for key, value in chosen.items() if len(parameters[key]) > 1]
    return ", ".join([*([name] if name else []), *open_ones])


def _rules(
    lists: list[tuple[Tree, bool]], parameters: Parameters, problems: Problems
) -> Iterator[Rule]:
    """The rules of several lists; those of a map that is extended need not all be used."""
    for tree, own in lists:
        if not isinstance(tree, Sequence):
            why = f"rules wants a list, not {describe(tree)}"
            problems.add("C105", why, tree.span, fix='- "a -> b"')
            continue
        for item in tree.items:
            for rule in rules_in(item, parameters, problems):
                yield rule if own else replace(rule, optional=True)


__all__ = ["Layout", "Rule", "WeightMap", "read_map", "weight_map", "weights_in"]
