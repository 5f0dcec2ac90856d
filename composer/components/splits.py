"""How several devices compute one component together, each with a share of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from composer.shapes import Size

Style = Literal["columns", "rows", "vocabulary", "scores", "heads"]
"""How a module inside a component is split (Shoeybi et al., 2019, arXiv:1909.08053).

`columns`: a linear map that makes a share of the columns of its result. `rows`: one that reads such
a share; the results of all are added up. `vocabulary`: a table of a share of the tokens. `scores`:
a map to the scores of a share of the tokens, which are then put together. `heads`: a norm that
every device has whole and applies to its share of the heads.
"""

AXIS: Mapping[Style, int | None] = {
    "columns": 0, "rows": 1, "vocabulary": 0, "scores": 0, "heads": None
}  # fmt: skip
"""The axis of a weight that is split; that of a bias is the first, but for `rows` it is whole."""


@dataclass(frozen=True, slots=True)
class Split:
    """How a component is split: the style of each module inside, by its attribute.

    `units` are the numbers that every device gets an equal share of, by the option that sets them.
    Without styles each device computes all of it, and `why` may say what keeps it whole.
    """

    styles: Mapping[str, Style] = field(default_factory=dict)
    units: Mapping[str, Size] = field(default_factory=dict)
    why: str = "its kind has no split"

    def axis(self, tensor: str) -> int | None:
        """The axis along which a parameter is split, or None where every device has all of it."""
        module, _, name = tensor.rpartition(".")
        style = self.styles.get(module)
        if style is None or (style == "rows" and name == "bias"):
            return None
        return AXIS[style]
