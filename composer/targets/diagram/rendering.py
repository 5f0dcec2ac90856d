"""DOT as SVG, PNG or PDF: by the program `dot`, or by pygraphviz on a machine without it."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterable
from typing import Literal

from .svg import finish
from .theme import Theme

Format = Literal["svg", "png", "pdf"]

SECONDS = 60
"""How long Graphviz may take."""

_SHARP = "-Gdpi=144"
_ENGINE = "COMPOSER_DOT"


class DrawingError(Exception):
    """A drawing that could not be rendered: why, and what to do about it.

    `str()` shows the fixes below the message.
    """

    code = "D301"

    def __init__(self, message: str, fixes: Iterable[str] = ()) -> None:
        self.message, self.fixes = message, tuple(fixes)
        super().__init__("\n      = fix: ".join((message, *self.fixes)))


def render(dot: str, fmt: Format, theme: Theme = "light") -> bytes:
    """A drawing in another format.

    The colours are those of the DOT text; with `theme="auto"` an SVG of a light one follows the
    theme of the page or of the browser. Raises DrawingError where Graphviz is missing or fails.
    """
    program = os.environ.get(_ENGINE) or shutil.which("dot")
    data = _by_program(program, dot, fmt) if program else _in_process(dot, fmt)
    return finish(data, theme, mark_of(dot, theme)) if fmt == "svg" else data


def has_program() -> bool:
    """Whether Graphviz runs as a program, so that several drawings can be made at once."""
    return bool(os.environ.get(_ENGINE) or shutil.which("dot"))


def mark_of(dot: str, theme: Theme) -> str:
    """What tells an SVG from that of any other DOT text or theme, whatever Graphviz drew it."""
    return hashlib.sha256(f"{theme}\n{dot}".encode()).hexdigest()[:16]


def _by_program(program: str, dot: str, fmt: Format) -> bytes:
    sharp = [_SHARP] if fmt == "png" else []
    try:
        done = subprocess.run(  # noqa: S603 - the program that the user's PATH or setting names
            [program, f"-T{fmt}", *sharp], input=dot.encode(), capture_output=True, timeout=SECONDS,
            check=False,
        )  # fmt: skip
    except OSError as error:
        why = f"cannot run '{program}': {error.strerror or error}"
        raise DrawingError(why, [f"set {_ENGINE} to the path of Graphviz's dot"]) from None
    except subprocess.TimeoutExpired:
        fix = "draw less: --depth 0"
        raise DrawingError(f"Graphviz took longer than {SECONDS} seconds", [fix]) from None
    if done.returncode or not done.stdout:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise DrawingError(f"'{program}' failed: {said[0] if said else done.returncode}")
    return done.stdout


def _in_process(dot: str, fmt: Format) -> bytes:
    try:
        import pygraphviz
    except ImportError:
        raise DrawingError(
            "no Graphviz was found",
            ["pip install pygraphviz, which brings it", "or install it: apt-get install graphviz"],
        ) from None  # fmt: skip
    try:
        args = _SHARP if fmt == "png" else ""
        drawn = pygraphviz.AGraph(string=dot).draw(format=fmt, prog="dot", args=args)
    except (ValueError, OSError) as error:
        raise DrawingError(f"pygraphviz failed: {error}") from None
    return bytes(drawn)
