"""Where text goes: products to stdout, messages to stderr, with colours where they are welcome."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, TextIO

from composer.diagnostics import Problem, render

if TYPE_CHECKING:
    from rich.console import RenderableType

NATURAL = 1000
"""Columns, more than any table has, so that nothing is wrapped in a file or a pipe."""

_RED, _RESET = "\x1b[1;31m", "\x1b[0m"


class ColorChoice(str, Enum):
    """When to use colours."""

    auto = "auto"
    always = "always"
    never = "never"


@dataclass
class Settings:
    """What holds for one run of the command line: its options, and the spec being read."""

    color: ColorChoice = ColorChoice.auto
    debug: bool = False
    spec: str = ""

    def reset(self) -> None:
        """Forgets an earlier run in the same process."""
        self.color, self.debug, self.spec = ColorChoice.auto, False, ""


settings = Settings()


class UsageError(Exception):
    """Arguments that cannot hold; the text says why."""


class ClosedError(Exception):
    """Nobody reads stdout any more, as after `| head`."""


def product(data: str | bytes) -> None:
    """Writes what a command makes to stdout, as UTF-8.

    Raises ClosedError where nobody reads it.
    """
    encoded = data.encode() if isinstance(data, str) else data
    try:
        sys.stdout.flush()
        stream = getattr(sys.stdout, "buffer", None)
        if stream is None:  # replaced by something that takes text only
            sys.stdout.write(encoded.decode())
        else:
            stream.write(encoded)
            stream.flush()
    except BrokenPipeError:
        # Python flushes stdout once more when it ends; there must be somewhere for that to go.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise ClosedError from None


def message(text: str) -> None:
    """Writes a line to stderr; what stderr cannot show is spelled out."""
    encoding = sys.stderr.encoding or "utf-8"
    sys.stderr.write(text.encode(encoding, "backslashreplace").decode(encoding) + "\n")


def failure(text: str, code: str = "") -> None:
    """Writes `error: text` to stderr, or `error[code]: text`."""
    word = f"error[{code}]" if code else "error"
    message(f"{_RED}{word}{_RESET}: {text}" if colored(sys.stderr) else f"{word}: {text}")


def show_problems(problems: Iterable[Problem], name: str) -> None:
    """Writes problems to stderr, and last how many they are."""
    every = tuple(problems)
    message(render(every, color=colored(sys.stderr)))
    message(f"\n{name}: {len(every)} error{'' if len(every) == 1 else 's'}")


def colored(stream: TextIO) -> bool:
    """Whether a stream gets colours."""
    if settings.color is not ColorChoice.auto:
        return settings.color is ColorChoice.always
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    return not plain and stream.isatty()


def columns() -> int:
    """Columns to fill: those of the terminal or of `COLUMNS`; no limit in a file or a pipe."""
    if sys.stdout.isatty() or os.environ.get("COLUMNS", "").isdigit():
        return shutil.get_terminal_size().columns
    return NATURAL


def rendered(table: RenderableType, *, width: int = NATURAL, color: bool = False) -> str:
    """A table of rich as text, without spaces at the ends of lines."""
    import io

    from rich.console import Console

    stream = io.StringIO()
    console = Console(
        file=stream, width=width, force_terminal=color, no_color=not color, highlight=False,
        color_system="standard" if color else None, legacy_windows=False,
    )  # fmt: skip
    console.print(table)
    lines = [line.rstrip() for line in stream.getvalue().splitlines()]
    return "\n".join(lines) + "\n"


def show(table: RenderableType) -> None:
    """Writes a table to stdout, as wide as the terminal."""
    product(rendered(table, width=columns(), color=colored(sys.stdout)))
