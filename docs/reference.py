"""The language reference as Markdown: every key, every kind and every error code, from the code.

`docs/conf.py` runs this before each build; nothing that it writes is committed.
"""

from __future__ import annotations

import inspect
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel

from composer.components import KINDS, SLOTS, Component, kinds_for
from composer.language import distill, fields, teacher
from composer.language.load import Fault
from composer.language.parallel import (
    FsdpFields,
    MeshFields,
    ParallelismFields,
    PpFields,
    TpFields,
)
from composer.language.train import TrainFields

Schema = Mapping[str, Any]

SECTIONS: tuple[tuple[str, type[BaseModel], str], ...] = (
    ("The spec", fields.ModelFields, "The sections of a spec, in any order."),
    ("A stack", fields.StackFields, "Each entry of `encoders` and `decoders`."),
    ("A layer type", fields.TypeFields, "Each entry of a stack's `types`."),
    ("A branch", fields.BranchFields, "What a branch may have beside the options of its kind."),
    ("Parallel branches", fields.ParallelBranchFields, "A list alone is its `branches`."),
    ("A module", fields.ModuleFields, "What it may have beside its kind's options and inputs."),
    ("An output", fields.OutputFields, "Each entry of `outputs`."),
    ("cross", fields.CrossFields, "Attention from one stack into others."),
    ("shared", fields.WithinFields, "Within a stack; between several places, a list of paths."),
    ("skip", fields.SkipFields, "An earlier state that reaches a later layer."),
    ("parallel", fields.ParallelFields, "Stacks side by side."),
    ("train", TrainFields, "How `composer train` trains; all of it has defaults."),
    ("distill", distill.DistillFields, "What `composer distill` teaches, and who does."),
    ("The teacher", teacher.TeacherFields, "What `teacher` says in `distill`."),
    ("The soft loss", distill.SoftFields, "`loss: {soft: ...}` in `distill`."),
    ("The hard loss", distill.HardFields, "`loss: {hard: ...}` in `distill`."),
    ("A match", distill.MatchFields, "Each item of `match` in `distill`."),
    ("Several devices", ParallelismFields, "The section `parallel`; all of it has defaults."),
    ("mesh", MeshFields, "The devices; their product is the number of processes."),
    ("fsdp", FsdpFields, "Copies that hold a share of all parameters each."),
    ("tp", TpFields, "Devices that compute a layer together."),
    ("pp", PpFields, "Stages that follow each other."),
)

CODES = {
    "C102": "A key that does not exist there.",
    "C103": "A kind that does not exist, or that cannot stand there.",
    "C104": "Something that is needed is missing.",
    "C105": "A value of the wrong type, or outside its range.",
    "C106": "A size expression that has no value.",
    "C107": "A name that a part cannot have.",
    "C108": "One name for two things.",
    "C109": "A dim that depends on itself.",
    "C110": "The base that `extends` names cannot be used.",
    "C111": "A size that the spec does not have.",
    "C112": "An override that names nothing.",
    "C114": "A connection that is written wrongly.",
    "C115": "An option that cannot hold in its place.",
    "C116": "Layer types that are unknown, unused or missing.",
    "C117": "A dim that nothing uses.",
    "C118": "Options that nothing uses.",
    "C130": "The map of weights that `weights` names cannot be used.",
    "C131": "A rule of a map of weights that is written wrongly.",
    "C150": "The teacher that `distill` names cannot be used.",
    "G201": "A reference to something that does not exist.",
    "G202": "A part that leads to no output.",
    "G203": "Parts that read each other in a circle.",
    "G204": "An attention between parts that cannot have it.",
    "G205": "Parameters that cannot be shared.",
    "G206": "A skip between layers that cannot have it.",
    "G207": "Stacks that cannot run in step.",
    "G208": "A decoder that would see its own future.",
    "G209": "A part that loses track of padding.",
    "G210": "A path of `freeze` or of a map of weights that names nothing.",
    "G211": "A shared parameter that is frozen under one of its names only.",
    "G212": "An adapter that finds nothing to adapt, or cannot be where it is wanted.",
    "G213": "A shared linear map that is adapted under one of its names only, or is one with something else.",
    "G214": "A linear map that a pass of `compress` cannot change, named alone.",
    "G215": "A shared linear map that a pass of `compress` names under one of its names only.",
    "G216": "A linear map that two passes of `compress` change in an order that does not work.",
    "G220": "A teacher that reads or scores something else than its student.",
    "G221": "A match of two states that cannot be compared.",
    "G222": "A start that the teacher has no tensors for, or that would untie what is shared.",
    "G230": "A cut into stages at what is no layer, module or head, or that leaves a stage empty.",
    "S201": "Shapes that do not fit.",
    "D301": "The diagram cannot be rendered: Graphviz is missing, or fails.",
    "D302": "The page cannot be served: what `composer watch` needs is not installed.",
    "E601": "A library that an export needs is missing.",
    "E602": "A model that another format cannot say.",
    "E603": "An export that does not compute what the model computes.",
    "T501": "Data that cannot be read, or hold nothing to learn.",
    "T502": "A model, a tokenizer or data that do not fit each other.",
    "T503": "A run that cannot go on from a checkpoint.",
    "T504": "A checkpoint that cannot be written.",
    "T505": "A loss that is no number any more.",
    "P601": "Heads or widths that do not divide over devices.",
    "P602": "A model, a batch or processes that do not fit a mesh.",
    "W400": "No layout of a map of weights fits.",
    "W401": "A tensor of the source that nothing is made of.",
    "W402": "A tensor of the model that is made of nothing.",
    "W403": "A rule that matches nothing.",
    "W404": "A name that a map or the model does not have.",
    "W405": "Shapes of weights that differ.",
    "W406": "Copies of one shared tensor that differ.",
    "W407": "A rule that has no way back.",
    "W408": "Weights of another type, or for another model.",
    "W409": "A spec that has no map of weights.",
    "W410": "A file of weights that cannot be read or written.",
    "W411": "An index of weights that is wrong.",
    "W420": "A config of a family that no declaration knows.",
    "W421": "A value of a config that the spec cannot say.",
    "W422": "A value that a config lacks, or that cannot be computed.",
    "Q701": "A model that a pass of `compress` cannot change.",
    "Q702": "A pass of `compress` that this machine cannot do, or that needs what is not installed.",
    "Q703": "Data for a pass of `compress` that are missing or do not fit the model.",
    "Q704": "A compressed file that another spec has made.",
    "Q705": "Parts of a model that `composer cut` cannot leave out.",
    "I901": "A fault of composer itself. Please report it.",
}
"""What each code of the later stages means."""


