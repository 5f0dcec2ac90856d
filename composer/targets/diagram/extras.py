"""What a plain drawing leaves out of a box: options that its label does not say, and masks."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from textwrap import wrap

from pydantic_core import PydanticUndefined

from composer.components.component import Component, Label
from composer.components.placed import Placed

from . import words

_WIDE = 46
"""Characters of a line: a box with more would push its neighbours away."""


def unsaid(placed: Placed) -> list[str]:
    """Options that were chosen and that the label of a component does not say: `bias false`."""
    component, label = placed.component, placed.component.label(placed.axes)
    apart = [part.component for part in placed.parts.values()]  # these have boxes of their own
    return [
        words.option(name, getattr(component, name))
        for name in _chosen(component)
        if not _said(name, placed, label) and getattr(component, name) not in apart
    ]


def masks(placed: Placed, padding: str | None) -> str:
    """What a component may not look at; `padding` names the mask of the steps that it reads."""
    found: list[str] = []
    for mask in placed.component.masks(placed.axes).values():
        found += ["causal"] if mask.causal else []
        found += [f"window {words.number(mask.window)}"] if mask.window is not None else []
        found += [f"padding ({padding})"] if padding else []
    return "mask: " + ", ".join(dict.fromkeys(found)) if found else ""


def rows(texts: Iterable[str]) -> list[str]:
    """Texts one after the other, in lines that are no wider than a box may be."""
    return wrap(", ".join(filter(None, texts)), _WIDE, break_on_hyphens=False)


def _chosen(component: Component) -> Iterator[str]:
    """Names of the options that have another value than their default.

    What was left out to be filled in from the place, and came to nothing there, is not chosen.
    """
    for name, field in type(component).model_fields.items():
        value, default = getattr(component, name), field.default
        if name != "kind" and value not in (default, None) and (value or default is not None):
            yield name


def _said(name: str, placed: Placed, label: Label) -> bool:
    """Whether a label has the value of an option in it, or would be another one without it."""
    component, value = placed.component, getattr(placed.component, name)
    known = {str(value), words.number(value) if type(value) is int else str(value)}
    written = f" {label.title} {label.detail} "
    if any(re.search(rf"(?<!\w){re.escape(text)}(?!\w)", written) for text in known):
        return True
    default = type(component).model_fields[name].default
    if default is PydanticUndefined:
        return False
    return component.model_copy(update={name: default}).label(placed.axes) != label
