"""The tree with places: finding, merging, and writing it as YAML."""

from __future__ import annotations

import math
import random

import pytest

from composer.diagnostics import Span
from composer.language.document import (
    Mapping,
    Scalar,
    Sequence,
    from_plain,
    get,
    key_span,
    merge,
    plain,
    to_yaml,
    value_span,
)
from composer.language.load import parse

TEXT = """\
name: tiny
layers:
  - kind: attention
    num_heads: 4
  - feed_forward
dims: {d_model: 8}
"""
TREE = parse(TEXT, "a.yaml")
HERE = Span("--set", 1, 1, 5)


def place(span: Span) -> tuple[int, int, int]:
    return span.line, span.column, span.end_column


def merged(base: str, over: str) -> object:
    return plain(merge(parse(base, "base.yaml"), parse(over, "over.yaml")))


def test_plain_is_the_data_in_the_order_written():
    data = plain(TREE)
    assert data == {
        "name": "tiny",
        "layers": [{"kind": "attention", "num_heads": 4}, "feed_forward"],
        "dims": {"d_model": 8},
    }
    assert list(data) == ["name", "layers", "dims"]


@pytest.mark.parametrize(
    ("loc", "expected"),
    [
        (("name",), "tiny"),
        (("layers", 0, "num_heads"), 4),
        (("layers", 1), "feed_forward"),
        (("dims",), {"d_model": 8}),
    ],
)
def test_get_walks_keys_and_numbers(loc, expected):
    tree = get(TREE, loc)
    assert tree is not None
    assert plain(tree) == expected


@pytest.mark.parametrize(
    "loc", [("nam",), ("layers", 2), ("layers", -1), ("layers", "0"), ("name", "x"), (0,)]
)
def test_get_gives_none_where_nothing_is(loc):
    assert get(TREE, loc) is None


def test_get_of_nowhere_is_the_tree():
    assert get(TREE, ()) is TREE


@pytest.mark.parametrize(
    ("loc", "value", "key"),
    [
        ((), (1, 1, 5), (1, 1, 5)),
        (("name",), (1, 7, 11), (1, 1, 5)),
        (("layers",), (3, 3, 9), (2, 1, 7)),
        (("layers", 0), (3, 5, 9), (3, 5, 9)),
        (("layers", 0, "num_heads"), (4, 16, 17), (4, 5, 14)),
        (("layers", 1), (5, 5, 17), (5, 5, 17)),
        (("dims",), (6, 7, 19), (6, 1, 5)),
        (("dims", "d_model"), (6, 17, 18), (6, 8, 15)),
        (("layers", 0, "window"), (3, 5, 9), (3, 5, 9)),
        (("layers", 0, "attention", "window"), (3, 5, 9), (3, 5, 9)),
        (("layers", 7), (3, 3, 9), (3, 3, 9)),
        (("missing",), (1, 1, 5), (1, 1, 5)),
    ],
)
def test_places_fall_back_to_the_deepest_parent(loc, value, key):
    assert (place(value_span(TREE, loc)), place(key_span(TREE, loc))) == (value, key)


@pytest.mark.parametrize(
    ("base", "over", "expected"),
    [
        ("a: 1", "b: 2", {"a": 1, "b": 2}),
        ("a: 1", "a: 2", {"a": 2}),
        ("a: {b: 1, c: 2}", "a: {c: 3}", {"a": {"b": 1, "c": 3}}),
        ("a: [1, 2]", "a: [3]", {"a": [3]}),
        ("a: {b: 1}", "a: 5", {"a": 5}),
        ("a: 5", "a: {b: 1}", {"a": {"b": 1}}),
        ("a: {b: 1}", "a: null", {"a": None}),
        ("a: {kind: x, b: 1}", "a: {kind: x, c: 2}", {"a": {"kind": "x", "b": 1, "c": 2}}),
        ("a: {kind: x, b: 1}", "a: {kind: y, c: 2}", {"a": {"kind": "y", "c": 2}}),
        ("a: {kind: x, b: 1}", "a: {c: 2}", {"a": {"kind": "x", "b": 1, "c": 2}}),
        ("a: {b: 1}", "a: {kind: x}", {"a": {"b": 1, "kind": "x"}}),
        ("a: {kind: [x], b: 1}", "a: {kind: y}", {"a": {"kind": "y", "b": 1}}),
    ],
)
def test_merge_lets_the_nearest_win(base, over, expected):
    assert merged(base, over) == expected


