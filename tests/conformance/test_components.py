"""Every kind and its examples: what is declared is what the torch half does."""

from __future__ import annotations

import inspect

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from composer.components.component import KINDS, SLOTS, OptionError
from composer.components.placed import Placed, place
from composer.shapes import Dim, ShapeError, evaluate, lengths_in, symbol
from composer.targets.source.writing import constructor
from tests.conformance import checks
from tests.conformance.checks import made, module_of, names, placed

OURS = {k: c for k, c in KINDS.items() if c.__module__.startswith("composer.components.")}
HELD = {"branch_adapter", "attention_adapter"}
SPECIAL = {"input", "initialization", "linear_adapter", "result_adapter", *HELD}
"""Slots whose kinds are no modules; they have checks of their own below."""
EXAMPLES = [
    pytest.param(kind, options, id=f"{kind}-{index}")
    for kind, cls in OURS.items()
    for index, options in enumerate(cls.examples)
    if not SPECIAL & set(cls.slots)
]
ADAPTERS = [
    pytest.param(kind, options, id=f"{kind}-{index}")
    for kind, cls in OURS.items()
    for index, options in enumerate(cls.examples)
    if {"linear_adapter", "result_adapter"} & set(cls.slots)
]
HELD_ADAPTERS = [
    pytest.param(kind, options, id=f"{kind}-{index}")
    for kind, cls in OURS.items()
    for index, options in enumerate(cls.examples)
    if HELD & set(cls.slots)
]
SCALINGS = {kind for kind, cls in OURS.items() if "rope_scaling" in cls.slots}
STATEFUL = [p for p in EXAMPLES if not checks.is_expression(placed(*p.values))]
STATELESS = [p for p in EXAMPLES if checks.is_expression(placed(*p.values))]


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


# What every kind declares


@pytest.mark.parametrize("kind", OURS)
def test_kind_is_described(kind):
    cls = OURS[kind]

    assert cls.__doc__
    assert cls.__doc__[0].isupper()
    assert cls.examples
    assert set(cls.slots) <= set(SLOTS)
    for name, field in cls.model_fields.items():
        assert name == "kind" or field.description, f"{kind}.{name} has no description"


@pytest.mark.parametrize("kind", OURS)
def test_every_option_but_plain_ones_is_in_an_example_or_has_a_default(kind):
    cls = OURS[kind]
    used = {name for example in cls.examples for name in example}
    required = {name for name, field in cls.model_fields.items() if field.is_required()}

    assert required <= used


@pytest.mark.parametrize("kind", [k for k, c in OURS.items() if not SPECIAL & set(c.slots)])
def test_a_size_that_is_not_known_is_refused_or_carried_along(kind):
    cls = OURS[kind]
    for options in cls.examples:
        for port, shape in cls.example_inputs.items():
            for axis in range(0 if isinstance(shape[0], tuple) else len(shape)):
                changed = (*shape[:axis], symbol("words"), *shape[axis + 1 :])
                try:
                    one = place(made(kind, options), {**cls.example_inputs, port: changed})
                except (ShapeError, OptionError):
                    continue
                one.flops()
                assert all(type(size) is int for shape in one.state.values() for size in shape)


@pytest.mark.parametrize("shape", [(2, 32), (2, 3, 32), (2, 3, 4, 32)])
@pytest.mark.parametrize("kind", ["layernorm", "rmsnorm", "project"])
def test_a_norm_and_a_projection_take_any_number_of_axes(kind, shape):
    for options in KINDS[kind].examples:
        one = place(made(kind, options), {"x": shape})

        assert module_of(one)(torch.randn(shape)).shape == one.shape


@pytest.mark.parametrize("kind", ["layernorm", "rmsnorm"])
@pytest.mark.parametrize("shape", [(2,), (symbol("batch"), symbol("width"))])
def test_a_norm_needs_a_width(kind, shape):
    with pytest.raises(ShapeError, match="known width"):
        place(made(kind, {"affine": False}), {"x": shape})


