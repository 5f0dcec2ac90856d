"""What people and editors are shown when a spec is wrong."""

from __future__ import annotations

import json
import pickle

import pytest

from composer.diagnostics import (
    Note,
    Problem,
    Problems,
    Span,
    SpecError,
    escape,
    nearest,
    render,
    to_json,
)

SPEC = """\
name: tiny
inputs:
  tokens: [batch, time]
layers:
  attention:
    head: 8
  add: {from: [embed, tokens]}
"""


def at(line: int, text: str, file: str = "specs/tiny.yaml") -> Span:
    """The place of `text` in a line of the spec above."""
    source = SPEC.split("\n")[line - 1]
    column = source.index(text) + 1
    return Span(file, line, column, column + len(text), source)


UNKNOWN_KEY = Problem(
    "C102",
    "unknown key 'head' in attention",
    at(6, "head"),
    (Note("'tokens' makes [batch, time]", at(3, "tokens")),),
    "did you mean 'num_heads'?",
)
WRONG_SHAPE = Problem(
    "S201",
    "'add' wants [batch, time, d_model] but gets [batch, time]",
    at(7, "tokens"),
    (Note("all inputs of 'add' have one shape"),),
)

UNKNOWN_KEY_SHOWN = """\
specs/tiny.yaml:6:5: error[C102]: unknown key 'head' in attention
    6 |     head: 8
      |     ^^^^
      = specs/tiny.yaml:3:3: 'tokens' makes [batch, time]
      = fix: did you mean 'num_heads'?"""
WRONG_SHAPE_SHOWN = """\
specs/tiny.yaml:7:23: error[S201]: 'add' wants [batch, time, d_model] but gets [batch, time]
    7 |   add: {from: [embed, tokens]}
      |                       ^^^^^^
      = all inputs of 'add' have one shape"""


def shown(text: str, column: int, end_column: int, line: int = 11) -> list[str]:
    """Only the lines of the snippet."""
    problem = Problem("Y101", "wrong", Span("a.yaml", line, column, end_column, text))
    return render([problem]).split("\n")[1:]


def test_one_problem_is_shown_with_place_caret_note_and_fix():
    assert render([UNKNOWN_KEY]) == UNKNOWN_KEY_SHOWN


def test_two_problems_of_one_spec_are_shown_in_file_order():
    error = SpecError([WRONG_SHAPE, UNKNOWN_KEY])
    assert str(error) == f"{UNKNOWN_KEY_SHOWN}\n\n{WRONG_SHAPE_SHOWN}"


@pytest.mark.parametrize(
    ("problem", "expected"),
    [
        (Problem("Y100", "cannot read 'a.yaml'", None), "error[Y100]: cannot read 'a.yaml'"),
        (
            Problem("Y100", "cannot read 'a.yaml'", None, (Note("no such file"),), "give a path"),
            "error[Y100]: cannot read 'a.yaml'\n      = no such file\n      = fix: give a path",
        ),
        (
            Problem("Y105", "nothing", Span("a.yaml", 1, 1, 2)),
            "a.yaml:1:1: error[Y105]: nothing",
        ),
    ],
)
def test_what_has_no_place_or_no_line_is_shown_without(problem, expected):
    assert render([problem]) == expected


