"""A compiler from YAML specs of encoders, decoders and their connections to PyTorch."""

from composer.compiler import (
    audit_weights,
    build,
    compress,
    convert,
    export_weights,
    graph,
    import_config,
    load,
    load_adapter,
    merge,
    save_adapter,
    save_compressed,
    source,
    use_adapters,
)
from composer.components.component import (
    Component,
    Label,
    Mask,
    Name,
    OptionError,
    Role,
    Tensors,
)
from composer.components.options import Natural, Number, Positive, PositiveNumber, Probability
from composer.diagnostics import Problem, SpecError
from composer.generation import generate
from composer.integrations.exporting import export
from composer.optim import param_groups
from composer.parallel import parallelize
from composer.plugins import load_plugin
from composer.shapes import Axes, Size

__all__ = [
    "Axes",
    "Component",
    "Label",
    "Mask",
    "Name",
    "Natural",
    "Number",
    "OptionError",
    "Positive",
    "PositiveNumber",
    "Probability",
    "Problem",
    "Role",
    "Size",
    "SpecError",
    "Tensors",
    "audit_weights",
    "build",
    "compress",
    "convert",
    "export",
    "export_weights",
    "generate",
    "graph",
    "import_config",
    "load",
    "load_adapter",
    "load_plugin",
    "merge",
    "parallelize",
    "param_groups",
    "save_adapter",
    "save_compressed",
    "source",
    "use_adapters",
]
