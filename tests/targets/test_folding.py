"""Folding keeps what a definition computes."""

from __future__ import annotations

import textwrap

import pytest

from composer.targets.source.folding.facts import PRESENT, Uses
from composer.targets.source.folding.fold import fold

LOOP = """for step in range(x):
        x = x + 1 if mask is None else x * mask
        if step > 0:
            mask = step
    return x"""


def folded(text: str, **facts: object) -> str:
    return fold(textwrap.dedent(text).lstrip(), Uses({"forward": facts}))


def results(source: str, *arguments: object) -> object:
    names: dict[str, object] = {}
    exec(source, names)  # text of our own making
    return names["forward"](*arguments)


def test_a_parameter_that_nobody_gives_is_folded_away():
    text = """
    def forward(x: int, mask: int | None = None) -> int:
        if mask is not None:
            x = x * mask
        return x
    """

    assert folded(text, mask=None) == "def forward(x: int) -> int:\n    return x\n"


@pytest.mark.parametrize(
    "body",
    [
        "if x > 2:\n        mask = 3\n    return x if mask is None else x * mask",
        "if x > 2:\n        mask = 3\n    if mask is not None:\n        x = x * mask\n    return x",
        LOOP,
        "if mask is None:\n        mask = x\n    return x * mask",
        "mask = x if mask is None else mask\n    x = x * mask\n    return x",
        "if x > 2:\n        mask, x = 3, x + 1\n    return (x, mask)",
    ],
)
def test_a_parameter_that_is_assigned_anew_keeps_its_value(body):
    text = f"def forward(x: int, mask: int | None = None):\n    {body}\n"
    made = folded(text, mask=None)

    for x in range(6):
        assert results(made, x) == results(text, x)


def test_a_parameter_that_is_assigned_only_where_it_is_given_is_folded_away():
    text = """
    def forward(x: int, mask: int | None = None) -> int:
        if mask is not None:
            mask = mask + 1
            x = x * mask
        return x
    """

    assert folded(text, mask=None) == "def forward(x: int) -> int:\n    return x\n"


def test_what_is_there_stays_there_when_a_call_makes_it_anew():
    text = """
    def forward(x: int, mask: int | None = None) -> int:
        for _ in range(3):
            if mask is None:
                x = x + 1
            else:
                x = x * mask
                mask = abs(mask)
        return x
    """

    assert "is None" not in folded(text, mask=PRESENT)
    assert "is None" in folded(text.replace("abs(mask)", "None"), mask=PRESENT)


def test_an_attribute_that_is_counted_up_is_no_constant():
    text = """
    class Counter:
        def __init__(self) -> None:
            self.count = 0

        def forward(self, x: int) -> int:
            self.count += 1
            return x * self.count
    """

    assert "return x * self.count" in folded(text)


def test_a_docstring_names_no_parameter_that_is_gone():
    text = """
    def forward(x: int, mask: int | None = None) -> int:
        \'\'\'x (batch, time), mask (batch, time) -> (batch,).\'\'\'
        return x if mask is None else x * mask
    """

    assert "mask" not in folded(text, mask=None)
    assert "x (batch, time), mask (batch, time) -> (batch,)." in folded(text, mask=PRESENT)
