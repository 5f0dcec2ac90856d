"""What is declared of a family's config: its keys, and what each of them says of the spec."""

from __future__ import annotations

import re
from collections.abc import Mapping as AnyMapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import Field

from composer.diagnostics import Problems, Span
from composer.language.document import (
    Entry,
    Mapping,
    Scalar,
    Sequence,
    Tree,
    from_plain,
    get,
    plain,
)
from composer.language.fields import Fields, Text
from composer.language.load import load
from composer.language.validate import validate

MAX_BASES = 8
_PARAMETER = re.compile(r"\{(\w+)\}")


class DeclarationFields(Fields):
    """The keys of a declaration."""

    extends: Text | None = Field(default=None, description="A declaration that this one adds to.")
    model_types: list[Text] = Field(default=[], description="The `model_type` of its configs.")
    architectures: list[Text] = Field(default=[], description="The classes that the spec is.")
    without_head: list[Text] = Field(
        default=[], description="Classes that the spec is all of but their heads."
    )
    classes: dict[str, Text] = Field(
        default={}, description="The declarations of other classes of the family, by class."
    )
    nested: list[Text] = Field(
        default=[], description="Configs within, where `no_effect` and `training` hold too."
    )
    spec: Text | None = Field(default=None, description="The spec, from the folder of specs.")
    parameters: dict[str, Any] = Field(default={}, description="Words that rules use as {name}.")
    keys_: Any = Field(default=None, alias="keys", description="Rules by the key that they read.")
    no_effect: list[Text] = Field(default=[], description="Keys that change nothing.")
    training: list[Text] = Field(default=[], description="Keys that change training only.")


class RuleFields(Fields):
    """What a key says."""

    to: Text | list[Text] | None = Field(default=None, description="Where its value goes.")
    default: Any = Field(default=None, description="What it is where the config leaves it out.")
    default_of: Text | None = Field(default=None, description="The same, as an expression.")
    optional: bool = Field(default=False, description="Left out, it leaves the spec as it is.")
    items: list[Text] | None = Field(
        default=None, description="Where each item of a list goes, which must have as many."
    )
    value: Text | None = Field(default=None, description="What goes there, as an expression.")
    equals: Text | None = Field(default=None, description="The one value that the spec can say.")
    of: Text | None = Field(default=None, description="What the cases are of, as an expression.")
    cases: dict[str, Any] | None = Field(default=None, description="What each value says.")
    open: bool = Field(default=False, description="Whether it may have values besides the cases.")
    each: dict[str, Any] | None = Field(default=None, description="What each item of a list says.")
    first: dict[str, Any] | None = Field(default=None, description="What its first item says.")
    runs: dict[str, Text] | None = Field(
        default=None, description="A list of words with how often each follows."
    )
    rows: dict[str, Any] | None = Field(
        default=None, description="A list of mappings, one for each item of the key's list."
    )
    first_row: dict[str, Any] = Field(default={}, description="What the first row says besides.")
    set_: dict[str, Any] = Field(default={}, alias="set", description="Values by their paths.")
    because: Text | None = Field(default=None, description="Why other values are refused.")


class CaseFields(Fields):
    """What one value of a key says: values by path, and further keys that then have a meaning."""

    set_: dict[str, Any] = Field(default={}, alias="set")
    keys_: Any = Field(default=None, alias="keys")


@dataclass(frozen=True)
class Rule:
    """A rule, and the spellings of the key that it reads, of which the first there is holds."""

    spellings: tuple[str, ...]
    fields: RuleFields
    cases: AnyMapping[str, Case] | None
    has_default: bool
    span: Span

    @property
    def name(self) -> str:
        """What expressions call its value: `rope_parameters_factor`."""
        return self.spellings[0].replace(".", "_")


@dataclass(frozen=True)
class Case:
    """What one value of a key says; of a `plain` case, the value that goes into the spec."""

    plain: bool
    value: Any = None
    values: AnyMapping[str, Any] = field(default_factory=dict)
    rules: tuple[Rule, ...] = ()


@dataclass(frozen=True)
class Declaration:
    """A family: which configs are its own, its spec, and the rules of their keys in order."""

    file: Path
    fields: DeclarationFields
    rules: tuple[Rule, ...]

    @property
    def no_effect(self) -> list[str]:
        """Keys that change nothing, those of configs within too."""
        names = [*self.fields.no_effect, "architectures", "model_type"]
        return [*self.fields.no_effect, *_below(self.fields.nested, names)]

    @property
    def training(self) -> list[str]:
        """Keys that change training only, those of configs within too."""
        return [*self.fields.training, *_below(self.fields.nested, self.fields.training)]


def _below(configs: list[str], keys: list[str]) -> list[str]:
    return [f"{config}.{key}" for config in configs for key in keys]