def test_merge_keeps_where_each_value_was_written():
    tree = merge(parse("a: {b: 1, c: 2}", "base.yaml"), parse("a: {c: 3}", "over.yaml"))
    assert value_span(tree, ("a", "b")).file == "base.yaml"
    assert value_span(tree, ("a", "c")).file == "over.yaml"
    assert key_span(tree, ("a", "c")).file == "over.yaml"


def test_merge_leaves_both_trees_as_they_were():
    base, over = parse("a: {b: 1}", "base.yaml"), parse("a: {c: 2}", "over.yaml")
    merge(base, over)
    assert (plain(base), plain(over)) == ({"a": {"b": 1}}, {"a": {"c": 2}})


def test_from_plain_puts_everything_at_one_place():
    tree = from_plain({"a": [1, None, "no"], "b": {}}, HERE)
    assert isinstance(tree, Mapping)
    assert plain(tree) == {"a": [1, None, "no"], "b": {}}
    assert key_span(tree, ("a",)) == HERE
    assert get(tree, ("a",)) == Sequence(
        (Scalar(1, HERE), Scalar(None, HERE), Scalar("no", HERE, quoted=True)), HERE
    )


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"a": object()}, "a spec holds no object"),
        ({"a": {1, 2}}, "a spec holds no set"),
        ({1: "a"}, "a key of a spec is text, not int"),
    ],
)
def test_what_no_spec_holds_is_an_error_of_the_caller(data, message):
    with pytest.raises(TypeError, match=message):
        from_plain(data, HERE)
    with pytest.raises(TypeError, match=message):
        to_yaml(data)


