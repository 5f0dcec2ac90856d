"""Sphinx's configuration. The reference and the gallery are made anew before each build."""

from __future__ import annotations

import sys
from importlib.metadata import version as version_of
from pathlib import Path

from sphinx.application import Sphinx

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import gallery  # noqa: E402 - beside this file
import numbers_table  # noqa: E402
import reference  # noqa: E402

project = "composer"
author = "The composer authors"
project_copyright = author
release = version = version_of("graph-composer")

extensions = ["myst_parser", "composer.integrations.sphinx"]
myst_enable_extensions = ["attrs_inline", "deflist"]
myst_heading_anchors = 3
smartquotes = False  # it would make one dash of `--size`
exclude_patterns = ["_build", "_generated"]

html_theme = "furo"
html_title = "composer"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False


def make_pages(app: Sphinx) -> None:
    """Writes what the pages include into docs/_generated."""
    del app
    reference.write(HERE / "_generated")
    numbers_table.write(HERE.parent / "specs", HERE / "_generated")
    gallery.write(HERE.parent / "specs", HERE / "_generated")


def setup(app: Sphinx) -> None:
    """Makes the generated pages once a build has its configuration, before it reads any page."""
    app.connect("builder-inited", make_pages)