@pytest.mark.parametrize(("kind", "options"), EXAMPLES)
def test_label_is_short_text(kind, options):
    one = placed(kind, options)
    label = one.component.label(one.axes)

    assert 0 < len(label.title) <= 40
    assert "None" not in label.title + label.detail
    assert "\n" not in label.title + label.detail


def test_every_torch_half_belongs_to_a_kind():
    halves = {
        name
        for name, value in names().items()
        if inspect.isclass(value) and issubclass(value, nn.Module)
        and value.__module__.startswith("composer.nn.")
    }  # fmt: skip

    used = {made(*p.values).half for p in EXAMPLES} | {cls.module for cls in OURS.values()}
    used |= {cls.cached for cls in OURS.values()}

    adapters = {made(*p.values) for p in (*ADAPTERS, *HELD_ADAPTERS)}
    used |= {one.half for one in adapters} | {one.holder for one in adapters}

    for_passes = {"TiedModule", "NumberedLayers", "SparseLinear"}  # of sharing, cutting, pruning
    assert halves - for_passes <= used


# What it does


@pytest.mark.parametrize(("kind", "options"), STATEFUL)
def test_parameters_are_those_declared(kind, options):
    checks.check_tensors(placed(kind, options))


@pytest.mark.parametrize(("kind", "options"), STATEFUL)
def test_results_have_the_declared_shapes(kind, options):
    checks.check_shapes(placed(kind, options))


@pytest.mark.parametrize(("kind", "options"), STATEFUL)
def test_flops_are_what_torch_counts(kind, options):
    checks.check_flops(placed(kind, options))


IN_A_MODEL = [p for p in STATEFUL if p.values[0] not in {"rope", "alibi", *SCALINGS}]
"""Without tables and what is in them, which a stack makes from no parameters."""


@pytest.mark.parametrize(("kind", "options"), IN_A_MODEL)
def test_what_is_kept_for_the_backward_pass_is_declared(kind, options):
    checks.check_kept(placed(kind, options))


@pytest.mark.parametrize(("kind", "options"), IN_A_MODEL)
def test_what_comes_and_goes_in_a_step_is_declared(kind, options):
    shapes = {name: _grown(shape) for name, shape in KINDS[kind].example_inputs.items()}
    try:
        one = place(made(kind, options), shapes)
    except (ShapeError, OptionError):  # a grid has its sides, positions have an end
        shapes = KINDS[kind].example_inputs
        one = placed(kind, options)
    checks.check_working(one, shapes)


def _grown(shape):
    """A shape with more examples and steps, so that sequences weigh more than parameters."""
    if isinstance(shape[0], tuple):
        return tuple(map(_grown, shape))
    steps = 4 if len(shape) == 3 else 1  # others are images and tokens
    return (8 * shape[0], *(steps * size for size in shape[1:2]), *shape[2:])


@pytest.mark.parametrize(("kind", "options"), STATEFUL)
def test_gradients_reach_every_parameter_and_input(kind, options):
    checks.check_gradients(placed(kind, options))


@pytest.mark.parametrize(("kind", "options"), STATELESS)
def test_expressions_make_the_declared_shape_at_the_declared_cost(kind, options):
    checks.check_expression(placed(kind, options))


@pytest.mark.parametrize(
    ("kind", "options"), [p for p in STATEFUL if "weights" in placed(*p.values).outputs]
)
def test_attention_weights_have_the_declared_shape(kind, options):
    one = placed(kind, options)
    module = module_of(one, "return_weights=True").eval()
    inputs = checks.inputs_of(one)
    states, weights = checks.run(module, one, inputs)
    plain = module_of(one).eval()
    plain.load_state_dict(module.state_dict())

    assert tuple(weights.shape) == one.outputs["weights"]
    torch.testing.assert_close(states, checks.run(plain, one, inputs))


@pytest.mark.parametrize(("kind", "options"), STATEFUL)
def test_dtype_is_kept(kind, options):
    one = placed(kind, options)
    inputs = checks.in_double(checks.inputs_of(one))

    for out in checks.results(checks.run(module_of(one).double(), one, inputs)):
        assert out.dtype == torch.float64 or not out.is_floating_point()


# Wrong declarations are found


