"""Commands whose product is a text: `expand`, `emit`, `schema`."""

from __future__ import annotations

from typing import Annotated

import typer

from .output import product
from .reading import Color, Overrides, Plugins, Size, Spec, load_plugins, read


def expand(
    spec: Spec,
    size: Size = None,
    overrides: Overrides = None,
    plugins: Plugins = None,
    _color: Color = None,
) -> None:
    """Print the spec with every default filled in."""
    from composer.targets.expand import expand as expanded

    product(expanded(*read(spec, size, overrides, plugins)))


def emit(
    spec: Spec,
    linked: Annotated[
        bool, typer.Option("--linked", help="Import the layers from composer, instead of a copy.")
    ] = False,
    size: Size = None,
    overrides: Overrides = None,
    plugins: Plugins = None,
    _color: Color = None,
) -> None:
    """Print the Python source of the model."""
    from composer.targets.source.emit import emit as emitted

    _, graph = read(spec, size, overrides, plugins)
    product(emitted(graph, "linked" if linked else "standalone"))


def schema(plugins: Plugins = None, _color: Color = None) -> None:
    """Print the JSON Schema of specs, for editors.

    Save it as composer.schema.json, and write on the first line of a spec:
    # yaml-language-server: $schema=composer.schema.json
    """
    import json

    from composer.language.schema import schema as made

    load_plugins(plugins)
    product(json.dumps(made(), indent=2, ensure_ascii=False) + "\n")
