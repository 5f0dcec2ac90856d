"""Configs of `transformers` as specs: what each family declares, and how a config is read with it.

A file of `specs/configs` declares one family:

    extends: rope.yaml                  # another file there, whose keys come first
    model_types: [llama]                # the `model_type` of the configs that it reads
    architectures: [LlamaForCausalLM]   # the classes that the spec is; others are refused
    without_head: [BertForMaskedLM]     # classes that the spec is all of but their heads
    classes: {BertForPreTraining: bert_pretraining.yaml}  # declarations of the family's others
    nested: [text_config]               # configs within, where the last two lists hold too
    spec: llama.yaml                    # the spec that a config fills in
    parameters: {theta: 10000}          # what the rules write as {theta}, a list or mapping too
    keys:
      hidden_size: dims.d_model
      vocab_size: {to: dims.vocab_size, default: 32000}
    no_effect: [pretraining_tp]         # keys that change nothing that is computed
    training: [attention_dropout]       # keys that matter in training only; they are not imported

**Keys** are names of the config, with dots into what is nested (`vision_config.hidden_size`); of
several with ` | ` between them the first that is there is read. Each has a path of the spec, as
`--set` takes it, or a rule:

- `to: PATH`, or a list: where the value goes. Without it the key is only known and checked;
- `default: VALUE` or `default_of: EXPRESSION`: what the config's class takes where the key is left
  out, or null without a case for null. `optional: true` leaves the spec as it is instead; with
  none of these the key must be there;
- `value: EXPRESSION`: what goes there, where that is not the value itself (`value^-0.5`);
- `cases: {silu: silu, gelu_new: gelu_tanh}`: what goes there for each value. A case may be a
  mapping: `set: {PATH: VALUE}` changes the spec, `keys: {...}` are rules that hold in this case
  only, and `{}` says what the spec says already. Other values are refused, unless `open: true`;
- `of: EXPRESSION`: the cases are those of its value instead (`hidden_size-value`);
- `each: {full_attention: full}`: the same for every item of a list, which is written as its
  shortest period. A value that is no list counts as one item. With `first: {...}` the first item
  stands apart, and says what is written there;
- `items: [PATH, PATH]`: where each item of a list goes, which must have as many; those that go to
  one place must be the same. A value that is no list goes where `to` says;
- `rows: {channels: =conv_dim, bias: =conv_bias}`: a list of mappings, one for each item of the
  key's list. Of what is a list too each has the item at its place. `first_row: {...}` is what the
  first says besides;
- `runs: {dense: first_k_dense_replace, moe: num_hidden_layers - first_k_dense_replace}`: a list of
  each word, so many times;
- `equals: EXPRESSION`: the one value that the spec can say;
- `set: {PATH: VALUE}`: what changes besides, with `=EXPRESSION` for what several keys say together.
  `modules.NAME` may be new;
- `because: REASON`: shown where a value is refused.

Expressions know other keys by their first spelling with `_` for dots, `value`, `ln(key)`, and
`count(key)`, how many a list or mapping has.
A null is set only where the spec says something else. A key of an extended file is replaced whole,
and `null` takes it away.

Afterwards dims and layer types that nothing uses are left out, as are the spec's sizes, and the map
of weights is written into the spec, so that its file stands alone.

Codes: W420 a config of an unknown family, W421 a value that the spec cannot say, W422 a value that
is missing or cannot be computed.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from composer.diagnostics import Problem, SpecError, nearest
from composer.graph.build import build_graph
from composer.language.check import check
from composer.language.document import Mapping, Scalar, get, plain
from composer.language.load import load, parse
from composer.language.variants import with_bases

from .declarations import Declaration, declaration, declarations
from .reading import Reading
from .writing import text_of, without_unused
from .zoo import zoo

_CONFIG = "config.json"


@dataclass(frozen=True)
class Imported:
    """The text of a spec, and what of its config is not in it: keys, and the class with a head."""

    text: str
    spec: str
    unknown: tuple[str, ...]
    training: tuple[str, ...]
    without_head: tuple[str, ...] = ()


def import_config(path: str | Path) -> Imported:
    """The spec of the model that a config describes: a `config.json`, or a folder with one.

    Raises SpecError where its family is not known, or for every value that the spec cannot say.
    """
    file = Path(path) / _CONFIG if Path(path).is_dir() else Path(path)
    config = load(file)
    folder = zoo()
    declared = _declared(config, folder / "configs")
    base = with_bases(folder / str(declared.fields.spec))
    assert isinstance(base, Mapping), "the specs of published models are mappings"
    reading = Reading(config, base)
    reading.known.add("model_type")
    reading.follow(declared)
    reading.problems.raise_if_any()
    unknown, training = reading.unknown(), reading.training(declared)
    spec = without_unused(plain(reading.spec))
    whole = [name for name in _classes(config) if name in declared.fields.without_head]
    text = text_of(spec, folder, _comments(config, unknown, training, whole))
    build_graph(check(parse(text, f"<spec of {file}>")))
    name = str(declared.fields.spec)
    return Imported(text, name, tuple(unknown), tuple(training), tuple(whole))


def _declared(config: Mapping, folder: Path) -> Declaration:
    """The declaration of a config's family, or that of its class where this has one of its own."""
    family = declaration(_family(config, folder))
    others = family.fields.classes
    chosen = next((others[name] for name in _classes(config) if name in others), None)
    return family if chosen is None else declaration(folder / chosen)


def _classes(config: Mapping) -> list[str]:
    tree = get(config, ("architectures",))
    names = plain(tree) if tree is not None else None
    return [name for name in names if isinstance(name, str)] if isinstance(names, list) else []


def _family(config: Mapping, folder: Path) -> Path:
    known = declarations(folder)
    tree = get(config, ("model_type",))
    if not isinstance(tree, Scalar) or tree.value not in known:
        name = tree.value if isinstance(tree, Scalar) else None
        why = f"there is no spec for '{name}'" if tree else "the config has no 'model_type'"
        close = nearest(str(name), known)
        fix = f"did you mean '{close[0]}'?" if close else f"known: {', '.join(sorted(known))}"
        raise SpecError([Problem("W420", why, tree.span if tree else config.span, fix=fix)])
    return known[str(tree.value)]


def _comments(
    config: Mapping, unknown: list[str], training: list[str], whole: list[str]
) -> list[str]:
    lines = [f"Imported from the config of a {plain(config)['model_type']} model."]
    if whole:
        lines.append(f"It is all of {', '.join(whole)} but the head.")
    if unknown:
        lines.append(f"Keys of the config that are not understood: {', '.join(unknown)}.")
    if training:
        lines.append(f"For training only, and left out: {', '.join(training)}.")
    return lines


__all__ = ["Imported", "import_config"]
