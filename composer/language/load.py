"""Reads YAML 1.2 into a tree with places, and refuses everything that is not plainly a spec.

PyYAML only cuts the text into events. Values, keys, aliases and limits are handled here, on a stack
of our own, because its constructors recurse, read YAML 1.1, keep the last of two equal keys and let
a few hundred bytes unfold into gigabytes.
"""

from __future__ import annotations

from pathlib import Path

import yaml  # type: ignore[import-untyped, unused-ignore]

from composer.diagnostics import Span
from composer.language.document import Mapping, Scalar, Sequence, Tree

from .yaml_building import Builder
from .yaml_characters import check_characters, check_directives, check_size, decode
from .yaml_events import LoaderClass, events_in
from .yaml_faults import DEFAULT_LIMITS, Fault, Limits, refusal
from .yaml_places import Mark, Place, Point, places_in

__all__ = ["DEFAULT_LIMITS", "Fault", "Limits", "load", "parse", "parse_scalar"]


def load(path: str | Path, *, limits: Limits = DEFAULT_LIMITS) -> Mapping:
    """The mapping which the YAML file at `path` holds."""
    try:
        with Path(path).open("rb") as stream:
            data = stream.read(limits.spec_bytes + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        message = f"cannot read '{path}': {reason.lower()}"
        raise refusal(Fault.UNREADABLE, message, None, "give the path of a YAML file") from error
    return parse(data, str(path), limits=limits)


def parse(text: str | bytes, file: str, *, limits: Limits = DEFAULT_LIMITS) -> Mapping:
    """The mapping which `text` holds; `file` is the name that its places carry."""
    return _parse(text, file, limits, _FASTEST)


def parse_scalar(text: str, span: Span, *, limits: Limits = DEFAULT_LIMITS) -> Tree:
    """The value which `text` holds, as after `--set name=`; all of it stands at `span`."""

    def place(_start: Mark, _end: Mark) -> Span:
        return span

    root = _read(text, place, limits, _FASTEST) if text.strip() else None
    if root is None:
        raise refusal(
            Fault.EMPTY, "there is no value", span, "write a value, null, or '' for no text"
        )
    return root


# PyYAML is chosen here, once; tests read everything with both of its parsers.
_FASTEST: LoaderClass = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def _parse(text: str | bytes, file: str, limits: Limits, loader_class: LoaderClass) -> Mapping:
    check_size(text, file, limits)
    clean = decode(text, file) if isinstance(text, bytes) else text.removeprefix("\ufeff")
    place = places_in(clean, file)
    root = _read(clean, place, limits, loader_class)
    if root is None or (isinstance(root, Scalar) and root.value is None):
        start = place(Point(0, 0), Point(0, 1))
        raise refusal(
            Fault.EMPTY, "the file holds no spec", start, "write 'composer: 1' to begin one"
        )
    if not isinstance(root, Mapping):
        what = "a list" if isinstance(root, Sequence) else "a single value"
        raise refusal(
            Fault.ROOT, f"a spec is a mapping, not {what}", root.span, "write 'key: value' lines"
        )
    return root


def _read(text: str, place: Place, limits: Limits, loader_class: LoaderClass) -> Tree | None:
    """The one document in `text`, or None if there is none."""
    check_characters(text, place)
    check_directives(text, place)
    builder = Builder(place, limits)
    for event in events_in(text, place, loader_class):
        builder.feed(event)
    return builder.root
