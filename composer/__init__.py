"""A compiler from YAML specs of encoders, decoders and their connections to PyTorch."""

from composer.compiler import (
    audit_weights,
    build,
    convert,
    export_weights,
    graph,
    load,
    source,
)
from composer.components.component import Component, Label, Mask, Name, OptionError, Tensors
from composer.diagnostics import Problem, SpecError
from composer.plugins import load_plugin

__all__ = [
    "Component",
    "Label",
    "Mask",
    "Name",
    "OptionError",
    "Problem",
    "SpecError",
    "Tensors",
    "audit_weights",
    "build",
    "convert",
    "export_weights",
    "graph",
    "load",
    "load_plugin",
    "source",
]
