"""Numbers as people read them."""

from __future__ import annotations


def readable(count: int) -> str:
    """Bytes in the largest unit that leaves a number of at least one: `252.3 MB`."""
    size, unit = float(count), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if size < 1000:  # noqa: PLR2004 - units are a thousand apart
            break
        size, unit = size / 1000, larger
    return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
