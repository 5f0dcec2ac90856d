"""The fence for MkDocs: a block becomes a drawing, and a mistake ends the build."""

from __future__ import annotations

from pathlib import Path

import pytest

markdown = pytest.importorskip("markdown")
superfences = pytest.importorskip("pymdownx.superfences")

from composer.integrations.mkdocs import fence, validate  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
TINY = (ROOT / "specs/patterns/tiny_lm.yaml").read_text(encoding="utf-8")


def converted(text):
    fences = [
        {"name": "composer", "class": "composer-drawing", "format": fence, "validator": validate}
    ]
    made = markdown.Markdown(
        extensions=["pymdownx.superfences"],
        extension_configs={"pymdownx.superfences": {"custom_fences": fences}},
    )
    return made.convert(text)


def test_a_block_is_drawn():
    page = converted(f"# Page\n\n```composer\n{TINY}```\n\nEnd.")

    assert '<div class="composer-drawing"><svg' in page
    assert "[data-md-color-scheme=slate] svg.composer" in page
    assert "<p>End.</p>" in page


def test_a_path_is_drawn_with_the_options_of_draw(monkeypatch):
    monkeypatch.chdir(ROOT)
    page = converted(
        "```{.composer depth=0 direction=right alt='Mine' set='decoder.num_layers=3'}\n"
        "specs/patterns/tiny_lm.yaml\n```"
    )

    assert 'aria-label="Mine"' in page
    assert "×3" in page
    assert "block repeat" not in page


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"```composer\n{TINY.replace('num_layers', 'num_layer')}```", "did you mean 'num_layers'"),
        ("```{.composer depth=7}\nspecs/x.yaml\n```", "depth is 0, 1 or 2"),
        ("```composer\nmissing.yaml\n```", "cannot read 'missing.yaml'"),
    ],
)
def test_a_mistake_ends_the_build(text, said):
    with pytest.raises(superfences.SuperFencesException, match=said):
        converted(text)
