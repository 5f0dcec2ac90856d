"""Diagrams: what is drawn how, that it renders everywhere, and that no text breaks out of it."""

from __future__ import annotations

import doctest
import html
import importlib
import itertools
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from math import cos, radians, sin
from pathlib import Path
from types import SimpleNamespace
from xml.etree import ElementTree as ET

import pygraphviz
import pytest

import composer
from composer.components.component import KINDS, Component, Label
from composer.components.feed_forward import FeedForward
from composer.targets import diagram
from composer.targets.diagram import rendering, theme
from composer.targets.diagram.pen import entering, leaving

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "tests/golden_diagrams"
TRANSFORMER = ROOT / "specs/transformer.yaml"
WAV2VEC2 = ROOT / "specs/wav2vec2.yaml"
SPECS = [TRANSFORMER, *sorted(FOLDER.glob("*.yaml"))]
VARIANTS = [{}, {"depth": 0}, {"depth": 2}, {"direction": "right"}, {"theme": "dark"}]
DOT = shutil.which("dot")


def graph(name):
    return composer.graph(TRANSFORMER if name == "transformer" else FOLDER / f"{name}.yaml")


def parsed(dot):
    """A drawing as Graphviz reads it: nodes, lines, blocks, and the texts that people see."""
    read = pygraphviz.AGraph(string=dot)
    nodes = {str(node): dict(node.attr) for node in read.nodes()}
    lines = [(str(line[0]), str(line[1]), dict(line.attr)) for line in read.edges()]
    blocks = list(_blocks(read))
    root = dict(read.graph_attr)
    labels = [root, *nodes.values(), *(b for _, b in blocks), *(e[2] for e in lines)]
    texts = [text for label in labels for key in TEXTS for text in _texts(label.get(key))]
    return SimpleNamespace(
        nodes=nodes, lines=lines, blocks=blocks, texts=texts, legend=root["label"]
    )


TEXTS = ("label", "headlabel", "taillabel", "xlabel")


def _blocks(read):
    for block in read.subgraphs():
        if (block.name or "").startswith("cluster"):
            yield block.name, dict(block.graph_attr)
        yield from _blocks(block)


def _texts(label):
    for text in re.split(r"<[^>]*>", label or ""):
        if shown := html.unescape(text).replace("\xa0", " ").strip():
            yield shown


def of_class(drawing, word):
    """Lines with a word in their class."""
    return [line for line in drawing.lines if word in (line[2].get("class") or "").split()]


def drawn(name, **options):
    return parsed(diagram.draw(graph(name), **options))


# The original Transformer


def test_each_stack_of_the_transformer_is_one_block_with_its_number_of_layers():
    drawing = drawn("transformer")
    blocks = {name: block for name, block in drawing.blocks if "repeat" in block["class"]}

    assert set(blocks) == {"cluster_encoder", "cluster_decoder"}
    assert all("×6" in block["label"] for block in blocks.values())


def test_the_transformer_has_five_residuals_on_the_right():
    residuals = of_class(drawn("transformer"), "residual")

    assert len(residuals) == 5
    assert {line[2]["headport"] for line in residuals} == {"e"}


def test_cross_attention_leaves_the_border_of_its_source_through_one_chip():
    drawing = drawn("transformer")
    start, end = of_class(drawing, "cross")

    assert start[1] == end[0]
    assert "chip" in drawing.nodes[start[1]]["class"]
    assert (start[2]["ltail"], end[1]) == ("cluster_encoder", "decoder.cross_attention")


def test_the_three_sharers_have_one_letter():
    assert drawn("transformer").texts.count("◆A") == 3


def test_the_legend_names_only_what_is_drawn():
    assert list(_texts(drawn("transformer").legend)) == [
        "data",
        "residual",
        "cross-attention",
        "◆",
        "shared parameters: same letter, one set",
    ]


