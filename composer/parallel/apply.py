"""A built model spread over devices: split along `tp`, then sharded or copied along `dp`."""

from __future__ import annotations

from collections import Counter
from typing import cast

import torch
from torch import nn
from torch.distributed._composable.replicate import replicate
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import Replicate

from composer.compiler import Source, load
from composer.compiler import graph as graph_of
from composer.graph.graph import Graph, Node
from composer.language.parallel import Parallelism
from composer.language.spec import ModelSpec

from .plan import Plan, plan, refusal
from .styles import (
    apply_style,
    as_dtensor,
    by_steps,
    spread_parameters,
    turn_inputs,
    turn_result,
    whole,
)


def parallelize(
    model: nn.Module, spec: Source | ModelSpec | Graph, mesh: DeviceMesh | None = None,
    asked: Parallelism | None = None,
) -> nn.Module:  # fmt: skip
    """Spreads a model over the devices of a process group, in place.

    `model` is what `composer.build` makes of `spec`, with the same parameters on every rank; it is
    on its device already. `asked` is the section `parallel`, by default that of the spec. `mesh`
    has the axes `dp` and `tp`; by default it is made of all ranks, neighbours in `tp`. What is
    returned is called as before, with the share of a batch that belongs to the place along dp, and
    an optimizer is made of its parameters after this.

    >>> model = parallelize(composer.build(spec, seed=0), spec)  # doctest: +SKIP

    Raises SpecError for what cannot be spread as asked, before anything is.
    """
    made = spec if isinstance(spec, (ModelSpec, Graph)) else load(spec)
    graph = made if isinstance(made, Graph) else graph_of(made)
    asked = asked or getattr(made, "parallel", None) or Parallelism()
    if asked.mesh.pp > 1:
        raise refusal("stages along pp are cut before each is spread", "mesh: {pp: 1}")
    layout = plan(graph, asked)
    mesh = mesh_for(asked) if mesh is None else mesh
    check_sharing(model, graph)
    if asked.mesh.tp > 1:
        _split(model, layout, mesh["tp"])
        _tie(model)
        check_sharing(model, graph)
    if asked.mesh.dp > 1:
        _spread(model, graph, asked, mesh["dp"])
        check_sharing(model, graph)
    return model


def mesh_for(asked: Parallelism, device: str | None = None) -> DeviceMesh:
    """The mesh of all ranks of the process group.

    Raises SpecError where their number is not that of the mesh.
    """
    world, sizes = torch.distributed.get_world_size(), asked.mesh
    if world != sizes.world:
        raise refusal(
            f"the mesh has {sizes.world} devices, but {world} processes run",
            f"torchrun --nproc-per-node {sizes.world}, or another --mesh",
        )
    kind = device or ("cuda" if torch.distributed.get_backend() == "nccl" else "cpu")
    names = ("pp", "dp", "tp") if sizes.pp > 1 else ("dp", "tp")
    return init_device_mesh(kind, tuple(getattr(sizes, n) for n in names), mesh_dim_names=names)


def check_sharing(model: nn.Module, graph: Graph) -> None:
    """What a spec shares is one parameter in the model, and nothing else is.

    Raises SpecError with the names of what is not.
    """
    first: dict[int, str] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        own = graph.aliases.get(name, name)
        if own not in graph.tensors:
            continue  # a further name of a layer that is one module
        before = first.setdefault(id(parameter), own)
        if before != own:
            raise refusal(f"'{name}' and '{before}' have become one parameter")
    if len(first) != len(graph.tensors):
        ids = {name: id(p) for name, p in model.named_parameters(remove_duplicate=False)}
        untied = [a for a, b in graph.aliases.items() if a in ids and ids[a] != ids[b]]
        raise refusal(f"'{(untied or ['?'])[0]}' is not shared any more")


def _split(model: nn.Module, layout: Plan, mesh: DeviceMesh) -> None:
    """Splits every component that can be; one with several names once."""
    done: set[int] = set()
    for path, node in layout.graph.nodes():
        module = _module(model, path)
        if module is not None and id(module) not in done:
            done.add(id(module))
            _split_component(module, path, node, layout, mesh)
    stacks = [model.get_submodule(name) for name in layout.splitting.steps]
    for stack in stacks:
        turn_result(stack, whole)
    for embed in {id(stack.embed): stack.embed for stack in stacks}.values():
        turn_result(cast("nn.Module", embed), lambda x: by_steps(x, mesh))


def _split_component(
    module: nn.Module, path: str, node: Node, layout: Plan, mesh: DeviceMesh
) -> None:
    """Splits one component, and turns what it reads where states are split by steps."""
    part, _, inner = path.partition(".")
    split = layout.splitting.split.get(path)
    in_layers = inner.startswith("layers.")
    steps = part in layout.splitting.steps
    ports = {port.name for port in node.component.parsed.inputs}
    if split is not None:
        for name, style in split.styles.items():
            apply_style(module.get_submodule(name), style, mesh, steps=steps and in_layers)
        if in_layers:  # once for all of its maps
            turn_inputs(module, lambda x: as_dtensor(x, mesh, Replicate()), ports)
    elif steps and node.component.role == "norm":
        for each in module.modules():
            spread_parameters(each, mesh, None, rows=False)
    elif steps and in_layers:
        turn_inputs(module, whole, ports)
        turn_result(module, lambda x: by_steps(x, mesh))


def _module(model: nn.Module, path: str) -> nn.Module | None:
    """The module at a path; a component that is an expression has none."""
    try:
        return model.get_submodule(path)
    except AttributeError:
        return None


def _tie(model: nn.Module) -> None:
    """Gives one DTensor its several names."""
    if callable(tie := getattr(model, "tie_weights", None)):
        tie()


def _spread(model: nn.Module, graph: Graph, asked: Parallelism, mesh: DeviceMesh) -> None:
    """Shards along dp, or keeps copies whose gradients are averaged."""
    if asked.fsdp is None:
        uncertain = any(node.component.data_dependent for _, node in graph.nodes())
        group = mesh.get_group()
        replicate(model, process_group=group, find_unused_parameters=uncertain)
        return
    half = asked.fsdp.precision == "bfloat16"
    policy = MixedPrecisionPolicy(
        param_dtype=torch.bfloat16 if half else None, reduce_dtype=torch.float32 if half else None
    )
    if asked.fsdp.unit == "block":
        for layer in units(model, graph):
            fully_shard(layer, mesh=mesh, mp_policy=policy)
    fully_shard(model, mesh=mesh, mp_policy=policy)


def units(model: nn.Module, graph: Graph) -> list[nn.Module]:
    """Layers that are gathered one by one.

    One that shares a parameter with something outside is not: it is gathered with the model, once.
    """
    layers = {
        id(layer): layer
        for stack in graph.stacks
        for layer in model.get_submodule(f"{stack.name}.layers").children()
    }
    reached = Counter(id(p) for layer in layers.values() for p in layer.parameters())
    inside = tuple(f"{stack.name}.layers." for stack in graph.stacks)
    reached.update(
        {id(p) for name, p in model.named_parameters(remove_duplicate=False)
         if not name.startswith(inside)}
    )  # fmt: skip
    return [
        layer for layer in layers.values() if all(reached[id(p)] == 1 for p in layer.parameters())
    ]
