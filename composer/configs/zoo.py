"""Where the specs of published models lie: in the installed package, or beside a checkout of it."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).parents[1]


def zoo() -> Path:
    """The folder of specs, with `maps` and `configs` in it.

    A wheel holds it as `composer/specs`; in a checkout it stands beside the package.
    """
    packed = _PACKAGE / "specs"
    return packed if packed.is_dir() else _PACKAGE.parent / "specs"
