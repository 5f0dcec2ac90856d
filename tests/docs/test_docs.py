"""Every block of code in README and docs does what it says.

A page is read from top to bottom, in a folder with `specs` and `examples`:

- `yaml` that starts with `composer: 1` becomes `model.yaml` and must be right; where the next block
  is `text` that starts with `model.yaml:`, it must be refused with exactly that text instead;
- other `yaml` must be YAML;
- `python` runs, all blocks of a page in one namespace;
- `py` stands as it is in the source that composer emits for `model.yaml`;
- `console` runs each line that starts with `$ composer`; other lines must be in what it prints.
"""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

import composer
from composer.cli import main
from composer.components import KINDS
from composer.targets import diagram

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(
    page
    for page in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    if not {"_build", "_generated", "decisions"} & set(page.relative_to(ROOT).parts)
)
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    language: str
    text: str
    line: int
    after: str  # the text of the block that follows


def blocks_of(page: Path) -> Iterator[Block]:
    text = page.read_text(encoding="utf-8")
    found = list(FENCE.finditer(text))
    for index, match in enumerate(found):
        after = found[index + 1][2] if index + 1 < len(found) else ""
        yield Block(match[1], match[2], text.count("\n", 0, match.start()) + 2, after)


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    """A folder for a page; the plugins that the page loads are gone after it."""
    for name in ("specs", "examples"):
        (tmp_path / name).symlink_to(ROOT / name)
    monkeypatch.chdir(tmp_path)
    kinds, modules = dict(KINDS), set(sys.modules)
    yield
    for name in [name for name in sys.modules if name.startswith("composer_plugin_")]:
        if name not in modules:
            del sys.modules[name]
    KINDS.clear()
    KINDS.update(kinds)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_blocks_do_what_they_say(page, workplace, capfd):
    namespace: dict[str, object] = {"__name__": "__docs__"}
    for block in blocks_of(page):
        if block.language == "yaml":
            check_yaml(block)
        elif block.language == "python":
            code = "\n" * (block.line - 1) + block.text  # so that a traceback names the line
            exec(compile(code, str(page), "exec"), namespace)
        elif block.language == "py":
            assert block.text in composer.source("model.yaml")
        elif block.language == "console":
            check_console(block, capfd)


def check_yaml(block: Block) -> None:
    if not block.text.startswith("composer: 1"):
        yaml.safe_load(block.text)
        return
    Path("model.yaml").write_text(block.text, encoding="utf-8")
    if not block.after.startswith("model.yaml:"):
        composer.graph("model.yaml")
        return
    with pytest.raises(composer.SpecError) as refused:
        composer.graph("model.yaml")
    assert block.after.strip() == str(refused.value)


def check_console(block: Block, capfd: pytest.CaptureFixture[str]) -> None:
    printed = ""
    for line in block.text.splitlines():
        if line.startswith("$ "):
            command, *arguments = shlex.split(line.removeprefix("$ "))
            assert command == "composer", f"line {block.line}: only composer runs here"
            capfd.readouterr()
            status = main(arguments)
            printed = "".join(capfd.readouterr())
            assert status == 0, f"{line}\n{printed}"
        elif line.strip() != "...":
            assert line.strip() in printed


def test_every_page_is_tested():
    tested = [page for page in PAGES if any(blocks_of(page))]

    assert ROOT / "README.md" in tested
    assert ROOT / "docs" / "tutorial.md" in tested
    assert ROOT / "docs" / "patterns.md" in tested


LINK = re.compile(r"\]\(([^)\s]+)\)")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_within_the_repository_lead_somewhere(page):
    """Pages that a build of the site makes are checked by that build."""
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    links = [link.partition("#") for link in LINK.findall(text) if "://" not in link]
    missing = [path for path, _, _ in links if path and not (page.parent / path).exists()]
    headings = {anchor_of(line) for line in text.splitlines() if line.startswith("#")}
    wrong = [anchor for path, _, anchor in links if not path and anchor not in headings]

    assert (missing, wrong) == ([], [])


def anchor_of(heading: str) -> str:
    """The anchor that a heading gets."""
    words = heading.lstrip("# ").strip().lower()
    return re.sub(r"[^\w\- ]", "", words).replace(" ", "-")


def test_the_drawing_in_the_readme_is_that_of_the_spec():
    drawn = diagram.draw(composer.graph(ROOT / "specs" / "transformer.yaml"))
    fresh = diagram.render(drawn, "svg").decode()
    committed = (ROOT / "docs" / "images" / "transformer.svg").read_text(encoding="utf-8")

    assert sorted(words_of(committed)) == sorted(words_of(fresh))


def words_of(svg: str) -> list[str]:
    """What is written in a drawing; where it stands depends on the version of Graphviz."""
    return re.findall(r"<text[^>]*>([^<]*)<", svg)
