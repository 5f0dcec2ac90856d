"""`compress`: making a model smaller, as a list of passes in their order."""

from __future__ import annotations

from collections.abc import Iterator

from .chosen import chosen_in
from .document import Mapping, Sequence, get
from .pass_fields import PassFields
from .prune import PruneFields
from .quantize import QuantizeFields
from .slots import Checking
from .spec import CompressSpec
from .validate import describe, guess, validate
from .wants import listed

KINDS: dict[str, type[PassFields]] = {each.kind: each for each in (PruneFields, QuantizeFields)}
"""Every pass; what each does to tensors is in `composer.compression.passes`."""

FIX = "compress: [{quantize: {on: '*', scheme: int8_weight}}]"


def compress_in(tree: Mapping, check: Checking) -> tuple[CompressSpec, ...]:
    """The passes of a spec, in order; what is wrong is added to the problems."""
    section = get(tree, ("compress",))
    if section is None:
        return ()
    if not isinstance(section, Sequence) or not section.items:
        found = "an empty list" if isinstance(section, Sequence) else describe(section)
        check.problems.add(
            "C105", f"compress wants a list of passes, not {found}", section.span, fix=FIX
        )
        return ()
    return tuple(_passes(section, check))


def _passes(section: Sequence, check: Checking) -> Iterator[CompressSpec]:
    for item in section.items:
        if not isinstance(item, Mapping) or len(item.entries) != 1:
            message = f"a pass is one kind with its options, not {describe(item)}"
            check.problems.add("C105", message, item.span, fix=FIX)
            continue
        (kind, entry), *_ = item.entries.items()
        if kind not in KINDS:
            fix = guess(kind, KINDS) or f"kinds: {listed(KINDS)}"
            check.problems.add("C103", f"unknown pass '{kind}'", entry.key, fix=fix)
            continue
        options = validate(
            KINDS[kind], entry.value, check.problems, where=f"'{kind}'", dims=check.dims
        )
        written = get(entry.value, ("on",))
        chosen = None if written is None else chosen_in(written, check)
        if options is not None and chosen is not None:
            options = options.model_copy(update={"on": None})  # `chosen` is what it says
            yield CompressSpec(options, chosen, entry.value, entry.key)
