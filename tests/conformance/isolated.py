"""Runs emitted files where composer cannot be imported: `python -I isolated.py FOLDER`.

Each file NAME.py of the folder is a model; NAME.safetensors holds its inputs. What the model gives
is written to NAME.out.safetensors, the names of its state to NAME.json.
"""

from __future__ import annotations

import importlib.abc
import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn


class NoComposer(importlib.abc.MetaPathFinder):
    """Refuses composer."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        """Raises ImportError for composer and what is in it; else others look."""
        if name.split(".", maxsplit=1)[0] == "composer":
            raise ImportError(name)


def model_class(module: ModuleType) -> Any:
    """The model of an emitted module: the first class, less its output."""
    name = next(name for name in vars(module) if name.endswith("Output"))
    return getattr(module, name.removesuffix("Output"))


def seeded(module: ModuleType) -> nn.Module:
    """The model that seed 0 gives."""
    torch.manual_seed(0)
    made: nn.Module = model_class(module)()
    return made


def everything(model: nn.Module, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    """Outputs and gradients of one training step, dropout from seed 1."""
    torch.manual_seed(1)
    outputs = [
        t for out in model(**inputs) for t in (out if isinstance(out, list | tuple) else [out])
    ]
    torch.autograd.backward([(out * torch.randn_like(out)).sum() for out in outputs])
    found = {f"output.{i}": out.detach().contiguous().clone() for i, out in enumerate(outputs)}
    for name, parameter in model.named_parameters():
        if parameter.grad is not None:
            found[f"gradient.{name}"] = parameter.grad.contiguous().clone()
    return found


def load(path: Path) -> ModuleType:
    """An emitted file as a module."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


def main(folder: Path) -> None:
    """Runs every model of the folder."""
    sys.meta_path.insert(0, NoComposer())
    torch.set_num_threads(1)
    for path in sorted(folder.glob("*.py")):
        model = seeded(load(path))
        # Loaded tensors need not be aligned in memory, which changes the last bits of products.
        inputs = {
            name: t.clone() for name, t in load_file(path.with_suffix(".safetensors")).items()
        }
        save_file(everything(model, inputs), path.with_suffix(".out.safetensors"))
        path.with_suffix(".json").write_text(json.dumps(list(model.state_dict())))
    assert not [name for name in sys.modules if name.split(".")[0] == "composer"]


if __name__ == "__main__":
    main(Path(sys.argv[1]))
