"""Attention weights that a model returns are those it used; dropout drops in training only."""

from __future__ import annotations

import pytest
import torch

import composer
from composer.graph.graph import Stack
from tests.conformance.checks import randomize
from tests.conformance.models import CASES, flat, graph_of, inputs_of, model_of

SPEC = "tests/specs/weights.yaml"


@pytest.fixture(scope="module")
def ran():
    """The model, its inputs, its outputs, and what each attention's projections gave."""
    model = composer.build(SPEC, seed=0).eval()
    randomize(model)
    seen = {}
    for name, module in model.named_modules():
        if name.rpartition(".")[2] in {"q", "k"}:
            module.register_forward_hook(lambda m, a, out, name=name: seen.__setitem__(name, out))
    inputs = inputs_of(composer.graph(SPEC))
    return model, inputs, model(**inputs), seen


def _by_hand(seen, path, padding, allowed=None):
    """softmax(q k^T / sqrt(d)) in double precision: 4 query heads, 2 key heads of width 4."""
    q = seen[f"{path}.q"].double().unflatten(-1, (4, 4)).transpose(1, 2)
    k = seen[f"{path}.k"].double().unflatten(-1, (2, 4)).transpose(1, 2).repeat_interleave(2, dim=1)
    scores = torch.einsum("bhtd,bhsd->bhts", q, k) / 2
    scores = scores.masked_fill(~padding[:, None, None], -torch.inf)
    return scores.softmax(-1).float()


def test_weights_are_those_of_a_manual_computation(ran):
    _, inputs, outputs, seen = ran
    for i in range(3):
        for path, weights in (
            (f"decoder.layers.{i}.cross_attention", outputs.cross),
            (f"encoder.layers.{i}.attention", outputs.reading),
        ):
            torch.testing.assert_close(weights[i], _by_hand(seen, path, inputs["source_mask"]))


def test_weights_sum_to_one_over_what_may_be_read(ran):
    _, inputs, outputs, _ = ran
    assert len(outputs.cross) == len(outputs.reading) == 3
    for weights in (*outputs.cross, *outputs.reading, outputs.own):
        read = (weights > 0).any(-1)
        torch.testing.assert_close(weights.sum(-1), read.float())
        assert (weights >= 0).all()
    for weights in (*outputs.cross, *outputs.reading):
        assert (weights > 0).any(-1).all()
        assert weights.masked_select(~inputs["source_mask"][:, None, None]).eq(0).all()
    steps = torch.arange(outputs.own.shape[-1])
    near = (steps[:, None] >= steps) & (steps[:, None] - steps < 3)
    real = inputs["target_mask"][:, None, None]
    assert (outputs.own > 0).eq((near & real).expand_as(outputs.own)).all()


def test_asking_for_weights_changes_nothing_else(ran):
    model, inputs, outputs, _ = ran
    text = composer.load(SPEC)
    assert {o.name for o in text.outputs} == set(outputs._fields)
    plain = {
        "composer": 1, "name": "plain",
        "inputs": {
            "source": {"kind": "tokens", "vocab_size": 23, "padding": "mask"},
            "target": {"kind": "tokens", "vocab_size": 19, "padding": "mask"},
        },
        "defaults": {
            "d_model": 16, "num_layers": 3, "feed_forward": {"d_ff": 24},
            "attention": {"num_heads": 4, "num_kv_heads": 2},
        },
        "encoders": {"encoder": {"from": "source"}},
        "decoders": {"decoder": {"from": "target", "attention": {"position": "rope", "window": 3}}},
        "connections": [{"cross": {"from": "encoder", "to": "decoder"}}],
        "outputs": {"logits": {"from": "decoder", "head": "lm"}},
    }  # fmt: skip
    other = composer.build(plain).eval()
    other.load_state_dict(model.state_dict())
    torch.testing.assert_close(other(**inputs).logits, outputs.logits)

    asked = composer.build(plain, attention_weights="decoder.layers.*.cross_attention").eval()
    asked.load_state_dict(model.state_dict())
    found = asked(**inputs)
    assert found._fields == ("logits", "decoder_cross_attention_weights")
    for weights, wanted in zip(found.decoder_cross_attention_weights, outputs.cross, strict=True):
        torch.testing.assert_close(weights, wanted)


# Dropout


def _drops(graph):
    """Whether anything of a model drops."""
    placed = [node.placed for _, node in graph.nodes()]
    while placed:
        one = placed.pop()
        if getattr(one.component, "dropout", None):
            return True
        placed += [*one.parts.values(), *(adapter.placed for adapter in one.adapters)]
    return any(
        branch.dropout
        for stack in graph.parts.values()
        if isinstance(stack, Stack)
        for kind in stack.kinds
        for branch in kind.branches
    )


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_dropout_is_real_in_training_and_gone_in_evaluation(case):
    model, inputs = model_of(case), inputs_of(graph_of(case))
    randomize(model)  # a gate that starts at zero hides what drops behind it
    torch.manual_seed(0)
    trained = [flat(model.train()(**inputs)) for _ in range(2)]
    evaluated = [flat(model.eval()(**inputs)) for _ in range(2)]

    assert all(torch.equal(a, b) for a, b in zip(*evaluated, strict=True))
    same = all(torch.equal(a, b) for a, b in zip(*trained, strict=True))
    assert same == (not _drops(graph_of(case)))
