"""Files made to break a reader of YAML: each is refused at its place, quickly and in little memory.

Besides, whatever bytes a spec is made of, nothing but a `SpecError` comes out of reading it.
"""

from __future__ import annotations

import random
import time
import tracemalloc
from pathlib import Path

import pytest
import yaml

from composer.diagnostics import SpecError
from composer.language import load as loading
from composer.language.document import Scalar, get, plain
from composer.language.load import DEFAULT_LIMITS, load

FOLDER = Path(__file__).parent
PARSERS = [getattr(yaml, name) for name in ("CSafeLoader", "SafeLoader") if hasattr(yaml, name)]
SECONDS = 1.0
MEGABYTES = 50

REFUSED = {
    "y_alias_bomb": ("Y107", 5, 10),
    "y_alias_cycle": ("Y109", 2, 12),
    "y_alias_wide": ("Y107", 2, 203),
    "y_bare_float_tag": ("Y108", 2, 7),
    "y_bidi_raw": ("Y103", 1, 16),
    "y_comment_only": ("Y105", 1, 1),
    "y_deep_block_300": ("Y107", 33, 33),
    "y_deep_flow_10k": ("Y107", 2, 39),
    "y_duplicate_key": ("Y104", 18, 7),
    "y_empty": ("Y105", 1, 1),
    "y_escape_too_big": ("Y101", 2, 10),
    "y_huge_int_5000_digits": ("Y111", 28, 15),
    "y_invalid_utf8": ("Y102", 2, 7),
    "y_list_key": ("Y112", 2, 3),
    "y_merge_self": ("Y106", 3, 3),
    "y_nul_byte": ("Y103", 2, 8),
    "y_octal": ("Y110", 28, 15),
    "y_scalar_root": ("Y115", 1, 1),
    "y_tab_indent": ("Y101", 3, 1),
    "y_tag_custom_include": ("Y108", 2, 7),
    "y_tag_object_apply": ("Y108", 2, 7),
    "y_tag_object_new_extend": ("Y108", 1, 1),
    # Refused where %TAG gives `!` its meaning, before 4:7 can use it: the tag there looks harmless.
    "y_tag_remap": ("Y113", 1, 1),
    "y_two_documents": ("Y114", 44, 1),
    "y_unterminated": ("Y101", 2, 7),
    "y_utf16": ("Y102", 1, 1),
}

# Not the reader's to refuse, but it must not read YAML 1.1's booleans, numbers and dates into them.
TEXT = {
    "y_bad_timestamp": (("name",), "2024-99-99", 2, 7),
    "y_norway": (("name",), "no", 2, 7),
    "y_sexagesimal": (("nodes", 3, "args", "hidden"), "1:04", 28, 15),
}


def path(name: str) -> Path:
    return FOLDER / f"{name}.yaml"


def test_every_hostile_file_has_a_verdict():
    assert {file.stem for file in FOLDER.glob("*.yaml")} == REFUSED.keys() | TEXT.keys()


@pytest.mark.parametrize("parser", PARSERS, ids=lambda parser: parser.__name__)
@pytest.mark.parametrize("name", sorted(REFUSED))
def test_a_hostile_file_is_refused_at_its_place(name, parser):
    with pytest.raises(SpecError) as raised:
        loading._parse(path(name).read_bytes(), name, DEFAULT_LIMITS, parser)
    (problem,) = raised.value.problems
    assert problem.span is not None
    assert (problem.code, problem.span.line, problem.span.column) == REFUSED[name]
    assert problem.fix


@pytest.mark.parametrize("name", sorted(TEXT))
def test_what_yaml_1_1_would_misread_arrives_as_text(name):
    loc, expected, line, column = TEXT[name]
    value = get(load(path(name)), loc)
    assert isinstance(value, Scalar)
    assert (value.value, value.quoted) == (expected, False)
    assert (value.span.line, value.span.column) == (line, column)


@pytest.mark.parametrize("name", sorted(REFUSED | TEXT))
def test_a_hostile_file_costs_little(name):
    start = time.process_time()
    read(name)
    assert time.process_time() - start < SECONDS
    tracemalloc.start()
    try:
        read(name)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < MEGABYTES * 1024 * 1024


def read(name: str) -> str:
    """What the command line would show of the file: what is wrong with it."""
    try:
        return str(plain(load(path(name))))
    except SpecError as error:
        return str(error)


GOOD = b"""\
composer: 1
name: tiny
sizes: &s [1, 2.5, 32_000, 0x1f]
wide: {from: *s, text: "a\\tb", on: 'x'}
layers:
  - kind: attention
    eps: 1e-6
  - !!str 12
cite: |
  two
  lines
"""
PIECES = (
    b"[ ] { } : , - ? | > & * ! % @ # ' \" << --- ... &a *a !!str !!x 0 _ 1e999 \\U \\u \\x "
    b"\t \xff \x00 \xe2\x80\xae \xc2\x85 \xef\xbb\xbf"
).split(b" ")
SPACED = [b": ", b"- ", b"? ", b", ", b"\n", b"\r", b"\n  ", b"%YAML 1.2\n---\n", b"\n...\n"]


def mutant(random_: random.Random, seeds: list[bytes]) -> bytes:
    """One of the seeds with a few bytes put in, taken out, replaced or repeated."""
    data = bytearray(random_.choice(seeds))
    for _ in range(random_.randint(1, 4)):
        here, there = (random_.randrange(len(data) + 1) for _ in range(2))
        kind = random_.randrange(4)
        if kind == 0:
            data[here:here] = random_.choice(PIECES + SPACED)
        elif kind == 1:
            del data[here : here + random_.randint(1, 8)]
        elif kind == 2:
            data[here : here + 1] = bytes([random_.randrange(256)])
        else:
            data[here:here] = data[there : there + random_.randint(1, 30)]
    return bytes(data)


def outcome(data: bytes, parser: type) -> object:
    """The data or the code of what is wrong with it; whatever else is raised fails the test."""
    try:
        return plain(loading._parse(data, "a.yaml", DEFAULT_LIMITS, parser))
    except SpecError as error:
        refusal = error
    (problem,) = refusal.problems
    assert problem.span is not None
    assert problem.fix
    assert [c for c in str(refusal) if c < " " and c != "\n"] == []
    return problem.code


def test_whatever_the_bytes_nothing_but_a_spec_error_escapes():
    random_ = random.Random(20240601)
    hostile = [path(name).read_bytes() for name in sorted(REFUSED)]
    seeds = [GOOD] * 10 + [data for data in hostile if len(data) < 500]
    read_, refused = 0, set()
    for _ in range(2000):
        data = mutant(random_, seeds)
        outcomes = [outcome(data, parser) for parser in PARSERS]
        meant = [found for found in outcomes if not isinstance(found, str)]
        assert all(repr(found) == repr(meant[0]) for found in meant), data
        read_ += bool(meant)
        refused |= {found for found in outcomes if isinstance(found, str)}
    # The mutants must reach both the good paths and most of the bad ones to prove anything.
    assert read_ > 100
    assert len(refused) >= 12
