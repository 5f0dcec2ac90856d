"""Several devices: what is split where, how much each holds, and a built model spread over them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from composer.compiler import Source
from composer.graph.graph import Graph
from composer.language.parallel import Parallelism
from composer.language.spec import ModelSpec

if TYPE_CHECKING:
    from torch import nn
    from torch.distributed.device_mesh import DeviceMesh


def parallelize(
    model: nn.Module, spec: Source | ModelSpec | Graph, mesh: DeviceMesh | None = None,
    asked: Parallelism | None = None,
) -> nn.Module:  # fmt: skip
    """Spreads a built model over the devices of a process group; see `composer.parallel.apply`.

    >>> model = composer.parallelize(composer.build(spec, seed=0), spec)  # doctest: +SKIP
    """
    from .apply import parallelize as applied

    return applied(model, spec, mesh, asked)


__all__ = ["parallelize"]
