"""What a step may depend on: nothing later where a spec is causal, and never padding."""

from __future__ import annotations

import pytest
import torch

from composer.graph.graph import Input
from composer.shapes import Dim, lengths_in
from tests.conformance.checks import randomize
from tests.conformance.models import CASES, graph_of, inputs_of, lengths_of, model_of, split_by


def _dependencies(how):
    """Outputs that depend on an input of the same length: on steps up to each, or on all."""
    return [
        pytest.param(case, output.name, item.name, id=f"{case.name}-{output.name}-{item.name}")
        for case in CASES
        for output in graph_of(case).outputs
        for item in graph_of(case).inputs
        if output.value.sees.get(item.name) == how
        and len(output.value.shape) == 3
        and output.value.shape[:2] == item.value.shape[:2]
    ]


def _run(case, inputs):
    model = model_of(case).eval()
    randomize(model)  # gates that start at zero would hide what they let through
    with torch.no_grad():
        return model(**inputs)


def _one(outputs, name):
    found = getattr(outputs, name)
    return found[-1] if isinstance(found, list) else found


def _changed(case, name, inputs, start):
    """The inputs with others from step `start` on."""
    other = inputs[name].clone()
    part = other[:, start:]
    if part.is_floating_point():
        other[:, start:] = part + 1
    else:
        vocab_size = graph_of(case).parts[name].node.component.vocab_size
        other[:, start:] = (part + 1) % vocab_size
    return {**inputs, name: other}


@pytest.mark.parametrize(("case", "output", "source"), _dependencies("past"))
def test_later_steps_change_nothing_before_them(case, output, source):
    inputs = inputs_of(graph_of(case), padded=False)
    first = _one(_run(case, inputs), output)
    for start in (1, 4, first.shape[1] - 1):
        second = _one(_run(case, _changed(case, source, inputs, start)), output)

        assert torch.equal(first[:, :start], second[:, :start])
        assert not torch.equal(first[:, start], second[:, start])


@pytest.mark.parametrize(("case", "output", "source"), _dependencies("all"))
def test_where_the_graph_says_all_steps_count_they_do(case, output, source):
    inputs = inputs_of(graph_of(case), padded=False)
    first = _one(_run(case, inputs), output)
    second = _one(_run(case, _changed(case, source, inputs, first.shape[1] - 1)), output)

    assert not torch.equal(first[:, :-1], second[:, :-1])


# Padding


def _padded(case):
    return [item for item in graph_of(case).inputs if item.padding is not None]


PADDED = pytest.mark.parametrize(
    "case", [case for case in CASES if _padded(case)], ids=lambda case: case.name
)


def _masks(case, inputs):
    """Which steps of each padded input are real."""
    return {
        f"{item.name}_mask": inputs[f"{item.name}_mask"]
        if item.padding == "mask"
        else inputs[item.name] != item.padding
        for item in _padded(case)
    }


def _real(case, outputs, masks):
    """What the outputs say of real steps, by name."""
    found = {}
    for output in graph_of(case).outputs:
        mask = output.value.mask
        values = getattr(outputs, output.name)
        for i, value in enumerate(values if isinstance(values, list) else [values]):
            if mask in masks:
                found[f"{output.name}.{i}"] = value[masks[mask]]
            elif mask is None and value.dim() < 4:
                found[f"{output.name}.{i}"] = value
    return found


@PADDED
def test_what_stands_in_padding_changes_nothing(case):
    graph = graph_of(case)
    inputs = inputs_of(graph)
    masks = _masks(case, inputs)
    other = dict(inputs)
    for item in _padded(case):
        if item.padding == "mask":  # an id of padding is the same wherever it stands
            values = inputs[item.name].clone()
            values[-1, -3:] = 1 if not values.is_floating_point() else 17.0
            other[item.name] = values
    first, second = (_real(case, _run(case, given), masks) for given in (inputs, other))

    assert first
    for name in first:
        torch.testing.assert_close(first[name], second[name], rtol=0, atol=1e-6, msg=name)


@PADDED
def test_padding_is_as_good_as_absence(case):
    """The last example, which is padded, gives alone and cut what it gives among longer ones."""
    graph = graph_of(case)
    if split_by(graph):
        pytest.skip("a length that is split cannot be cut by three")
    if not all(_length(item) for item in _padded(case)):
        pytest.skip("a length that is a number cannot be cut")
    inputs = inputs_of(graph)
    masks = _masks(case, inputs)
    cut = {name for item in _padded(case) for name in _length(item)}
    alone = {}
    for item in graph.inputs:
        batched = "batch" in [n for s in item.value.shape[:1] for n in _names(s)]
        value = inputs[item.name][-1:] if batched else inputs[item.name]
        alone[item.name] = value[:, :-3] if cut & set(_length(item)) else value
    padded, whole = _run(case, inputs), _run(case, alone)
    for output in graph.outputs:
        mask = output.value.mask
        if (mask is not None and mask not in masks) or len(output.value.shape) > 3:
            continue
        first, second = (_one(outputs, output.name) for outputs in (padded, whole))
        if [n for s in output.value.shape[:1] for n in _names(s)] != ["batch"]:
            continue
        if "batch" in [n for s in output.value.shape[1:] for n in _names(s)]:
            continue  # of each example with each: it depends on the others
        real = first[-1][masks[mask][-1]] if mask in masks else first[-1]
        torch.testing.assert_close(
            real, second[0], rtol=1e-4, atol=1e-4, msg=lambda m, n=output.name: f"{n}: {m}"
        )


def _names(size):
    return list(lengths_in(size)) if isinstance(size, Dim) else []


def _length(item: Input):
    """Names of the length of a sequence."""
    return _names(item.value.shape[1]) if len(item.value.shape) > 1 else []


def test_a_model_that_ignores_its_mask_is_found(monkeypatch):
    """The checks above can fail: the same without masks."""
    case = next(case for case in CASES if case.name == "tests/specs/padding_id")
    model = model_of(case).eval()
    inputs = inputs_of(graph_of(case))
    real = inputs["tokens"] != 0
    changed = {"tokens": inputs["tokens"].masked_fill(~real, 7)}

    with torch.no_grad():
        assert not torch.allclose(model(**inputs).mean, model(**changed).mean)
    assert lengths_of(graph_of(case))
