"""The JSON Schema of specs, for editors: completion, hover texts, mistakes marked as one types.

Draft 7 with `if`/`then` on `kind` is the form in which yaml-language-server reports one mistake
once. It knows every registered kind, those of plugins included. Where a value may be merged over
another one (`defaults`, `sizes`, `extends`, layer types) nothing is required, and without a `kind`
the options of all kinds that fit are accepted; `composer check` knows better.
"""

from __future__ import annotations

from pydantic import BaseModel

from composer.components.component import KINDS, kinds_for

from .distill import DistillFields
from .fields import (
    CrossFields,
    LayerTypesFields,
    ModelFields,
    OutputFields,
    ParallelBranchFields,
    ParallelFields,
    ParametrizationFields,
    SkipFields,
    StackFields,
    TypeFields,
    WithinFields,
)
from .names import NAME
from .parallel import FsdpFields, MeshFields, ParallelismFields, PpFields, TpFields
from .schema_slots import (
    SLOT_OF,
    Schema,
    Slots,
    closed,
    described,
    first_line,
    properties,
    ref,
    required,
)
from .train import TrainFields

_BRANCHES = ("attention", "cross_attention", "feed_forward")


def schema() -> Schema:
    """The JSON Schema, as plain data."""
    slots = Slots()
    slots.definitions["branch"] = _branch(slots)
    slots.definitions["layer_type"] = _stack(TypeFields, slots)
    slots.definitions["stack"] = _stack(StackFields, slots)
    slots.definitions["size"] = _size(slots)
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "composer spec",
        "description": "A model of encoders, decoders and their connections.",
        "type": "object",
        "if": {"required": ["extends"]},
        "then": closed(_sections(slots, partial=True)),
        "else": _whole(slots),
        "definitions": dict(sorted(slots.definitions.items())),
    }


def _whole(slots: Slots) -> Schema:
    """A spec that extends no other; without `defaults`, its stacks must say everything."""
    need = {"additionalProperties": {"required": required(StackFields)}}
    stacks = {"properties": {"encoders": need, "decoders": need}}
    rule = {"if": {"not": {"required": ["defaults"]}}, "then": stacks}
    sections = closed(_sections(slots, partial=False))
    return {**sections, "required": required(ModelFields), "allOf": [rule]}


def _size(slots: Slots) -> Schema:
    """What a size changes."""
    sections = _sections(slots, partial=True)
    for key in ("composer", "extends", "sizes"):
        del sections[key]
    return {**closed(sections), "type": ["object", "null"]}


def _parametrization(*, partial: bool) -> Schema:
    """A kind, or a kind with what changes this model into its base."""
    fields = properties(ParametrizationFields)
    fields["base"] = described(ref("size"), fields["base"]["description"])
    whole = {**closed(fields), "required": [] if partial else required(ParametrizationFields)}
    return {"anyOf": [{"type": "null"}, {"enum": fields["kind"]["enum"]}, whole]}


def _parallelism() -> Schema:
    """How a model is spread; `fsdp` may be no more than a switch."""
    parts: dict[str, type[BaseModel]] = {
        "mesh": MeshFields, "fsdp": FsdpFields, "tp": TpFields, "pp": PpFields
    }  # fmt: skip
    made = {key: closed(properties(fields)) for key, fields in parts.items()}
    made["fsdp"] = {"anyOf": [{"type": "boolean"}, made["fsdp"]]}
    told = properties(ParallelismFields)
    return closed({key: described(made[key], told[key]["description"]) for key in told})


