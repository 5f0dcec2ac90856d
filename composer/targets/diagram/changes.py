"""What differs from another model, shown in a drawing: which boxes are new, changed, or gone."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from .labels import samples
from .sheet import Attributes, Html
from .theme import Palette

Tint = Literal["added", "changed"]

_WIDTH = 2.6
_MOST = 6


@dataclass(frozen=True)
class Changes:
    """Parts by their paths: how those of the drawing differ, and what is gone from it."""

    tints: Mapping[str, Tint] = field(default_factory=dict)
    removed: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.tints or self.removed)

    def look(self, paths: Iterable[str], known: Collection[str], palette: Palette) -> Attributes:
        """The border of a box that stands for several paths; `known` are those with an own node.

        It is that of something added only where all of them are. Where layers that are added look
        like those that were there, the block around them has changed and not the box.
        """
        found = {self.tints.get(path) for path in paths if path in known}
        if found <= {None} or found == {None, "added"}:
            return {}
        tint = "added" if found == {"added"} else "changed"
        return {"color": getattr(palette, tint), "penwidth": _WIDTH}

    def legend(self, palette: Palette) -> Html:
        """What the borders mean, and the names of what is gone."""
        used = [tint for tint in ("added", "changed") if tint in self.tints.values()]
        lines = [(getattr(palette, tint), tint) for tint in used]
        if self.removed:
            names = list(self.removed[:_MOST])
            more = len(self.removed) - len(names)
            names += [f"and {more} more"] if more else []
            lines.append((palette.removed, f"removed: {', '.join(names)}"))
        return samples(palette, lines)