def _wrong(monkeypatch, kind, method, change):
    cls = OURS[kind]
    right = getattr(cls, method)
    monkeypatch.setattr(cls, method, lambda self, axes: change(right(self, axes)))


KINDS_TO_BREAK = [
    "attention",
    "cross_attention",
    "glu",
    "conv",
    "gated",
    "lm",
    "patch",
    "layernorm",
]


@pytest.mark.parametrize("kind", KINDS_TO_BREAK)
@pytest.mark.parametrize(
    "change",
    [
        lambda tensors: dict(list(tensors.items())[:-1]),
        lambda tensors: {**tensors, "more": (1,)},
        lambda tensors: {name: (*shape[:-1], shape[-1] + 1) for name, shape in tensors.items()},
        lambda tensors: {f"{name}_": shape for name, shape in tensors.items()},
    ],
    ids=["missing", "more", "shape", "name"],
)
def test_wrong_tensors_are_found(monkeypatch, kind, change):
    _wrong(monkeypatch, kind, "tensors", change)
    one = placed(kind, OURS[kind].examples[0])

    with pytest.raises(AssertionError):
        checks.check_tensors(one)


@pytest.mark.parametrize("kind", [k for k in KINDS_TO_BREAK if k != "layernorm"])
@pytest.mark.parametrize("change", [lambda f: f + 1, lambda f: f // 2], ids=["more", "half"])
def test_wrong_flops_are_found(monkeypatch, kind, change):
    _wrong(monkeypatch, kind, "flops", change)
    one = placed(kind, OURS[kind].examples[0])

    with pytest.raises(AssertionError):
        checks.check_flops(one)


@pytest.mark.parametrize("kind", KINDS_TO_BREAK)
def test_wrong_shapes_are_found(kind):
    one = placed(kind, OURS[kind].examples[0])
    first, shape = next(iter(one.outputs.items()))
    wrong = Placed(one.component, one.axes, {**one.outputs, first: (*shape[:-1], shape[-1] + 1)})

    with pytest.raises(AssertionError):
        checks.check_shapes(wrong)


def test_an_unused_parameter_is_found(monkeypatch):
    half = names()["FeedForward"]
    monkeypatch.setattr(half, "forward", lambda self, x: self.down(self.up(x).detach()))

    with pytest.raises(AssertionError, match=r"no gradient reaches up\.weight"):
        checks.check_gradients(placed("feed_forward", {}))


def test_a_wrong_expression_is_found(monkeypatch):
    monkeypatch.setattr(OURS["rearrange"], "expression", lambda self, inputs, axes: inputs["x"])

    with pytest.raises(AssertionError):
        checks.check_expression(placed("rearrange", OURS["rearrange"].examples[0]))


# Inputs


INPUTS = [
    pytest.param(kind, options, id=f"{kind}-{index}")
    for kind, cls in OURS.items()
    if "input" in cls.slots
    for index, options in enumerate(cls.examples)
]


@pytest.mark.parametrize(("kind", "options"), INPUTS)
def test_inputs_make_tensors_with_named_lengths(kind, options):
    one = place(made(kind, options), {}, name="source")
    names_ = {name for size in one.shape if isinstance(size, Dim) for name in lengths_in(size)}
    sizes = [evaluate(size, dict.fromkeys(names_, 3)) for size in one.shape]

    assert one.tensors == {}
    assert one.flops() == 0
    assert len(one.shape) == len(one.component.parsed.outputs[0].axes) or kind == "tensor"
    assert all(size >= 1 for size in sizes)
    assert one.component.dtype == ("int64" if kind == "tokens" else "float")
    assert one.component.label(one.axes).title


def test_length_of_an_input_is_a_number_a_name_or_its_own():
    shape = {
        text: str(place(made("tokens", {"vocab_size": 9, **given}), {}, name="source").shape[1])
        for text, given in {
            "own": {}, "number": {"length": 7}, "name": {"length": "time"}
        }.items()
    }  # fmt: skip

    assert shape == {"own": "source", "number": "7", "name": "time"}


# Initialization


STARTS = [
    pytest.param(kind, options, id=f"{kind}-{index}")
    for kind, cls in OURS.items()
    if "initialization" in cls.slots
    for index, options in enumerate(cls.examples)
]


@pytest.mark.parametrize(("kind", "options"), STARTS)
def test_initialization_sets_every_matrix_as_it_says(kind, options):
    one = place(made(kind, options), {})
    layers = [
        nn.Linear(300, 200),
        nn.Conv1d(40, 60, 5),
        nn.Conv2d(16, 32, 3),
        nn.Embedding(200, 100),
    ]
    module = nn.Sequential(*layers, nn.LayerNorm(8))
    before = [p.clone() for p in module.parameters()]
    if kind == "torch":
        assert one.component.arguments(one.axes) == {}
        return
    start = names()[one.component.module]
    given = one.component.arguments(one.axes)
    module.apply(lambda part: start(part, **given))

    for layer in layers:
        fan_out, fan_in = layer.weight.shape[:2]
        inner = layer.weight[0, 0].numel() if layer.weight.dim() > 2 else 1
        xavier = (2 / ((fan_in + fan_out) * inner)) ** 0.5
        std = {
            "normal": given.get("std"),
            "xavier": xavier,
            "fan_in": given.get("gain", 1) * (fan_in * inner) ** -0.5,
        }[kind]
        if isinstance(layer, nn.Embedding):
            std = layer.embedding_dim**-0.5 if kind == "xavier" else given["std"]
        assert layer.weight.std().item() == pytest.approx(std, rel=0.05)
        assert layer.weight.mean().item() == pytest.approx(
            0, abs=4 * std / layer.weight.numel() ** 0.5
        )
        if getattr(layer, "bias", None) is not None:
            assert layer.bias.eq(0).all()
    norm = list(module.parameters())[-2:]
    assert [p.tolist() for p in norm] == [p.tolist() for p in before[-2:]]


# Linear maps, and what adapts them


@pytest.mark.parametrize(("kind", "options"), STATEFUL)
def test_linear_maps_are_declared(kind, options):
    one = placed(kind, options)
    maps = {name for name, m in module_of(one).named_modules() if type(m) is nn.Linear}

    assert maps == set(one.linears)


@pytest.mark.parametrize(("kind", "options"), ADAPTERS)
def test_adapter_has_the_tensors_and_the_cost_that_it_declares(kind, options):
    one = placed(kind, options)
    rows, width = one.component.example_inputs["x"]
    made_of = eval(constructor(one), dict(names()))  # text of our own making
    holder = names()[one.component.holder]
    adapted = holder(nn.Linear(width, one.axes.out_features), some=made_of).eval()
    found = {n: tuple(p.shape) for n, p in made_of.named_parameters()}
    with FlopCounterMode(display=False) as counter:
        adapted.to("meta")(torch.empty(rows, width, device="meta"))
    base = 2 * rows * width * one.axes.out_features

    assert list(found.items()) == list(one.tensors.items())
    assert counter.get_total_flops() == base + one.flops()


@pytest.mark.parametrize(("kind", "options"), ADAPTERS)
def test_adapter_starts_as_nothing_and_learns_in_every_tensor(kind, options):
    one = placed(kind, options)
    linear = nn.Linear(one.axes.in_features, one.axes.out_features)
    made_of = eval(constructor(one), dict(names()))  # text of our own making
    adapted = names()[one.component.holder](linear, some=made_of)
    x = torch.randn(3, one.axes.in_features)

    assert torch.equal(adapted.eval()(x), linear(x))
    checks.randomize(made_of)
    adapted.train()(x).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in made_of.parameters())
    adapted.active = ()
    assert torch.equal(adapted(x), linear(x))


@pytest.mark.parametrize(("kind", "options"), HELD_ADAPTERS)
def test_adapter_of_a_component_has_the_tensors_that_it_declares(kind, options):
    one = placed(kind, options)
    made_of = eval(constructor(one), dict(names()))  # text of our own making
    found = {n: tuple(p.shape) for n, p in made_of.named_parameters()}

    assert list(found.items()) == list(one.tensors.items())
    assert one.component.held in {"beside", "before"}
