"""The JSON Schema of components: what may stand in a slot, kind by kind."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from composer.components.component import KINDS, SLOTS, Component, kinds_for

from .fields import BranchFields, ModuleFields

Schema = dict[str, Any]

SLOT_OF = {
    "embed": "embed", "norm": "norm", "attention": "attention", "gate": "gate", "head": "head",
    "cross_attention": "cross_attention", "feed_forward": "feed_forward", "combine": "combine",
    "initialization": "initialization", "final_norm": "norm",
}  # fmt: skip
"""Which slot a field of that name is, in every section."""

_DEFAULTED = ("norm", "embed")
"""Slots where a mapping without a kind has one anyway."""

_PLACEMENT: Schema = {
    "enum": ["pre", "post", "sandwich", "branch"],
    "description": "Where a branch is normed: pre, its input; post, the sum; sandwich, its input "
    "and its result; branch, its result.",
}


class Slots:
    """Definitions of slots and kinds; each is made once, when it is first referred to."""

    def __init__(self) -> None:
        self.definitions: dict[str, Schema] = {}

    def component(self, slot: str, *, partial: bool = False, empty: bool = False) -> Schema:
        """What may stand in a slot: a kind, its options under `kind`, or nothing if `empty`.

        Where it is `partial`, it is merged over another one, so that nothing is required, not even
        of the components inside it.
        """
        return self._slot(slot, {}, partial=partial, empty=empty)

    def norm(self) -> Schema:
        """A norm with its placement."""
        return self._slot("norm", {"placement": _PLACEMENT}, partial=True, empty=True)

    def branch(self, slot: str) -> Schema:
        """A component that is a branch of a layer, and how it is wired."""
        wiring = self.filled(properties(BranchFields), partial=True)
        return self._slot(slot, wiring, partial=True, empty=True)

    def branch_of(self, kind: str) -> Schema:
        """Options of a branch that stands under the name of its kind."""
        name = f"branch.{kind}"
        if name not in self.definitions:
            options = {**self._options(KINDS[kind]), **self.filled(properties(BranchFields))}
            self.definitions[name] = {**closed(options), "required": required(KINDS[kind])}
        return ref(name)

    def filled(self, fields: dict[str, Schema], *, partial: bool = False) -> dict[str, Schema]:
        """Fields of a section, with the schema of a component where one stands."""
        made = dict(fields)
        for key in fields.keys() & SLOT_OF.keys():
            if fields[key].keys() & {"type", "anyOf", "enum"}:
                continue  # words of its own, such as the `combine` of a cross connection
            slot = SLOT_OF[key]
            norm = key == "norm"
            body = self.norm() if norm else self.component(slot, partial=partial, empty=True)
            made[key] = described(body, fields[key]["description"])
        return made

    def _slot(self, slot: str, extra: dict[str, Schema], *, partial: bool, empty: bool) -> Schema:
        words = (slot, *sorted(extra)[:1], "partial" * partial, "optional" * empty)
        name = ".".join(word for word in words if word)
        if name not in self.definitions:
            self.definitions[name] = {}  # its place, while it is made: slots may stand in slots
            kinds = kinds_for(slot)
            cases = [self._case(kind, name, slot, extra, partial=partial) for kind in kinds]
            self.definitions[name] = {
                "description": f"A component {SLOTS[slot]}.",
                "type": ["object", "string", *(["null", "boolean"] if empty else [])],
                "allOf": [
                    {
                        "if": {"type": "string"},
                        "then": {"enum": [*kinds, *(["none"] if empty else [])]},
                    },
                    {"if": {"type": "boolean"}, "then": {"enum": [False, *_yes(slot)]}},
                    *cases,
                    *self._kindless(kinds, slot, extra, partial=partial),
                ],
            }
        return ref(name)

    def _case(
        self, kind: str, name: str, slot: str, extra: dict[str, Schema], *, partial: bool
    ) -> Schema:
        """A mapping of one kind."""
        cls = KINDS[kind]
        options = self._options(cls, partial=partial)
        body = closed({**options, **_module_keys(cls, slot), **extra})
        if cls.model_config.get("extra") == "allow":
            body["additionalProperties"] = {"type": "integer", "minimum": 1}
        needed = [] if partial else [*required(cls), *_module_needs(cls, slot)]
        text = {"description": first_line(cls)}
        self.definitions[f"{name}.{kind}"] = {**text, **body, "required": needed}
        named = {"type": "object", "required": ["kind"], "properties": {"kind": {"const": kind}}}
        return {"if": named, "then": ref(f"{name}.{kind}")}

    def _kindless(
        self, kinds: list[str], slot: str, extra: dict[str, Schema], *, partial: bool
    ) -> list[Schema]:
        """A mapping whose kind is wrong or left out; then the options of every kind are known."""
        texts = "; ".join(f"{kind}: {first_line(KINDS[kind])}" for kind in kinds)
        known = {"kind": {"enum": kinds, "description": texts}}
        wrong = {"if": {"type": "object"}, "then": {"properties": known}}
        if not partial and slot not in _DEFAULTED:
            return [{**wrong, "then": {"required": ["kind"], "properties": known}}]
        options: dict[str, list[Schema]] = {}
        for cls in map(KINDS.__getitem__, kinds):
            inner = self._options(cls, partial=partial)
            for key, body in {**inner, **_module_keys(cls, slot)}.items():
                options.setdefault(key, []).append(body)
        merged = {key: either(bodies) for key, bodies in options.items()}
        free = any(KINDS[kind].model_config.get("extra") == "allow" for kind in kinds)
        every = {**closed({**merged, **extra, **known}), "additionalProperties": free}
        return [wrong, {"if": {"type": "object", "not": {"required": ["kind"]}}, "then": every}]

    def _options(self, cls: type[Component], *, partial: bool = False) -> dict[str, Schema]:
        """The options of a kind; components inside it by their slots."""
        made = properties(cls)
        for name, field in cls.model_fields.items():
            key, extra = field.alias or name, field.json_schema_extra
            text = made[key].get("description") or name.replace("_", " ")
            if name == "kind":
                made[key] = {"const": field.default, "description": first_line(cls)}
            elif isinstance(extra, dict) and "slot" in extra:
                many = bool(extra.get("many"))
                slot = str(extra["slot"])
                one = self.component(slot, partial=partial or many, empty=not many)
                made[key] = described({"type": "array", "items": one} if many else one, text)
            else:
                made[key] = described(made[key], text)
        return made


def _module_keys(cls: type[Component], slot: str) -> dict[str, Schema]:
    """Keys of a module beside its options: what it reads, at each of its ports."""
    if slot != "module":
        return {}
    reads = {"type": "string"}
    ports = {p.name: described(reads, f"What its `{p.name}` reads.") for p in cls.parsed.inputs[1:]}
    return {**properties(ModuleFields), **ports}


def _module_needs(cls: type[Component], slot: str) -> list[str]:
    return ["from", *(port.name for port in cls.parsed.inputs[1:])] if slot == "module" else []


# Small parts


def properties(model: type[BaseModel]) -> dict[str, Schema]:
    """Schemas of a model's fields, as pydantic gives them, less what editors have no use for."""
    made = model.model_json_schema(by_alias=True)
    inner = made.get("$defs", {})
    return {key: _clean(body, inner) for key, body in made["properties"].items()}


