"""The decoding form of a model: other forwards over the very parameters of the model."""

from __future__ import annotations

import torch
from torch import nn

from composer.graph.decoding import Decoding
from composer.targets.module import load_source
from composer.targets.source.emit import emit_decoding


class BindingError(ValueError):
    """A model that is not the one of its spec: what is not where it should be."""


def decoding_form(decoding: Decoding) -> nn.Module:
    """The module that runs the steps of a graph, emitted as source, without parameters yet."""
    text, name = emit_decoding(decoding)
    with torch.device("meta"):
        form = getattr(load_source(text, f"{decoding.graph.name}-decoding"), name)()
    assert isinstance(form, nn.Module)
    return form.eval()


def bind(form: nn.Module, model: nn.Module, path: str = "") -> None:
    """Gives a decoding form the parameters of a model, and the model's own modules of torch.

    What was put in the place of such a module, such as an adapter around a linear map, is taken
    along, and so is what was added to a component. Raises BindingError where another module has a forward of its own.
    """
    for name, child in list(form.named_children()):
        place = f"{path}{name}"
        other = getattr(model, name, None)
        if not isinstance(other, nn.Module):
            if any(True for _ in child.parameters()):
                raise BindingError(f"the model has no module '{place}'")
        elif _of_torch(child) or id(child) == id(other) or _holds_adapters(child):
            setattr(form, name, other)
        else:
            _same_kind(child, other, place)
            bind(child, other, f"{place}.")
    if type(form).__module__.startswith("composer.nn."):
        for name, added in model.named_children():
            if not hasattr(form, name):
                setattr(form, name, added)
    own = [*form.named_parameters(recurse=False), *form.named_buffers(recurse=False)]
    for name, _ in own:
        tensor = getattr(model, name, None)
        if not isinstance(tensor, torch.Tensor):
            raise BindingError(f"the model has no tensor '{path}{name}'")
        setattr(form, name, tensor)


def _of_torch(module: nn.Module) -> bool:
    """Whether a module is one of torch's that computes; lists of layers only hold some."""
    return type(module).__module__.startswith("torch.") and not isinstance(module, nn.ModuleList)


def _holds_adapters(module: nn.Module) -> bool:
    """Whether a module is the place of adapters, of which there are none before they are bound."""
    return hasattr(module, "active")


def _same_kind(child: nn.Module, other: nn.Module, place: str) -> None:
    wanted, found = type(child).__name__.removeprefix("Cached"), type(other).__name__
    if type(child).__module__.startswith("composer.nn.") and wanted != found:
        raise BindingError(f"the model's '{place}' is a {found}, not a {wanted}")
