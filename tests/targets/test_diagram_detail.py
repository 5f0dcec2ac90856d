"""Full detail, signs of what is frozen, stacks at depths of their own, and columns that turn."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

import composer
from composer.targets import diagram
from composer.targets.diagram import theme
from composer.targets.diagram.turns import Seam, turns_at
from tests.targets.test_diagram import FOLDER, ROOT, contrast, of_class, parsed

TRANSFORMER = ROOT / "specs/transformer.yaml"
FROZEN = TRANSFORMER.read_text(encoding="utf-8") + "\nfreeze: {parts: [encoder.layers, %s]}\n"


def drawn(spec, **options):
    return parsed(diagram.draw(composer.graph(spec), **options))


# Full detail


def test_full_detail_shows_dropout_masks_and_options():
    plain, full = drawn(TRANSFORMER), drawn(TRANSFORMER, detail="full")

    assert set(plain.nodes) < set(full.nodes)
    assert {name for name in full.nodes if name.endswith(".dropout")} == {
        "encoder.attention.dropout",
        "encoder.feed_forward.dropout",
        "decoder.attention.dropout",
        "decoder.cross_attention.dropout",
        "decoder.feed_forward.dropout",
    }
    assert "mask: causal, padding (target_mask)" in full.texts
    assert full.texts.count("mask: padding (source_mask)") == 2  # the encoder's, and the cross
    assert "dropout 0.1" in full.texts
    assert not [text for text in plain.texts if text.startswith("mask")]


def test_full_detail_inside_shows_how_heads_are_split():
    texts = drawn(TRANSFORMER, detail="full", depth=2).texts

    assert "[…, 512] → [8, …, 64]" in texts
    assert "[8, …, 64] → […, 512] first" in texts
    assert "softmax(q kᵀ + mask) v" in texts


def test_options_that_a_label_says_are_not_said_again():
    full = drawn(ROOT / "specs/gemma2.yaml", detail="full")
    said = [text for text in full.texts if text.startswith("bias false")]

    assert said.count("bias false, qk_scale 0.0625, softcap 50") == 2
    assert not [text for text in full.texts if "num_heads" in text or "d_ff" in text]


# Frozen


def test_frozen_layers_have_their_sign_on_the_block_and_others_on_their_box():
    drawing = drawn(FROZEN % "decoder.layers.*.feed_forward")
    blocks = dict(drawing.blocks)

    assert "❄" in blocks["cluster_encoder"]["label"]
    assert blocks["cluster_encoder"]["color"] == theme.LIGHT.frozen
    assert "❄" not in blocks["cluster_decoder"]["label"]
    signed = {name for name, node in drawing.nodes.items() if "❄" in (node.get("label") or "")}
    assert signed == {"decoder.feed_forward"}
    assert drawing.nodes["decoder.feed_forward"]["color"] == theme.LIGHT.frozen
    assert "frozen; (❄) in part" in drawing.texts


def test_what_is_frozen_in_part_says_so():
    drawing = drawn(FROZEN % "decoder.layers.0.feed_forward", depth=0)

    assert "❄" in drawing.texts
    assert "(❄)" in drawing.texts
    assert drawing.nodes["encoder.layers"]["color"] == theme.LIGHT.frozen
    assert drawing.nodes["decoder.layers"]["color"] != theme.LIGHT.frozen


def test_nothing_frozen_has_no_sign_and_no_legend_of_it():
    assert "❄" not in diagram.draw(composer.graph(TRANSFORMER))


def test_the_drawing_of_a_model_with_frozen_parts_is_the_golden_one(golden):
    golden(FOLDER / "frozen.dot", diagram.draw(composer.graph(ROOT / "specs/bert2gpt.yaml")))


@pytest.mark.parametrize("colors", [theme.LIGHT, theme.DARK], ids=["light", "dark"])
def test_signs_stand_out_from_what_they_are_on(colors):
    fills = {fill for fill, _ in theme.BOXES.values()} | {"canvas", "block", "nested"}

    assert min(contrast(colors.frozen, getattr(colors, fill)) for fill in fills) >= 4.5


# Depths of single stacks


@pytest.mark.parametrize(
    ("depths", "there", "gone"),
    [
        ({"encoder": 0}, {"encoder.layers", "decoder.attention"}, {"encoder.attention"}),
        ({"decoder": 0}, {"decoder.layers", "encoder.attention"}, {"decoder.attention"}),
        ({"encoder": 2}, {"encoder.attention.q", "decoder.attention"}, {"encoder.attention"}),
    ],
    ids=["encoder-0", "decoder-0", "encoder-2"],
)
def test_a_stack_has_a_depth_of_its_own(depths, there, gone):
    drawing = drawn(TRANSFORMER, depths=depths)

    assert there <= set(drawing.nodes)
    assert not gone & set(drawing.nodes)
    assert len(of_class(drawing, "cross")) >= 2


# Columns that turn


def test_a_tall_column_goes_on_beside_itself_and_a_short_one_does_not():
    tall, short = drawn(ROOT / "specs/gemma2.yaml"), drawn(ROOT / "specs/gpt2.yaml")

    assert "decoder.1.in foot" in tall.nodes
    assert not [name for name in short.nodes if name.endswith(" foot")]
    assert not [
        name for name in drawn(ROOT / "specs/gemma2.yaml", direction="right").nodes
        if name.endswith(" foot")
    ]  # fmt: skip


def test_columns_turn_where_least_is_cut_apart():
    seams = [Seam("branch", 10, 2), Seam("kind", 12, 1), Seam("part", 20, 0)]

    assert turns_at(seams, 18) == frozenset()
    assert turns_at(seams, 24) == {"kind"}
    assert turns_at([], 60) == frozenset()


# Bounds


def test_the_text_is_the_same_for_every_hash_seed_at_every_depth():
    code = (
        "import sys, composer\nfrom composer.targets.diagram import draw\n"
        "for path in sys.argv[1:]:\n for depth in (0, 1, 2):\n"
        "  print(draw(composer.graph(path), depth=depth, detail='full'))"
    )
    paths = [*sorted((ROOT / "specs").glob("*.yaml")), *(ROOT / "specs/patterns").glob("*.yaml")]
    texts = {
        subprocess.run(
            [sys.executable, "-c", code, *map(str, paths)], check=True, capture_output=True,
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8"},
        ).stdout
        for seed in ("0", "17")
    }  # fmt: skip

    assert len(texts) == 1


def chain(length):
    """The text of a spec of so many modules that all differ from those beside them."""
    names = ["frames", *(f"m{i}" for i in range(length))]
    modules = [
        f"  {name}: {{kind: project, from: {before}, d_model: {8 + index % 5}}}"
        for index, (before, name) in enumerate(zip(names, names[1:], strict=False))
    ]
    head = "composer: 1\nname: many\ninputs:\n  frames: {kind: features, width: 8}\nmodules:\n"
    return head + "\n".join(modules) + f"\noutputs:\n  states: {{from: {names[-1]}}}\n"


def test_a_thousand_nodes_are_drawn_in_ten_seconds(tmp_path: Path):
    graph = composer.graph(chain(1000))
    start = time.monotonic()
    svg = diagram.render(diagram.draw(graph, depth=diagram.fitting_depth(graph)), "svg")

    assert time.monotonic() - start < 10
    assert svg.decode().count('class="node projection"') == 1000


@pytest.mark.skipif(shutil.which("dot") is None, reason="no dot on this machine")
def test_the_pill_of_a_title_of_several_lines_is_as_high_as_any_other():
    dot = diagram.draw(composer.graph(ROOT / "specs/gemma2.yaml"))
    svg = diagram.render(dot, "svg").decode()
    paths = re.findall(rf'<path fill="{theme.LIGHT.badge}"[^>]* d="([^"]*)"', svg, re.IGNORECASE)
    heights = [
        max(ys) - min(ys)
        for ys in ([float(y) for y in re.findall(r"-?[\d.]+,(-?[\d.]+)", path)] for path in paths)
    ]

    assert len(heights) == 3
    assert max(heights) - min(heights) <= 3
