"""Every mistake and the exact message that it must get: NAME.yaml and NAME.txt, folder by folder.

A first line such as `# --size large --set decoder.num_layers=3` says how the spec is read.
`pytest tests/errors --update` rewrites the messages; review reads the difference.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

import composer
from composer.diagnostics import SpecError

HERE = Path(__file__).parent
CASES = sorted(path.relative_to(HERE).as_posix() for path in HERE.glob("*/*.yaml"))


def refused(case: str) -> SpecError:
    """What is said of a case; it is read from here, so that no message names another folder."""
    first = Path(case).read_text(encoding="utf-8").partition("\n")[0]
    words = shlex.split(first[2:]) if first.startswith("# --") else []
    pairs = list(zip(words[::2], words[1::2], strict=True))
    size = next((value for option, value in pairs if option == "--size"), None)
    overrides = [value for option, value in pairs if option == "--set"]
    with pytest.raises(SpecError) as caught:
        composer.graph(case, size=size, overrides=overrides)
    return caught.value


@pytest.mark.parametrize("case", CASES)
def test_a_mistake_gets_its_message(case, golden, monkeypatch):
    monkeypatch.chdir(HERE)
    golden(HERE / Path(case).with_suffix(".txt"), f"{refused(case)}\n")


@pytest.mark.parametrize("case", CASES)
def test_every_problem_has_a_place_and_no_word_of_python(case, monkeypatch):
    monkeypatch.chdir(HERE)
    for problem in refused(case).problems:
        assert problem.span is not None
        assert problem.span.text
        text = " ".join([problem.message, problem.fix or "", *(n.message for n in problem.notes)])
        assert not re.search(r"\b(None|True|False|Traceback|dict|tuple|NoneType|invalid)\b", text)


def test_every_code_has_a_mistake():
    root = HERE.parents[1] / "composer"
    written = {
        code
        for stage in ("language", "graph")
        for path in (root / stage).glob("*.py")
        if not path.stem.startswith("yaml_") and path.stem != "load"
        for code in re.findall(r'"([CGS]\d{3})"', path.read_text(encoding="utf-8"))
    }
    shown = {
        code
        for path in HERE.glob("*/*.txt")
        for code in re.findall(r"error\[(\w+)\]", path.read_text(encoding="utf-8"))
    }

    assert sorted(written - shown) == []