def test_title_shapes_and_positions_are_written():
    texts = drawn("transformer").texts
    wanted = [
        "Transformer (base)",
        "int64 [B, S]",
        "int64 [B, T]",
        "float [B, T, 37 000]",
        "Add & Norm",
    ]

    assert [text for text in wanted if text not in texts] == []
    assert texts.count("Positional") == 2
    assert "encoder-decoder, post-norm  |  d_model 512  |  63.1 M parameters" in " ".join(texts)


# Everything else that can be said


SAID = {
    "alternating": ["Sliding", "layers 0, 1, 3, 4", "×4", "Full", "layers 2, 5", "×2", "×6"],
    "conformer": ["× 0.5", "Convolution", "Positional"],
    "parallel_branches": ["parallel, 3 branches, sum", "Window Attention", "∑", "identity"],
    "mirror_skips": ["layer i → layer 3 - i", "cat", "skip (concat)"],
    "skips_in_one": ["layer i → layer 6 - i", "gate", "Layers 4-6", "with skip", "skip (gated)"],
    "dual_encoder": ["◆A", "◆B", "A", "B", "×6", "einsum"],
    "several_sources": ["layer i reads layer i", "[B, 16, 64]", "attention weights"],
    "gated_cross": ["every 4th layer", "tanh gate", "Layers 0, 4, 8", "no cross-attention"],
    "flat_memory": ["cat", "32 → 64", "[B, A + T, 64]"],
    "hierarchical": ["parallel, 2 branches, hierarchical", "attend"],
    "weighted_read": ["learned mix of 4 states", "mix"],
    "co_attention": ["K, V of the other", "step i reads step i - 1"],
    "three_in_step": ["K, V of audio", "step i reads step i - 1"],
    "coordination": ["layer i reads layer i"],
    "merged_branches": ["gate", "◆A", "parallel branch", "float [B, 4, 50, 50], of layer 2"],
    "universal": ["×2", "×3", "◆A", "Add & RMSNorm", "float [B, T, 64], after layer 2"],
}


@pytest.mark.parametrize(("name", "texts"), SAID.items(), ids=SAID)
def test_a_drawing_says(name, texts):
    found = drawn(name).texts

    assert [text for text in texts if text not in found] == []


COUNTED = {
    "decoder_only": {"residual": 2, "data": 11},
    "conformer": {"residual": 4},
    "parallel_branches": {"parallel": 6, "residual": 3},
    "mirror_skips": {"skip": 2},
    "skips_in_one": {"skip": 2},
    "dual_encoder": {"shared": 4},
    "several_sources": {"cross": 4, "weights": 1},
    "gated_cross": {"cross": 3},
    "flat_memory": {"cross": 5},
    "co_attention": {"cross": 2},
    "three_in_step": {"cross": 6},
    "merged_branches": {"parallel": 2, "weights": 1, "shared": 0},
}


@pytest.mark.parametrize(("name", "counts"), COUNTED.items(), ids=COUNTED)
def test_a_drawing_has_so_many_lines_of_a_kind(name, counts):
    drawing = drawn(name)

    assert {kind: len(of_class(drawing, kind)) for kind in counts} == counts


def test_one_set_applied_several_times_has_a_pink_pill():
    drawing = drawn("universal")
    label = dict(drawing.blocks)["cluster_encoder"]["label"]

    assert re.findall(r'BGCOLOR="(#\w+)".*?×(\d)', label) == [
        (theme.LIGHT.badge, "2"),
        (theme.LIGHT.shared, "3"),
    ]


def test_what_a_shared_layer_has_for_itself_is_said():
    drawing = parsed(
        diagram.draw(composer.graph(ROOT / "specs/patterns/shared_encoder_decoder.yaml"))
    )
    titles = {name: [*_texts(block["label"])] for name, block in drawing.blocks}

    assert titles["cluster_encoder"] == ["Encoder", "◆A", "layer", "×4"]
    assert titles["cluster_decoder"] == [
        "Decoder",
        "◆A",
        "layer",
        "its own:",
        "Cross-Attention",
        "×4",
    ]


