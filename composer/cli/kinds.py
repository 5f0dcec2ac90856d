"""`composer kinds`: the kinds of components, and what each of them takes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any

import typer

from composer.components.component import KINDS, SLOTS, Component, kinds_for
from composer.language.document import to_yaml
from composer.language.schema_slots import first_line, properties
from composer.language.validate import guess

from .output import UsageError, show
from .reading import Color, Plugins, load_plugins

if TYPE_CHECKING:
    from rich.console import RenderableType

_EXPRESSION = r"^[^\s].*$"  # what a size may be written as beside a number


def kinds(
    kind: Annotated[
        str | None,
        typer.Argument(metavar="KIND", help="One of them, in full.", show_default=False),
    ] = None,
    plugins: Plugins = None,
    _color: Color = None,
) -> None:
    """List the kinds of components by where they may stand, or explain one of them."""
    load_plugins(plugins)
    if kind is None:
        show(_all_kinds())
    elif kind in KINDS:
        show(_one_kind(KINDS[kind]))
    else:
        hint = guess(kind, KINDS) or "`composer kinds` lists them"
        raise UsageError(f"there is no kind '{kind}'; {hint}")


def _all_kinds() -> RenderableType:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    table.add_column("kind", no_wrap=True)
    table.add_column("what it is")
    for slot, where in SLOTS.items():
        names = kinds_for(slot)
        if names:
            table.add_section()
            table.add_row(Text(where, style="bold cyan"), "")
        for name in names:
            table.add_row(Text(f"  {name}"), Text(first_line(KINDS[name])))
    return table


def _one_kind(cls: type[Component]) -> RenderableType:
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    kind = str(cls.model_fields["kind"].default)
    facts = {
        "stands": ", ".join(SLOTS[slot] for slot in cls.slots),
        "shapes": cls.signature.strip().removeprefix("->").strip(),
        "paper": "\n".join(_papers(cls.__doc__ or "")),
    }
    lines = Table.grid(padding=(0, 2, 0, 0))
    for name, value in facts.items():
        if value:
            lines.add_row(Text(name, style="bold"), Text(value))
    examples = sorted(map(dict, cls.examples), key=len)
    example = to_yaml({"kind": kind, **examples[-1]}) if examples else ""
    shown = [Text(f"\nfor example\n{_indented(example)}")] if example else []
    title = [Text(kind, style="bold"), Text(_docs(cls)), Text()]
    return Group(*title, lines, Text(), _options(cls), *shown)


def _options(cls: type[Component]) -> RenderableType:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    options = {key: body for key, body in properties(cls).items() if key != "kind"}
    if not options:
        return Text("no options")
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    for name in ("option", "type", "default"):
        table.add_column(name, no_wrap=name == "option")
    table.add_column("what it is", ratio=1)
    for name, field in cls.model_fields.items():
        key = field.alias or name
        if key in options:
            default = "required" if field.is_required() else _default(field.default)
            about = field.description or ""
            table.add_row(
                *map(Text, [key, _type(options[key], field.json_schema_extra), default, about])
            )
    return table


def _default(value: object) -> str:
    return "" if value is None else to_yaml(value).strip()


def _type(body: dict[str, Any], extra: object) -> str:
    """The values that an option may have, in words."""
    if isinstance(extra, dict) and "slot" in extra:
        kinds = " | ".join(kinds_for(str(extra["slot"])))
        return f"list of {kinds}" if extra.get("many") else kinds
    return " or ".join(dict.fromkeys(_words(body)))


def _words(body: dict[str, Any]) -> list[str]:
    if "anyOf" in body:
        return [word for one in body["anyOf"] for word in _words(one)]
    if "const" in body or "enum" in body:
        return [" | ".join(str(value) for value in body.get("enum", [body.get("const")]))]
    if body.get("type") == "array":
        return [f"list of {' or '.join(_words(body.get('items', {})))}"]
    if body.get("pattern") == _EXPRESSION or body.get("type") == "null":
        return []
    return [_word(body)]


def _word(body: dict[str, Any]) -> str:
    if body.get("type") == "integer":
        return "whole number" if body.get("minimum") == 0 else "whole number above 0"
    if body.get("type") == "number":
        if "exclusiveMaximum" in body:
            return "number from 0 to below 1"
        return "number above 0" if "exclusiveMinimum" in body else "number"
    words = {"boolean": "true | false", "string": "name" if "pattern" in body else "text"}
    return words.get(str(body.get("type")), str(body.get("type", "anything")))


def _papers(docs: str) -> list[str]:
    return [
        f"https://arxiv.org/abs/{number}" for number in re.findall(r"arXiv:(\d{4}\.\d{4,5})", docs)
    ]


def _docs(cls: type[Component]) -> str:
    """What a class says of itself, each paragraph in one line."""
    paragraphs = (cls.__doc__ or "").strip().split("\n\n")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


def _indented(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.splitlines())
