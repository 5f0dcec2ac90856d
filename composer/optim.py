"""Groups of parameters for an optimizer, as the parametrization of a spec wants them.

With the standard parametrization matrices and embeddings decay, and vectors (biases, norms) do not.
With `mup` (Yang et al., 2022, arXiv:2203.03466) and `completep` (Dey et al., 2025,
arXiv:2505.01618), a matrix that reads m times more than in the base learns m times slower and
decays m times more, and Adam's epsilon follows its gradients. Then the learning rate that is best
for the base is near the best for every width, and with completep for every depth.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from composer.compiler import Source
from composer.compiler import graph as graph_of
from composer.graph.graph import Graph
from composer.graph.parametrize import Rule, rules
from composer.graph.tensors import first_names
from composer.language.spec import ModelSpec

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Group:
    """The settings that several tensors are trained with."""

    name: str
    lr: float
    weight_decay: float
    eps: float


def param_groups(
    model: nn.Module, spec: Source | ModelSpec | Graph, lr: float, *, weight_decay: float = 0.0,
    eps: float = 1e-8, size: str | None = None, overrides: Iterable[str] = (),
) -> list[dict[str, Any]]:  # fmt: skip
    """Parameter groups for Adam or AdamW: each with `name`, `lr`, `weight_decay` and `eps`.

    `model` is what `composer.build` makes of the spec, or the emitted class; `lr`, `weight_decay`
    and `eps` are those of the base of the spec's parametrization. Frozen parameters are left out,
    shared ones are in one group once.

    >>> model = composer.build("spec.yaml")  # doctest: +SKIP
    >>> torch.optim.AdamW(composer.param_groups(model, "spec.yaml", 3e-4))  # doctest: +SKIP

    Raises SpecError for a wrong spec, and ValueError for a model that is not made of it.
    """
    made = spec if isinstance(spec, Graph) else graph_of(spec, size=size, overrides=overrides)
    wanted, first = rules(made), first_names(made)
    groups: dict[Group, list[nn.Parameter]] = {}
    seen: set[int] = set()
    for name, parameter in model.named_parameters(remove_duplicate=False):
        rule = wanted.get(first.get(name, name))
        if rule is None:
            msg = f"the spec has no tensor '{name}': is the model made of it?"
            raise ValueError(msg)
        if id(parameter) in seen or not parameter.requires_grad:
            continue
        seen.add(id(parameter))
        group = settings(rule, made.parametrization, Group("", lr, weight_decay, eps))
        groups.setdefault(group, []).append(parameter)
    return [{"params": params, **vars(group)} for group, params in groups.items()]


def settings(rule: Rule, parametrization: str, base: Group) -> Group:
    """What a tensor is trained with, from what the base is trained with."""
    decay = 0.0 if rule.kind == "vector" else base.weight_decay
    if parametrization == "standard":
        return Group("plain" if rule.kind == "vector" else "decayed", base.lr, decay, base.eps)
    slower = 1.0 if rule.kind in {"vector", "embedding"} or rule.factor else rule.width
    deeper = rule.depth if parametrization == "completep" else 1.0
    smaller = 1.0 if rule.kind == "head" else rule.growth * deeper
    name = f"{rule.kind} /{slower:g}" if slower != 1 else rule.kind
    return Group(name, base.lr / slower, decay * slower, base.eps / smaller)
