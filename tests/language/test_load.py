"""Reading YAML: what each text means, where it stands, and what is refused."""

from __future__ import annotations

import math

import pytest
import yaml

from composer.diagnostics import Span, SpecError
from composer.language import load as loading
from composer.language.document import Scalar, get, key_span, plain, value_span
from composer.language.load import DEFAULT_LIMITS, Fault, Limits, load, parse, parse_scalar

PARSERS = [
    pytest.param(getattr(yaml, name), id=name)
    for name in ("CSafeLoader", "SafeLoader")
    if hasattr(yaml, name)
]
SET = Span("--set", 1, 5, 9, "a.b=1")


@pytest.fixture(params=PARSERS)
def read(request):
    """`parse` with one of PyYAML's two parsers."""

    def read(text, limits=DEFAULT_LIMITS):
        return loading._parse(text, "a.yaml", limits, request.param)

    return read


def refusal(read, text, **kwargs):
    with pytest.raises(SpecError) as raised:
        read(text, **kwargs)
    (problem,) = raised.value.problems
    return problem


SCALARS = [
    ("1", 1),
    ("+1", 1),
    ("-12", -12),
    ("0", 0),
    ("-0", 0),
    ("32_000", 32000),
    ("1_000_000", 1000000),
    ("-1_0", -10),
    ("0o10", 8),
    ("0x1F", 31),
    ("999999999999999999", 999999999999999999),
    ("1.5", 1.5),
    ("1.", 1.0),
    (".5", 0.5),
    ("-.5", -0.5),
    ("1e-5", 1e-5),
    ("1e5", 1e5),
    ("1E+5", 1e5),
    ("01.5", 1.5),
    ("0.0", 0.0),
    ("0e5", 0.0),
    (".inf", math.inf),
    ("-.INF", -math.inf),
    ("+.Inf", math.inf),
    ("true", True),
    ("True", True),
    ("FALSE", False),
    ("null", None),
    ("~", None),
    ("", None),
    # Text, though YAML 1.1 or some reader thinks otherwise:
    ("yes", "yes"),
    ("no", "no"),
    ("on", "on"),
    ("Off", "Off"),
    ("y", "y"),
    ("tRUE", "tRUE"),
    ("1:04", "1:04"),
    ("12:30:45", "12:30:45"),
    ("2024-01-01", "2024-01-01"),
    ("2024-99-99", "2024-99-99"),
    ("0b11", "0b11"),
    ("0o8", "0o8"),
    ("-0x1", "-0x1"),
    ("1__000", "1__000"),
    ("1_", "1_"),
    ("_1", "_1"),
    ("1_000.5", "1_000.5"),
    ("0x1_0", "0x1_0"),
    ("1e", "1e"),
    (".", "."),
    ("-", None),
    ("+", "+"),
    ("inf", "inf"),
    (".infinity", ".infinity"),
    ("4*d_model", "4*d_model"),
    ("32k", "32k"),
    ("=", "="),
    ("\u0661", "\u0661"),
    ("arXiv:1706.03762", "arXiv:1706.03762"),
    ("'1'", "1"),
    ('"no"', "no"),
    ("!!str 12", "12"),
    ("!!str", ""),
    ("''", ""),
    (r'"a\tb\u00e9"', "a\tbé"),
    ("|\n  12\n", "12\n"),
    (">-\n  a\n  b\n", "a b"),
]


@pytest.mark.parametrize(("text", "expected"), [s for s in SCALARS if s[0] != "-"])
def test_a_scalar_means_what_yaml_1_2_says(read, text, expected):
    value = plain(read(f"a: {text}"))["a"]
    assert (type(value), value) == (type(expected), expected)


@pytest.mark.parametrize("text", [".nan", ".NaN", ".NAN"])
def test_not_a_number_is_a_float(read, text):
    assert math.isnan(plain(read(f"a: {text}"))["a"])


