"""Steps with a cache give what the whole model gives, for every spec that generates."""

from __future__ import annotations

import copy

import pytest
import torch

import composer
from composer.generation.generator import Generator, evaluated
from tests.generation.models import (
    SMALL,
    Small,
    decoding,
    graph_of,
    model_of,
    sources_of,
    tokens_of,
)

pytestmark = pytest.mark.usefixtures("one_thread")

UNCACHED = {
    "specs/patterns/parallel_updates.yaml": "'decoder' runs in step with other stacks",
    "tests/specs/weights.yaml": "'decoder' returns weights of attentions",
    "tests/specs/exchange_causal.yaml": "'left' runs in step with other stacks",
    "tests/specs/cross_causal.yaml": "'decoder' reads 'draft' in another way than by attention",
}
"""Specs whose decoder cannot keep a cache, and why."""
CACHED = [small for small in SMALL if small.path not in UNCACHED]
every_spec = pytest.mark.parametrize("small", CACHED, ids=str)
LENGTH = 36  # beyond every window, and beyond the room that a cache has at first


def _length(small: Small) -> int:
    return min(LENGTH, decoding(small).longest or LENGTH)


@every_spec
def test_steps_score_what_the_whole_model_scores(small):
    """A prompt at once, then tokens one by one, then three at once."""
    model, tokens, sources = model_of(small), tokens_of(small, 2, _length(small)), sources_of(small)
    generator = Generator(model, graph_of(small), cache=True)
    with torch.no_grad(), evaluated(model):
        steps = generator.steps(sources)
        cuts = [5, *([1] * (_length(small) - 8)), 3]
        actual = torch.cat([steps(part) for part in tokens.split(cuts, dim=1)], dim=1)
        outputs = model(**{decoding(small).tokens: tokens, **sources})
        expected = getattr(outputs, decoding(small).output)

    scale = max(1.0, float(expected.abs().max()))
    assert float((actual - expected).abs().max()) <= 1e-5 * scale


WAYS = ({}, {"num_beams": 3}, {"seed": 3, "top_k": 20})


@every_spec
def test_generated_tokens_do_not_depend_on_the_cache(small):
    model, graph = model_of(small), graph_of(small)
    cached, whole = Generator(model, graph), Generator(model, graph, cache=False)
    prompt = tokens_of(small, 2, 4)
    for way in WAYS:
        given = {"max_new_tokens": 8, **way, **sources_of(small)}
        one, other = cached.generate(prompt, **given), whole.generate(prompt, **given)

        assert one.cached
        assert not other.cached
        assert torch.equal(one.tokens, other.tokens), way


@pytest.mark.parametrize("path", sorted(UNCACHED))
def test_what_cannot_keep_a_cache_says_so(path):
    (small,) = (each for each in SMALL if each.path == path)
    model, graph = model_of(small), graph_of(small)
    given = {"max_new_tokens": 3, **sources_of(small)}
    with pytest.warns(UserWarning, match=f"no cache can be kept: {UNCACHED[path]}"):
        made = composer.generate(model, graph, tokens_of(small, 2, 4), **given)

    assert not made.cached
    with pytest.raises(ValueError, match="no cache can be kept"):
        Generator(model, graph, cache=True)


def _by_path(path: str) -> Small:
    return next(small for small in SMALL if small.path == path)


def test_a_window_bounds_the_cache():
    small = _by_path("specs/mistral.yaml")
    model = model_of(small)
    steps = Generator(model, graph_of(small)).steps({})
    with torch.no_grad(), evaluated(model):
        for token in tokens_of(small, 2, 20).split(1, dim=1):
            steps(token)

    held = steps.cache.tensors
    assert {tuple(t.shape) for t in held.values()} == {(2, 2, 4, 10)}  # a window of 5 reads 4 back
    assert len(held) == 2 * 3


def test_cross_attention_makes_keys_and_values_once():
    small = _by_path("specs/t5.yaml")
    model = model_of(small)
    steps = Generator(model, graph_of(small)).steps(sources_of(small))
    calls = []
    layer = steps.form.decoder.layers[0].cross_attention
    layer.k.register_forward_hook(lambda *_: calls.append(1))
    with torch.no_grad(), evaluated(model):
        for token in tokens_of(small, 2, 6).split(1, dim=1):
            steps(token)

    assert len(calls) == 1


def test_a_state_space_keeps_what_does_not_grow():
    small = _by_path("specs/mamba.yaml")
    model = model_of(small)
    steps = Generator(model, graph_of(small)).steps({})
    with torch.no_grad(), evaluated(model):
        steps(tokens_of(small, 2, 4))
        before = steps.cache.bytes
        steps(tokens_of(small, 2, 9))

    assert steps.cache.bytes == before


def test_the_model_is_what_generates():
    """The decoding form holds the very parameters, so training shows, and modes are kept."""
    small = _by_path("specs/patterns/tiny_lm.yaml")
    model = copy.deepcopy(model_of(small))
    generator = Generator(model, graph_of(small))
    prompt = tokens_of(small, 2, 4)
    before = generator.generate(prompt, max_new_tokens=8)
    with torch.no_grad():
        model.decoder.layers[0].attention.v.weight.mul_(-3)
    after = generator.generate(prompt, max_new_tokens=8)
    whole = composer.generate(model, graph_of(small), prompt, max_new_tokens=8, cache=False)

    assert model.training
    assert not torch.equal(before.tokens, after.tokens)
    assert torch.equal(after.tokens, whole.tokens)
    assert all(parameter.grad is None for parameter in model.parameters())


class _Doubled(torch.nn.Module):
    """A module around a linear map, as adapters are."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, x, **more):
        return 2 * self.inner(x, **more)


def test_what_stands_for_a_linear_map_is_taken_along():
    small = _by_path("specs/patterns/tiny_lm.yaml")
    model = copy.deepcopy(model_of(small))
    attention = model.decoder.layers[1].attention
    attention.v = _Doubled(attention.v)
    given = {"max_new_tokens": 8}
    prompt = tokens_of(small, 2, 4)
    cached = composer.generate(model, graph_of(small), prompt, cache=True, **given)
    whole = composer.generate(model, graph_of(small), prompt, cache=False, **given)

    assert torch.equal(cached.tokens, whole.tokens)


def test_another_forward_is_not_passed_over():
    small = _by_path("specs/patterns/tiny_lm.yaml")
    model = copy.deepcopy(model_of(small))
    layer = model.decoder.layers[1]
    layer.attention = _Doubled(layer.attention)
    with pytest.warns(UserWarning, match=r"'decoder.layers.1.attention' is a _Doubled"):
        made = composer.generate(model, graph_of(small), tokens_of(small, 2, 4), max_new_tokens=3)

    assert not made.cached
