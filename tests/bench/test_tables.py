"""Tables as text and as data."""

from __future__ import annotations

import pytest

from bench.tables import Table, Target, shown

TARGET = Target("milliseconds", "< 2", 1.5, met=True)
TABLE = Table(
    "two rows",
    ("stage", "milliseconds"),
    (("load", 1.5), ("a longer one", 1234)),
    (TARGET,),
    "of one run",
)


def test_text_aligns_words_left_and_numbers_right():
    expected = [
        "two rows",
        "stage         milliseconds",
        "--------------------------",
        "load                  1.50",
        "a longer one         1,234",
        "met    milliseconds: 1.50, wanted < 2",
        "of one run",
    ]

    assert expected == TABLE.text().splitlines()


def test_data_names_every_cell_by_its_column():
    data = TABLE.data()

    assert data["rows"] == [
        {"stage": "load", "milliseconds": 1.5},
        {"stage": "a longer one", "milliseconds": 1234},
    ]
    assert data["targets"] == [
        {"name": "milliseconds", "wanted": "< 2", "measured": 1.5, "met": True}
    ]


@pytest.mark.parametrize(
    ("cell", "expected"),
    [(0.01234, "0.0123"), (0.5, "0.500"), (9.876, "9.88"), (98.76, "98.8"), (1234.5, "1,234"),
     (-0.25, "-0.250"), (0.0, "0.0000"), (8000, "8,000"), ("met", "met"), (None, "-")],
)  # fmt: skip
def test_floats_have_three_digits_that_count(cell, expected):
    assert expected == shown(cell)


def test_a_target_that_is_missed_says_so():
    text = Target("exponent", "<= 1.1", 2.0, met=False).text()

    assert text == "MISSED exponent: 2.00, wanted <= 1.1"


def test_rows_of_another_length_are_refused():
    with pytest.raises(AssertionError, match="rows of"):
        Table("crooked", ("stage", "milliseconds"), (("load",),))