@pytest.mark.parametrize(
    ("text", "quoted"),
    [("no", False), ("'no'", True), ('"no"', True), ("!!str no", True), ("|\n  no", True)],
)
def test_only_text_that_was_meant_as_text_counts_as_quoted(read, text, quoted):
    value = get(read(f"a: {text}"), ("a",))
    assert isinstance(value, Scalar)
    assert value.quoted is quoted


def test_keys_are_always_text(read):
    text = "1: a\ntrue: b\nno: c\n1.50: d\n1_000: e\n'null': f\n!!str ~: g\n010: h"
    assert list(plain(read(text))) == ["1", "true", "no", "1.50", "1_000", "null", "~", "010"]


def test_an_alias_repeats_what_its_anchor_names(read):
    text = "a: &x {b: [1, &y 2]}\nc: *x\nd: [*y, *y]"
    assert plain(read(text)) == {"a": {"b": [1, 2]}, "c": {"b": [1, 2]}, "d": [2, 2]}


def test_what_an_alias_repeats_stands_where_it_was_written(read):
    tree = read("a: &x {b: 1}\nc: *x")
    assert value_span(tree, ("c", "b")) == Span("a.yaml", 1, 11, 12)
    assert key_span(tree, ("c",)) == Span("a.yaml", 2, 1, 2)


@pytest.mark.parametrize(
    "text",
    [
        "a: 1",
        b"a: 1",
        "\ufeffa: 1",
        b"\xef\xbb\xbfa: 1",
        "%YAML 1.2\n---\na: 1",
        "# first\n\n%YAML 1.2 # why\n--- # here\na: 1\n...\n",
        "---\na: 1\n",
        "{a: 1}",
        "a:\r\n  1\r\n",
        "a: 1\r",
    ],
)
def test_harmless_differences_do_not_matter(read, text):
    assert plain(read(text)) == {"a": 1}


PLACES = """\
# comment
name: tiny   # comment
layers:
  - kind: attention
    sizes: [1, "é😀", 3]
  -   feed_forward
flat:
- a
- b
long: [1,
  2]
text: |  # comment
  two
  lines
none:
folded: one
  two
anchor: &x
  b: 1
again:
- *x
spaced: [1,  \n 2]
"""


@pytest.mark.parametrize(
    ("loc", "key", "value"),
    [
        ((), (2, 1, 5), (2, 1, 5)),
        (("name",), (2, 1, 5), (2, 7, 11)),
        (("layers",), (3, 1, 7), (4, 3, 9)),
        (("layers", 0), (4, 5, 9), (4, 5, 9)),
        (("layers", 0, "kind"), (4, 5, 9), (4, 11, 20)),
        (("layers", 0, "sizes"), (5, 5, 10), (5, 12, 24)),
        (("layers", 0, "sizes", 1), (5, 16, 20), (5, 16, 20)),
        (("layers", 0, "sizes", 2), (5, 22, 23), (5, 22, 23)),
        (("layers", 1), (6, 7, 19), (6, 7, 19)),
        (("flat",), (7, 1, 5), (8, 1, 4)),
        (("flat", 1), (9, 3, 4), (9, 3, 4)),
        (("long",), (10, 1, 5), (10, 7, 10)),
        (("long", 1), (11, 3, 4), (11, 3, 4)),
        (("text",), (12, 1, 5), (12, 7, 19)),
        (("none",), (15, 1, 5), (15, 6, 7)),
        (("folded",), (16, 1, 7), (16, 9, 12)),
        (("anchor",), (18, 1, 7), (19, 3, 4)),
        (("again",), (20, 1, 6), (21, 1, 2)),
        (("again", 0), (19, 3, 4), (19, 3, 4)),
        (("spaced",), (22, 1, 7), (22, 9, 12)),
    ],
)
def test_every_key_and_value_knows_its_place(read, loc, key, value):
    tree = read(PLACES)
    lines = PLACES.split("\n")
    for span, (line, column, end_column) in (
        (key_span(tree, loc), key),
        (value_span(tree, loc), value),
    ):
        assert span == Span("a.yaml", line, column, end_column)
        assert span.text == lines[line - 1]


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_lines_are_those_of_editors(read, newline):
    tree = read(newline.join(["a: 1", "", "b: 2"]))
    assert value_span(tree, ("b",)) == Span("a.yaml", 3, 4, 5)
    assert value_span(tree, ("b",)).text == "b: 2"


