"""The spec with nothing left to defaults, as YAML."""

from .document import expand

__all__ = ["expand"]
