"""From source to module: the emitted text is run as a real module of Python."""

from __future__ import annotations

import ast
import hashlib
import linecache
import re
import sys
import types

import torch
from torch import nn

from composer.graph.graph import Graph

from .source.emit import emit


def build_module(graph: Graph, *, seed: int | None = None) -> nn.Module:
    """The model of a graph, made by its own source.

    With a `seed`, parameters are those that `torch.manual_seed(seed)` gives, and torch's own random
    state is left as it was; without one they follow from that state. Under `torch.device("meta")`
    nothing is allocated.
    """
    text = emit(graph)
    made = load_source(text, graph.name)
    made_class = getattr(made, model_class(text))
    if seed is None:
        model = made_class()
    else:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            model = made_class()
    assert isinstance(model, nn.Module)
    return model


def load_source(text: str, name: str) -> types.ModuleType:
    """The emitted text as an importable module, with its lines known to tracebacks.

    The same text gives the same module, so classes of equal models are equal.
    """
    digest = hashlib.sha256(text.encode()).hexdigest()[:12]
    word = re.sub(r"\W+", "_", name).strip("_").lower() or "model"
    module_name = f"composer_built.{word}_{digest}"
    if module_name in sys.modules:
        return sys.modules[module_name]
    file = f"<{module_name}>"
    module = types.ModuleType(module_name, text.split('"""')[1])
    module.__file__ = file
    linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
    sys.modules[module_name] = module
    exec(compile(text, file, "exec"), module.__dict__)  # noqa: S102 - our own emitted text
    return module


def model_class(text: str) -> str:
    """The name of the model's class in an emitted text: the one whose forward returns the named tuple of the outputs."""
    classes = [node for node in ast.parse(text).body if isinstance(node, ast.ClassDef)]
    output = next(
        c.name for c in classes if [ast.unparse(base) for base in c.bases] == ["NamedTuple"]
    )
    return next(c.name for c in classes if output in _returns(c))


def _returns(node: ast.ClassDef) -> list[str]:
    """What the methods of a class are said to return."""
    methods = (each for each in node.body if isinstance(each, ast.FunctionDef))
    return [ast.unparse(method.returns) for method in methods if method.returns is not None]
