"""Tables of measured numbers: as text for the terminal, as plain data for a file.

A column is named once, with its unit (`cpu_milliseconds`): the text shows the name with spaces, the
data has it as a key.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

Cell = str | int | float | None


@dataclass(frozen=True)
class Target:
    """What was wanted of a number, and what it was."""

    name: str
    wanted: str
    measured: float | str
    met: bool

    def text(self) -> str:
        """One line: whether it is met, and by what."""
        verdict = "met   " if self.met else "MISSED"
        return f"{verdict} {self.name}: {shown(self.measured)}, wanted {self.wanted}"


@dataclass(frozen=True)
class Table:
    """Rows of numbers below one title, with the targets that they are held to."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    targets: tuple[Target, ...] = ()
    note: str = ""

    def __post_init__(self) -> None:
        widths = {len(row) for row in self.rows} | {len(self.columns)}
        assert len(widths) == 1, f"'{self.title}' has rows of {sorted(widths)} cells"

    def text(self) -> str:
        """The table in columns: words to the left, numbers to the right."""
        cells = [[name.replace("_", " ") for name in self.columns]]
        cells += [[shown(cell) for cell in row] for row in self.rows]
        lines = [self.title, _line(cells[0], cells), *(_line(row, cells) for row in cells[1:])]
        lines.insert(2, "-" * len(lines[1]))
        lines += [target.text() for target in self.targets]
        return "\n".join([*lines, self.note] if self.note else lines)

    def data(self) -> dict[str, Any]:
        """The table as plain data: each row a mapping from column to value."""
        rows = [dict(zip(self.columns, row, strict=True)) for row in self.rows]
        targets = [vars(target) for target in self.targets]
        return {"title": self.title, "rows": rows, "targets": targets, "note": self.note}


def shown(cell: Cell) -> str:
    """A cell as text: floats with three digits that count, whole numbers in groups of three.

    >>> shown(0.012345), shown(1234.5), shown(8000), shown(None)
    ('0.0123', '1,234', '8,000', '-')
    """
    if cell is None:
        return "-"
    if isinstance(cell, str):
        return cell
    if isinstance(cell, int):
        return f"{cell:,}"
    if abs(cell) >= 100:
        return f"{cell:,.0f}"
    digits = 1 if abs(cell) >= 10 else 2 if abs(cell) >= 1 else 3 if abs(cell) >= 0.1 else 4
    return f"{cell:.{digits}f}"


def _line(row: list[str], rows: list[list[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    aligned = [
        cell.ljust(width) if _is_words(column) else cell.rjust(width)
        for cell, width, column in zip(row, widths, zip(*rows, strict=True), strict=True)
    ]
    return "  ".join(aligned).rstrip()


def _is_words(column: tuple[str, ...]) -> bool:
    """Whether a column, its heading aside, holds words."""
    return any(cell[:1].isalpha() for cell in column[1:])