def _sections(slots: Slots, *, partial: bool) -> dict[str, Schema]:
    """The sections of a spec, or of one that is merged over another."""
    number = {"anyOf": [{"type": "number"}, {"type": "string"}]}
    stacks = _optional(_named(ref("stack")))
    special = {
        "dims": _named(number),
        "defaults": ref("stack"),
        "inputs": _named(slots.component("input", partial=partial)),
        "encoders": stacks,
        "decoders": stacks,
        "modules": _optional(_named(slots.component("module", partial=partial))),
        "connections": {"type": ["array", "null"], "items": _connection(slots)},
        "outputs": _named(_fields(OutputFields, slots, partial=partial)),
        "initialization": slots.component("initialization", partial=partial),
        "parametrization": _parametrization(partial=partial),
        "train": _fields(TrainFields, slots, partial=True),
        "distill": _fields(DistillFields, slots, partial=True),
        "parallel": _parallelism(),
        "sizes": {"type": "object", "additionalProperties": ref("size")},
    }
    texts = properties(ModelFields)
    return {
        **texts,
        **{key: described(body, texts[key]["description"]) for key, body in special.items()},
    }


def _stack(fields: type[BaseModel], slots: Slots) -> Schema:
    """A stack or a layer type; `defaults` may say what is left out."""
    known, made = properties(StackFields), {}
    for key in properties(fields):
        if key == "norm":
            made[key] = slots.norm()
        elif key in _BRANCHES:
            made[key] = slots.branch(key)
        elif key == "final_norm":
            made[key] = {"anyOf": [{"const": True}, slots.component("norm", empty=True)]}
        elif key == "layer":
            made[key] = {"type": "array", "minItems": 1, "items": ref("branch")}
        elif key == "types":
            made[key] = _named({"anyOf": [{"type": "null"}, ref("layer_type")]})
        elif key == "layer_types":
            made[key] = {"anyOf": [known[key], _fields(LayerTypesFields, slots)]}
        elif key in SLOT_OF:
            made[key] = slots.component(SLOT_OF[key], partial=True, empty=True)
        else:
            made[key] = known[key]
        made[key] = described(made[key], known[key]["description"])
    return closed(made)


def _branch(slots: Slots) -> Schema:
    """A branch of a layer: a kind, or one kind with its options."""
    kinds = list(dict.fromkeys([*_BRANCHES, *kinds_for("layer")]))
    bodies: dict[str, Schema] = {
        "parallel": described(_parallel_branches(slots), "Branches side by side.")
    }
    for kind in kinds:
        body = (
            slots.branch(kind)
            if kind in _BRANCHES
            else {"anyOf": [{"type": "null"}, slots.branch_of(kind)]}
        )
        bodies[kind] = described(body, first_line(KINDS[kind]))
    return {"anyOf": [{"enum": kinds}, _one_of(bodies)]}


def _parallel_branches(slots: Slots) -> Schema:
    several = {"type": "array", "minItems": 2, "items": ref("branch")}
    fields = slots.filled(properties(ParallelBranchFields))
    fields["branches"] = described(several, fields["branches"]["description"])
    return {"anyOf": [several, {**closed(fields), "required": required(ParallelBranchFields)}]}


def _connection(slots: Slots) -> Schema:
    paths = {"type": "array", "items": {"type": "string"}, "minItems": 2, "uniqueItems": True}
    within = _fields(WithinFields, slots)
    bodies = {
        "cross": described(_fields(CrossFields, slots), first_line(CrossFields)),
        "shared": described({"anyOf": [paths, within]}, "The same parameters in several places."),
        "skip": described(_fields(SkipFields, slots), first_line(SkipFields)),
        "parallel": described(_fields(ParallelFields, slots), first_line(ParallelFields)),
    }
    return _one_of(bodies)


def _fields(fields: type[BaseModel], slots: Slots, *, partial: bool = False) -> Schema:
    """The keys of a section's item, components in their slots."""
    made = closed(slots.filled(properties(fields), partial=partial))
    return made if partial else {**made, "required": required(fields)}


def _one_of(bodies: dict[str, Schema]) -> Schema:
    """A mapping of one key."""
    return {**closed(bodies), "minProperties": 1, "maxProperties": 1}


def _named(body: Schema) -> Schema:
    """A mapping whose keys are names of one's own."""
    names = {"pattern": f"^{NAME.pattern}$"}
    return {"type": "object", "propertyNames": names, "additionalProperties": body}


def _optional(body: Schema) -> Schema:
    return {**body, "type": ["object", "null"]}
