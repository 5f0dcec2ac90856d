"""Amounts as people write them: `350M`, `1.5B`, `1e20`."""

from __future__ import annotations

import re

from .search import ScalingError

_UNITS = {"": 1, "K": 10**3, "M": 10**6, "B": 10**9, "G": 10**9, "T": 10**12}
_AMOUNT = re.compile(r"(\d[\d_]*(?:\.\d+)?(?:e\+?\d+)?) ?([kKmMbBgGtT]?)", re.ASCII)
_FEWEST = {"parameters": 1e5, "FLOPs": 1e12}
_MOST = {"parameters": 1e15, "FLOPs": 1e35}


def amount(text: str, what: str) -> float:
    """The number that `text` means, of `parameters` or `FLOPs`.

    Raises ScalingError for what is no number, and for one so small that a unit is missing.
    """
    found = _AMOUNT.fullmatch(text.strip())
    example = "350M, 1.5B or 124439808" if what == "parameters" else "1e20"
    if found is None:
        raise ScalingError(f"'{text}' is no number of {what}", f"write {example}")
    value = float(found[1].replace("_", "")) * _UNITS[found[2].upper()]
    if value < _FEWEST[what]:
        meant = f"{found[1]}M or {found[1]}B" if what == "parameters" and not found[2] else example
        raise ScalingError(f"{text} {what} are too few to be meant", f"write {meant}")
    if value > _MOST[what]:
        raise ScalingError(f"{text} {what} are more than can be meant", f"write {example}")
    return value


def short(count: float, digits: int = 3) -> str:
    """A number in its unit: `354.8M`.

    >>> short(354_823_168)
    '355M'
    """
    for unit, size in (("T", 1e12), ("B", 1e9), ("M", 1e6), ("K", 1e3)):
        if float(f"{count:.{digits}g}") >= size:
            return f"{float(f'{count / size:.{digits}g}'):g}{unit}"
    return f"{count:g}"
