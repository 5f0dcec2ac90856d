"""Settings, budgets, largest parts and closed forms."""

from __future__ import annotations

import csv
import io
import json

import pytest

import composer
from composer.shapes import Dim
from composer.targets.numbers import report
from composer.targets.numbers.budget import budget, contributors, fitting
from composer.targets.numbers.count import count
from composer.targets.numbers.formula import formulas
from composer.targets.numbers.largest import largest
from composer.targets.numbers.setting import SettingError, length_names, setting
from tests.conformance.models import CASES, ROOT, graph_of, lengths_of

GPT2 = ROOT / "specs/gpt2.yaml"


@pytest.fixture(scope="module")
def gpt2():
    return composer.graph(GPT2)


def test_lengths_that_are_not_given_are_usual_ones(gpt2):
    assert setting(gpt2, {}).lengths == {"batch": 1, "tokens": 1024}
    llama = composer.graph(ROOT / "specs/llama.yaml")
    assert setting(llama, {"batch": 3}).lengths == {"batch": 3, "tokens": 512}


@pytest.mark.parametrize(
    ("lengths", "why"),
    [
        ({"token": 5}, "the model has no length 'token': did you mean 'tokens'?"),
        ({"frames": 5}, "the model has no length 'frames': it has batch, tokens"),
        ({"tokens": 0}, "tokens must be at least 1, not 0"),
        ({"tokens": 2000}, "tokens is 2000, but decoder.embed has 1024 positions: try 1024"),
    ],
)
def test_a_length_that_cannot_be_is_refused(gpt2, lengths, why):
    with pytest.raises(SettingError) as refused:
        setting(gpt2, lengths)

    assert str(refused.value) == why


def test_a_length_that_does_not_divide_is_refused():
    graph = composer.graph(ROOT / "specs/patterns/rearrange.yaml")
    (name,) = length_names(graph)
    step = setting(graph, {}).lengths[name]
    with pytest.raises(SettingError, match=rf"{name} must be a multiple of \d+, not {step + 1}"):
        setting(graph, {name: step + 1})


@pytest.mark.parametrize(
    ("text", "most", "measure"),
    [
        ("24GB", 24e9, "bytes"),
        ("24 GiB", 24 * 2**30, "bytes"),
        ("1_000B", 1000, "bytes"),
        ("0.5 tb", 5e11, "bytes"),
        ("1e15 FLOPs", 1e15, "flops"),
        ("3 TFLOP", 3e12, "flops"),
        ("10gflops", 1e10, "flops"),
    ],
)
def test_budgets_are_read(text, most, measure):
    made = budget(text)

    assert (made.most, made.measure) == (most, measure)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("24", "a budget needs a unit: 24GB are bytes, 24 FLOPs operations"),
        ("24 GBs", "unit 'GBs' is not known: did you mean GB?"),
        ("1e15 FLIPs", "unit 'FLIPs' is not known: did you mean FLOPs?"),
        ("much", "'much' is no budget: write 24GB, or 1e15 FLOPs"),
        ("-5GB", "'-5GB' is no budget: write 24GB, or 1e15 FLOPs"),
        ("0 GB", "a budget must be a number above 0, not 0"),
    ],
)
def test_a_budget_that_says_nothing_is_refused(text, why):
    with pytest.raises(SettingError) as refused:
        budget(text)

    assert str(refused.value) == why


def test_what_fits_is_the_largest_that_does(gpt2):
    at, most = setting(gpt2, {"batch": 64}), budget("16GB")
    found = list(fitting(gpt2, at, most))

    assert count(gpt2, at).whole.memory > most.most
    assert [name for other in found for name in at.lengths if other.lengths != at.lengths]
    for other in found:
        assert count(gpt2, other).whole.memory <= most.most
        changed = [name for name in at.lengths if other.lengths[name] != at.lengths[name]]
        for name in changed:
            more = setting(gpt2, {**other.lengths, name: other.lengths[name] + 1})
            assert count(gpt2, more).whole.memory > most.most


def test_contributors_are_the_largest_parts(gpt2):
    numbers = count(gpt2, setting(gpt2, {"batch": 64}))
    found = contributors(numbers, budget("1GB"))
    taken = sorted((part.memory for part in numbers.leaves()), reverse=True)

    assert [number for _, number in found] == taken[:5]
    assert largest(numbers)["flops"][0][0].row.path == "decoder.layers.0-11.feed_forward"


def test_the_parts_of_the_memory_are_known(gpt2):
    whole = count(gpt2, setting(gpt2, {}, "bf16")).whole
    parameters = 124_439_808

    assert whole.parameters.weights == 2 * parameters
    assert whole.parameters.gradients == 2 * parameters
    assert whole.parameters.optimizer == 12 * parameters
    assert whole.cost.outputs == 2 * 2 * 1024 * 50257
    most = 16 * parameters + whole.cost.activations + whole.cost.outputs
    assert 0.85 * most < whole.memory < most  # gradients come as activations go


@pytest.mark.parametrize("name", ["conv_stem", "disentangled", "windows", "masked_lm"])
def test_budgets_and_closed_forms_know_every_kind(name):
    case = next(case for case in CASES if case.path.stem == name)
    graph = graph_of(case)
    at = setting(graph, {"batch": 8})
    whole = count(graph, at).whole
    enough = budget(f"{whole.memory}B")
    form = formulas(graph)[-1]

    assert enough.of(whole) == whole.memory
    assert list(fitting(graph, at, budget(f"{whole.memory - 1}B")))
    assert eval(form.forward, dict(at.lengths)) == whole.cost.forward  # text of our own
    assert eval(form.backward, dict(at.lengths)) == whole.cost.backward


def test_what_no_gradient_trains_has_no_gradient():
    graph = composer.graph(ROOT / "tests/specs/frozen.yaml")
    whole = count(graph, setting(graph, {})).whole

    assert 0 < whole.cost.trained < whole.row.parameters
    assert whole.parameters.gradients == 4 * whole.cost.trained
    assert whole.parameters.weights == 4 * whole.row.parameters


@pytest.mark.parametrize("case", CASES[::4], ids=lambda case: case.name)
def test_closed_forms_give_the_counted_numbers(case):
    graph = graph_of(case)
    names = length_names(graph)
    lengths = {name: size for name, size in lengths_of(graph).items() if name in names}
    whole = count(graph, setting(graph, lengths, mode="inference")).whole.cost
    form = formulas(graph)[-1]
    given = {**lengths, "min": min}
    values = [eval(text, given) for text in (form.forward, form.backward, form.cache)]  # our own

    assert values == [whole.forward, whole.backward, whole.cache / 4]


def test_closed_forms_have_the_open_lengths_alone(gpt2):
    form = formulas(gpt2)[-1]

    assert form.row.path == "gpt2"
    assert form.forward == "36864*batch*tokens*tokens + 247064064*batch*tokens"
    assert form.cache == "18432*batch*tokens"
    assert not isinstance(form.forward, Dim)


def test_json_and_csv_say_the_same(gpt2):
    numbers = count(gpt2, setting(gpt2, {}))
    data = json.loads(report.to_json(numbers))
    lines = list(csv.DictReader(io.StringIO(report.to_csv(numbers))))
    names = ("forward_flops", "backward_flops", "activation_bytes", "memory_bytes")

    assert data["forward_flops"] == 291_648_307_200
    assert data["setting"]["lengths"] == {"batch": 1, "tokens": 1024}
    assert [[int(line[name]) for name in names] for line in lines] == [
        [part[name] for name in names] for part in data["parts"]
    ]
    assert len(data["largest"]["flops"]) == 3
