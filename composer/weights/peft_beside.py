"""What is trained beside adapters, such as a head, as the modules that `peft` saves whole."""

from __future__ import annotations

from collections.abc import Iterator

from composer.graph.graph import Graph

from .errors import weight_error


def modules_beside(graph: Graph) -> list[str]:
    """Paths of the modules whose parameters are all trained, each as far up as that holds.

    Raises WeightError for a trained parameter that is no module's alone, being shared, and for
    one in a module of which `peft` would save more or that adapters are in.
    """
    trained = graph.tensors.keys() - graph.frozen - graph.added
    shared = {first: name for name, first in graph.aliases.items()}
    for name in sorted(trained):
        if name in shared:
            why = f"'{name}' is trained, and is also '{shared[name]}', which peft would not change"
            raise weight_error("W408", why, f"freeze '{name}'")
    return list(
        dict.fromkeys(_module(name, trained, graph) for name in graph.tensors if name in trained)
    )


def tensors_of(graph: Graph, modules: list[str]) -> Iterator[str]:
    """Names of everything that the modules hold, buffers included."""
    for name in graph.state:
        if any(name.startswith(f"{module}.") for module in modules):
            yield name


def _module(name: str, trained: set[str], graph: Graph) -> str:
    """The largest component or linear map around a parameter of which all is trained."""
    words = name.split(".")
    for count in range(1, len(words)):
        path = ".".join(words[:count])
        if _is_module(path, graph) and all(
            other in trained for other in graph.tensors if other.startswith(f"{path}.")
        ):
            return path
    why = f"'{name}' is trained, but not all of the module that holds it, as peft would save it"
    raise weight_error("W408", why, f"freeze '{name}', or save all weights")


def _is_module(path: str, graph: Graph) -> bool:
    """Whether a path is a component or below one; stacks and layers are called with more."""
    return any(path == own or path.startswith(f"{own}.") for own, _ in graph.nodes())
