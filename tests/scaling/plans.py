"""Plans of specs, for the tests of scaling."""

from __future__ import annotations

from pathlib import Path

from composer.graph.build import build_graph
from composer.language.check import check
from composer.language.document import Mapping
from composer.language.load import parse
from composer.language.variants import apply, with_bases
from composer.scaling import Plan, plan_of


def plan(spec: str, size: str | None = None, multiple: int | None = None) -> Plan:
    """The plan of a file, or of a text of several lines."""
    tree = parse(spec, "<text>") if "\n" in spec else with_bases(Path(spec))
    body = apply(tree, size=size)
    assert isinstance(body, Mapping)
    made = check(body, size)
    return plan_of(body, made, build_graph(made), multiple)
