"""What an export comes to, and what keeps a model from being exported."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from composer.diagnostics import Problem, SpecError

Format = Literal["onnx", "torch-export", "huggingface"]


class ExportError(SpecError):
    """A model that a format cannot say, or an export that computes something else."""


@dataclass(frozen=True)
class Check:
    """A run beside the model: the lengths of its inputs, and the largest difference.

    A difference is that of an output's numbers, relative to the largest of them.
    """

    lengths: Mapping[str, int]
    difference: float


@dataclass(frozen=True)
class Exported:
    """What was written: the file or folder, the bytes of each file by name, and its runs."""

    path: Path
    files: Mapping[str, int]
    checks: tuple[Check, ...]

    @property
    def difference(self) -> float:
        """The largest difference of all runs."""
        return max(check.difference for check in self.checks)


def export_error(code: str, message: str, fix: str | None = None) -> ExportError:
    """An error of one problem without a place in the spec."""
    return ExportError([Problem(code, message, None, fix=fix)])
