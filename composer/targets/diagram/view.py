"""What of a model is shown: how deep, in how much detail, and where the data flows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from .pen import Direction

Detail = Literal["plain", "full"]


@dataclass(frozen=True)
class View:
    """How a model is looked at.

    `depth` 0 shows stacks as single boxes, 1 one layer of each, 2 what stands inside attentions and
    feed-forwards too; `depths` are those of single stacks where they differ. In full `detail`,
    dropout, masks, the shapes within attentions and every option that was chosen are shown.
    """

    depth: int = 1
    direction: Direction = "up"
    detail: Detail = "plain"
    depths: Mapping[str, int] = field(default_factory=dict)

    def depth_of(self, stack: str) -> int:
        """The depth at which a stack is shown."""
        return self.depths.get(stack, self.depth)
