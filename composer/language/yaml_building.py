"""From events to the tree, on a stack of our own."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import NamedTuple

import yaml  # type: ignore[import-untyped, unused-ignore]

from composer.diagnostics import Note, Span, SpecError
from composer.language.document import Entry, Mapping, Scalar, Sequence, Tree

from .yaml_characters import FORBIDDEN, forbidden
from .yaml_events import marks
from .yaml_faults import Fault, Limits, refusal
from .yaml_places import Mark, Place
from .yaml_scalars import WORDS, resolve_scalar, shortened


@dataclass(slots=True)
class _Open:
    """A list or mapping whose end has not been read yet."""

    start: Mark
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


class Builder:
    """Puts events together to one tree and counts them against the limits."""

    def __init__(self, place: Place, limits: Limits) -> None:
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
            span = self._place(*marks(event))
            fix = "keep one document in each file"
            raise refusal(Fault.DOCUMENTS, "a second document starts here", span, fix)

    def _scalar(self, event: yaml.ScalarEvent) -> None:
        span = self._place(*marks(event))
        self._count(span)
        self._check_tag(event, span)
        self._check_text(event, span)
        if self._wants_key():
            self._key(event, span)
            return
        is_text = bool(event.style or event.tag)
        value = event.value if is_text else resolve_scalar(event.value, span, self._limits)
        tree = Scalar(value, span, is_text)
        self._name(event.anchor, span)
        self._keep(event.anchor, tree, size=1, height=0)
        self._attach(tree, height=0)

    def _key(self, event: yaml.ScalarEvent, span: Span) -> None:
        key: str = event.value
        is_text = bool(event.style or event.tag)
        if event.anchor:
            raise refusal(
                Fault.KEY, "a key has no anchor", span, "delete the anchor before the key"
            )
        if key == "<<" and not is_text:
            fix = "write the keys out"
            raise refusal(Fault.MERGE_KEY, "YAML 1.2 has no merge key '<<'", span, fix)
        if not is_text and WORDS.get(key, "") is None:
            fix = f"write a name, or {key or 'null'!r} in quotes"
            raise refusal(Fault.KEY, "a key is text, not null", span, fix)
        first = self._stack[-1].entries.get(key)
        if first:
            note = Note(f"'{shortened(key)}' is first written here", first.key)
            fix = "keep one of the two"
            raise refusal(
                Fault.DUPLICATE_KEY, f"the key '{shortened(key)}' is here twice", span, fix, (note,)
            )
        self._stack[-1].key = (key, span)

    def _alias(self, event: yaml.AliasEvent) -> None:
        span = self._place(*marks(event))
        if self._wants_key():
            raise refusal(Fault.KEY, "a key is text, not an alias", span, "write the key out")
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
        shown = shortened(name)
        if opened:
            note = Note(f"'&{shown}' starts here and has not ended", opened)
            message = f"'*{shown}' stands inside '&{shown}', so it would never end"
            return refusal(Fault.ALIAS_CYCLE, message, span, "write the value out", (note,))
        message = f"there is no '&{shown}' above this '*{shown}'"
        fix = f"write '&{shown}' before the value that it repeats, or put '*{shown}' in quotes"
        return refusal(Fault.ALIAS, message, span, fix)

    def _open(self, event: yaml.CollectionStartEvent) -> None:
        span = self._place(*marks(event))
        is_mapping = isinstance(event, yaml.MappingStartEvent)
        if self._wants_key():
            message = f"a key is text, not a {'mapping' if is_mapping else 'list'}"
            raise refusal(Fault.KEY, message, span, "put it in quotes if it is text")
        self._check_tag(event, span)
        fix = "write it with fewer levels"
        self._limit("levels of nesting", len(self._stack) + 1, self._limits.nesting, span, fix)
        self._name(event.anchor, span)
        before = self._nodes + self._copied
        self._count(span)
        start, _ = marks(event)
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
            return self._place(top.start, marks(event)[1])
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
            shown = shortened(anchor)
            note = Note(f"'&{shown}' is first written here", first)
            message = f"the anchor '&{shown}' is here twice"
            raise refusal(Fault.ALIAS, message, span, "give it another name", (note,))
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
            raise refusal(Fault.LIMIT, f"a spec has at most {limit} {what}", span, fix)

    def _check_tag(self, event: yaml.ScalarEvent | yaml.CollectionStartEvent, span: Span) -> None:
        tag: str | None = event.tag
        if tag is None or (tag == _STRING_TAG and isinstance(event, yaml.ScalarEvent)):
            return
        shown = shortened(tag.replace("tag:yaml.org,2002:", "!!"))
        fix = "delete the tag, or put text that starts with '!' in quotes"
        raise refusal(Fault.TAG, f"the tag '{shown}' is not for specs", span, fix)

    def _check_text(self, event: yaml.ScalarEvent, span: Span) -> None:
        text: str = event.value
        limit = self._limits.scalar_bytes
        if len(text) * 4 > limit and len(text.encode("utf-8", "surrogatepass")) > limit:
            fix = "write less text here"
            raise refusal(Fault.LIMIT, f"a text has at most {limit} bytes", span, fix)
        if event.style == '"' and (found := FORBIDDEN.search(text)):  # written as an escape
            raise forbidden(found[0], span)


_STRING_TAG = "tag:yaml.org,2002:str"