# Each refusal: the text, its code, line, column, end of the column, and the whole message and fix.
REFUSALS = [
    (
        "a: [1, 2\nb: 3\n",
        ("Y101", 2, 2, 3),
        "a ',' or ']' is missing before this",
        "close the list with ']', and put text that holds ',', ':', '[' or ']' in quotes",
    ),
    (
        "a: [1, 2\n\n",
        ("Y101", 1, 4, 5),
        "this is never closed",
        "close the list with ']', and put text that holds ',', ':', '[' or ']' in quotes",
    ),
    (
        "a: {b: 1",
        ("Y101", 1, 4, 5),
        "this is never closed",
        "close the mapping with '}', and put text that holds ',', ':', '{' or '}' in quotes",
    ),
    (
        "a: {b: 1]",
        ("Y101", 1, 9, 10),
        "a ',' or '}' is missing before this",
        "close the mapping with '}', and put text that holds ',', ':', '{' or '}' in quotes",
    ),
    (
        "a: {b:}",
        ("Y101", 1, 6, 7),
        "a space is missing after this ':'",
        "write 'key: value'",
    ),
    (
        "a: 'b\nc: 1",
        ("Y101", 1, 4, 5),
        "this quote is never closed",
        "close the text with the same quote",
    ),
    (
        "a: 1\n b: 2",
        ("Y101", 2, 3, 4),
        "a ':' cannot stand here",
        "line the key up with its neighbours, or put text that holds ': ' in quotes",
    ),
    (
        "a: b: c",
        ("Y101", 1, 5, 6),
        "a ':' cannot stand here",
        "line the key up with its neighbours, or put text that holds ': ' in quotes",
    ),
    (
        "a: 1\nb\nc: 2",
        ("Y101", 2, 1, 2),
        "a ':' is missing after this",
        "write 'key: value'",
    ),
    (
        "a: - b",
        ("Y101", 1, 4, 5),
        "a list cannot start here",
        "start it on a line of its own, or put text that starts with '- ' in quotes",
    ),
    (
        "a:\n  - b\n c",
        ("Y101", 3, 2, 3),
        "this does not belong to the keys above it",
        "indent it like its neighbours, delete it, or put the whole text in quotes",
    ),
    (
        "- a\nb: 1",
        ("Y101", 2, 1, 2),
        "this does not belong to the list above it",
        "indent it like its neighbours, delete it, or put the whole text in quotes",
    ),
    (
        "a: ]",
        ("Y101", 1, 4, 5),
        "a value is missing here",
        "write it, or put the text in quotes",
    ),
    (
        "on: *.feed_forward",
        ("Y101", 1, 5, 6),
        "'*' and '&' are for names of letters and digits",
        "put the text in quotes",
    ),
    (
        "a: @b",
        ("Y101", 1, 4, 5),
        "text cannot start with '@'",
        "put the text in quotes",
    ),
    ("a:\n\tb: 1", ("Y101", 2, 1, 2), "a tab cannot stand here", "write spaces"),
    (
        "a: >x",
        ("Y101", 1, 5, 6),
        "nothing may follow '|' or '>' on its line",
        "write the text on the lines below, or put it in quotes",
    ),
    (
        'a: "\\U00110000"',
        ("Y101", 1, 7, 8),
        "this escape does not exist",
        r"write \\ for a backslash, or use single quotes",
    ),
    (
        b"a: 1\nb: \xc3\xa9\xff\n",
        ("Y102", 2, 5, 6),
        "the byte 0xff is not UTF-8",
        "save the file as UTF-8",
    ),
    (
        b"\xff\xfea\x00",
        ("Y102", 1, 1, 2),
        "the file is UTF-16 or UTF-32, not UTF-8",
        "save the file as UTF-8",
    ),
    (
        "a: 1\r\n# \u202e",
        ("Y103", 2, 3, 4),
        "the character U+202E RIGHT-TO-LEFT OVERRIDE may not stand in a spec",
        "delete it",
    ),
    (
        "a: '\x00'",
        ("Y103", 1, 5, 6),
        "the character U+0000 may not stand in a spec",
        "delete it",
    ),
    (
        'a: "b\\x00"',
        ("Y103", 1, 4, 11),
        "the character U+0000 may not stand in a spec",
        "delete it",
    ),
    (
        "a: 1\n\ufeffb: 2",
        ("Y103", 2, 1, 2),
        "the character U+FEFF ZERO WIDTH NO-BREAK SPACE may not stand in a spec",
        "delete it",
    ),
    ("1: a\n'1': b", ("Y104", 2, 1, 4), "the key '1' is here twice", "keep one of the two"),
    ("\n# a", ("Y105", 1, 1, 2), "the file holds no spec", "write 'composer: 1' to begin one"),
    ("---\n", ("Y105", 1, 1, 2), "the file holds no spec", "write 'composer: 1' to begin one"),
    (
        "a: &x {b: 1}\nc:\n  <<: *x",
        ("Y106", 3, 3, 5),
        "YAML 1.2 has no merge key '<<'",
        "write the keys out",
    ),
    (
        "a: !b c",
        ("Y108", 1, 4, 8),
        "the tag '!b' is not for specs",
        "delete the tag, or put text that starts with '!' in quotes",
    ),
    (
        "a: !!str [b]",
        ("Y108", 1, 4, 11),
        "the tag '!!str' is not for specs",
        "delete the tag, or put text that starts with '!' in quotes",
    ),
    (
        "a: !!int 1",
        ("Y108", 1, 4, 11),
        "the tag '!!int' is not for specs",
        "delete the tag, or put text that starts with '!' in quotes",
    ),
    (
        "a: ! 1",
        ("Y108", 1, 4, 7),
        "the tag '!' is not for specs",
        "delete the tag, or put text that starts with '!' in quotes",
    ),
    (
        "!b c: 1",
        ("Y108", 1, 1, 5),
        "the tag '!b' is not for specs",
        "delete the tag, or put text that starts with '!' in quotes",
    ),
    (
        "a: !b!c d",
        ("Y108", 1, 4, 5),
        "this tag cannot be read",
        "delete it, or put the text in quotes",
    ),
    (
        "a: &x\n  b: *x",
        ("Y109", 2, 6, 8),
        "'*x' stands inside '&x', so it would never end",
        "write the value out",
    ),
    (
        "a: 010",
        ("Y110", 1, 4, 7),
        "'010' starts with a zero: some readers take it for octal, some for decimal",
        "write 10, 0o10 if it is octal, or '010' in quotes if it is text",
    ),
    (
        "a: 08",
        ("Y110", 1, 4, 6),
        "'08' starts with a zero: some readers take it for octal, some for decimal",
        "write 8, or '08' in quotes if it is text",
    ),
    (
        "a: -0_0",
        ("Y110", 1, 4, 8),
        "'-0_0' starts with a zero: some readers take it for octal, some for decimal",
        "write -0, or '-0_0' in quotes if it is text",
    ),
    (
        "a: 1_000_000_000_000_000_000",
        ("Y111", 1, 4, 29),
        "an integer has at most 18 digits",
        "write a smaller number, or put it in quotes if it is text",
    ),
    (
        "a: 0xffffffffffffffff",
        ("Y111", 1, 4, 22),
        "an integer has at most 18 digits",
        "write a smaller number, or put it in quotes if it is text",
    ),
    (
        "a: -1e400",
        ("Y111", 1, 4, 10),
        "-1e400 is too large for a float",
        "write a smaller number, or .inf for infinity",
    ),
    (
        "a: 1e-400",
        ("Y111", 1, 4, 10),
        "1e-400 is too small for a float: it would become 0",
        "write a larger number, or 0.0",
    ),
    (
        "? [a, b]\n: 1",
        ("Y112", 1, 3, 4),
        "a key is text, not a list",
        "put it in quotes if it is text",
    ),
    (
        "a: {{ b }}",
        ("Y112", 1, 5, 6),
        "a key is text, not a mapping",
        "put it in quotes if it is text",
    ),
    ("~: 1", ("Y112", 1, 1, 2), "a key is text, not null", "write a name, or '~' in quotes"),
    ("?\n: 1", ("Y112", 1, 2, 3), "a key is text, not null", "write a name, or 'null' in quotes"),
    (
        "a: &x b\n*x : 1",
        ("Y112", 2, 1, 3),
        "a key is text, not an alias",
        "write the key out",
    ),
    ("&x a: 1", ("Y112", 1, 1, 5), "a key has no anchor", "delete the anchor before the key"),
    (
        "# a\n%YAML 1.1\n---\na: 1",
        ("Y113", 2, 1, 10),
        "the directive '%YAML' is not for specs",
        "delete the line: a spec is YAML 1.2 without tags",
    ),
    (
        "%TAG ! tag:a,2000:\n---\na: 1",
        ("Y113", 1, 1, 19),
        "the directive '%TAG' is not for specs",
        "delete the line: a spec is YAML 1.2 without tags",
    ),
    (
        "%YAML 1.2\na: 1",
        ("Y113", 1, 1, 10),
        "nothing ends the directives",
        "write a line '---' below it, or delete it",
    ),
    (
        "a: 1\n---\nb: 1",
        ("Y114", 2, 1, 4),
        "a second document starts here",
        "keep one document in each file",
    ),
    (
        "a: 1\n...\nb: 1",
        ("Y114", 3, 1, 2),
        "the document has ended before this",
        "line it up with the rest, or delete it",
    ),
    (
        "- a\n- b",
        ("Y115", 1, 1, 4),
        "a spec is a mapping, not a list",
        "write 'key: value' lines",
    ),
    (
        "hello",
        ("Y115", 1, 1, 6),
        "a spec is a mapping, not a single value",
        "write 'key: value' lines",
    ),
    (
        "a: *x",
        ("Y116", 1, 4, 6),
        "there is no '&x' above this '*x'",
        "write '&x' before the value that it repeats, or put '*x' in quotes",
    ),
    (
        "a: &x 1\nb: &x 2",
        ("Y116", 2, 4, 8),
        "the anchor '&x' is here twice",
        "give it another name",
    ),
    (
        "a: &x [&x 1]",
        ("Y116", 1, 8, 12),
        "the anchor '&x' is here twice",
        "give it another name",
    ),
]
# The pure parser reads `{b:}` as it was meant.
ONLY_IN_C = {"a: {b:}"}


