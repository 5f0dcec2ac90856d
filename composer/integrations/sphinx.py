"""The Sphinx extension: drawings of specs within pages.

    extensions = ["composer.integrations.sphinx"]

In MyST, and likewise in reStructuredText:

    ```{composer} specs/transformer.yaml
    :depth: 0
    :direction: right
    ```

Without a path, the spec is the text of the block. The options are those of `composer draw`:
`theme`, `depth`, `direction`, `size` and `set`; `alt` and `caption` are texts of one's own. The
role {composer}`specs/tiny.yaml` draws the stacks of a spec within a line.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective, SphinxRole

from composer.diagnostics import SpecError
from composer.language.variants import files_of
from composer.targets.diagram import DrawingError

from .inline import Drawing, depth_of, direction_of, overrides_of, theme_of


class ComposerDirective(SphinxDirective):
    """The drawing of a spec, from a file or from the block itself."""

    has_content = True
    optional_arguments = 1
    final_argument_whitespace = True
    option_spec: ClassVar[dict[str, Any]] = {
        "theme": theme_of,
        "depth": depth_of,
        "direction": direction_of,
        "size": directives.unchanged_required,
        "set": overrides_of,
        "alt": directives.unchanged_required,
        "caption": directives.unchanged_required,
        "name": directives.unchanged_required,
    }

    def run(self) -> list[nodes.Node]:
        """The drawing, in a figure where it has a caption."""
        if bool(self.arguments) == bool(self.content):
            raise self.error("composer wants the path of a spec, or its text, and not both")
        given = {key: self.options[key] for key in self.options.keys() - {"caption", "name", "set"}}
        drawing = Drawing(overrides=self.options.get("set", ()), **given)
        try:
            shown, alt = drawing.svg(self._spec())
        except (SpecError, DrawingError) as error:
            text = nodes.literal_block("", str(error))
            return [self.state.document.reporter.error(str(error), text, line=self.lineno)]
        html = nodes.raw("", f'<div class="composer-drawing">{shown}</div>', format="html")
        return [self._figure(_for_each_builder(html, nodes.paragraph("", alt)))]

    def _spec(self) -> Path | str:
        if not self.arguments:
            return "\n".join(self.content)
        path = Path(self.env.relfn2path(self.arguments[0])[1])
        _depend(self.env, path)
        return path

    def _figure(self, drawn: Sequence[nodes.Node]) -> nodes.Node:
        figure = nodes.figure("", *drawn)
        if "caption" in self.options:
            texts, messages = self.state.inline_text(self.options["caption"], self.lineno)
            figure += [nodes.caption("", "", *texts), *messages]
        self.set_source_info(figure)
        self.add_name(figure)
        return figure


class ComposerRole(SphinxRole):
    """The stacks of a spec from left to right, within a line."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        """The drawing, or what is wrong with the spec."""
        path = Path(self.env.relfn2path(self.text)[1])
        _depend(self.env, path)
        try:
            shown, alt = Drawing(depth=0, direction="right").svg(path)
        except (SpecError, DrawingError) as error:
            message = self.inliner.reporter.error(str(error), line=self.lineno)
            return [self.inliner.problematic(self.rawtext, self.rawtext, message)], [message]
        html = nodes.raw("", f'<span class="composer-drawing">{shown}</span>', format="html")
        return _for_each_builder(html, nodes.inline("", alt)), []


def _for_each_builder(html: nodes.Node, other: nodes.Node) -> list[nodes.Node]:
    """A drawing where pages are HTML, words elsewhere."""
    return [addnodes.only("", html, expr="html"), addnodes.only("", other, expr="not html")]


def _depend(env: Any, path: Path) -> None:  # noqa: ANN401 - Sphinx's environment
    """Lets a page be built anew when the spec, or what it extends, changes."""
    try:
        files = files_of(path)
    except SpecError:
        files = [path]
    for file in files:
        env.note_dependency(str(file))


def setup(app: Sphinx) -> dict[str, object]:
    """Registers the directive and the role."""
    app.add_directive("composer", ComposerDirective)
    app.add_role("composer", ComposerRole())
    return {"parallel_read_safe": True, "parallel_write_safe": True}