def test_yaml_is_written_in_block_style_with_short_lists_inline():
    data = {
        "composer": 1,
        "name": "tiny-lm",
        "cite": ["arXiv:1706.03762"],
        "dims": {"d_model": 512, "eps": 1e-6, "scale": "d_model^0.5"},
        "layers": [
            {"kind": "attention", "from": ["a", "b"], "norm": {"kind": "rmsnorm"}},
            "feed_forward",
            [[0, 1], [2, 3]],
        ],
        "names": [
            "encoder.layers.0.attention",
            "encoder.layers.1.attention",
            "encoder.layers.2.attention",
        ],
        "empty": {},
        "nothing": [],
        "on": True,
    }
    assert to_yaml(data) == (
        "composer: 1\n"
        "name: tiny-lm\n"
        "cite: [arXiv:1706.03762]\n"
        "dims:\n"
        "  d_model: 512\n"
        "  eps: 1e-06\n"
        "  scale: d_model^0.5\n"
        "layers:\n"
        "  - kind: attention\n"
        "    from: [a, b]\n"
        "    norm:\n"
        "      kind: rmsnorm\n"
        "  - feed_forward\n"
        "  - [[0, 1], [2, 3]]\n"
        "names:\n"
        "  - encoder.layers.0.attention\n"
        "  - encoder.layers.1.attention\n"
        "  - encoder.layers.2.attention\n"
        "empty: {}\n"
        "nothing: []\n"
        '"on": true\n'
    )


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("encoder -> decoder", "encoder -> decoder"),
        ("b t (h d) -> b h t d", "b t (h d) -> b h t d"),
        ("4*d_model", "4*d_model"),
        ("8*d_model//3", "8*d_model//3"),
        ("every 4", "every 4"),
        ("no", '"no"'),
        ("Null", '"Null"'),
        ("true", '"true"'),
        ("12", '"12"'),
        ("1_000", '"1_000"'),
        ("0x1f", '"0x1f"'),
        ("1e5", '"1e5"'),
        ("1:04", '"1:04"'),
        ("2024-01-01", '"2024-01-01"'),
        (".5", '".5"'),
        ("-1", '"-1"'),
        ("", '""'),
        ("~", '"~"'),
        ("=", '"="'),
        ("<<", '"<<"'),
        (" a", '" a"'),
        ("a ", '"a "'),
        ("a: b", '"a: b"'),
        ("a:", '"a:"'),
        ("a #b", '"a #b"'),
        ("[a]", '"[a]"'),
        ("a, b", '"a, b"'),
        ("*.attention", '"*.attention"'),
        ("!x", '"!x"'),
        ("%x", '"%x"'),
        ("@x", '"@x"'),
        ("- a", '"- a"'),
        ("---", '"---"'),
        ("it's", '"it\'s"'),
        ('a "b"', '"a \\"b\\""'),
        ("a\\b", '"a\\\\b"'),
        ("a\nb\tc", '"a\\nb\\tc"'),
        ("模型 😀", '"模型 😀"'),
        ("a\xa0b", '"a\\u00a0b"'),
        ("a\u200bb", '"a\\u200bb"'),
        (1e16, "1e+16"),
        (-0.0, "-0.0"),
        (5e-324, "5e-324"),
        (math.inf, ".inf"),
        (-math.inf, "-.inf"),
        (False, "false"),
        (None, "null"),
        (-7, "-7"),
    ],
)
def test_a_value_is_written_so_that_it_reads_back(value, expected):
    text = to_yaml({"a": value})
    assert text == f"a: {expected}\n"
    assert repr(plain(parse(text, "a.yaml"))) == repr({"a": value})


@pytest.mark.parametrize("char", ["\x00", "\x1b", "\x85", "\u2028", "\u202e", "\ufeff"])
def test_a_hidden_character_is_written_as_an_escape(char):
    assert char not in to_yaml({"a": f"x{char}y"})


def test_not_a_number_reads_back():
    assert to_yaml({"a": math.nan}) == "a: .nan\n"
    assert math.isnan(plain(parse("a: .nan", "a.yaml"))["a"])


@pytest.mark.parametrize("key", ["k" * 3000, "null", "1", "a: b", "<<", "", "yes", "a b", "x\ny"])
def test_any_key_reads_back(key):
    for data in ({key: 1}, {key: {"a": [1]}}, {"a": [{key: {"b": 1}}, {key: []}]}):
        assert plain(parse(to_yaml(data), "a.yaml")) == data


WORDS = ["a", "no", "1", "1.5", " x", "x:", "a: b", "#", "é", "-", "", "a\nb", "[", "*", "0x", "😀"]


def some_data(random_: random.Random, depth: int) -> object:
    """Data of any shape that a spec can have."""
    kind = random_.randrange(3 if depth else 1)
    if kind == 1:
        return [some_data(random_, depth - 1) for _ in range(random_.randrange(4))]
    if kind == 2:
        count = random_.randrange(4)
        return {some_text(random_): some_data(random_, depth - 1) for _ in range(count)}
    number = random_.uniform(-1, 1) * 10.0 ** random_.randint(-300, 300)
    integer = random_.randint(-(10**17), 10**17)
    return random_.choice([some_text(random_), integer, number, True, False, None])


def some_text(random_: random.Random) -> str:
    return "".join(random_.choices([*WORDS, " "], k=random_.randint(0, 4)))


def test_whatever_is_written_reads_back_the_same():
    random_ = random.Random(0)
    for _ in range(500):
        data = {"a": some_data(random_, 5), "b": some_data(random_, 5)}
        text = to_yaml(data)
        assert repr(plain(parse(text, "a.yaml"))) == repr(data), text