@pytest.mark.parametrize(("text", "place", "message", "fix"), REFUSALS)
def test_a_refusal_says_what_where_and_what_to_write(text, place, message, fix):
    if text in ONLY_IN_C and not hasattr(yaml, "CSafeLoader"):
        pytest.skip("the pure parser reads this")
    problem = refusal(lambda text: parse(text, "a.yaml"), text)
    code, *where = place
    assert (problem.code, problem.message, problem.fix) == (code, message, fix)
    assert problem.span == Span("a.yaml", *where)


@pytest.mark.parametrize("text", [text for text, *_ in REFUSALS if text not in ONLY_IN_C])
def test_both_parsers_refuse_alike(text):
    refused = [
        refusal(
            lambda text, parser=p.values[0]: loading._parse(text, "a", DEFAULT_LIMITS, parser), text
        )
        for p in PARSERS
    ]
    assert refused == [refused[0]] * len(PARSERS)


@pytest.mark.parametrize(
    ("text", "note", "place"),
    [
        ("a: 1\nb: 2\na: 3", "'a' is first written here", (1, 1, 2)),
        ("a: &x 1\nb: &x 2", "'&x' is first written here", (1, 4, 8)),
        ("a: &x [*x]", "'&x' starts here and has not ended", (1, 4, 8)),
        ("a: [1\nb: 2", "the list starts here", (1, 4, 5)),
        ("a: {b: c\nd: 2", "the mapping starts here", (1, 4, 5)),
        ("a:\n  - b\n c", "the keys start here", (1, 1, 2)),
    ],
)
def test_a_conflict_names_its_other_end(read, text, note, place):
    (found,) = refusal(read, text).notes
    assert (found.message, found.span) == (note, Span("a.yaml", *place))


