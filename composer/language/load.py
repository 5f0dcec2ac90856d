"""Reads YAML 1.2 into a tree with places, and refuses everything that is not plainly a spec.

PyYAML only cuts the text into events. Values, keys, aliases and limits are handled here, on a stack
of our own, because its constructors recurse, read YAML 1.1, keep the last of two equal keys and let
a few hundred bytes unfold into gigabytes.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path
from typing import NamedTuple, Protocol, TypeAlias

import yaml  # type: ignore[import-untyped, unused-ignore]

from composer.diagnostics import Note, Problem, Span, SpecError
from composer.language.document import Entry, Mapping, Scalar, Sequence, Tree


class Fault(Enum):
    """What can be wrong with the YAML of a spec: codes, whose meanings never change."""

    UNREADABLE = ("Y100", "The file cannot be opened or read.")
    SYNTAX = ("Y101", "The text is not YAML.")
    ENCODING = ("Y102", "The bytes are not UTF-8.")
    CHARACTER = ("Y103", "A control character or one that changes the direction of the text.")
    DUPLICATE_KEY = ("Y104", "A mapping has the same key twice.")
    EMPTY = ("Y105", "There is nothing to read.")
    MERGE_KEY = ("Y106", "The merge key `<<`, which YAML 1.2 does not have.")
    LIMIT = ("Y107", "Larger, deeper or more repeated than a spec may be.")
    TAG = ("Y108", "A tag (`!name`, `!!name`) other than `!!str`.")
    ALIAS_CYCLE = ("Y109", "An alias stands inside what it repeats.")
    LEADING_ZERO = (
        "Y110",
        "A number with a leading zero, which YAML 1.1 and 1.2 read differently.",
    )
    RANGE = ("Y111", "A number that is too large or too small to be read exactly enough.")
    KEY = ("Y112", "A key that is not plainly text: a list, a mapping, null, an alias, an anchor.")
    DIRECTIVE = ("Y113", "A directive other than `%YAML 1.2`.")
    DOCUMENTS = ("Y114", "More than one document in the file.")
    ROOT = ("Y115", "The file holds a list or a single value, not a mapping.")
    ALIAS = ("Y116", "An alias of an anchor that is not there, or an anchor that is there twice.")

    @property
    def code(self) -> str:
        """The code that is shown."""
        return self.value[0]

    @property
    def meaning(self) -> str:
        """What the code means, as one sentence."""
        return self.value[1]


@dataclass(frozen=True, slots=True)
class Limits:
    """How much a spec may hold; a spec cannot raise them, only its reader can."""

    spec_bytes: int = 1024 * 1024
    nesting: int = 32
    nodes: int = 50_000  # every key, value, list and mapping that is written
    expanded_nodes: int = 20_000  # those that aliases repeat
    aliases: int = 256
    integer_digits: int = 18
    scalar_bytes: int = 64 * 1024


DEFAULT_LIMITS = Limits()


def load(path: str | Path, *, limits: Limits = DEFAULT_LIMITS) -> Mapping:
    """The mapping which the YAML file at `path` holds."""
    try:
        with Path(path).open("rb") as stream:
            data = stream.read(limits.spec_bytes + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        message = f"cannot read '{path}': {reason.lower()}"
        raise _fault(Fault.UNREADABLE, message, None, "give the path of a YAML file") from error
    return parse(data, str(path), limits=limits)


def parse(text: str | bytes, file: str, *, limits: Limits = DEFAULT_LIMITS) -> Mapping:
    """The mapping which `text` holds; `file` is the name that its places carry."""
    return _parse(text, file, limits, _FASTEST)


def parse_scalar(text: str, span: Span, *, limits: Limits = DEFAULT_LIMITS) -> Tree:
    """The value which `text` holds, as after `--set name=`; all of it stands at `span`."""

    def place(_start: _Mark, _end: _Mark) -> Span:
        return span

    root = _read(text, place, limits, _FASTEST) if text.strip() else None
    if root is None:
        raise _fault(
            Fault.EMPTY, "there is no value", span, "write a value, null, or '' for no text"
        )
    return root


class _Mark(Protocol):
    """A point of the text, 0-based, as PyYAML gives it."""

    @property
    def line(self) -> int: ...
    @property
    def column(self) -> int: ...


class _Point(NamedTuple):
    line: int
    column: int


class _Loader(Protocol):
    """What is used of PyYAML's loaders."""

    def get_event(self) -> yaml.Event: ...
    def dispose(self) -> None: ...


