"""HTML as text: elements with escaped content, and the one place where text is escaped for it."""

from __future__ import annotations

import html

from composer.targets.diagram.dot import clean

_LONGEST_LINE = 2000


class Markup(str):
    """HTML that was made here or by a drawing; any other text is escaped."""

    __slots__ = ()


def element(name: str, *children: str, **attributes: str | bool) -> Markup:
    """An element; `class_` is its class, `data_part` its `data-part`, and True an attribute alone."""
    given = "".join(_attribute(key, value) for key, value in attributes.items())
    return Markup(f"<{name}{given}>{''.join(map(markup, children))}</{name}>")


def markup(text: str) -> Markup:
    """Text as it may stand in a page, each character meaning itself."""
    if isinstance(text, Markup):
        return text
    lines = (clean(line, _LONGEST_LINE) for line in text.split("\n"))
    return Markup(html.escape("\n".join(lines)))


def _attribute(key: str, value: str | bool) -> str:
    name = key.rstrip("_").replace("_", "-")
    if isinstance(value, bool):
        return f" {name}" if value else ""
    return f' {name}="{markup(value)}"'