def write(folder: Path) -> None:
    """Writes the three pages into `folder`."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / "keys.md").write_text("\n".join(keys()), encoding="utf-8")
    (folder / "kinds.md").write_text("\n".join(kinds()), encoding="utf-8")
    (folder / "errors.md").write_text("\n".join(errors()), encoding="utf-8")


def keys() -> Iterator[str]:
    """Every key of every section."""
    for title, model, about in SECTIONS:
        yield from (f"## {title}", "", about, "", *_options(model), "")


def kinds() -> Iterator[str]:
    """Every kind, by the place in which it can stand first."""
    for slot, place in SLOTS.items():
        names = kinds_for(slot)
        if not names:
            continue
        here = [name for name in names if KINDS[name].slots[0] == slot]
        links = ", ".join(f"[`{name}`](#kind-{name.replace('_', '-')})" for name in names)
        yield from (f"(slot-{slot.replace('_', '-')})=", f"## {place[0].upper()}{place[1:]}", "")
        yield from (links, "")
        for name in here:
            yield from _kind(KINDS[name])


def errors() -> Iterator[str]:
    """Every code with its meaning."""
    yield from ("| code | meaning |", "| --- | --- |")
    meanings = {fault.code: fault.meaning for fault in Fault} | CODES
    for code, meaning in sorted(meanings.items()):
        yield f"| `{code}` | {_cell(meaning)} |"


def _kind(cls: type[Component]) -> Iterator[str]:
    name = cls.model_fields["kind"].default
    yield from (f"(kind-{name.replace('_', '-')})=", f"### {name}", "")
    yield from (inspect.cleandoc(cls.__doc__ or ""), "")
    others = [SLOTS[slot] for slot in cls.slots[1:]]
    if others:
        yield from (f"It can also stand {' or '.join(others)}.", "")
    shape = cls.signature.strip()
    if shape and shape != "->":
        yield from (
            "```text",
            shape.removeprefix("-> ") if shape.startswith("->") else shape,
            "```",
            "",
        )
    yield from _options(cls)
    if cls.examples:
        example = {"kind": name, **max(cls.examples, key=len)}
        text = yaml.safe_dump(example, default_flow_style=True, sort_keys=False, width=90).strip()
        yield from ("", "```yaml", text, "```")
    yield ""


def _options(model: type[BaseModel]) -> Iterator[str]:
    """A table of the fields of a model; nothing where there are none."""
    schema = model.model_json_schema()
    properties = {k: v for k, v in schema["properties"].items() if k != "kind"}
    if not properties:
        return
    yield from ("| key | what | default | |", "| --- | --- | --- | --- |")
    required = schema.get("required", [])
    for key, found in properties.items():
        default = "needed" if key in required else _default(found)
        about = _cell(found.get("description") or _as_in_a_stack(key))
        what = _type(found, schema) or _component(key)
        yield f"| `{key}` | {_cell(what)} | {default} | {about} |"


def _as_in_a_stack(key: str) -> str:
    """What a stack's key of that name is; a layer type changes some of them."""
    field = fields.StackFields.model_fields.get(key)
    return (field.description or "") if field is not None else ""


def _default(schema: Schema) -> str:
    value = schema.get("default")
    return "" if value is None or value == [] else f"`{yaml.safe_dump(value).split()[0]}`"


def _type(schema: Schema, root: Schema) -> str:
    """What a value may be, in words."""
    if "slot" in schema:
        return _component(str(schema["slot"]))
    if "$ref" in schema:
        return _type(root["$defs"][schema["$ref"].rsplit("/", 1)[1]], root)
    if "anyOf" in schema:
        texts = [_type(item, root) for item in schema["anyOf"] if not _implied(item)]
        return " or ".join(dict.fromkeys(text for text in texts if text))
    if "enum" in schema or "const" in schema:
        values = schema.get("enum", [schema.get("const")])
        return " or ".join(f"`{value}`" for value in values)
    if schema.get("type") == "array":
        inner = _type(schema.get("items", {}), root)
        return f"list of {inner}" if inner else "list"
    words = {"integer": "whole number", "number": "number", "boolean": "`true` or `false`"}
    return words.get(schema.get("type", ""), "text" if schema.get("type") == "string" else "")


def _component(slot: str) -> str:
    """A link to the kinds that may stand in a slot, for a key that is named like one."""
    if slot == "layer":
        return "list of branches"
    slot = {"final_norm": "norm"}.get(slot, slot)
    return f"[kind](kinds.md#slot-{slot.replace('_', '-')})" if slot in SLOTS else ""


def _implied(schema: Schema) -> bool:
    """Null, for what may be left out; and the text of an expression, which each size may be."""
    return schema.get("type") == "null" or schema.get("pattern") == r"^[^\s].*$"


def _cell(text: str) -> str:
    """Text for a cell of a table."""
    return re.sub(r"\s+", " ", text).replace("|", "\\|")
