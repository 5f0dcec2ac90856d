"""The options of a component as plain data, those that its place filled in included."""

from __future__ import annotations

from typing import Any

from composer.components.component import Component
from composer.components.placed import Placed

Data = dict[str, Any]


def placed_options(placed: Placed) -> Data:
    """Kind and options of a component in its place; what is left out is none."""
    inside = [*placed.parts.items(), *placed.component.tables(placed.axes).items()]
    return _options(placed.component, inside)


def options(component: Component) -> Data:
    """Kind and options of a component as it was written, its own defaults filled in."""
    return _options(component, [])


def over(base: Data | None, data: Data) -> Data:
    """`data` so that it stays the same when merged over `base`: what only `base` has is none."""
    if base is None or base.get("kind") != data.get("kind"):
        return data
    return {**data, **dict.fromkeys(key for key in base if key not in data)}


def _options(component: Component, inside: list[tuple[str, Placed]]) -> Data:
    data: Data = {"kind": component.kind}
    for name, field in type(component).model_fields.items():
        value = getattr(component, name)
        if name == "kind" or (value is None and field.default is None):
            continue
        if isinstance(value, Component):
            value = _inner(name, value, inside)
        elif isinstance(value, list):
            value = [_item(f"{name}.{i}", item, inside) for i, item in enumerate(value)]
        data[field.alias or name] = value
    return {**data, **(component.model_extra or {})}


def _item(name: str, value: object, inside: list[tuple[str, Placed]]) -> object:
    """One of a list's items."""
    return _inner(name, value, inside) if isinstance(value, Component) else value


def _inner(name: str, component: Component, inside: list[tuple[str, Placed]]) -> Data:
    """A component within one: as its place completed it, where it can be told which that is."""
    for place, placed in sorted(inside, key=lambda item: item[0] != name):
        if placed.component.kind == component.kind and (place == name or len(inside) == 1):
            return placed_options(placed)
    return options(component)
