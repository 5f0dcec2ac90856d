"""What cannot be compressed here, and why."""

from __future__ import annotations

from composer.diagnostics import Problem, SpecError


class CompressionError(SpecError):
    """A pass that this machine, this model or these data do not allow."""


def compression_error(code: str, message: str, fix: str | None = None) -> CompressionError:
    """An error of one problem without a place."""
    return CompressionError([Problem(code, message, None, fix=fix)])
