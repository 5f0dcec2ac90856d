"""What every drawing must hold: no warning, nothing over anything else, a shape that can be read."""

from __future__ import annotations

import json
import shutil
import subprocess
from functools import cache
from itertools import combinations
from pathlib import Path

import pygraphviz
import pytest

import composer
from composer.targets import diagram
from composer.targets.diagram.drawing import MOST

ROOT = Path(__file__).resolve().parents[2]
SPECS = [
    *sorted((ROOT / "specs").glob("*.yaml")),
    *sorted((ROOT / "specs/patterns").glob("*.yaml")),
]
DOT = shutil.which("dot")
TALLEST = 3
OVERLAP = 2  # points: Graphviz rounds its sizes

every_spec = pytest.mark.parametrize("path", SPECS, ids=lambda path: path.stem)


@cache
def laid_out(path, depth):
    """A drawing with the places that Graphviz gives it, and what it said."""
    dot = diagram.draw(composer.graph(path), depth=depth)
    if DOT is None:
        return json.loads(pygraphviz.AGraph(string=dot).draw(format="json", prog="dot")), ""
    done = subprocess.run([DOT, "-Tjson"], input=dot.encode(), capture_output=True, check=True)
    return json.loads(done.stdout), done.stderr.decode()


def box(thing):
    """Left, bottom, right and top of a node in points."""
    x, y = map(float, thing["pos"].split(","))
    width, height = float(thing["width"]) * 72, float(thing["height"]) * 72
    return x - width / 2, y - height / 2, x + width / 2, y + height / 2


def label_box(thing, key, place, size):
    """The same of a text of a line, which has a middle, and of which the width is estimated."""
    x, y = map(float, thing[place].split(","))
    text = thing[key].strip()
    width, height = 0.5 * size * len(text), size
    return x - width / 2, y - height / 2, x + width / 2, y + height / 2


def over(one, other):
    """Whether two boxes lie over each other."""
    wide = min(one[2], other[2]) - max(one[0], other[0])
    high = min(one[3], other[3]) - max(one[1], other[1])
    return wide > OVERLAP and high > OVERLAP


def written(layout):
    """Boxes of all nodes that are seen, and of the texts of lines and blocks."""
    things = layout["objects"]
    nodes = [thing for thing in things if "pos" in thing]
    found = {n["name"]: box(n) for n in nodes if n["class"] not in {"anchor", "junction"}}
    for block in (thing for thing in things if thing["name"].startswith("cluster")):
        x, y = map(float, block["lp"].split(","))
        width, height = float(block["lwidth"]) * 72, float(block["lheight"]) * 72
        found[f"title of {block['name']}"] = (
            x - width / 2, y - height / 2, x + width / 2, y + height / 2,
        )  # fmt: skip
    for edge in layout["edges"]:
        for key, place in (("headlabel", "head_lp"), ("taillabel", "tail_lp"), ("xlabel", "xlp")):
            if place in edge:
                name = f"{key} of {edge['tail']} -> {edge['head']}"
                found[name] = label_box(edge, key, place, 10)
    return found


@every_spec
@pytest.mark.parametrize("depth", [0, 1, 2])
def test_nothing_lies_over_anything_else_and_nothing_is_said(path, depth):
    layout, said = laid_out(path, depth)
    boxes = written(layout)
    pairs = [(a, b) for a, b in combinations(boxes, 2) if over(boxes[a], boxes[b])]

    assert (pairs, said) == ([], "")


@every_spec
def test_a_layer_of_each_stack_fits_a_page(path):
    layout, _ = laid_out(path, 1)
    _, _, width, height = map(float, layout["bb"].split(","))
    roles = [n["class"].split()[0] for n in layout["objects"] if "pos" in n]
    shown = [role for role in roles if role not in {"anchor", "junction", "chip", "title"}]

    assert height <= TALLEST * width
    assert len(shown) <= MOST


@every_spec
@pytest.mark.parametrize("depth", [0, 1])
def test_the_wheel_draws_it_without_a_word(path, depth, capfd):
    dot = diagram.draw(composer.graph(path), depth=depth)
    pygraphviz.AGraph(string=dot).draw(format="svg", prog="dot")

    said = capfd.readouterr().err.splitlines()  # Fontconfig may complain of the machine
    assert [line for line in said if "Fontconfig" not in line] == []
