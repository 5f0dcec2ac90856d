"""A compiler from YAML specs of encoders, decoders and their connections to PyTorch."""

from composer.compiler import (
    build,
    convert,
    export_weights,
    graph,
    import_config,
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
    "build",
    "convert",
    "export_weights",
    "graph",
    "import_config",
    "load",
    "load_plugin",
    "source",
]