_Place: TypeAlias = Callable[[_Mark, _Mark], Span]
_LoaderClass: TypeAlias = Callable[[str], _Loader]


# PyYAML is chosen here, once; tests read everything with both of its parsers.
_FASTEST: _LoaderClass = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

# What PyYAML's parsers are known to raise on bad input besides their own errors.
_LEAKS = (
    yaml.YAMLError,
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
)


def _fault(
    fault: Fault, message: str, span: Span | None, fix: str, notes: tuple[Note, ...] = ()
) -> SpecError:
    return SpecError([Problem(fault.code, message, span, notes, fix)])


def _parse(text: str | bytes, file: str, limits: Limits, loader_class: _LoaderClass) -> Mapping:
    _check_size(text, file, limits)
    clean = _decode(text, file) if isinstance(text, bytes) else text.removeprefix("\ufeff")
    place = _places(clean, file)
    root = _read(clean, place, limits, loader_class)
    if root is None or (isinstance(root, Scalar) and root.value is None):
        start = place(_Point(0, 0), _Point(0, 1))
        raise _fault(
            Fault.EMPTY, "the file holds no spec", start, "write 'composer: 1' to begin one"
        )
    if not isinstance(root, Mapping):
        what = "a list" if isinstance(root, Sequence) else "a single value"
        raise _fault(
            Fault.ROOT, f"a spec is a mapping, not {what}", root.span, "write 'key: value' lines"
        )
    return root


def _read(text: str, place: _Place, limits: Limits, loader_class: _LoaderClass) -> Tree | None:
    """The one document in `text`, or None if there is none."""
    _check_characters(text, place)
    _check_directives(text, place)
    builder = _Builder(place, limits)
    for event in _events(text, place, loader_class):
        builder.feed(event)
    return builder.root


# From bytes to text that is safe to show and that all parsers cut into the same lines.

_BREAK = re.compile(r"\r\n|\r|\n")
_UTF16_OR_32 = (b"\xff\xfe", b"\xfe\xff", b"\x00\x00\xfe\xff")
# Controls, line breaks of YAML 1.1 only, direction marks (rustc refuses them too), lone surrogates,
# byte order marks and the two non-characters that PyYAML refuses.
_FORBIDDEN = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069"
    "\ud800-\udfff\ufeff\ufffe\uffff]"
)


def _places(text: str, file: str) -> _Place:
    """What turns two marks of `text` into a span, which ends with the line that it starts on."""
    lines = _BREAK.split(text)

    def place(start: _Mark, end: _Mark) -> Span:
        line = lines[start.line] if start.line < len(lines) else ""
        last = end.column if end.line == start.line else len(line.rstrip())
        return Span(file, start.line + 1, start.column + 1, max(last, start.column + 1) + 1, line)

    return place


def _point(text: str, offset: int) -> _Point:
    before = _BREAK.split(text[:offset])
    return _Point(len(before) - 1, len(before[-1]))


def _place_of(text: str, offset: int, place: _Place) -> Span:
    point = _point(text, offset)
    return place(point, point)