THREE = """
composer: 1
name: three
inputs: {tokens: {kind: tokens, vocab_size: 9}}
decoders:
  decoder: {from: tokens, d_model: 8, num_layers: 3, attention: {num_heads: 2}}
connections:
  - shared: [PATHS]
outputs: {logits: {from: decoder, head: lm}}
"""


@pytest.mark.parametrize("part", ["", ".attention"])
def test_letters_stand_on_the_layers_that_share_and_on_no_other(part):
    paths = ", ".join(f"decoder.layers.{number}{part}" for number in (0, 1))
    drawing = parsed(diagram.draw(composer.graph(THREE.replace("PATHS", paths))))
    titles = {name: [*_texts(block["label"])] for name, block in drawing.blocks}
    boxes = {name: [*_texts(node.get("label"))] for name, node in drawing.nodes.items()}
    letter = ["◆A"]

    assert titles["cluster_decoder"] == ["Decoder", "×3"]
    assert titles["cluster_decoder.0"] == ["Layers 0, 1", *([] if part else letter), "×2"]
    assert titles["cluster_decoder.2"] == ["Layer 2", "×1"]
    assert ("◆A" in boxes["decoder.0.attention"]) == bool(part)
    assert "◆A" not in boxes["decoder.2.attention"]
    assert "shared parameters: same letter, one set" in drawing.texts


def test_commas_stand_between_the_signs_of_one_box():
    maps = "decoder.layers.*.attention"
    spec = THREE.partition("connections:")[0] + (
        "outputs: {logits: {from: decoder, head: lm}}\ncompress:\n"
        f"  - prune: {{on: {maps}, amount: 0.5}}\n"
        f"  - quantize: {{on: {maps}.q, scheme: int8_weight}}\n"
    )

    assert "50% zero, (int8)" in parsed(diagram.draw(composer.graph(spec))).texts


def test_layers_that_differ_in_their_positions_say_so_and_long_titles_are_wrapped():
    spec = (
        "composer: 1\nname: types\ninputs:\n  tokens: {kind: tokens, vocab_size: 9}\ndecoders:\n"
        "  a_long_language_decoder:\n    from: tokens\n    d_model: 8\n    num_layers: 2\n"
        "    attention: {num_heads: 2, qk_norm: rmsnorm, position: rope}\n"
        "    layer_types: [near, far]\n    types:\n      near: {attention: {window: 4}}\n"
        "      far: {attention: {position: {kind: rope, theta: 1e6}}}\n"
        "outputs:\n  logits: {from: a_long_language_decoder, head: lm}\n"
    )
    texts = parsed(diagram.draw(composer.graph(spec))).texts

    assert "2 heads × 4, QK norm, window 4, rotary" in texts
    assert "2 heads × 4, QK norm, causal, rotary θ 1 000 000" in texts
    assert [line for line in texts if line in {"A long", "language", "decoder"}] == [
        "A long", "language", "decoder",
    ]  # fmt: skip


@pytest.mark.parametrize("path", sorted((ROOT / "specs").glob("*.yaml")), ids=lambda p: p.stem)
def test_every_published_model_is_drawn_at_every_depth(path):
    model = composer.graph(path)
    sizes = [parsed(diagram.draw(model, depth=depth)).nodes for depth in (0, 1, 2)]

    assert len(sizes[0]) < len(sizes[1]) <= len(sizes[2])


def test_the_left_arm_of_a_u_runs_down():
    lines = {(tail, head): line for tail, head, line in drawn("mirror_skips").lines}

    assert lines["patches", "image"]["dir"] == "back"
    assert lines["pixels.head", "pixels"].get("dir") in {None, ""}


def test_depth_0_shows_stacks_as_boxes_and_depth_2_what_is_inside_their_branches():
    whole, inside = drawn("transformer", depth=0), drawn("transformer", depth=2)

    assert whole.blocks == []
    assert {"encoder.layers", "decoder.layers"} <= set(whole.nodes)
    assert {f"decoder.cross_attention.{part}" for part in "qkvo"} <= set(inside.nodes)
    assert {"encoder.feed_forward.up", "encoder.feed_forward.down"} <= set(inside.nodes)