@pytest.mark.parametrize(
    "leak", [ValueError, OverflowError, IndexError, RecursionError, AttributeError, TypeError]
)
def test_whatever_pyyaml_leaks_becomes_a_refusal_after_what_was_read(leak):
    class Leaking:
        """Reads one key, then fails as PyYAML has been seen to."""

        def __init__(self, text):
            self.events = yaml.parse(text, Loader=yaml.SafeLoader)

        def get_event(self):
            event = next(self.events)
            if getattr(event, "value", None) == "wrong":
                raise leak("inside PyYAML")
            return event

        def dispose(self):
            self.events.close()

    def read(text):
        return loading._parse(text, "a.yaml", DEFAULT_LIMITS, Leaking)

    problem = refusal(read, "a: 1\nb: wrong\n")
    assert (problem.code, problem.message) == ("Y101", "this is not YAML")
    assert problem.span == Span("a.yaml", 2, 2, 3)


def test_every_code_is_unique_and_explained():
    assert len({fault.code for fault in Fault}) == len(Fault)
    assert all(fault.code.startswith("Y1") and fault.meaning.endswith(".") for fault in Fault)


def test_every_code_has_a_refusal_in_these_tests():
    tested = {place[0] for _, place, *_ in REFUSALS}
    elsewhere = {Fault.UNREADABLE.code, Fault.LIMIT.code}
    assert tested | elsewhere == {fault.code for fault in Fault}