@pytest.mark.parametrize(
    ("text", "column", "end_column", "line", "expected"),
    [
        ("a: b", 4, 5, 11, ["   11 | a: b", "      |    ^"]),
        ("a: b", 4, 5, 12345, ["12345 | a: b", "      |    ^"]),
        ("a: b", 4, 5, 1234567, ["1234567 | a: b", "        |    ^"]),
        ("a:", 4, 4, 11, ["   11 | a:", "      |   ^"]),
        ("\ta:\tb", 2, 3, 11, ["   11 |     a:    b", "      |     ^"]),
        ("\ta:\tb", 5, 6, 11, ["   11 |     a:    b", "      |           ^"]),
        ("a\x00\x1bb: 1", 4, 5, 11, ["   11 | a\\x00\\x1bb: 1", "      |          ^"]),
        ("\u202ea: b", 2, 3, 11, ["   11 | \\u202ea: b", "      |       ^"]),
        ("a: \udcff", 4, 5, 11, ["   11 | a: \\xff", "      |    ^^^^"]),
        ("a: 模型 b", 7, 8, 11, ["   11 | a: 模型 b", "      |         ^"]),
        ("a: 模型 b", 4, 6, 11, ["   11 | a: 模型 b", "      |    ^^^^"]),
        ("a: \uff01 b", 6, 7, 11, ["   11 | a: \uff01 b", "      |       ^"]),
        ("a: e\u0301 b", 7, 8, 11, ["   11 | a: e\u0301 b", "      |      ^"]),
    ],
    ids=[
        "short",
        "gutter full",
        "gutter wider",
        "behind the end",
        "after a tab",
        "after two tabs",
        "controls",
        "direction mark",
        "not UTF-8",
        "after wide letters",
        "wide letters",
        "after a wide sign",
        "after a combining mark",
    ],
)
def test_the_caret_stands_below_what_is_meant(text, column, end_column, line, expected):
    assert shown(text, column, end_column, line) == expected


@pytest.mark.parametrize("column", [1, 40, 41, 500, 881, 1000])
def test_a_very_long_line_is_cut_around_the_caret(column):
    text = "".join(chr(ord("a") + i % 26) for i in range(1000))
    line, carets = shown(text, column, column + 1)
    assert 120 <= len(line) - len("   11 | ") - 3 * line.count("...") <= 120
    assert line[carets.index("^")] == text[column - 1]
    assert ("..." in line[:12]) == (column > 41)
    assert line.endswith("...") == (column <= 881)


def test_a_cut_line_is_underlined_no_further_than_it_is_shown():
    line, carets = shown("a: " + "9" * 5000, 4, 5004)
    assert line == "   11 | a: " + "9" * 117 + "..."
    assert carets == "      |    " + "^" * 117


def test_no_control_character_of_a_spec_reaches_the_terminal():
    nasty = "".join(map(chr, range(0x20))) + "\x7f\x9b\u2028\u202e\u200b\ud800"
    problem = Problem(nasty, nasty, Span(nasty, 1, 1, 2, nasty), (Note(nasty),), nasty)
    text = render([problem])
    assert [c for c in text if not c.isprintable() and c != "\n"] == []
    assert text.count("\n") == 4


def test_a_message_cannot_forge_a_second_one():
    assert render([Problem("C102", "a\nb.yaml:1:1: error", None)]) == (
        "error[C102]: a\\nb.yaml:1:1: error"
    )


def test_color_only_adds_color():
    colored = render([UNKNOWN_KEY], color=True)
    assert colored == UNKNOWN_KEY_SHOWN.replace(
        "error[C102]", "\x1b[1;31merror[C102]\x1b[0m"
    ).replace("^^^^", "\x1b[31m^^^^\x1b[0m").replace("fix:", "\x1b[36mfix:\x1b[0m")


@pytest.mark.parametrize(
    ("count", "last"),
    [(19, "error[C102]: 18"), (20, "error[C102]: 19"), (21, "and 1 more"), (33, "and 13 more")],
)
def test_more_than_twenty_problems_are_counted_not_shown(count, last):
    problems = [Problem("C102", str(i), None) for i in range(count)]
    assert render(problems).split("\n\n")[-1] == last


def test_the_limit_can_be_chosen():
    problems = [Problem("C102", str(i), None) for i in range(3)]
    assert render(problems, limit=1) == "error[C102]: 0\n\nand 2 more"


def test_problems_are_sorted_by_file_line_and_column():
    places = [("b", 1, 1), ("a", 10, 1), ("a", 2, 9), ("a", 2, 3)]
    problems = [Problem("C102", "x", Span(f, n, c, c + 1)) for f, n, c in places]
    nowhere = Problem("C102", "x", None)
    found = SpecError([*problems, nowhere]).problems
    assert found == (nowhere, *reversed(problems))


