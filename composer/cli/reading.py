"""From the arguments of a command to a checked spec and its graph."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated

import typer

from composer.diagnostics import Problem, SpecError
from composer.graph.build import build_graph
from composer.graph.graph import Graph
from composer.language.check import check
from composer.language.document import Tree, get
from composer.language.load import DEFAULT_LIMITS, parse
from composer.language.spec import ModelSpec
from composer.language.variants import apply, with_bases
from composer.plugins import load_plugin

from .output import ColorChoice, settings

_STDIN = "<stdin>"
_USAGE = {"Y100", "C111", "C112", "W410", "T501", "T503", "P602"}
"""Problems of the command rather than of the spec: no such file, no such size, no such name."""


def _set_color(choice: ColorChoice | None) -> ColorChoice | None:
    if choice is not None:
        settings.color = choice
    return choice


Spec = Annotated[
    str, typer.Argument(metavar="SPEC", help="A spec; - reads stdin.", show_default=False)
]
Specs = Annotated[
    list[str], typer.Argument(metavar="SPEC...", help="Specs; - reads stdin.", show_default=False)
]
Size = Annotated[
    str | None, typer.Option("--size", metavar="NAME", help="One of the spec's sizes.")
]
Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="NAME.OPTION=VALUE", help="Change an option: decoder.num_layers=12."
    ),
]
Plugins = Annotated[
    list[Path] | None,
    typer.Option(
        "--plugin", metavar="FILE.py",
        help="A Python file with components of your own. It is run: load only what you trust.",
    ),
]  # fmt: skip
Color = Annotated[
    ColorChoice | None,
    typer.Option("--color", callback=_set_color, help="When to use colours. Default: auto."),
]


def read_tree(spec: str) -> Tree:
    """The tree of a spec with everything that it extends, its sizes not applied.

    Raises SpecError where it cannot be read.
    """
    settings.spec = spec if spec != "-" else _STDIN
    if spec != "-":
        path = Path(spec)
        return with_bases(path)
    tree = parse(sys.stdin.buffer.read(DEFAULT_LIMITS.spec_bytes + 1), _STDIN)
    base = get(tree, ("extends",))
    if base is not None:
        text = "a spec that comes from stdin has no folder to find another one in"
        raise SpecError([Problem("C110", text, base.span, fix="give the path of the spec")])
    return tree


def checked(tree: Tree, size: str | None, overrides: Iterable[str]) -> ModelSpec:
    """The spec that a tree holds, in one of its sizes and with `--set` applied."""
    return check(apply(tree, size=size, overrides=overrides), size)


def read(
    spec: str, size: str | None, overrides: Sequence[str] | None, plugins: Sequence[Path] | None
) -> tuple[ModelSpec, Graph]:
    """The checked spec and its graph.

    Raises SpecError with every problem of the first stage that has any, and PluginError.
    """
    load_plugins(plugins)
    made = checked(read_tree(spec), size, overrides or ())
    return made, build_graph(made)


def load_plugins(plugins: Sequence[Path] | None) -> None:
    """Runs the files that `--plugin` names."""
    for path in plugins or ():
        load_plugin(path)


def exit_code(problems: Iterable[Problem]) -> int:
    """1 for errors in a spec, 2 where all are about the command itself."""
    return 2 if all(_is_usage(problem) for problem in problems) else 1


def _is_usage(problem: Problem) -> bool:
    unreadable = (
        problem.span is not None and problem.span.file == "--set" and problem.code[0] == "Y"
    )
    return problem.code in _USAGE or unreadable
