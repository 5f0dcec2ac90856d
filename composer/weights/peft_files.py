"""Adapters in files of `peft`: adapter_config.json and adapter_model.safetensors.

Module paths are those of the spec, so that `peft.PeftModel.from_pretrained` puts the files onto the
model that `composer.build` makes of the spec without `adapt`, and files of such a model are read.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from composer.components.lora import Lora
from composer.diagnostics import Problem
from composer.graph.graph import Graph
from composer.shapes import show

from .applying import owned
from .errors import WeightError, weight_error
from .files import WeightFiles, save
from .merging import adapted_maps, check_names

if TYPE_CHECKING:
    from torch import nn

CONFIG, TENSORS = "adapter_config.json", "adapter_model.safetensors"
PREFIX = "base_model.model."
NAMES = {"a": "lora_A.weight", "b": "lora_B.weight", "magnitude": "lora_magnitude_vector"}
MAX_CONFIG_BYTES = 10 * 2**20


def save_adapter(graph: Graph, model: nn.Module, folder: str | Path, name: str = "lora") -> None:
    """Writes one adapter of a model into a folder, which is made where it is missing.

    Raises WeightError for what `peft` has no way to say: another kind than `lora`, several settings
    at once, and maps that are shared, of which it would adapt one place only.
    """
    found = _adapters(graph, name)
    config = _config(found)
    state = model.state_dict()
    tensors = {
        theirs: owned(state[ours]) for theirs, (ours, _) in _tensors(graph, found, name).items()
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

    found = _adapters(graph, name)
    config = _read_config(Path(folder) / CONFIG)
    _check_config(config, found)
    wanted = _tensors(graph, found, name)
    state = model.state_dict(keep_vars=True)
    with WeightFiles(Path(folder) / TENSORS) as files, torch.no_grad():
        _check_tensors(files.shapes, wanted)
        for theirs, (ours, _) in wanted.items():
            state[ours].copy_(files.read(theirs))


def _adapters(graph: Graph, name: str) -> dict[str, Lora]:
    """What adapts each linear map under a name, by the map's path."""
    check_names(graph, [name])
    found: dict[str, Lora] = {}
    for path, adapter in adapted_maps(graph):
        if adapter.name != name:
            continue
        component = adapter.placed.component
        if not isinstance(component, Lora):
            raise weight_error("W408", f"peft has no '{component.kind}', which '{name}' is")
        first = f"{path}.{name}.a"
        if shared := next((n for n, f in graph.aliases.items() if f == first), None):
            other = shared.removesuffix(f".{name}.a")
            why = f"'{path}' is also '{other}', and peft would adapt one of them only"
            raise weight_error("W408", why, "merge it: composer merge")
        found[path] = component
    return found


def _config(found: Mapping[str, Lora]) -> dict[str, Any]:
    settings = {(c.scaling, c.dora, c.dropout) for c in found.values()}
    if len(settings) > 1:
        why = "adapters of one name have one scaling, dora and dropout in peft"
        raise weight_error("W408", why, "give those that differ another name")
    ((scaling, dora, dropout),) = settings
    rank = Counter(c.rank for c in found.values()).most_common(1)[0][0]
    alpha = Counter(_alpha(c) for c in found.values()).most_common(1)[0][0]
    return {
        "peft_type": "LORA",
        "task_type": None,
        "base_model_name_or_path": None,
        "inference_mode": True,
        "r": rank,
        "lora_alpha": alpha,
        "lora_dropout": dropout,
        "use_rslora": scaling == "rslora",
        "use_dora": dora,
        "bias": "none",
        "fan_in_fan_out": False,
        "init_lora_weights": True,
        "target_modules": "|".join(re.escape(path) for path in found),
        "rank_pattern": {re.escape(p): c.rank for p, c in found.items() if c.rank != rank},
        "alpha_pattern": {re.escape(p): _alpha(c) for p, c in found.items() if _alpha(c) != alpha},
    }


def _alpha(component: Lora) -> float:
    return component.rank if component.alpha is None else component.alpha


def _tensors(
    graph: Graph, found: Mapping[str, Lora], name: str
) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Our name and the shape of every tensor, by theirs."""
    made = {}
    for path in found:
        for ours, theirs in NAMES.items():
            full = f"{path}.{name}.{ours}"
            if full in graph.tensors:
                made[f"{PREFIX}{path}.{theirs}"] = (full, graph.tensors[full])
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


def _check_config(config: Mapping[str, Any], found: Mapping[str, Lora]) -> None:
    """Raises WeightError where the config says something else than the spec."""
    ours = _config(found)
    same = ("peft_type", "use_rslora", "use_dora", "bias", "fan_in_fan_out")
    problems = [
        Problem("W408", f"'{key}' is {config[key]!r} in the file, but {ours[key]!r} here", None)
        for key in same
        if config.get(key, ours[key]) != ours[key]
    ]
    for path, component in found.items():
        alpha = _of_pattern(config.get("alpha_pattern"), path, config.get("lora_alpha"))
        if alpha != _alpha(component):
            why = f"alpha of '{path}' is {alpha} in the file, but {_alpha(component):g} here"
            problems.append(Problem("W408", why, None, fix=f"alpha: {alpha}"))
    if problems:
        raise WeightError(problems)


def _of_pattern(patterns: object, path: str, usual: object) -> object:
    """What a config says of a path, whose patterns are read as names or ends of names."""
    for key, value in patterns.items() if isinstance(patterns, dict) else ():
        name = str(key).replace("\\.", ".").removeprefix("^").removesuffix("$")
        if path == name or path.endswith(f".{name}"):
            return value
    return usual


def _check_tensors(
    shapes: Mapping[str, tuple[int, ...]], wanted: Mapping[str, tuple[str, tuple[int, ...]]]
) -> None:
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
