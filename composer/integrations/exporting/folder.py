"""A model as a folder of `transformers`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from torch import Tensor, nn

from composer.integrations.huggingface import load, wrap
from composer.language.spec import ModelSpec

from .report import export_error


def write(model: nn.Module, spec: ModelSpec, path: Path) -> None:
    """Writes the config and the weights of a model.

    Raises ExportError for one that no class of ours in `transformers` stands for.
    """
    try:
        wrapped = wrap(model, spec)
    except ValueError as error:
        raise export_error("E602", f"huggingface cannot say '{spec.name}': {error}") from error
    wrapped.save_pretrained(path)


def loaded(path: Path) -> Callable[[Mapping[str, Tensor]], dict[str, Tensor]]:
    """What the loaded model scores, by the name of the spec's output."""
    model = load(path)
    model.eval()  # type: ignore[no-untyped-call]

    def run(inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        given = {model.names[name]: tensor for name, tensor in inputs.items()}
        return {model.output: model(**given).logits}

    return run
