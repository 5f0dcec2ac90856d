"""The fence for MkDocs: a `composer` block of Markdown becomes the drawing of the spec in it.

In mkdocs.yml:

    markdown_extensions:
      - pymdownx.superfences:
          custom_fences:
            - name: composer
              class: composer-drawing
              format: !!python/name:composer.integrations.mkdocs.fence
              validator: !!python/name:composer.integrations.mkdocs.validate

A block of one line is the path of a spec, from where MkDocs runs. The options are those of
`composer draw`: ```` ```{.composer depth=0 direction=right} ````.
"""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping, MutableMapping
from pathlib import Path
from typing import Any

from pymdownx.superfences import SuperFencesException

from composer.diagnostics import SpecError
from composer.targets.diagram import DrawingError

from .inline import Drawing, depth_of, direction_of, overrides_of, theme_of

_OPTIONS: Mapping[str, tuple[str, Callable[[str], object]]] = {
    "theme": ("theme", theme_of),
    "depth": ("depth", depth_of),
    "direction": ("direction", direction_of),
    "size": ("size", str),
    "set": ("overrides", overrides_of),
    "alt": ("alt", str),
}


def validate(
    language: str,
    inputs: Mapping[str, str],
    options: MutableMapping[str, object],
    attrs: MutableMapping[str, str],
    md: object,
) -> bool:
    """Reads the options of a block; what is no option is an attribute of the element."""
    del language, md
    for key, text in inputs.items():
        if key not in _OPTIONS:
            attrs[key] = text
            continue
        name, read = _OPTIONS[key]
        try:
            options[name] = read(text)
        except ValueError as error:
            raise SuperFencesException(f"composer: {error}") from None
    return True


def fence(
    source: str,
    language: str,
    class_name: str,
    options: Mapping[str, Any],
    md: object,
    **_: object,
) -> str:
    """The drawing of a block. Raises SuperFencesException, which ends the build."""
    del language, md
    text = source.strip()
    try:
        shown, _alt = Drawing(**options).svg(text if "\n" in text else Path(text))
    except (SpecError, DrawingError) as error:
        raise SuperFencesException(f"composer: {error}") from None
    return f'<div class="{html.escape(class_name)}">{shown}</div>'
