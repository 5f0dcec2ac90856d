"""The whole pipeline on one page.

    YAML text --load--> tree --check--> spec --resolve, infer, share--> graph --targets-->
        source | module | diagram | summary

Each arrow is one function, each word one immutable value. A stage reports all of its problems, in
file order, and then stops.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import composer.components  # noqa: F401 - registers the kinds
from composer.diagnostics import Span
from composer.graph.build import build_graph
from composer.graph.graph import Graph
from composer.language.check import check as check_tree
from composer.language.document import Mapping as MappingTree
from composer.language.document import Tree, from_plain
from composer.language.document import merge as merge_trees
from composer.language.load import parse
from composer.language.spec import ModelSpec
from composer.language.variants import apply, read
from composer.language.weights import WeightMap

if TYPE_CHECKING:
    from torch import Tensor, nn

    from composer.compression import Batches, Report
    from composer.targets.source.emit import Mode
    from composer.weights import Audit, Weights

Source = str | Path | Mapping[str, Any]
"""A spec: the path of a file, its YAML text (a string of several lines), or plain data."""


def load(
    spec: Source, *, size: str | None = None, overrides: Iterable[str] = (),
    attention_weights: str | Iterable[str] = (),
) -> ModelSpec:  # fmt: skip
    """The checked spec.

    `size` chooses one of its `sizes`; `overrides` are texts like `decoder.num_layers=12`;
    `attention_weights` adds outputs for the weights of attentions such as
    `decoder.layers.*.cross_attention`.

    Raises SpecError with every problem of the first stage that has any.
    """
    tree = _tree(spec, size, overrides)
    names = [attention_weights] if isinstance(attention_weights, str) else attention_weights
    for name in names:
        tree = _with_weights(tree, name)
    return check_tree(tree, size)


def graph(
    spec: Source | ModelSpec, *, size: str | None = None, overrides: Iterable[str] = (),
    attention_weights: str | Iterable[str] = (),
) -> Graph:  # fmt: skip
    """The graph of a spec: names resolved, shapes inferred, sharing laid.

    Raises SpecError with every problem of the first stage that has any.
    """
    if not isinstance(spec, ModelSpec):
        spec = load(spec, size=size, overrides=overrides, attention_weights=attention_weights)
    return build_graph(spec)


def source(
    spec: Source | ModelSpec | Graph, *, mode: Mode = "standalone", size: str | None = None
) -> str:
    """The Python source of a model: `standalone`, or `linked` to `composer.nn`."""
    from composer.targets.source.emit import emit

    return emit(spec if isinstance(spec, Graph) else graph(spec, size=size), mode)


def build(
    spec: Source | ModelSpec | Graph, *, size: str | None = None, overrides: Iterable[str] = (),
    attention_weights: str | Iterable[str] = (), seed: int | None = None,
    weights: Weights | None = None,
) -> nn.Module:  # fmt: skip
    """The model of a spec, a plain `torch.nn.Module`.

    Its forward takes the spec's inputs by name and returns its outputs by name. With a `seed` its
    parameters are those that `torch.manual_seed(seed)` gives. With `weights`, the path of
    safetensors under the spec's own names or those that one of its `weights` reads, they are these;
    a mapping from names of its `weights` to paths fills what these maps fill, and the rest starts
    as without them.

    >>> model = build("specs/transformer.yaml", size="small", seed=0)  # doctest: +SKIP
    >>> model(source=source, target=target).logits  # doctest: +SKIP

    Raises SpecError with every problem of the first stage that has any.
    """
    from composer.targets.module import build_module

    maps: Mapping[str, WeightMap] = {}
    if not isinstance(spec, Graph):
        if not isinstance(spec, ModelSpec):
            spec = load(spec, size=size, overrides=overrides, attention_weights=attention_weights)
        maps, spec = spec.weights, build_graph(spec)
    if weights is None:
        return build_module(spec, seed=seed)
    if spec.compressions and isinstance(weights, str | Path):
        from composer.compression import is_compressed
        from composer.compression import load as load_compressed

        if is_compressed(weights):
            model = build_module(spec, seed=seed)
            load_compressed(spec, model, weights)
            return model
    from composer.weights import load as read_weights
    from composer.weights import load_into, start_lengths

    tensors = read_weights(spec, maps, weights)
    model = build_module(spec, seed=seed)
    new = [name for name in spec.state if name not in tensors]
    load_into(model, tensors, new=new)
    start_lengths(spec, model, new)
    return model


def merge(
    spec: Source | ModelSpec, weights: nn.Module | str | Path, *, size: str | None = None,
    overrides: Iterable[str] = (), adapters: Iterable[str] | None = None,
) -> nn.Module:  # fmt: skip
    """The model of a spec without its adapters, what they do being in its weights.

    `weights` is a model of the spec, or the path of its weights; `adapters` names those that are
    merged, by default all.

    >>> composer.merge("specs/mine.yaml", model)  # doctest: +SKIP

    Raises SpecError, of which WeightError tells what cannot be merged.
    """
    from composer.targets.module import build_module
    from composer.weights import load as read_weights
    from composer.weights import load_into, merge_tensors

    made = spec if isinstance(spec, ModelSpec) else load(spec, size=size, overrides=overrides)
    whole, plain = build_graph(made), build_graph(replace(made, adapt=()))
    if isinstance(weights, str | Path):
        tensors: Mapping[str, Tensor] = read_weights(whole, made.weights, weights)
    else:
        tensors = {name: t for name, t in weights.state_dict().items() if name in whole.state}
    chosen = None if adapters is None else tuple(adapters)
    model = build_module(plain)
    load_into(model, merge_tensors(whole, tensors, chosen))
    return model


def compress(
    model: nn.Module, spec: Source | ModelSpec | Graph, *, data: Batches | None = None,
    size: str | None = None, overrides: Iterable[str] = (),
) -> Report:  # fmt: skip
    """Makes a model smaller in place, as the `compress` of its spec says; gives what was changed.

    `data` are batches of the model's inputs by name, for passes that need some.

    >>> composer.compress(model, "specs/mine.yaml")  # doctest: +SKIP

    Raises SpecError, of which CompressionError tells what cannot be done, before anything is.
    """
    from composer.compression import compress as changed

    made = spec if isinstance(spec, Graph) else graph(spec, size=size, overrides=overrides)
    return changed(made, model, data)


def save_compressed(
    model: nn.Module, spec: Source | ModelSpec | Graph, path: str | Path, *,
    size: str | None = None, overrides: Iterable[str] = (),
) -> None:  # fmt: skip
    """Writes a compressed model as one safetensors file, which `build` reads as `weights`."""
    from composer.compression import save

    made = spec if isinstance(spec, Graph) else graph(spec, size=size, overrides=overrides)
    save(made, model, path)


def save_adapter(
    spec: Source | ModelSpec, model: nn.Module, folder: str | Path, *, name: str = "lora",
    size: str | None = None, overrides: Iterable[str] = (),
) -> None:  # fmt: skip
    """Writes a `lora` adapter of a model as `peft` does, with the module paths of the spec.

    Raises WeightError for what `peft` cannot say.
    """
    from composer.weights import save_adapter as written

    written(graph(spec, size=size, overrides=overrides), model, folder, name)


def load_adapter(
    spec: Source | ModelSpec, model: nn.Module, folder: str | Path, *, name: str = "lora",
    size: str | None = None, overrides: Iterable[str] = (),
) -> None:  # fmt: skip
    """Puts an adapter that `peft` has written for the model of a spec into one that is adapted.

    Raises WeightError where its settings, names or shapes are not those of the spec.
    """
    from composer.weights import load_adapter as read_adapter

    read_adapter(graph(spec, size=size, overrides=overrides), model, folder, name)


def use_adapters(model: nn.Module, *names: str) -> None:
    """Lets only these adapters of linear maps take part in what a model computes.

    Without a name it computes what it does without them. Raises WeightError for a name that none
    of its adapters has.
    """
    from composer.weights import use_adapters as chosen

    chosen(model, *names)


def audit_weights(
    spec: Source | ModelSpec, weights: Weights, *, size: str | None = None,
    overrides: Iterable[str] = (),
) -> Audit:  # fmt: skip
    """What `build` would load from `weights`, and what would start anew or be frozen.

    >>> print(audit_weights("specs/patterns/pretrained.yaml", weights))  # doctest: +SKIP

    No tensor is read. Raises SpecError, of which WeightError tells what does not fit.
    """
    from composer.weights import audit

    made = spec if isinstance(spec, ModelSpec) else load(spec, size=size, overrides=overrides)
    return audit(build_graph(made), made.weights, weights)


def convert(
    spec: Source | ModelSpec, weights: str | Path, out: str | Path, *, size: str | None = None,
    overrides: Iterable[str] = (), dtype: str | None = None,
) -> Mapping[str, tuple[int, ...]]:  # fmt: skip
    """Writes the weights of another implementation to one file with a spec's own names.

    `weights` is a safetensors file, its index, or their folder, and one of the spec's `weights`
    says how its tensors become those of the spec. `dtype` is one of torch's, such as `bfloat16`; by
    default each tensor keeps its own. Gives the shapes of what was written by name.

    Raises SpecError, of which WeightError tells what does not fit by the names of both sides.
    """
    from composer.weights import convert as written
    from composer.weights import dtype_named

    made = spec if isinstance(spec, ModelSpec) else load(spec, size=size, overrides=overrides)
    kind = dtype_named(dtype)
    tensors = written(build_graph(made), made.weights, weights, out, dtype=kind)
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


def export_weights(
    spec: Source | ModelSpec, weights: str | Path, out: str | Path, *, to: str | None = None,
    layout: str = "", size: str | None = None, overrides: Iterable[str] = (),
    dtype: str | None = None,
) -> Mapping[str, tuple[int, ...]]:  # fmt: skip
    """Writes weights with a spec's own names to one file with those of another implementation.

    `to` names one of the spec's `weights`, and `layout` one of its layouts; the first by default.
    Gives the shapes of what was written by name.

    Raises SpecError.
    """
    from composer.weights import dtype_named, map_named
    from composer.weights import export_weights as written

    made = spec if isinstance(spec, ModelSpec) else load(spec, size=size, overrides=overrides)
    chosen, kind = map_named(made.weights, to), dtype_named(dtype)
    tensors = written(build_graph(made), chosen, weights, out, layout=layout, dtype=kind)
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


def import_config(path: str | Path) -> str:
    """The spec, as YAML, of the model that a config of `transformers` describes.

    `path` is a `config.json` or a folder with one. The text begins with comments that name the keys
    which are not in the spec. Raises SpecError where the family is not known, and for every value
    that the spec cannot say.
    """
    from composer.configs import import_config as imported

    return imported(path).text


def _tree(spec: Source, size: str | None, overrides: Iterable[str]) -> Tree:
    if isinstance(spec, Mapping):
        tree = from_plain(dict(spec), Span("<data>", 1, 1, 1))
    elif isinstance(spec, str) and "\n" in spec:
        tree = parse(spec, "<text>")
    else:
        return read(spec, size=size, overrides=overrides)
    return apply(tree, size=size, overrides=overrides)


def _with_weights(tree: Tree, attention: str) -> Tree:
    """The spec with one more output: the weights of an attention."""
    if not isinstance(tree, MappingTree):
        return tree
    words = [word for word in attention.split(".") if word not in {"layers", "*"}]
    output = {"_".join([*words, "weights"]): {"from": f"{attention}.weights"}}
    return merge_trees(tree, from_plain({"outputs": output}, Span("attention_weights", 1, 1, 1)))