def _clean(body: Any, inner: dict[str, Schema]) -> Any:  # noqa: ANN401 - any JSON
    """Without titles and nulls as defaults; what is referred to stands in its place."""
    if isinstance(body, list):
        return [_clean(item, inner) for item in body]
    if not isinstance(body, dict):
        return body
    if "$ref" in body:
        named = inner[body["$ref"].rsplit("/", 1)[1]]
        body = {**named, **{key: value for key, value in body.items() if key != "$ref"}}
    dropped = {"title", "slot", *(["default"] if body.get("default", 0) is None else [])}
    return {key: _clean(value, inner) for key, value in body.items() if key not in dropped}


def closed(fields: dict[str, Schema]) -> Schema:
    """A mapping of these keys and no others."""
    return {"type": "object", "properties": fields, "additionalProperties": False}


def described(body: Schema, text: str) -> Schema:
    """A schema with a description of its own; beside `$ref`, draft 7 would not see one."""
    whole = {"allOf": [body]} if "$ref" in body else body
    return {**whole, "description": text}


def either(bodies: list[Schema]) -> Schema:
    """What one of several schemas accepts."""
    different = [body for index, body in enumerate(bodies) if body not in bodies[:index]]
    if len(different) == 1:
        return different[0]
    return {"anyOf": different, "description": different[0]["description"]}


def required(model: type[BaseModel]) -> list[str]:
    """Keys that must be there."""
    return [f.alias or name for name, f in model.model_fields.items() if f.is_required()]


def first_line(model: type) -> str:
    """What a class says of itself in one line."""
    return (model.__doc__ or "").strip().partition("\n")[0]


def ref(name: str) -> Schema:
    """A reference to a definition."""
    return {"$ref": f"#/definitions/{name}"}


def _yes(slot: str) -> list[bool]:
    """True where it stands for a kind: in a slot whose option has a kind by default."""
    extras = (
        field.json_schema_extra for cls in KINDS.values() for field in cls.model_fields.values()
    )
    named = (extra for extra in extras if isinstance(extra, dict) and extra.get("slot") == slot)
    return [True] if any("default" in extra for extra in named) else []