def test_a_gated_feed_forward_shows_its_gate():
    inside = drawn("decoder_only", depth=2)

    assert {f"decoder.feed_forward.{part}" for part in ("gate", "up", "down")} <= set(inside.nodes)


def test_experts_are_one_box_at_every_depth():
    drawing = parsed(diagram.draw(composer.graph(ROOT / "specs/mixtral.yaml"), depth=2))

    assert "decoder.feed_forward" in drawing.nodes
    assert "decoder.attention.q" in drawing.nodes


@pytest.mark.parametrize("text", ["[B, 12, 768]", "[B, 1500, 1280]", "[B, 3·W//4, 12 288]"])
@pytest.mark.parametrize("beside", [entering, leaving])
def test_a_shape_in_a_block_ends_before_its_line(text, beside):
    place = beside(text)
    angle, distance = radians(abs(place["labelangle"])), 10 * place["labeldistance"]

    assert distance * sin(angle) > 0.5 * 4.5 * len(text)  # half the width of the text, in points
    assert distance * cos(angle) == pytest.approx(10.5, abs=0.1)


def test_a_long_shape_in_a_block_leaves_out_its_sums():
    shapes = [
        line[2].get(key)
        for line in parsed(diagram.draw(composer.graph(WAV2VEC2))).lines
        for key in TEXTS
    ]

    assert shapes.count("[B, …, 768]") == 2
    assert not [text for text in shapes if text and "320" in text]


def test_too_large_a_drawing_fits_at_a_lower_depth():
    assert diagram.fitting_depth(graph("three_in_step"), 2) == 1
    assert diagram.fitting_depth(graph("decoder_only"), 2) == 2


def test_a_change_of_resolution_is_wide_where_the_grid_is_large(tmp_path):
    class Halve(Component):
        """Every second step."""

        kind: str = "halve_for_test"
        role = "resample"

        def infer(self, inputs, place):
            made, axes, _ = super().infer(inputs, place)
            return made, axes, {"": (axes.batch, axes.time // 2, axes.d_model)}

    spec = tmp_path / "spec.yaml"
    spec.write_text(
        "composer: 1\nname: halve\ninputs:\n  frames: {kind: features, width: 4, length: 8}\n"
        "modules:\n  halved: {kind: halve_for_test, from: frames}\noutputs:\n  states: {from: halved}\n"
    )
    try:
        drawing = parsed(diagram.draw(composer.graph(spec)))
    finally:
        del KINDS["halve_for_test"]  # a monkeypatch would bring it back

    assert drawing.nodes["halved"]["shape"] == "trapezium"


def test_a_thousand_layers_are_drawn_as_ten(tmp_path):
    text = TRANSFORMER.read_text(encoding="utf-8")
    sizes = []
    for count in (10, 1000):
        path = tmp_path / "spec.yaml"
        path.write_text(text.replace("num_layers: 6", f"num_layers: {count}"), encoding="utf-8")
        sizes.append(len(diagram.draw(composer.graph(path)).splitlines()))

    assert sizes[0] == sizes[1]


def test_a_model_in_words():
    assert diagram.describe(graph("transformer")) == (
        "Transformer (base) (encoder-decoder) with 63.1 M parameters. encoder: 6 layers on source; "
        "decoder: 6 layers on target, attends to encoder; it returns logits."
    )


# The text of a drawing


@pytest.mark.parametrize("name", ["transformer", "gated_cross", "mirror_skips"])
def test_the_dot_is_the_golden_one(name, golden):
    golden(FOLDER / f"{name}.dot", diagram.draw(graph(name)))


@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.stem)
def test_nodes_lines_and_blocks_have_classes_tooltips_and_labels(path):
    drawing = parsed(diagram.draw(composer.graph(path)))
    visible = [line for line in drawing.lines if line[2].get("style") != "invis"]
    boxes = [n for n in drawing.nodes.values() if n["class"] not in {"junction", "anchor"}]

    assert all(node["class"] for node in drawing.nodes.values())
    assert all(line[2]["class"] for line in visible)
    assert all(block["class"] and block["tooltip"] for _, block in drawing.blocks)
    assert all(box["label"] and box["tooltip"] for box in boxes)


def test_tooltips_name_path_parameters_shape_and_place():
    tooltip = drawn("transformer").nodes["decoder.attention"]["tooltip"]

    assert re.fullmatch(
        r"decoder\.layers\.\*\.attention\\nattention, 1 050 624 parameters\\n"
        r"makes \[batch, target, 512\]\\ntransformer\.yaml:\d+",
        tooltip,
    )


def test_the_text_is_the_same_in_every_process_and_names_no_folder():
    code = (
        "import sys, composer\nfrom composer.targets.diagram import draw\n"
        "sys.stdout.write(''.join(draw(composer.graph(path)) for path in sys.argv[1:]))"
    )
    texts = {
        subprocess.run(
            [sys.executable, "-c", code, *map(str, SPECS)], check=True, capture_output=True,
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONIOENCODING": "utf-8"},
        ).stdout
        for seed in ("0", "1", "4242")
    }  # fmt: skip

    assert len(texts) == 1
    assert str(ROOT).encode() not in texts.pop()


def test_one_statement_stands_on_a_line():
    lines = diagram.draw(graph("several_sources")).splitlines()
    statement = re.compile(r"\s*(digraph .*\{|subgraph .*\{|.*;|\}|//.*|\{ rank=same; .* \})")

    assert [line for line in lines if not statement.fullmatch(line)] == []


@pytest.mark.parametrize("module", ["dot", "words"], ids=lambda name: name)
def test_examples_in_docstrings_hold(module):
    assert (
        doctest.testmod(importlib.import_module(f"composer.targets.diagram.{module}")).failed == 0
    )


# Colours


def luminance(color):
    channels = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, other):
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


