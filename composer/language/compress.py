"""`compress`: making a model smaller, as a list of passes in their order."""

from __future__ import annotations

from .changes import changes_in
from .chosen import chosen_in
from .document import Entry, Mapping, get
from .pass_fields import PassFields
from .prune import PruneFields
from .quantize import QuantizeFields
from .slots import Checking
from .spec import CompressSpec
from .validate import validate

KINDS: dict[str, type[PassFields]] = {each.kind: each for each in (PruneFields, QuantizeFields)}
"""Every pass; what each does to tensors is in `composer.compression.passes`."""

FIX = "compress: [{quantize: {on: '*', scheme: int8_weight}}]"


def compress_in(tree: Mapping, check: Checking) -> tuple[CompressSpec, ...]:
    """The passes of a spec, in order; what is wrong is added to the problems."""
    written = changes_in(tree, "compress", KINDS, check, one="a pass", many="passes", fix=FIX)
    made = (_pass(kind, entry, check) for kind, entry in written)
    return tuple(one for one in made if one is not None)


def _pass(kind: str, entry: Entry, check: Checking) -> CompressSpec | None:
    options = validate(KINDS[kind], entry.value, check.problems, where=f"'{kind}'", dims=check.dims)
    written = get(entry.value, ("on",))
    chosen = None if written is None else chosen_in(written, check)
    if options is None or chosen is None:
        return None
    options = options.model_copy(update={"on": None})  # `chosen` is what it says
    return CompressSpec(options, chosen, entry.value, entry.key)
