"""What is written into a drawing: Graphviz's HTML, made of escaped text."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from xml.etree import ElementTree as ET

from .dot import clean, escape
from .sheet import Html
from .theme import LEGEND, WIDTHS, LineKind, Palette

PORT = "left"
_BLOCK_WIDTH = 180
_BAR = "‖"
_PLAIN = 'BORDER="0" CELLBORDER="0" CELLSPACING="0"'


Pill = tuple[str, bool]
"""Text and whether it says: one set of weights, applied so often."""


def box(
    palette: Palette, title: str, detail: str = "", letters: str = "", pill: str = "", *,
    sign: str = "", more: Iterable[str] = (),
) -> Html:  # fmt: skip
    """Name, marks and pill on one line, the second line small below, and `more` below that."""
    head = _bold(title) + mark(palette, letters) + _sign(palette, sign)
    if pill:
        size = f'FIXEDSIZE="TRUE" WIDTH="{7 * len(pill) + 16}" HEIGHT="21" ALIGN="LEFT"'
        button = _pill(palette.badge, palette.badge_text, pill)
        cells = f'<TD ALIGN="RIGHT">{head}&#160;</TD><TD {size}>{button}</TD>'
        head = f'<TABLE {_PLAIN} CELLPADDING="0"><TR>{cells}</TR></TABLE>'
    small = [*([detail] if detail else []), *more]
    if not small and not pill:
        return Html(head)
    return Html(_table([head, *(font(text, palette.secondary, 9) for text in small)], 1))


def chip(color: str, *lines: str, bold: bool = True) -> Html:
    """Words on a line: the first one bold, e.g. `K, V` above a shape."""
    first, *rest = lines
    head = font(first, color, 10 if bold else 9)
    return Html(_table([f"<B>{head}</B>" if bold else head, *(font(t, color, 9) for t in rest)], 2))


def inside(
    palette: Palette, title: str, detail: str, letters: str, sign: str = "",
    more: Iterable[str] = (),
) -> Html:  # fmt: skip
    """The title of a component whose inside is shown."""
    head = f"{_bold(title)}{mark(palette, letters)}{_sign(palette, sign)}"
    line = font(detail, palette.secondary, 9)
    rows = [f"{head}&#160; {line}" if detail else head]
    rows += [font(text, palette.secondary, 9) for text in more]
    return Html(rows[0] if len(rows) == 1 else _table(rows, 1, align="LEFT"))


def block(
    palette: Palette, rows: Sequence[str], letters: str, pills: Sequence[Pill], sign: str = ""
) -> Html:
    """The title of a block in its corner, in bold and with more below it, and the pills.

    The title may have several lines.
    """
    title, *more = rows
    heads = [f'<FONT POINT-SIZE="11.5">{_bold(line)}</FONT>' for line in title.split("\n")]
    heads[-1] += mark(palette, letters) + _sign(palette, sign)
    lines = [*heads, *(font(text, palette.secondary, 9.5) for text in more)]
    cells = [lines[0] if len(lines) == 1 else _table(lines, 0, align="RIGHT")]
    for text, shared in pills:
        fill = palette.shared if shared else palette.badge
        cells.append(_pill(fill, palette.badge_text, text, fixed=len(lines) > 1))
    return Html(_row(cells, 2))


def heading(palette: Palette, title: str, facts: Iterable[str]) -> Html:
    """The title of a drawing and a grey line of facts below it.

    The port at its left end stands half a block from the border, so that title and block align.
    """
    text = f" {_BAR} ".join(clean(fact) for fact in facts)
    line = font(text, palette.secondary, 10).replace(_BAR, "&#160;|&#160;")
    size = f'FIXEDSIZE="TRUE" WIDTH="{_BLOCK_WIDTH}" HEIGHT="4"'
    cell = f'<TD PORT="{PORT}" FIXEDSIZE="TRUE" WIDTH="{_BLOCK_WIDTH - 4}" HEIGHT="2"></TD>'
    port = f'<TABLE {_PLAIN} CELLPADDING="0" ALIGN="LEFT" {size}><TR>{cell}</TR></TABLE>'
    return Html(_table([f"<B>{font(title, palette.title, 17)}</B>", line, port], 1, align="LEFT"))


def legend(palette: Palette, kinds: Iterable[LineKind], notes: dict[LineKind, str]) -> Html:
    """One sample of each kind of line; `notes` are added to some of their names."""
    cells = []
    for kind in kinds:
        color = palette.line(kind)
        text = LEGEND[kind] + (f" ({note})" if (note := notes.get(kind)) else "")
        sample = font("◆", color, 9.5) if kind == "shared" else _stroke(color, WIDTHS[kind])
        cells += [sample, f"{font(text, palette.data, 9.5)}&#160;&#160;&#160;"]
    space = '<TR><TD HEIGHT="10"></TD></TR>'
    row = "".join(f"<TD>{cell}</TD>" for cell in cells)
    return Html(f'<TABLE {_PLAIN} CELLPADDING="3">{space}<TR>{row}</TR></TABLE>')


def samples(palette: Palette, lines: Iterable[tuple[str, str]]) -> Html:
    """Text after a square of a colour, for each of them."""
    return Html(
        "&#160;&#160;&#160;".join(
            f"{font('■', color, 10)}&#160;{font(text, palette.data, 9.5)}" for color, text in lines
        )
    )


def keys(palette: Palette, lines: Iterable[tuple[str, str, str]]) -> Html:
    """Text after a sign in its colour, for each of them."""
    return Html(
        "&#160;&#160;&#160;".join(
            f"{font(sign, color, 11)}&#160;{font(text, palette.data, 9.5)}"
            for sign, color, text in lines
        )
    )


def stacked(*labels: Html) -> Html:
    """Labels one below the other."""
    return Html(_table(labels, 0, align="LEFT"))


def plain(text: str) -> Html:
    """Text as it is."""
    return Html(escape(text))


def lines_of(label: Html) -> list[str]:
    """The words of a label, one text for each of its rows."""
    rows = _rows(ET.fromstring(f"<L>{label}</L>"))  # noqa: S314 - made above, of escaped text
    texts = (re.sub(r"\s+", " ", row.replace("\\\\", "\\")).strip() for row in rows)
    return [text for text in texts if text]


def _rows(element: ET.Element) -> list[str]:
    """Texts one below the other; a table of one row stands on the line of what is around it."""
    rows = [element.text or ""]
    for child in element:
        first, *more = _rows(child)
        if child.tag == "TR" and rows != [""]:
            rows.append("")
        rows[-1] += f" {first}"
        rows += more
        rows[-1] += child.tail or ""
    return rows


def font(text: str, color: str, size: float) -> str:
    """Text in a colour and a size."""
    return f'<FONT POINT-SIZE="{size:g}" COLOR="{color}">{escape(text)}</FONT>'


def mark(palette: Palette, letters: str) -> str:
    """The mark of shared parameters: a diamond and the letter of their set."""
    return f"&#160;{font('◆' + letters, palette.shared, 10)}" if letters else ""


def _sign(palette: Palette, sign: str) -> str:
    return f"&#160;{font(sign, palette.frozen, 11)}" if sign else ""


def _bold(text: str) -> str:
    return f"<B>{escape(text)}</B>"


def _pill(fill: str, color: str, text: str, *, fixed: bool = False) -> str:
    """A pill; one that is `fixed` is no higher where its row is."""
    width = 7 * len(text) + 12
    size = f' FIXEDSIZE="TRUE" WIDTH="{width}" HEIGHT="20"' if fixed else ""
    inside = f"<TR><TD{size}><B>&#160;{font(text, color, 10)}&#160;</B></TD></TR>"
    return (
        f'<TABLE {_PLAIN} CELLPADDING="2"{size} STYLE="rounded" BGCOLOR="{fill}">{inside}</TABLE>'
    )


def _stroke(color: str, width: float) -> str:
    size = f'FIXEDSIZE="TRUE" WIDTH="22" HEIGHT="{round(2 * width - 1)}"'
    cell = f'<TD {size} BGCOLOR="{color}"></TD>'
    return f'<TABLE {_PLAIN} CELLPADDING="0"><TR>{cell}</TR></TABLE>'


def _table(rows: Iterable[str], padding: int, align: str = "CENTER") -> str:
    cells = "".join(f'<TR><TD ALIGN="{align}">{row}</TD></TR>' for row in rows)
    cells = cells.replace(' ALIGN="CENTER"', "")
    return f'<TABLE {_PLAIN} CELLPADDING="{padding}">{cells}</TABLE>'


def _row(cells: Iterable[str], padding: int) -> str:
    inside = "".join(f"<TD>{cell}</TD>" for cell in cells)
    return f'<TABLE {_PLAIN} CELLPADDING="{padding}"><TR>{inside}</TR></TABLE>'
