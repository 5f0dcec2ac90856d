"""`prune`: the smallest numbers of weights become zero, and stay zero in training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from composer.components.options import PositiveNumber

from .pass_fields import PassFields


class PruneFields(PassFields):
    """Sets the smallest numbers of weights to zero (Han et al., 2015, arXiv:1506.02626)."""

    kind: ClassVar[str] = "prune"
    done: ClassVar[str] = "pruned"

    amount: Annotated[PositiveNumber, Field(lt=1)] = Field(
        description="The share of the numbers that become zero, exact to the nearest number."
    )
    scope: Literal["global", "layer"] = Field(
        default="global",
        description="Whether the smallest are chosen among all that it changes, or in each weight.",
    )

    @property
    def function(self) -> str:
        """One function for all weights, and one for each by itself."""
        return "prune_together" if self.scope == "global" else "prune_each"

    def arguments(self) -> dict[str, int | float | str]:
        """How much."""
        return {"amount": self.amount}

    @property
    def mark(self) -> str:
        """The share of zeros."""
        return f"{100 * self.amount:.3g}% zero"

    @property
    def note(self) -> str:
        """That zeros alone save nothing."""
        return (
            "zeros are stored and multiplied like other numbers: files are no smaller and dense "
            "kernels no faster"
        )

    def zeros(self, numbers: Sequence[int]) -> int:
        """Exactly the share of all, or of each."""
        groups = [sum(numbers)] if self.scope == "global" else numbers
        return sum(round(self.amount * each) for each in groups)