def declarations(folder: Path) -> dict[str, Path]:
    """The files of a folder by the `model_type` that they declare."""
    found: dict[str, Path] = {}
    for file in sorted(folder.glob("*.yaml")):
        names = get(load(file), ("model_types",))
        found |= dict.fromkeys(plain(names) if names is not None else [], file)
    return found


def declaration(file: Path) -> Declaration:
    """What a file declares, over those that it extends.

    Raises SpecError with everything that is wrong with it.
    """
    whole, problems = _merged(file, 0), Problems()
    tree = _filled(whole, plain(get(whole, ("parameters",)) or Mapping({}, whole.span)))
    fields = validate(DeclarationFields, tree, problems, where="a declaration", dims={})
    rules = rules_in(get(tree, ("keys",)), problems)
    problems.raise_if_any()
    assert fields is not None, "what could not be read has a problem"
    return Declaration(file, fields, rules)


def rules_in(tree: Tree | None, problems: Problems) -> tuple[Rule, ...]:
    """The rules of a mapping of keys; what is wrong with them is added to the problems."""
    if not isinstance(tree, Mapping):
        return ()
    found: list[Rule] = []
    for key, entry in tree.entries.items():
        spellings = tuple(part.strip() for part in key.split("|"))
        for body in _rule_bodies(entry):
            fields = validate(RuleFields, body, problems, where=f"the rule of '{key}'", dims={})
            if fields is not None:
                cases = _cases(get(body, ("cases",)), problems)
                found.append(Rule(spellings, fields, cases, "default" in body.entries, body.span))
    return tuple(found)


def _cases(tree: Tree | None, problems: Problems) -> dict[str, Case] | None:
    """The cases of a rule by the value that each is for."""
    if not isinstance(tree, Mapping):
        return None
    found: dict[str, Case] = {}
    for value, entry in tree.entries.items():
        if not isinstance(entry.value, Mapping):
            found[value] = Case(plain=True, value=plain(entry.value))
            continue
        fields = validate(CaseFields, entry.value, problems, where=f"the case {value}", dims={})
        if fields is not None:
            rules = rules_in(get(entry.value, ("keys",)), problems)
            found[value] = Case(plain=False, values=fields.set_, rules=rules)
    return found


def _rule_bodies(entry: Entry) -> list[Mapping]:
    """The rules of a key in full: a path or a list of paths alone is where the value goes."""
    listed = entry.value.items if isinstance(entry.value, Sequence) else (entry.value,)
    bodies = [each for each in listed if isinstance(each, Mapping)]
    return bodies or [Mapping({"to": Entry(entry.key, entry.value)}, entry.value.span)]


def _merged(file: Path, depth: int) -> Mapping:
    """The mapping of a file over those that it extends: a key's rule is replaced whole."""
    assert depth < MAX_BASES, f"'{file}' extends itself"
    tree = load(file)
    base = get(tree, ("extends",))
    if not isinstance(base, Scalar):
        return tree
    return _over(_merged(file.parent / str(base.value), depth + 1), tree)


def _over(base: Mapping, tree: Mapping) -> Mapping:
    entries = {**base.entries, **tree.entries}
    for section in ("keys", "parameters"):
        below, above = base.entries.get(section), tree.entries.get(section)
        if below and above:
            assert isinstance(below.value, Mapping), f"{section} is a mapping"
            assert isinstance(above.value, Mapping), f"{section} is a mapping"
            joined = {**below.value.entries, **above.value.entries}
            kept = {key: each for key, each in joined.items() if plain(each.value) is not None}
            entries[section] = Entry(above.key, Mapping(kept, above.value.span))
    for section in ("no_effect", "training", "nested"):
        below, above = base.entries.get(section), tree.entries.get(section)
        if below and above:
            assert isinstance(below.value, Sequence), f"{section} is a list"
            assert isinstance(above.value, Sequence), f"{section} is a list"
            both = Sequence((*below.value.items, *above.value.items), above.value.span)
            entries[section] = Entry(above.key, both)
    return Mapping(entries, tree.span)


def _filled(tree: Tree, words: AnyMapping[str, Any]) -> Tree:
    """The tree with every `{name}` of a parameter replaced, in keys too."""
    if isinstance(tree, Mapping):
        entries = {
            str(_word(key, words)): Entry(entry.key, _filled(entry.value, words))
            for key, entry in tree.entries.items()
        }
        return Mapping(entries, tree.span)
    if isinstance(tree, Sequence):
        return Sequence(tuple(_filled(item, words) for item in tree.items), tree.span)
    if isinstance(tree.value, str):
        value = _word(tree.value, words)
        whole = isinstance(value, dict | list)
        return from_plain(value, tree.span) if whole else Scalar(value, tree.span, tree.quoted)
    return tree


def _word(text: str, words: AnyMapping[str, Any]) -> Any:  # noqa: ANN401 - a parameter's own type
    whole = _PARAMETER.fullmatch(text)
    if whole and whole[1] in words:
        return words[whole[1]]
    return _PARAMETER.sub(lambda found: str(words.get(found[1], found[0])), text)
