"""Mermaid: the same boxes and lines as the drawing, and no text that breaks out of its quotes."""

from __future__ import annotations

import doctest
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

import composer
from composer.components.component import Label
from composer.components.feed_forward import FeedForward
from composer.targets import diagram
from composer.targets.diagram import flow, labels, mermaid, theme

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "tests/golden_diagrams"
TRANSFORMER = ROOT / "specs/transformer.yaml"
SPECS = [TRANSFORMER, *sorted(FOLDER.glob("*.yaml"))]

STATEMENT = re.compile(
    r"flowchart (BT|LR)"
    r"|  acc(Title|Descr): [^#;]*"
    r'| +n\d+(\("[^"]*"\)|\(\("[^"]*"\)\)|\[/"[^"]*"\\\]|\[\\"[^"]*"/\]):::\w+'
    r'| +subgraph n\d+ \["[^"]*"\]'
    r"| +end"
    r"| +class n\d+ \w+"
    r'|  n\d+ (-->|---|==>|===|-\.-|-\.->)(\|"[^"]*"\|)? n\d+'
    r"|  classDef \w+ [\w#:,. -]+"
    r"|  linkStyle [\d,]+ stroke:#\w+,stroke-width:[\d.]+px"
)


def statements(text):
    head, body = text.split("\n---\n")
    assert re.fullmatch(r'---\ntitle: "(?:[^"\\]|\\.)*"', head)
    return body.splitlines()


def lines_of_kinds(text):
    """How many lines there are of each colour."""
    found = re.findall(r"linkStyle ([\d,]+) stroke:(#\w+)", text)
    return Counter({color: len(numbers.split(",")) for numbers, color in found})


@pytest.mark.parametrize("depth", [0, 1, 2])
@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.stem)
def test_every_line_is_a_statement_about_boxes_that_are_there(spec, depth):
    for direction in ("up", "right"):
        text = diagram.draw_mermaid(composer.graph(spec), depth=depth, direction=direction)
        body = statements(text)
        defined = re.findall(r"^ +(?:subgraph )?(n\d+)[ (\[]+[\"/\\]", text, re.MULTILINE)
        ends = re.findall(r"^  (n\d+) [-=.>]+(?:\|.*\|)? (n\d+)$", text, re.MULTILINE)
        styled = [
            int(n) for found in re.findall(r"linkStyle (\S+)", text) for n in found.split(",")
        ]

        assert [line for line in body if not STATEMENT.fullmatch(line)] == []
        assert len(set(defined)) == len(defined)
        assert {end for pair in ends for end in pair} <= set(defined)
        assert sorted(styled) == list(range(len(ends)))
        assert text.count("subgraph ") == body.count("  end") + sum(
            line.startswith("    ") and line.strip() == "end" for line in body
        )


def test_the_transformer_has_its_boxes_and_lines(golden):
    text = diagram.draw_mermaid(composer.graph(TRANSFORMER))
    colors = lines_of_kinds(text)

    golden(FOLDER / "transformer.mmd", text)
    assert colors["#2563EB"] == 5  # residuals
    assert colors["#C2410C"] == 1  # cross-attention
    assert text.count("◆A") == 3
    assert 'subgraph n6 ["Encoder layer ×6"]' in text
    assert '==>|"K, V<br/>[B, S, 512]"|' in text


def test_words_on_a_skip_stand_on_its_line():
    text = diagram.draw_mermaid(composer.graph(FOLDER / "mirror_skips.yaml"))

    assert '-->|"layer i → layer 3 - i<br/>[B, 64, 96]"|' in text
    assert ":::junction" not in text


def test_data_runs_upwards_in_the_left_arm_of_a_u_too():
    sheet_lines = diagram.draw_mermaid(composer.graph(FOLDER / "mirror_skips.yaml")).splitlines()
    ids = {
        re.search(r'"([^"<]*)', line)[1]: line.split("(")[0].split("[")[0].strip()
        for line in sheet_lines
        if re.match(r" +n\d+[\(\[]", line)
    }
    pairs = [
        re.findall(r"n\d+", re.sub(r"\|.*\|", "", line)) for line in sheet_lines if "--" in line
    ]

    assert [ids["image"], ids["Patch Embedding"]] in pairs


def test_parallel_branches_and_shared_parameters_have_their_colours():
    branches = diagram.draw_mermaid(composer.graph(FOLDER / "parallel_branches.yaml"))
    shared = diagram.draw_mermaid(composer.graph(FOLDER / "dual_encoder.yaml"))

    assert lines_of_kinds(branches)["#7C3AED"] == 6
    assert re.search(r'n\d+ -\.-\|"A"\| n\d+', shared)


def test_direction_and_theme():
    model = composer.graph(FOLDER / "decoder_only.yaml")
    text = diagram.draw_mermaid(model, direction="right", theme="dark")

    assert "\nflowchart LR\n" in text
    assert "fill:#3B2313" in text
    assert "fill:#FFEDD5" not in text


HOSTILE = {
    "quotes": '"]:::x\n  click n1 href "javascript:alert(1)"',
    "markup": "<script>alert(1)</script><img src=x onerror=alert(1)>",
    "statement": "a; end; click n1 call alert()",
    "directive": "%%{init: {'securityLevel': 'loose'}}%%",
    "frontmatter": "x\n---\nconfig:\n  securityLevel: loose\n---",
    "markdown": "`**bold** [x](javascript:alert(1))`",
    "entity": "#quot; &quot; #34;",
    "brackets": '([{"|}])',
    "backslash": '\\" \\n \\',
    "long": "long " * 2000,
    "right to left": "נתונים \u202eevil\u202c",
    "controls": "a\x00b\x07\x1bc\u2028d",
    "empty": "",
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_no_text_changes_the_structure(text, monkeypatch):
    model = composer.graph(TRANSFORMER)
    wanted = statements(diagram.draw_mermaid(model))
    monkeypatch.setattr(FeedForward, "label", lambda self, axes: Label(text, text))
    found = statements(diagram.draw_mermaid(replace(model, title=text, name=text or "x")))

    assert len(found) == len(wanted)
    for line, plain in zip(found, wanted, strict=True):
        assert STATEMENT.fullmatch(line)
        assert re.sub(r'"[^"]*"|acc.*', "", line) == re.sub(r'"[^"]*"|acc.*', "", plain)
        assert "%%" not in line
        assert not re.search(r"[<>`]", re.sub(r"<br/>|-->|==>|-\.->", "", line))


def test_rows_of_labels():
    made = labels.box(theme.LIGHT, "A & <b>", 'c "d" \\e', "A", "×6")

    assert labels.lines_of(made) == ["A & <b> ◆A ×6", 'c "d" \\e']


@pytest.mark.parametrize("module", [mermaid, flow], ids=["mermaid", "flow"])
def test_examples_in_docstrings_hold(module):
    assert doctest.testmod(module).failed == 0