def nested(levels: int) -> str:
    """Lists in a mapping, so many levels in all."""
    return "a: " + "[" * (levels - 1) + "]" * (levels - 1)


def lists_of_aliases(levels: int) -> str:
    """Each line nests the one before it one level deeper."""
    lines = ["- &a0 [1]", *(f"- &a{i} [*a{i - 1}]" for i in range(1, levels))]
    return "a:\n" + "\n".join(lines)


# Each limit: what still passes, what no longer does, where that is noticed and what is said.
LIMITS = [
    (
        Limits(spec_bytes=6),
        "a: 'e'",
        "a: 'é'",
        (1, 1, 2),
        "the spec is larger than 6 bytes",
    ),
    (Limits(), nested(32), nested(33), (1, 35, 36), "a spec has at most 32 levels of nesting"),
    (
        Limits(),
        lists_of_aliases(30),
        lists_of_aliases(31),
        (32, 9, 13),
        "a spec has at most 32 levels of nesting",
    ),
    (Limits(nodes=5), "{a: 1, b: 2}", "{a: 1, b: [2]}", (1, 12, 13), "a spec has at most 5 nodes"),
    (
        Limits(expanded_nodes=6),
        "{a: &x [1, 2], b: [*x, *x]}",
        "{a: &x [1, 2], b: [*x, *x, *x]}",
        (1, 28, 30),
        "a spec has at most 6 nodes repeated by aliases",
    ),
    (
        Limits(expanded_nodes=7),
        "{a: &x 1, b: &y [*x, *x], c: *y}",
        "{a: &x 1, b: &y [*x, *x], c: *y, d: *y}",
        (1, 37, 39),
        "a spec has at most 7 nodes repeated by aliases",
    ),
    (
        Limits(aliases=2),
        "{a: &x 1, b: [*x, *x]}",
        "{a: &x 1, b: [*x, *x, *x]}",
        (1, 23, 25),
        "a spec has at most 2 aliases",
    ),
    (
        Limits(scalar_bytes=4),
        "a: éé",
        "a: ééx",
        (1, 4, 7),
        "a text has at most 4 bytes",
    ),
    (
        Limits(scalar_bytes=4),
        "abcd: 1",
        "abcde: 1",
        (1, 1, 6),
        "a text has at most 4 bytes",
    ),
]


