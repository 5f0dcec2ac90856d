"""Weights of other implementations, read and written through declared maps.

A spec names its maps under `weights`: the path of a YAML file beside the spec, a list of rules, or
a mapping with the keys of such a file.

    weights: {huggingface: maps/llama.yaml}

A map file:

    description: Llama in transformers      # whose names these are
    extends: base.yaml                      # a map whose rules follow these: a file beside or below
                                            # this one, or the map itself
    parameters:                             # words for the patterns; of a list each is tried
      stack: decoder
      prefix: [model., ""]                  # {full: model., bare: ""} names the layouts, too
    rules:
      - "{prefix}layers.{i}.attn.(q|k|v|o)_proj.{p} -> {stack}.layers.{i}.attention.(q|k|v|o).{p}"
      - {ignore: "*.rotary_emb.inv_freq", optional: true}
    layouts:                                # names of several versions; the first that fits is used
      in_memory: ["..."]
      published: ["..."]

**Patterns.** `{i}`, with one letter, is a number; `{p}` is `weight` or `bias`; a longer word is one
piece between dots. `(fc1|fc2) -> (up|down)` are words by position. Both sides of a rule have the
same captures, so that it can be read backwards. Of several rules that match a tensor the first
holds; those of an extended map come last and need not be used.

**Rules** are `"theirs -> ours"` or a mapping with `from` and `to` and what is done between, in this
order:

- `unstack: {over: e, axis: 0}`: one tensor of theirs becomes several of ours, numbered by `{e}`;
- `transpose: true`: the last two axes change places; a vector stays as it is;
- `slice: {axis: 0, start: 2, stop: max_length}`: the rest is lost, and zero on the way back;
- `rearrange: "d c h w -> d (c h w)"`, with `sizes: {h: patch_size}`: the operation of einops;
- `split: {axis: 0, groups: num_kv_heads, parts: {q: num_heads//num_kv_heads*head_dim, k: head_dim,
  v: head_dim}}`: one tensor of theirs, which along the axis is `groups` times the parts in their
  order, becomes one of ours for each `{part}`;
- `join: {...}`: the same backwards: theirs have the `{part}`;
- `stack: {over: e, axis: 0}`: theirs that `{e}` numbers become one tensor of ours.

Sizes are whole numbers or expressions over the options and axes of the component that holds the
tensor (`d_model`, `num_heads`, `head_dim`, `d_ff`) and the map's own numbers among `parameters`.

**Parts.** A map may fill a part of a model, such as an encoder that is joined to a decoder with
weights of another origin:

    weights:
      bert: {extends: maps/bert.yaml, names: {encoder: text}, parts: [text]}
      gpt2: {extends: maps/gpt2.yaml, parts: [decoder, logits], new: decoder.layers.*.cross_*}

`parts` are paths of what is filled, `new` of what of it keeps the values that it starts with, and
`names` says what parts that the extended map writes are called here. Every tensor of the source is
used or ignored, and every tensor of the parts is filled or new. Files are then given by the names
of maps: `composer.build(spec, weights={"bert": FOLDER, "gpt2": FOLDER})`.

Without a `to`: `{ignore: PATTERN or list}` for what nobody needs (here `*` is any text), and
`{from: PATTERN, tie: PATTERN}` for a second name of another tensor of theirs, which may be there
or not. Without a `from`: `{to: PATTERN, fill: 0}`. A rule with `optional: true` may match nothing.
Tensors that are shared in the spec need no rule for each name: a further copy may be there, and
must then be equal.

**Audit.** `plan` compares names and shapes before a tensor is read: every tensor of theirs is used
or ignored by name, every tensor of ours is made exactly once, every rule is used, every shape fits.
All that does not is one `WeightError`. `apply` carries a plan out, `export` undoes it bit for bit.

Files are safetensors: one file, an index of several, or a folder. Pickles are never read.

Codes: W400 no layout fits, W401 a source that nothing is made of, W402 a tensor made of nothing,
W403 a rule that matches nothing, W404 names, W405 shapes, W406 copies that differ, W407 no way
back, W408 models and types, W409 no map, W410 files, W411 indexes.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from composer.diagnostics import Problems, Span
from composer.graph.graph import Graph
from composer.language.document import from_plain
from composer.language.weights import WeightMap, read_map, weight_map

from .applying import apply, export
from .auditing import Audit, audit
from .errors import WeightError
from .files import WeightFiles, save
from .loading import (
    convert,
    dtype_named,
    export_weights,
    fingerprint,
    load,
    load_into,
    load_whole,
    stamp,
)
from .merging import merge_tensors, start_lengths, use_adapters
from .peft_files import load_adapter, save_adapter
from .planning import Plan, Step, plan, plan_back
from .readings import Weights, map_named

if TYPE_CHECKING:
    from torch import Tensor

Rules = str | Path | WeightMap | list[Any] | Mapping[str, Any]
"""A map: the path of its file, its rules, or the mapping that such a file holds."""


def load_map(rules: Rules) -> WeightMap:
    """The map that a file holds, or that a list of rules or the mapping of a map is.

    Raises SpecError with every problem that it has.
    """
    if isinstance(rules, WeightMap):
        return rules
    if isinstance(rules, str | Path):
        return read_map(rules)
    problems = Problems()
    tree = from_plain(dict(rules) if isinstance(rules, Mapping) else rules, Span("<map>", 1, 1, 1))
    made = weight_map("map", tree, problems)
    problems.raise_if_any()
    assert made is not None, "what could not be read has a problem"
    return made


def convert_tensors(graph: Graph, rules: Rules, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of `graph`, made of those of another implementation.

    Raises WeightError where the map does not fit both sides.
    """
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    return apply(plan(graph, load_map(rules), shapes), tensors.__getitem__)


__all__ = [
    "Audit",
    "Plan",
    "Rules",
    "Step",
    "WeightError",
    "WeightFiles",
    "WeightMap",
    "Weights",
    "apply",
    "audit",
    "convert",
    "convert_tensors",
    "dtype_named",
    "export",
    "export_weights",
    "fingerprint",
    "load",
    "load_adapter",
    "load_into",
    "load_map",
    "load_whole",
    "map_named",
    "merge_tensors",
    "plan",
    "plan_back",
    "save",
    "save_adapter",
    "stamp",
    "start_lengths",
    "use_adapters",
]
