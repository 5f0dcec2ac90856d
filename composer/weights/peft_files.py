"""Adapters in files of `peft`: adapter_config.json and adapter_model.safetensors.

Module paths are those of the spec, so that `peft.PeftModel.from_pretrained` puts the files onto the
model that `composer.build` makes of the spec without `adapt`, and files of such a model are read.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from composer.components.component import Component
from composer.diagnostics import Problem
from composer.graph.graph import Graph
from composer.shapes import show

from .applying import owned
from .errors import WeightError, weight_error
from .files import WeightFiles, save
from .merging import adapted_maps, check_names
from .peft_beside import modules_beside, tensors_of
from .peft_tuners import Tuner, tuner_of

if TYPE_CHECKING:
    from torch import nn

CONFIG, TENSORS = "adapter_config.json", "adapter_model.safetensors"
PREFIX = "base_model.model."
MAX_CONFIG_BYTES = 10 * 2**20

Theirs = dict[str, tuple[str, tuple[int, ...]]]
"""Our name of every tensor of a file, and its shape there, by theirs."""


def save_adapter(graph: Graph, model: nn.Module, folder: str | Path, name: str = "lora") -> None:
    """Writes one adapter of a model into a folder, which is made where it is missing.

    What else the spec trains, such as a head, is in the files too. Raises WeightError for what
    `peft` has no way to say: a kind that it does not have, several settings at once, maps that are
    shared, of which it would adapt one place only, and parameters beside that are no modules.
    """
    found, tuner = _adapters(graph, name)
    beside = modules_beside(graph)
    config = _config(found, tuner, beside)
    state = model.state_dict()
    tensors = {
        theirs: owned(state[ours].reshape(shape))
        for theirs, (ours, shape) in _tensors(graph, found, tuner, name, beside).items()
    }
    target = Path(folder)
    save(target / TENSORS, tensors)
    text = json.dumps(config, indent=2, sort_keys=True) + "\n"
    (target / CONFIG).write_text(text, encoding="utf-8")


def load_adapter(graph: Graph, model: nn.Module, folder: str | Path, name: str = "lora") -> None:
    """Puts the adapter that a folder holds into a model whose spec has one like it.

    Raises WeightError for settings, names or shapes that are not those of the spec.
    """
    import torch

    found, tuner = _adapters(graph, name)
    config = _read_config(Path(folder) / CONFIG)
    if problems := list(_differences(config, found, tuner)):
        raise WeightError(problems)
    wanted = _tensors(graph, found, tuner, name, modules_beside(graph))
    state = model.state_dict(keep_vars=True)
    with WeightFiles(Path(folder) / TENSORS) as files, torch.no_grad():
        _check_tensors(files.shapes, wanted)
        for theirs, (ours, _) in wanted.items():
            state[ours].copy_(files.read(theirs).reshape(state[ours].shape))


def _adapters(graph: Graph, name: str) -> tuple[dict[str, Component], Tuner]:
    """What adapts each linear map under a name, by the map's path, and how `peft` has it."""
    check_names(graph, [name])
    found: dict[str, Component] = {}
    for path, adapter in adapted_maps(graph):
        if adapter.name != name:
            continue
        component = adapter.placed.component
        if tuner_of(component) is None:
            raise weight_error("W408", _no_tuner(component.kind, name), "save all weights")
        tensor = next(iter(adapter.placed.tensors))
        first = f"{path}.{name}.{tensor}"
        if shared := next((n for n, f in graph.aliases.items() if f == first), None):
            other = shared.removesuffix(f".{name}.{tensor}")
            why = f"'{path}' is also '{other}', and peft would adapt one of them only"
            raise weight_error("W408", why, "merge it: composer merge")
        found[path] = component
    kinds = dict.fromkeys(component.kind for component in found.values())
    if len(kinds) > 1:
        why = f"'{name}' is the name of adapters of several kinds, {', '.join(kinds)}"
        raise weight_error("W408", why, "give those that differ another name")
    tuner = tuner_of(next(iter(found.values())))
    assert tuner is not None, "seen above"
    return found, tuner


def _no_tuner(kind: str, name: str) -> str:
    if kind == "prefix":
        return f"peft moves the positions of all tokens behind a prefix, which '{name}' does not"
    return f"peft has no '{kind}', which '{name}' is"


def _config(found: Mapping[str, Component], tuner: Tuner, beside: list[str]) -> dict[str, Any]:
    return {
        "task_type": None,
        "base_model_name_or_path": None,
        "inference_mode": True,
        "target_modules": "|".join(re.escape(path) for path in found),
        "modules_to_save": beside or None,
        **tuner.settings(found),
    }


def _tensors(
    graph: Graph, found: Mapping[str, Component], tuner: Tuner, name: str, beside: list[str]
) -> Theirs:
    made: Theirs = {}
    for path, component in found.items():
        for ours, theirs in tuner.names.items():
            full = f"{path}.{name}.{ours}"
            if full in graph.tensors:
                shape = tuner.shape(component, graph.tensors[full])
                made[f"{PREFIX}{path}.{theirs}"] = (full, shape)
    for full in tensors_of(graph, beside):
        made[f"{PREFIX}{full}"] = (full, graph.state[full])
    return made


def _read_config(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > MAX_CONFIG_BYTES:
            raise weight_error("W410", f"'{path}' is larger than {MAX_CONFIG_BYTES:,} bytes")
        data = json.loads(path.read_bytes())
    except OSError as error:
        raise weight_error("W410", f"cannot read '{path}': {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise weight_error("W410", f"'{path}' is no config of an adapter: {error}") from None
    if not isinstance(data, dict):
        raise weight_error("W410", f"'{path}' is no config of an adapter")
    return data


def _differences(
    config: Mapping[str, Any], found: Mapping[str, Component], tuner: Tuner
) -> Iterator[Problem]:
    """A problem for everything in which a config is not what a spec says."""
    for why, fix in tuner.differences(config, found):
        yield Problem("W408", why, None, fix=fix or None)


def _check_tensors(shapes: Mapping[str, tuple[int, ...]], wanted: Theirs) -> None:
    problems = [
        Problem("W401", f"nothing is made of '{name}' {show(shape)}", None)
        for name, shape in shapes.items()
        if name not in wanted
    ]
    for theirs, (ours, shape) in wanted.items():
        if theirs not in shapes:
            problems.append(Problem("W402", f"there is nothing for '{ours}' {show(shape)}", None))
        elif tuple(shapes[theirs]) != shape:
            why = f"'{theirs}' is {show(shapes[theirs])}, but the model's is {show(shape)}"
            problems.append(Problem("W405", why, None))
    if problems:
        raise WeightError(problems)
