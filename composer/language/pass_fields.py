"""What every pass of `compress` has: what it is for, and what is true of what it leaves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from pydantic import Field

from .fields import Fields


class PassFields(Fields):
    """The base of a pass: a subclass adds its options, and `KINDS` of `compress` its name.

    What the pass does to tensors is its other half, in `composer.compression`.
    """

    kind: ClassVar[str]
    done: ClassVar[str]
    """What is said of a linear map after it: `quantized`."""
    last: ClassVar[bool] = False
    """Whether no pass can follow on the same linear maps."""

    on: Any = Field(
        description="The linear maps that it changes: paths, or {role: [q, v], in: PATHS}."
    )

    @property
    def function(self) -> str:
        """The function of `composer.nn` that does it, for emitted source; empty for none."""
        return ""

    @property
    def reads(self) -> tuple[str, ...]:
        """What the function takes after the linear maps: `model`, `batches`."""
        return ()

    def arguments(self) -> dict[str, int | float | str]:
        """What the function gets by name."""
        return {}

    @property
    def mark(self) -> str:
        """What a diagram writes on what it changes, in a word: `int8`."""
        raise NotImplementedError(self.kind)

    def obstacle(self, shape: tuple[int, ...]) -> str | None:  # noqa: ARG002 - most have none
        """Why a linear map of `shape` (out, in) cannot be changed, if so."""
        return None

    def weight_bytes(self, shape: tuple[int, ...]) -> int | None:  # noqa: ARG002
        """Bytes of a weight (out, in) that is saved after it; None where it is saved as before."""
        return None

    def zeros(self, numbers: Sequence[int]) -> int:  # noqa: ARG002
        """How many numbers it sets to zero in weights of so many each."""
        return 0

    @property
    def note(self) -> str:
        """What else people must know of what it leaves."""
        return ""