GROUNDS = ("canvas", "block", "nested")


@pytest.mark.parametrize("colors", [theme.LIGHT, theme.DARK], ids=["light", "dark"])
def test_text_and_lines_stand_out_from_what_they_are_on(colors):
    fills = {fill for fill, _ in theme.BOXES.values()} | set(GROUNDS)
    texts = [*itertools.product(("title", "secondary"), fills)]
    lines = itertools.product(("data", *theme.LEGEND.keys() - {"data", "weights"}), GROUNDS)
    pills = itertools.product(("badge_text",), ("badge", "shared"))
    marks = itertools.product(("shared",), fills)
    pairs = [*texts, *lines, *pills, *marks]
    found = {pair: contrast(getattr(colors, pair[0]), getattr(colors, pair[1])) for pair in pairs}

    assert {pair: value for pair, value in found.items() if value < 4.5} == {}


def test_light_colours_differ_so_that_each_has_its_dark_one():
    light = theme.tokens(theme.LIGHT)

    assert len(set(light.values())) == len(light)
    assert light.keys() == theme.tokens(theme.DARK).keys()


# Rendering


@pytest.mark.parametrize("options", VARIANTS, ids=str)
@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.stem)
def test_graphviz_draws_it_without_a_warning(path, options, capfd):
    dot = diagram.draw(composer.graph(path), **options)
    if DOT is not None:
        done = subprocess.run([DOT, "-Tsvg"], input=dot.encode(), capture_output=True, check=True)
        assert done.stderr.decode() == ""
    pygraphviz.AGraph(string=dot).draw(format="svg", prog="dot")

    said = capfd.readouterr().err.splitlines()  # Fontconfig may complain of the machine
    assert [line for line in said if "Fontconfig" not in line] == []


@pytest.fixture(params=["dot", "pygraphviz"])
def engine(request, monkeypatch):
    """Each of the two engines, as if it were the only one."""
    monkeypatch.delenv("COMPOSER_DOT", raising=False)
    if request.param == "pygraphviz":
        monkeypatch.setenv("PATH", "")
    elif DOT is None:
        pytest.skip("no dot on this machine")
    return request.param