def test_a_problem_that_is_found_twice_is_told_once():
    again = Problem(UNKNOWN_KEY.code, UNKNOWN_KEY.message, UNKNOWN_KEY.span, fix="another fix")
    other = Problem("C103", UNKNOWN_KEY.message, UNKNOWN_KEY.span)
    assert SpecError([UNKNOWN_KEY, again, other]).problems == (UNKNOWN_KEY, other)


def test_the_line_is_no_part_of_what_a_place_is():
    assert Span("a", 1, 1, 2, "x") == Span("a", 1, 1, 2, "y")
    assert Span("a", 1, 1, 2) != Span("a", 1, 1, 3)


def test_a_spec_error_survives_another_process():
    error = SpecError([UNKNOWN_KEY])
    assert pickle.loads(pickle.dumps(error)).problems == error.problems


def test_a_collector_raises_everything_it_found():
    problems = Problems()
    problems.raise_if_any()
    assert not problems
    problems.add("S201", "second", at(7, "add"))
    problems.add("C102", "first", at(1, "name"), [Note("why")], "fix it")
    assert problems
    assert len(problems) == 2
    with pytest.raises(SpecError) as raised:
        problems.raise_if_any()
    assert raised.value.problems == (
        Problem("C102", "first", at(1, "name"), (Note("why"),), "fix it"),
        Problem("S201", "second", at(7, "add")),
    )


def test_editors_get_every_field_as_json():
    nowhere = Problem("Y100", "cannot read\x1b", None, (Note("why"),))
    assert json.loads(to_json([UNKNOWN_KEY, nowhere])) == [
        {
            "file": "specs/tiny.yaml",
            "line": 6,
            "column": 5,
            "end_column": 9,
            "code": "C102",
            "severity": "error",
            "message": "unknown key 'head' in attention",
            "fix": "did you mean 'num_heads'?",
            "notes": [
                {
                    "file": "specs/tiny.yaml",
                    "line": 3,
                    "column": 3,
                    "end_column": 9,
                    "message": "'tokens' makes [batch, time]",
                }
            ],
        },
        {
            "file": None,
            "line": None,
            "column": None,
            "end_column": None,
            "code": "Y100",
            "severity": "error",
            "message": "cannot read\x1b",
            "fix": None,
            "notes": [
                {
                    "file": None,
                    "line": None,
                    "column": None,
                    "end_column": None,
                    "message": "why",
                }
            ],
        },
    ]


def test_no_problems_are_an_empty_json_list():
    assert json.loads(to_json([])) == []


@pytest.mark.parametrize(
    ("word", "choices", "n", "expected"),
    [
        ("fnn", ["attention", "ffn"], 1, ["ffn"]),
        ("head", ["num_layers", "num_heads"], 1, ["num_heads"]),
        ("Num-Heads", ["num_heads", "num_layers"], 1, ["num_heads"]),
        ("grouped_atention", ["attention", "grouped_attention"], 1, ["grouped_attention"]),
        ("zzz", ["attention", "ffn"], 1, []),
        ("ab", ["aa", "bb", "ac"], 1, []),
        ("abc", ["abe", "abd"], 1, ["abd"]),
        ("abc", ["abe", "abd"], 2, ["abd", "abe"]),
        ("abc", [], 1, []),
        ("a" * 101, ["a" * 100], 1, []),
    ],
)
def test_nearest_finds_what_was_meant(word, choices, n, expected):
    assert nearest(word, choices, n) == expected
    assert nearest(word, reversed(choices), n) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [("plain é 模型", "plain é 模型"), ("a\tb\nc", "a\\tb\\nc"), ("\xa0", "\\xa0"), ("", "")],
)
def test_escape_changes_only_what_cannot_be_seen(text, expected):
    assert escape(text) == expected