def _check_size(text: str | bytes, file: str, limits: Limits) -> None:
    size = len(text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass"))
    if size > limits.spec_bytes:
        raise _fault(
            Fault.LIMIT,
            f"the spec is larger than {limits.spec_bytes} bytes",
            Span(file, 1, 1, 2),
            "use repeats and sizes instead of writing everything out",
        )


def _decode(data: bytes, file: str) -> str:
    if data.startswith(_UTF16_OR_32):
        message = "the file is UTF-16 or UTF-32, not UTF-8"
        raise _fault(Fault.ENCODING, message, Span(file, 1, 1, 2), "save the file as UTF-8")
    data = data.removeprefix(b"\xef\xbb\xbf")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        text = data.decode("utf-8", "surrogateescape")
        span = _place_of(text, len(data[: error.start].decode("utf-8")), _places(text, file))
        message = f"the byte 0x{data[error.start]:02x} is not UTF-8"
        raise _fault(Fault.ENCODING, message, span, "save the file as UTF-8") from error


def _check_characters(text: str, place: _Place) -> None:
    found = _FORBIDDEN.search(text)
    if found:
        raise _forbidden(found[0], _place_of(text, found.start(), place))


def _forbidden(char: str, span: Span) -> SpecError:
    name = f"U+{ord(char):04X} {unicodedata.name(char, '')}".strip()
    return _fault(
        Fault.CHARACTER, f"the character {name} may not stand in a spec", span, "delete it"
    )


_YAML_1_2 = re.compile(r"%YAML[ \t]+1\.2[ \t]*(?:[ \t]#.*)?")


def _check_directives(text: str, place: _Place) -> None:
    """Refuse directives before the parsers see them: each knows other ones."""
    if not text.startswith(("%", "#", " ", "\t", "\r", "\n")):
        return
    seen: Span | None = None
    for number, line in enumerate(_BREAK.split(text)):
        if line.startswith("%"):
            seen = place(_Point(number, 0), _Point(number, len(line.rstrip())))
            if not _YAML_1_2.fullmatch(line):
                name = _short(line.split()[0])
                fix = "delete the line: a spec is YAML 1.2 without tags"
                raise _fault(Fault.DIRECTIVE, f"the directive '{name}' is not for specs", seen, fix)
        elif line.strip() and not line.lstrip().startswith("#"):
            if seen and not line.startswith("---"):
                fix = "write a line '---' below it, or delete it"
                raise _fault(Fault.DIRECTIVE, "nothing ends the directives", seen, fix)
            return


# From text to events, and what people are told when PyYAML finds none.


def _events(text: str, place: _Place, loader_class: _LoaderClass) -> Iterator[yaml.Event]:
    """The events of `text`, one at a time, so that a limit stops the scanner where it is."""
    loader = loader_class(text)
    last: _Mark = _Point(0, 0)
    try:
        while not isinstance(event := _next_event(loader, text, place, last), yaml.StreamEndEvent):
            _, last = _marks(event)
            yield event
    finally:
        loader.dispose()


def _next_event(loader: _Loader, text: str, place: _Place, last: _Mark) -> yaml.Event:
    try:
        return loader.get_event()
    except _LEAKS as error:
        point: _Mark = getattr(loader, "get_mark", lambda: last)()
        raise _syntax_error(error, point, text, place) from error


def _marks(event: yaml.Event) -> tuple[_Mark, _Mark]:
    """Where the event starts and ends."""
    start, end = event.start_mark, event.end_mark
    assert start, "PyYAML marks where every event starts"
    assert end, "PyYAML marks where every event ends"
    return start, end


@dataclass(frozen=True, slots=True)
class _Clue:
    """What to say when PyYAML's words and the character it stopped at match `pattern`."""

    pattern: str
    message: str
    fix: str
    fault: Fault = Fault.SYNTAX
    start: str = ""  # what a note calls the place where PyYAML's context began
    at_start: bool = False  # the fault is that place, not the one where PyYAML gave up


_ESCAPE_FIX = r"write \\ for a backslash, or use single quotes"
_INDENT_FIX = "indent it like its neighbours, delete it, or put the whole text in quotes"

# The first that fits counts. PyYAML's two parsers word things differently; both must match.
_CLUES = (
    _Clue(r"a tab character|start any token.* at '\\t'", "a tab cannot stand here", "write spaces"),
    _Clue("start any token", "text cannot start with '{char}'", "put the text in quotes"),
    _Clue(
        "scanning an (alias|anchor)",
        "'*' and '&' are for names of letters and digits",
        "put the text in quotes",
        at_start=True,
    ),
    _Clue(
        "quoted scalar found unexpected",
        "this quote is never closed",
        "close the text with the same quote",
        at_start=True,
    ),
    _Clue(" tag", "this tag cannot be read", "delete it, or put the text in quotes", Fault.TAG),
    _Clue(r"escape|hex|chr\(\)", "this escape does not exist", _ESCAPE_FIX),
    _Clue(
        "a flow sequence",
        "a ',' or ']' is missing before this",
        "close the list with ']', and put text that holds ',', ':', '[' or ']' in quotes",
        start="the list starts here",
    ),
    _Clue(
        "a flow mapping",
        "a ',' or '}' is missing before this",
        "close the mapping with '}', and put text that holds ',', ':', '{' or '}' in quotes",
        start="the mapping starts here",
    ),
    _Clue(
        "mapping values are not allowed",
        "a ':' cannot stand here",
        "line the key up with its neighbours, or put text that holds ': ' in quotes",
    ),
    _Clue(
        "sequence entries are not allowed",
        "a list cannot start here",
        "start it on a line of its own, or put text that starts with '- ' in quotes",
    ),
    _Clue("simple key", "a ':' is missing after this", "write 'key: value'", at_start=True),
    _Clue(
        "<document start>",
        "the document has ended before this",
        "line it up with the rest, or delete it",
        Fault.DOCUMENTS,
    ),
    _Clue(
        "a block collection",
        "this does not belong to the list above it",
        _INDENT_FIX,
        start="the list starts here",
    ),
    _Clue(
        "a block mapping",
        "this does not belong to the keys above it",
        _INDENT_FIX,
        start="the keys start here",
    ),
    _Clue("unexpected ':'", "a space is missing after this ':'", "write 'key: value'"),
    _Clue(
        "block scalar",
        "nothing may follow '|' or '>' on its line",
        "write the text on the lines below, or put it in quotes",
    ),
    _Clue("node content", "a value is missing here", "write it, or put the text in quotes"),
    _Clue("", "this is not YAML", "check quotes, brackets and indentation here"),
)


def _syntax_error(error: Exception, point: _Mark, text: str, place: _Place) -> SpecError:
    """What PyYAML found, in our words and at the place that has to change."""
    context: _Mark | None = getattr(error, "context_mark", None)
    found: _Mark = getattr(error, "problem_mark", None) or context or point
    lines = _BREAK.split(text)
    char = lines[found.line][found.column : found.column + 1] if found.line < len(lines) else ""
    said = f"{getattr(error, 'context', '')} {getattr(error, 'problem', error)} at {char!r}"
    clue = next(clue for clue in _CLUES if re.search(clue.pattern, said))
    at_end = (found.line, found.column) >= _point(text, len(text.rstrip()))
    notes: tuple[Note, ...] = ()
    message = clue.message.replace("{char}", char)
    if context and clue.at_start:
        found = context
    elif context and "flow" in clue.pattern and at_end:
        found, message = context, "this is never closed"
    elif context and clue.start:
        notes = (Note(clue.start, place(context, context)),)
    return _fault(clue.fault, message, place(found, found), clue.fix, notes)


# From events to the tree.


@dataclass(slots=True)
class _Open:
    """A list or mapping whose end has not been read yet."""

    start: _Mark
    span: Span
    anchor: str | None
    is_mapping: bool
    is_flow: bool
    nodes_before: int
    height: int = 0  # of the highest part so far; a scalar has none
    items: list[Tree] = field(default_factory=list)
    entries: dict[str, Entry] = field(default_factory=dict)
    key: tuple[str, Span] | None = None  # read, but its value is not


class _Anchored(NamedTuple):
    tree: Tree
    size: int
    height: int


class _Builder:
    """Puts events together to one tree and counts them against the limits."""

    def __init__(self, place: _Place, limits: Limits) -> None:
        self.root: Tree | None = None
        self._place = place
        self._limits = limits
        self._stack: list[_Open] = []
        self._anchored: dict[str, _Anchored] = {}
        self._anchors: dict[str, Span] = {}  # also those of what is still open
        self._documents = self._nodes = self._copied = self._aliases = 0

    def feed(self, event: yaml.Event) -> None:
        """Take the next event."""
        if isinstance(event, yaml.ScalarEvent):
            self._scalar(event)
        elif isinstance(event, yaml.AliasEvent):
            self._alias(event)
        elif isinstance(event, yaml.CollectionStartEvent):
            self._open(event)
        elif isinstance(event, yaml.CollectionEndEvent):
            self._close(event)
        elif isinstance(event, yaml.DocumentStartEvent):
            self._document(event)

    def _document(self, event: yaml.DocumentStartEvent) -> None:
        self._documents += 1
        if self._documents > 1:
            span = self._place(*_marks(event))
            fix = "keep one document in each file"
            raise _fault(Fault.DOCUMENTS, "a second document starts here", span, fix)

    def _scalar(self, event: yaml.ScalarEvent) -> None:
        span = self._place(*_marks(event))
        self._count(span)
        self._check_tag(event, span)
        self._check_text(event, span)
        if self._wants_key():
            self._key(event, span)
            return
        is_text = bool(event.style or event.tag)
        value = event.value if is_text else _resolve(event.value, span, self._limits)
        tree = Scalar(value, span, is_text)
        self._name(event.anchor, span)
        self._keep(event.anchor, tree, size=1, height=0)
        self._attach(tree, height=0)

    def _key(self, event: yaml.ScalarEvent, span: Span) -> None:
        key: str = event.value
        is_text = bool(event.style or event.tag)
        if event.anchor:
            raise _fault(Fault.KEY, "a key has no anchor", span, "delete the anchor before the key")
        if key == "<<" and not is_text:
            fix = "write the keys out"
            raise _fault(Fault.MERGE_KEY, "YAML 1.2 has no merge key '<<'", span, fix)
        if not is_text and _WORDS.get(key, "") is None:
            fix = f"write a name, or {key or 'null'!r} in quotes"
            raise _fault(Fault.KEY, "a key is text, not null", span, fix)
        first = self._stack[-1].entries.get(key)
        if first:
            note = Note(f"'{_short(key)}' is first written here", first.key)
            fix = "keep one of the two"
            raise _fault(
                Fault.DUPLICATE_KEY, f"the key '{_short(key)}' is here twice", span, fix, (note,)
            )
        self._stack[-1].key = (key, span)

    def _alias(self, event: yaml.AliasEvent) -> None:
        span = self._place(*_marks(event))
        if self._wants_key():
            raise _fault(Fault.KEY, "a key is text, not an alias", span, "write the key out")
        name = event.anchor or ""
        anchored = self._anchored.get(name)
        if anchored is None:
            raise self._unknown_alias(name, span)
        self._aliases += 1
        self._copied += anchored.size
        limits, fix = self._limits, "use fewer aliases, of smaller parts"
        depth = len(self._stack) + anchored.height
        self._limit("aliases", self._aliases, limits.aliases, span, fix)
        self._limit("nodes repeated by aliases", self._copied, limits.expanded_nodes, span, fix)
        self._limit("levels of nesting", depth, limits.nesting, span, fix)
        self._attach(anchored.tree, anchored.height)

    def _unknown_alias(self, name: str, span: Span) -> SpecError:
        opened = self._anchors.get(name)
        shown = _short(name)
        if opened:
            note = Note(f"'&{shown}' starts here and has not ended", opened)
            message = f"'*{shown}' stands inside '&{shown}', so it would never end"
            return _fault(Fault.ALIAS_CYCLE, message, span, "write the value out", (note,))
        message = f"there is no '&{shown}' above this '*{shown}'"
        fix = f"write '&{shown}' before the value that it repeats, or put '*{shown}' in quotes"
        return _fault(Fault.ALIAS, message, span, fix)

    def _open(self, event: yaml.CollectionStartEvent) -> None:
        span = self._place(*_marks(event))
        is_mapping = isinstance(event, yaml.MappingStartEvent)
        if self._wants_key():
            message = f"a key is text, not a {'mapping' if is_mapping else 'list'}"
            raise _fault(Fault.KEY, message, span, "put it in quotes if it is text")
        self._check_tag(event, span)
        fix = "write it with fewer levels"
        self._limit("levels of nesting", len(self._stack) + 1, self._limits.nesting, span, fix)
        self._name(event.anchor, span)
        before = self._nodes + self._copied
        self._count(span)
        start, _ = _marks(event)
        self._stack.append(
            _Open(start, span, event.anchor, is_mapping, bool(event.flow_style), before)
        )

    def _close(self, event: yaml.CollectionEndEvent) -> None:
        top = self._stack.pop()
        tree: Tree
        if top.is_mapping:
            tree = Mapping(top.entries, self._extent(top, event))
        else:
            tree = Sequence(tuple(top.items), self._extent(top, event))
        height = top.height + 1
        self._keep(top.anchor, tree, self._nodes + self._copied - top.nodes_before, height)
        self._attach(tree, height)

    def _extent(self, top: _Open, event: yaml.CollectionEndEvent) -> Span:
        """From bracket to bracket; a block has no end, so its first part stands for it."""
        if top.is_flow:
            return self._place(top.start, _marks(event)[1])
        if top.entries:
            return next(iter(top.entries.values())).key
        first = top.items[0].span
        if first.line != top.span.line:
            return top.span
        return replace(top.span, end_column=first.end_column)

    def _attach(self, tree: Tree, height: int) -> None:
        if not self._stack:
            self.root = tree
            return
        top = self._stack[-1]
        top.height = max(top.height, height)
        if top.key is None:
            top.items.append(tree)
        else:
            key, span = top.key
            top.entries[key] = Entry(span, tree)
            top.key = None

    def _name(self, anchor: str | None, span: Span) -> None:
        if anchor is None:
            return
        first = self._anchors.get(anchor)
        if first:
            shown = _short(anchor)
            note = Note(f"'&{shown}' is first written here", first)
            message = f"the anchor '&{shown}' is here twice"
            raise _fault(Fault.ALIAS, message, span, "give it another name", (note,))
        self._anchors[anchor] = span

    def _keep(self, anchor: str | None, tree: Tree, size: int, height: int) -> None:
        if anchor is not None:
            self._anchored[anchor] = _Anchored(tree, size, height)

    def _wants_key(self) -> bool:
        return bool(self._stack) and self._stack[-1].is_mapping and self._stack[-1].key is None

    def _count(self, span: Span) -> None:
        self._nodes += 1
        fix = "use repeats and sizes instead of writing everything out"
        self._limit("nodes", self._nodes, self._limits.nodes, span, fix)

    def _limit(self, what: str, count: int, limit: int, span: Span, fix: str) -> None:
        if count > limit:
            raise _fault(Fault.LIMIT, f"a spec has at most {limit} {what}", span, fix)

    def _check_tag(self, event: yaml.ScalarEvent | yaml.CollectionStartEvent, span: Span) -> None:
        tag: str | None = event.tag
        if tag is None or (tag == _STRING_TAG and isinstance(event, yaml.ScalarEvent)):
            return
        shown = _short(tag.replace("tag:yaml.org,2002:", "!!"))
        fix = "delete the tag, or put text that starts with '!' in quotes"
        raise _fault(Fault.TAG, f"the tag '{shown}' is not for specs", span, fix)

    def _check_text(self, event: yaml.ScalarEvent, span: Span) -> None:
        text: str = event.value
        limit = self._limits.scalar_bytes
        if len(text) * 4 > limit and len(text.encode("utf-8", "surrogatepass")) > limit:
            fix = "write less text here"
            raise _fault(Fault.LIMIT, f"a text has at most {limit} bytes", span, fix)
        if event.style == '"' and (found := _FORBIDDEN.search(text)):  # written as an escape
            raise _forbidden(found[0], span)


_LONGEST_SHOWN = 40
_STRING_TAG = "tag:yaml.org,2002:str"


# Plain scalars: YAML 1.2's core schema, and `32_000`, which people write for sizes.

_WORDS: dict[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_NUMBER_START = frozenset("+-.0123456789")
_INTEGER = re.compile(r"[-+]?[0-9]+(?:_[0-9]+)*|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")


def _resolve(text: str, span: Span, limits: Limits) -> str | int | float | bool | None:
    """What a plain scalar means."""
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in _NUMBER_START:
        return text
    if _INTEGER.fullmatch(text):
        return _integer(text, span, limits)
    if _FLOAT.fullmatch(text):
        return _float(text, span)
    return float(text.replace(".", "")) if _NOT_FINITE.fullmatch(text) else text


def _integer(text: str, span: Span, limits: Limits) -> int:
    """The integer; beyond some thousand digits, Python itself would refuse to read it."""
    digits = text.lstrip("+-").replace("_", "")
    is_decimal = digits.isdecimal()
    if is_decimal and digits[0] == "0" and 1 < len(digits) <= limits.integer_digits:
        raise _leading_zero(text, digits, span)
    size = 10**limits.integer_digits
    value = size if is_decimal and len(digits) > limits.integer_digits else int(digits, 0)
    if value >= size:
        fix = "write a smaller number, or put it in quotes if it is text"
        message = f"an integer has at most {limits.integer_digits} digits"
        raise _fault(Fault.RANGE, message, span, fix)
    return -value if text[0] == "-" else value


def _leading_zero(text: str, digits: str, span: Span) -> SpecError:
    sign = "-" if text[0] == "-" else ""
    octal = not text.startswith(("+", "-")) and not set(digits) & {"8", "9"}
    eight = f", 0o{digits.lstrip('0') or '0'} if it is octal" if octal else ""
    return _fault(
        Fault.LEADING_ZERO,
        f"'{text}' starts with a zero: some readers take it for octal, some for decimal",
        span,
        f"write {sign}{digits.lstrip('0') or '0'}{eight}, or '{text}' in quotes if it is text",
    )


def _float(text: str, span: Span) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        message = f"{_short(text)} is too large for a float"
        raise _fault(Fault.RANGE, message, span, "write a smaller number, or .inf for infinity")
    if value == 0 and re.match("[^eE]*[1-9]", text):
        message = f"{_short(text)} is too small for a float: it would become 0"
        raise _fault(Fault.RANGE, message, span, "write a larger number, or 0.0")
    return value


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}..."