@pytest.mark.parametrize(("limits", "passes", "fails", "place", "message"), LIMITS)
def test_a_limit_holds_exactly(read, limits, passes, fails, place, message):
    read(passes, limits=limits)
    problem = refusal(read, fails, limits=limits)
    assert (problem.code, problem.message) == ("Y107", message)
    assert problem.span == Span("a.yaml", *place)
    assert problem.fix


def test_integer_digits_are_limited(read):
    limits = Limits(integer_digits=3)
    assert plain(read("a: -999", limits=limits)) == {"a": -999}
    problem = refusal(read, "a: -1000", limits=limits)
    assert (problem.code, problem.message) == ("Y111", "an integer has at most 3 digits")


def test_the_limits_are_those_promised():
    assert (
        Limits(
            spec_bytes=1_048_576,
            nesting=32,
            nodes=50_000,
            expanded_nodes=20_000,
            aliases=256,
            integer_digits=18,
            scalar_bytes=65_536,
        )
        == DEFAULT_LIMITS
    )


def test_load_reads_a_file_and_names_it(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text("name: tiny\n", encoding="utf-8")
    tree = load(path)
    assert plain(tree) == {"name": "tiny"}
    assert tree.span.file == str(path)
    assert plain(load(str(path))) == {"name": "tiny"}


def test_load_reads_no_more_than_the_limit(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_bytes(b"a: 1\n" + b"#" * 100)
    with pytest.raises(SpecError, match="the spec is larger than 50 bytes"):
        load(path, limits=Limits(spec_bytes=50))


@pytest.mark.parametrize("name", ["missing.yaml", ".", "a\0b"])
def test_a_file_that_cannot_be_read_is_named(tmp_path, name):
    path = f"{tmp_path}/{name}"
    problem = refusal(load, path)
    assert (problem.code, problem.span) == ("Y100", None)
    assert problem.message.startswith(f"cannot read '{path}': ")
    assert problem.fix == "give the path of a YAML file"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("12", 12),
        ("32_000", 32000),
        ("1e-5", 1e-5),
        ("true", True),
        ("null", None),
        ("no", "no"),
        ("''", ""),
        ("4*d_model", "4*d_model"),
        ("[1, {a: b}]", [1, {"a": "b"}]),
        ("{kind: glu, d_ff: 8}", {"kind": "glu", "d_ff": 8}),
    ],
)
def test_a_value_of_the_command_line_is_yaml(text, expected):
    tree = parse_scalar(text, SET)
    assert plain(tree) == expected
    assert tree.span is SET


def test_all_of_a_value_of_the_command_line_stands_at_one_place():
    tree = parse_scalar("{a: [1, 2]}", SET)
    assert value_span(tree, ("a", 1)) is SET
    assert key_span(tree, ("a",)) is SET


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "Y105"),
        ("  ", "Y105"),
        ("# a", "Y105"),
        ("[1", "Y101"),
        ("\x00", "Y103"),
        ("{a: 1, a: 2}", "Y104"),
        ("[&x 1, &x 2]", "Y116"),
        ("[" * 40, "Y107"),
        ("!b c", "Y108"),
        ("010", "Y110"),
        ("%TAG ! x", "Y113"),
    ],
)
def test_a_wrong_value_of_the_command_line_is_refused_at_its_place(text, code):
    problem = refusal(lambda text: parse_scalar(text, SET), text)
    assert (problem.code, problem.span) == (code, SET)


def test_a_thousand_lines_are_read_whole():
    line = "  - {{kind: attention, num_heads: {}, eps: 1e-5, from: [a, b]}}\n"
    text = "layers:\n" + "".join(line.format(i) for i in range(1000))
    layers = plain(parse(text, "a.yaml"))["layers"]
    assert [layer["num_heads"] for layer in layers] == list(range(1000))
