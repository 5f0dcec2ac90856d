"""The Sphinx extension: drawings in pages, words elsewhere, errors at their line."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest

import composer
from composer.targets import diagram

pytest.importorskip("sphinx")
pytest.importorskip("myst_parser")

ROOT = Path(__file__).resolve().parents[2]
TINY = (ROOT / "specs/patterns/tiny_lm.yaml").read_text(encoding="utf-8")
INLINE = f"```{{composer}}\n:depth: 2\n{TINY}```"


@pytest.fixture
def build(tmp_path):
    """Builds one page in MyST: the page as it was written, and the warnings."""
    from sphinx.application import Sphinx
    from sphinx.util.docutils import docutils_namespace, patch_docutils

    def call(text, builder="html"):
        source, out = tmp_path / "docs", tmp_path / builder
        source.mkdir(exist_ok=True)
        (tmp_path / "specs").mkdir(exist_ok=True)
        (tmp_path / "specs/tiny.yaml").write_text(TINY, encoding="utf-8")
        (source / "conf.py").write_text(
            "extensions = ['myst_parser', 'composer.integrations.sphinx']\n"
        )
        (source / "index.md").write_text(f"# Page\n\n{text}\n", encoding="utf-8")
        warnings = io.StringIO()
        with patch_docutils(str(source)), docutils_namespace():
            app = Sphinx(
                str(source), str(source), str(out), str(tmp_path / "trees"), builder,
                status=None, warning=warnings,
            )  # fmt: skip
            app.build(force_all=True)
        (page,) = out.glob("index.*")
        return page.read_text(encoding="utf-8"), warnings.getvalue(), app

    return call


def test_a_file_is_drawn_for_both_themes_with_words_made_from_the_graph(build):
    page, warnings, app = build("```{composer} ../specs/tiny.yaml\n:caption: A *small* one\n```")
    words = diagram.describe(composer.graph(TINY))

    assert warnings == ""
    assert page.count("<svg") == 1
    assert f'aria-label="{words}"' in page
    assert "[data-theme=dark] svg.composer" in page
    assert "A <em>small</em> one" in page
    assert words not in re.sub(r"<svg.*?</svg>", "", page, flags=re.DOTALL)
    assert any("tiny.yaml" in str(name) for name in app.env.dependencies["index"])


def test_a_block_is_a_spec_too_and_options_are_those_of_draw(build):
    page, warnings, _ = build(INLINE)
    shallow, _, _ = build(INLINE.replace(":depth: 2", ":depth: 0\n:direction: right\n:alt: Mine"))
    fewer, _, _ = build(INLINE.replace(":depth: 2", ":set: decoder.num_layers=3\n:theme: dark"))

    assert warnings == ""
    assert "softmax(q k" in page
    assert "softmax(q k" not in shallow
    assert 'aria-label="Mine"' in shallow
    assert "×3" in fewer
    assert "#3b2313" in fewer.lower()


def test_where_pages_are_no_html_the_words_stand(build):
    page, warnings, _ = build("```{composer} ../specs/tiny.yaml\n```", "text")

    assert warnings == ""
    assert "Tiny language model (decoder-only) with" in page
    assert "<svg" not in page


def test_the_role_draws_within_a_line(build):
    page, warnings, _ = build("See {composer}`../specs/tiny.yaml` here.")

    assert warnings == ""
    assert re.search(
        r'<p>See <span class="composer-drawing"><svg.*</svg></span> here\.</p>', page, re.DOTALL
    )


def test_drawings_of_one_page_have_no_ids(build):
    page, _, _ = build(f"{INLINE}\n\n{INLINE}")

    svgs = "".join(re.findall(r"<svg.*?</svg>", page, re.DOTALL))
    assert svgs.count("<svg") == 2
    assert ' id="' not in svgs


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (INLINE.replace("num_layers", "num_layer"), "did you mean 'num_layers'?"),
        ("```{composer} missing.yaml\n```", "cannot read"),
        ("```{composer} ../specs/tiny.yaml\n:depth: 3\n```", "depth is 0, 1 or 2"),
        ("```{composer} ../specs/tiny.yaml\nname: x\n```", "and not both"),
        ("{composer}`missing.yaml`", "cannot read"),
    ],
    ids=["spec", "file", "option", "both", "role"],
)
def test_a_mistake_is_a_warning_at_its_line(build, text, said):
    _, warnings, _ = build(text)

    assert said in warnings
    assert re.search(r"index\.md:[34]:? ", warnings)
