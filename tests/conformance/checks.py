"""What must be true of a component in its place, as functions that assert it."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from functools import cache
from typing import Any

import einops
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

import composer.nn
from composer.components.component import KINDS, Component
from composer.components.placed import Placed, place
from composer.diagnostics import Problems, Span
from composer.language.document import from_plain
from composer.language.slots import Checking, component_in
from composer.nn.masks import attention_mask
from composer.targets.numbers.flops import flops
from composer.targets.source.writing import constructor
from tests.numbers.peak import memory_of
from tests.numbers.saved import saved_storages

PLACE = Span("example", 1, 1, 1)


def made(kind: str, options: Mapping[str, Any]) -> Component:
    """The component of an example, read as a spec is."""
    problems = Problems()
    tree = from_plain({"kind": kind, **options}, PLACE)
    written = component_in(KINDS[kind].slots[0], tree, Checking({}, problems))
    problems.raise_if_any()
    assert written is not None
    return written.component


def placed(kind: str, options: Mapping[str, Any]) -> Placed:
    """The component of an example where it gets its `example_inputs`."""
    return place(made(kind, options), KINDS[kind].example_inputs)


@cache
def names() -> dict[str, Any]:
    """What emitted source may use: torch, einops and all of `composer.nn`."""
    found: dict[str, Any] = {
        "torch": torch, "nn": nn, "F": F, "rearrange": einops.rearrange, "reduce": einops.reduce,
        "repeat": einops.repeat, "einsum": einops.einsum,
    }  # fmt: skip
    for info in pkgutil.iter_modules(composer.nn.__path__):
        found |= vars(importlib.import_module(f"composer.nn.{info.name}"))
    return found


def module_of(one: Placed, *extra: str) -> nn.Module:
    """The torch half, made by the text that a model's source holds."""
    text = constructor(one)
    if extra:
        text = text[:-1] + ("" if text.endswith("(") else ", ") + ", ".join(extra) + ")"
    module = eval(text, dict(names()))  # text of our own making
    assert isinstance(module, nn.Module)
    return module


def inputs_of(one: Placed) -> dict[str, Tensor | tuple[Tensor, ...]]:
    """Random tensors for every input."""
    component = one.component
    shapes = type(component).example_inputs
    wanted = {port.name for port in component.parsed.inputs}
    return {name: _tensors(name, shape, one) for name, shape in shapes.items() if name in wanted}


def _tensors(name: str, shape: Any, one: Placed) -> Any:
    if isinstance(shape[0], tuple):
        return tuple(torch.randn(*each) for each in shape)
    if name == "tokens":
        return torch.randint(0, getattr(one.axes, "vocab_size", 8), shape)
    return torch.randn(*shape)