@pytest.mark.parametrize(
    ("fmt", "start"), [("svg", b"<?xml"), ("png", b"\x89PNG"), ("pdf", b"%PDF")]
)
def test_every_engine_makes_every_format(engine, fmt, start):
    assert diagram.render(diagram.draw(graph("decoder_only")), fmt).startswith(start)


def test_an_svg_has_alternative_text_fonts_and_tooltips_but_no_links(engine):
    model = graph("transformer")
    svg = diagram.render(diagram.draw(model), "svg")
    root = ET.fromstring(svg)
    titles = [title.text for title in root.iter("{http://www.w3.org/2000/svg}title")]

    assert (root.get("role"), root.get("aria-label")) == ("img", diagram.describe(model))
    assert any((title or "").startswith("decoder.layers.*.attention\n") for title in titles)
    assert theme.FONT_STACK in svg.decode()
    assert b"href" not in svg
    assert list(root.iter("{http://www.w3.org/2000/svg}a")) == []


def test_one_svg_serves_both_themes(engine):
    dot = diagram.draw(graph("transformer"), theme="auto")
    svg = diagram.render(dot, "svg", theme="auto").decode()
    root = ET.fromstring(svg)
    used = {e.get(a) for e in root.iter() for a in ("fill", "stroke")} - {
        None,
        "none",
        "transparent",
    }
    given = set(re.findall(r'\[(?:fill|stroke)="([^"]+)"\]', svg))

    assert used - given == set()
    assert "prefers-color-scheme:dark" in svg
    assert "[data-theme=dark] svg.composer" in svg
    assert (
        root.find(".//{http://www.w3.org/2000/svg}g/{http://www.w3.org/2000/svg}polygon[@points]")
        is not None
    )
    assert dot == diagram.draw(graph("transformer"))


def test_a_canvas_is_drawn_in_one_theme_and_not_in_both():
    dot = diagram.draw(graph("decoder_only"))
    canvas = re.compile(r'<polygon fill="(?:#ffffff|white)" stroke="(?:transparent|none)"')

    assert canvas.search(diagram.render(dot, "svg").decode())
    assert not canvas.search(diagram.render(dot, "svg", theme="auto").decode())


def test_without_any_engine_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("COMPOSER_DOT", raising=False)
    monkeypatch.setitem(sys.modules, "pygraphviz", None)
    with pytest.raises(diagram.DrawingError) as caught:
        diagram.render("digraph {}", "svg")

    assert caught.value.code == "D301"
    assert str(caught.value).startswith(
        "no Graphviz was found\n      = fix: pip install pygraphviz"
    )


def test_composer_dot_names_the_program(tmp_path, monkeypatch):
    program = tmp_path / "my dot"
    program.write_text('#!/bin/sh\ncat > /dev/null\nprintf %s "$*"\n')
    program.chmod(0o755)
    monkeypatch.setenv("COMPOSER_DOT", str(program))

    assert diagram.render("digraph {}", "png") == b"-Tpng -Gdpi=144"


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("echo 'syntax error in line 1' >&2; exit 1", "failed: syntax error in line 1"),
        ("exit 3", "failed: 3"),
        ("exec sleep 30", "took longer than 0.2 seconds"),
        (None, "cannot run"),
    ],
)
def test_a_program_that_fails_is_an_error(tmp_path, monkeypatch, script, message):
    program = tmp_path / "dot"
    if script is not None:
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
    monkeypatch.setenv("COMPOSER_DOT", str(program))
    monkeypatch.setattr(rendering, "SECONDS", 0.2)

    with pytest.raises(diagram.DrawingError, match=re.escape(message)):
        diagram.render("digraph {}", "svg")


# Text that tries to break out


HOSTILE = {
    "quotes": "\"quoted\" 'and' `more`",
    "markup": "<script>alert(1)</script>",
    "table": "</TD></TR></TABLE>>];} digraph { x -> y",
    "entity": "&lt; & &amp; &#60;script&#62; &nosuch;",
    "backslash": '\\N \\G \\l \\" \\\\ end\\',
    "long": "long " * 2000,
    "right to left": "נתונים \u202eevil\u202c العربية",
    "emoji": "👩‍🔬 ünicode 👍🏽",
    "controls": "a\x00b\x07c\x1bd\u2028e\ufffef",
    "surrogate": "half \ud800 pair",
    "lines": "one\ntwo\r\nthree\ttab",
    "attributes": '" URL="javascript:alert(1)" image="/etc/passwd',
    "empty": "",
    "blank": " \u200b ",
}


