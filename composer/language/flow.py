"""Plain data as YAML on one line."""

from __future__ import annotations

from .document import to_yaml


def flow(data: object) -> str:
    """`data` in flow style.

    >>> flow({"cross": {"from": "encoder", "to": "decoder", "layers": [0, 2]}})
    '{cross: {from: encoder, to: decoder, layers: [0, 2]}}'
    """
    if isinstance(data, dict):
        return "{" + ", ".join(f"{key(name)}: {flow(value)}" for name, value in data.items()) + "}"
    if isinstance(data, list | tuple):
        return "[" + ", ".join(map(flow, data)) + "]"
    return to_yaml(data).strip()


def key(name: str) -> str:
    """A key as it is written, in quotes where it needs them."""
    return to_yaml(name).strip()