def tables_of(one: Placed, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """What a stack makes for a component, by the argument that takes it."""
    made = {}
    for name, table in one.component.tables(one.axes).items():
        with torch.random.fork_rng():
            torch.manual_seed(0)
            made[name] = module_of(table).to(inputs["x"])(inputs["x"])
    return made


def run(
    module: nn.Module,
    one: Placed,
    inputs: Mapping[str, Any],
    tables: Mapping[str, Any] | None = None,
) -> Any:
    """What the torch half makes of `inputs`, its masks and tables made as a stack makes them."""
    arguments: list[Tensor] = []
    for value in inputs.values():
        arguments += value if isinstance(value, tuple) else [value]
    given: dict[str, Any] = {}
    for name, mask in one.component.masks(one.axes).items():
        if mask.over != "padding":
            source = inputs["memory" if mask.over == "memory" else "x"]
            given[name] = attention_mask(source, causal=mask.causal, window=mask.window)
    given |= tables_of(one, inputs) if tables is None else tables
    return module(*arguments, **given)


def in_double(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Inputs in double precision; tokens stay what they are."""
    return {
        name: tuple(_double(t) for t in value) if isinstance(value, tuple) else _double(value)
        for name, value in inputs.items()
    }


def _double(tensor: Tensor) -> Tensor:
    return tensor.double() if tensor.is_floating_point() else tensor


def results(value: Any) -> list[Tensor]:
    """The tensors that a torch half returns."""
    return [value] if isinstance(value, Tensor) else list(value)


def check_tensors(one: Placed) -> None:
    """Names, order and shapes of the parameters are those declared."""
    found = {name: tuple(p.shape) for name, p in module_of(one).named_parameters()}
    assert list(found.items()) == list(one.tensors.items())
    assert sum(p.numel() for p in module_of(one).parameters()) == one.parameters
    state = {name: tuple(t.shape) for name, t in module_of(one).state_dict().items()}
    assert state == one.state


def check_shapes(one: Placed) -> None:
    """Results have the declared shapes."""
    outputs = results(run(module_of(one), one, inputs_of(one)))
    declared = [s for name, s in one.outputs.items() if name not in one.component.optional]
    assert [tuple(out.shape) for out in outputs] == declared
    assert all(out.isfinite().all() for out in outputs)


def check_flops(one: Placed) -> None:
    """A forward pass, and a backward pass for whatever needs gradients, cost what is declared.

    Counted on the meta device: on others torch 2.13 counts scaled_dot_product_attention as nothing.
    What depends on values, as the choice of experts does, can run on a real device only.
    """
    device = "cpu" if one.component.data_dependent else "meta"
    module = module_of(one).to(device).eval()
    trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
    ports = {port.name for port in one.component.parsed.inputs}
    tables = {name for name, table in one.component.tables(one.axes).items() if table.tensors}
    for of_inputs, of_parameters in ((True, True), (False, True), (True, False)):
        for parameter in trained:
            parameter.requires_grad_(of_parameters)
        given = {name: _to(value, device) for name, value in inputs_of(one).items()}
        inputs = {name: _leaves(value, of_inputs) for name, value in given.items()}
        with FlopCounterMode(display=False) as counter, torch.device(device):
            outputs = [out for out in results(run(module, one, inputs)) if out.requires_grad]
        assert counter.get_total_flops() == one.flops()
        names = tables | set(ports if of_inputs else ()) | set(one.tensors if of_parameters else ())
        declared = flops(one, lambda name, names=names: _within(name, names)).backward
        with FlopCounterMode(display=False) as counter:
            torch.autograd.backward([out.sum() for out in outputs])
        assert counter.get_total_flops() == declared


def check_kept(one: Placed) -> None:
    """A training step keeps no more than is declared, and not much less."""
    module = module_of(one).train()
    inputs = {name: _leaves(value, True) for name, value in inputs_of(one).items()}
    declared = one.component.kept(one.axes)
    tables = tables_of(one, inputs)
    of_ports = [t for port in declared.ports for t in _several({**inputs, **tables}[port])]
    saved = saved_storages(module, lambda: run(module, one, inputs, tables))
    expected = declared.numbers * 4 + declared.others + sum(t.nbytes for t in of_ports)
    expected += saved.results[0].nbytes if declared.result else 0
    if any(t.untyped_storage().data_ptr() in saved.returned for t in of_ports):
        return  # the result is a part of the input: whoever keeps it keeps all of that
    assert saved.nbytes <= expected <= 1.15 * saved.nbytes + 300  # of examples of a few steps


def check_working(one: Placed, shapes: Mapping[str, Any]) -> None:
    """A training step of inputs of such shapes holds no more than declared, and not much less."""
    module = module_of(one).train()
    inputs = {
        port.name: _leaves(_tensors(port.name, shapes[port.name], one), True)
        for port in one.component.parsed.inputs
    }
    tables = tables_of(one, inputs)
    read = [t for v in inputs.values() for t in _several(v)]
    made: list[Tensor] = []

    def forward() -> None:
        made.extend(results(run(module, one, inputs, tables)))

    def backward() -> None:
        trained = [out for out in made if out.requires_grad]
        torch.autograd.backward(trained, [torch.ones_like(out) for out in trained])

    forward_held = memory_of(forward)
    given = one.component.kind in {"latents", "relative_embedding"}  # parameters as they are
    if given or not any(out.requires_grad for out in made):
        return
    back = memory_of(backward)
    own = {t.untyped_storage().data_ptr() for t in read}
    new = sum(t.nbytes for t in made if t.untyped_storage().data_ptr() not in own)
    result = sum(t.nbytes for t in made)
    within = max(forward_held.most - new - result, forward_held.left - new + back.most - result)
    kept, working = one.component.kept(one.axes), one.component.working(one.axes)
    inside = kept.numbers * 4 + kept.others
    come = 4 * working.numbers + working.results * result
    come += working.inputs * sum(t.nbytes for t in read if t.is_floating_point())
    parameters = sum(p.nbytes for p in module.parameters() if p.requires_grad)
    assert within <= inside + come + parameters
    assert inside + come <= 1.5 * within + result


def _several(value: Any) -> tuple[Tensor, ...]:
    return value if isinstance(value, tuple) else (value,)


def _leaves(value: Any, needed: bool) -> Any:
    several = value if isinstance(value, tuple) else (value,)
    made = tuple(t.requires_grad_(needed and t.is_floating_point()) for t in several)
    return made if isinstance(value, tuple) else made[0]


def _within(name: str, names: set[str]) -> bool:
    return name.partition(".")[0] in names or any(
        f"{known}.".startswith(f"{name}.") for known in names
    )


def _to(value: Any, device: str) -> Any:
    return tuple(v.to(device) for v in value) if isinstance(value, tuple) else value.to(device)


def check_gradients(one: Placed) -> None:
    """Every parameter and every float input has a part in the result."""
    module = module_of(one).train()
    randomize(module)
    inputs = inputs_of(one)
    leaves = [t for v in inputs.values() for t in (v if isinstance(v, tuple) else (v,))]
    leaves = [t.requires_grad_() for t in leaves if t.is_floating_point()]
    outputs = results(run(module, one, inputs))
    outputs = [out for out in outputs if out.requires_grad]
    if outputs:
        torch.autograd.backward([(out * torch.randn_like(out)).sum() for out in outputs])
    trained = [(n, p) for n, p in module.named_parameters() if p.requires_grad]
    for name, parameter in trained:
        assert parameter.grad is not None, f"no gradient reaches {name}"
        assert parameter.grad.isfinite().all(), name
    needs_input = one.component.role != "position" and one.component.kind != "latents"
    for leaf in leaves if needs_input else []:
        assert leaf.grad is not None, "no gradient reaches an input"


def check_expression(one: Placed) -> None:
    """The expression has the declared shape and costs what is declared."""
    inputs = inputs_of(one)
    variables: dict[str, Tensor] = {}
    written: dict[str, Any] = {}
    for port, value in inputs.items():
        several = value if isinstance(value, tuple) else (value,)
        own = {f"{port}_{i}": tensor for i, tensor in enumerate(several)}
        variables |= own
        written[port] = list(own) if isinstance(value, tuple) else next(iter(own))
    text = one.component.expression(written, one.axes)
    assert text is not None
    assert one.tensors == {}, "an expression has no parameters"
    meta = {name: tensor.to("meta") for name, tensor in variables.items()}
    with FlopCounterMode(display=False) as counter:
        eval(text, {**names(), **meta})  # text of our own making
    result = eval(text, {**names(), **variables})
    assert tuple(result.shape) == one.shape
    assert counter.get_total_flops() == one.flops()


def is_expression(one: Placed) -> bool:
    """Whether the component is emitted as an expression."""
    some = {port.name: ["a"] for port in one.component.parsed.inputs}
    return one.component.expression(some, one.axes) is not None


def randomize(module: nn.Module, seed: int = 0, std: float = 0.3) -> None:
    """Gives every parameter random values, also those that start as zeros or ones."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            fresh = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            parameter.copy_(fresh * std + (1.0 if parameter.dim() == 1 else 0.0))