def hostile_graph(text, monkeypatch):
    """A model whose title, name, file and a component's label are `text`."""
    monkeypatch.setattr(FeedForward, "label", lambda self, axes: Label(text, text))
    model = graph("transformer")
    return replace(model, title=text, name=text or "x", file=f"{text}.yaml")


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_no_text_changes_the_structure(text, monkeypatch):
    wanted = parsed(diagram.draw(graph("transformer")))
    found = parsed(diagram.draw(hostile_graph(text, monkeypatch)))

    assert list(found.nodes) == list(wanted.nodes)
    assert [line[:2] for line in found.lines] == [line[:2] for line in wanted.lines]
    assert [name for name, _ in found.blocks] == [name for name, _ in wanted.blocks]
    for node, attributes in found.nodes.items():
        assert attributes["class"] == wanted.nodes[node]["class"]
        assert not attributes.get("URL")
        assert not attributes.get("image")


def test_a_file_may_be_called_anything(tmp_path, engine):
    path = tmp_path / 'a "b" <c> & \\N {d}.yaml'
    path.write_bytes((FOLDER / "decoder_only.yaml").read_bytes())
    svg = diagram.render(diagram.draw(composer.graph(path)), "svg")
    titles = [title.text for title in ET.fromstring(svg).iter("{http://www.w3.org/2000/svg}title")]

    assert any((title or "").endswith(f"\n{path.name}:9") for title in titles)


@pytest.mark.parametrize("options", [{}, {"depth": 2}, {"direction": "right"}], ids=str)
@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_no_text_breaks_the_svg(text, options, engine, monkeypatch, capfd):
    dot = diagram.draw(hostile_graph(text, monkeypatch), **options)
    svg = diagram.render(dot, "svg", theme="auto")
    root = ET.fromstring(svg)
    names = {element.tag.rpartition("}")[2] for element in root.iter()}
    attributes = {name for element in root.iter() for name in element.attrib}

    assert names <= {"svg", "style", "g", "title", "polygon", "path", "text", "ellipse", "polyline"}
    assert not {name for name in attributes if "href" in name or name.startswith("on")}
    assert [e for e in capfd.readouterr().err.splitlines() if "Fontconfig" not in e] == []


@pytest.mark.parametrize("engine_of", ["dot", "pygraphviz"])
def test_text_is_shown_as_it_was_written(engine_of, monkeypatch):
    if engine_of == "pygraphviz":
        monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("COMPOSER_DOT", raising=False)
    shown = 'a<b> & "c" \\N &lt; d'
    svg = diagram.render(diagram.draw(replace(graph("decoder_only"), title=shown)), "svg")
    root = ET.fromstring(svg)

    assert shown in [text.text for text in root.iter("{http://www.w3.org/2000/svg}text")]
    assert root.get("aria-label").startswith(f"{shown} (decoder-only)")


def test_words_of_dot_may_be_names(tmp_path):
    path = tmp_path / "spec.yaml"
    path.write_text(
        "composer: 1\nname: digraph\n"
        "defaults: {d_model: 8, num_layers: 2, attention: {num_heads: 2}}\n"
        "inputs:\n  edge: {kind: tokens, vocab_size: 9}\n  Digraph: {kind: tokens, vocab_size: 9}\n"
        "encoders:\n  node: {from: edge}\ndecoders:\n  graph: {from: Digraph}\n"
        "connections:\n  - cross: {from: node, to: graph}\noutputs:\n  strict: {from: graph}\n"
    )
    drawing = parsed(diagram.draw(composer.graph(path)))

    assert {"edge", "Digraph", "node.attention", "graph.cross_attention", "strict"} <= set(
        drawing.nodes
    )
