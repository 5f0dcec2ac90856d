"""The built module: an ordinary class of an ordinary Python module, whose source is at hand."""

from __future__ import annotations

import copy
import inspect
import linecache
import sys
import traceback

import pytest
import torch
from torch import nn

import composer
from composer.diagnostics import SpecError
from composer.targets.module import build_module, load_source

TINY = """\
composer: 1
name: tiny lm 2
inputs:
  tokens: {kind: tokens, vocab_size: 23, padding: mask}
decoders:
  decoder: {from: tokens, d_model: 16, num_layers: 2, attention: {num_heads: 2}}
outputs:
  logits: {from: decoder, head: lm}
"""


@pytest.fixture(scope="module")
def model():
    return composer.build(TINY, seed=0)


def test_any_form_of_a_spec_builds_one_class(model, tmp_path):
    path = tmp_path / "tiny.yaml"
    path.write_text(TINY)
    spec = composer.load(TINY)
    forms = [str(path), path, spec, composer.graph(TINY), composer.graph(spec)]

    for form in forms:
        assert type(composer.build(form)) is type(model)


def test_model_is_a_plain_module_that_names_its_results(model):
    tokens = torch.randint(0, 23, (2, 5))
    outputs = model.eval()(tokens=tokens, tokens_mask=torch.ones(2, 5, dtype=torch.bool))

    assert isinstance(model, nn.Module)
    assert type(model).__name__ == "TinyLm2"
    assert list(inspect.signature(model.forward).parameters) == ["tokens", "tokens_mask"]
    assert type(outputs)._fields == ("logits",)
    assert outputs.logits.shape == (2, 5, 23)
    with pytest.raises(TypeError, match="token"):
        model(token=tokens)


def test_source_is_known_to_python(model):
    module = sys.modules[type(model).__module__]
    text = composer.source(TINY)

    assert inspect.getsource(module) == text
    assert inspect.getsource(type(model)) in text
    assert inspect.getsource(type(model).forward) in text
    assert type(model.decoder).__module__ == module.__name__
    assert module.__doc__.startswith("tiny lm 2")


def test_tracebacks_show_the_line(model):
    linecache.checkcache()
    with pytest.raises(RuntimeError) as error:
        model(torch.zeros(2, 5, 7))
    shown = "".join(traceback.format_exception(error.value))

    assert "decoder = self.decoder(tokens, tokens_mask)" in shown


def test_equal_text_is_one_module_and_other_text_another(model):
    text = composer.source(TINY)
    first = load_source(text, "tiny lm 2")

    assert first is sys.modules[type(model).__module__]
    assert load_source(text + "\n# changed\n", "tiny lm 2") is not first


def test_a_seed_is_that_of_torch_and_leaves_torchs_state(model):
    torch.manual_seed(0)
    by_hand = type(model)()
    torch.manual_seed(7)
    state = torch.get_rng_state()
    built = build_module(composer.graph(TINY), seed=0)

    assert torch.equal(state, torch.get_rng_state())
    for one, other in zip(by_hand.parameters(), built.parameters(), strict=True):
        assert torch.equal(one, other)


def test_without_a_seed_torchs_state_decides():
    graph = composer.graph(TINY)
    made = []
    for seed in (5, 5, 6):
        torch.manual_seed(seed)
        made.append(next(build_module(graph).parameters()))

    assert torch.equal(made[0], made[1])
    assert not torch.equal(made[0], made[2])


def test_meta_device_allocates_nothing():
    with torch.device("meta"):
        large = composer.build(TINY, overrides=["decoder.d_model=8192", "decoder.num_layers=100"])

    assert sum(p.numel() for p in large.parameters()) > 8e10
    assert {p.device.type for p in large.parameters()} == {"meta"}


def test_default_dtype_is_torchs():
    previous = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        made = composer.build(TINY)
    finally:
        torch.set_default_dtype(previous)

    assert {p.dtype for p in made.parameters()} == {torch.float64}


def test_a_copy_is_another_model(model):
    other = copy.deepcopy(model)
    with torch.no_grad():
        other.logits.head.weight.zero_()

    assert type(other) is type(model)
    assert model.logits.head.weight.any()


def test_parts_are_found_by_the_names_of_the_spec(model):
    paths = ["decoder.embed.tokens", "decoder.layers.1.attention.q", "decoder.norm", "logits.head"]

    for path in paths:
        assert isinstance(model.get_submodule(path), nn.Module)


def test_a_wrong_spec_is_refused_before_torch_is_asked():
    with pytest.raises(SpecError, match="num_heads"):
        composer.build(TINY, overrides=["decoder.attention.num_heads=3"])
    with pytest.raises(SpecError, match="atention"):
        composer.build(TINY, attention_weights="decoder.layers.*.atention")


@pytest.mark.parametrize(
    "shared",
    [
        "[decoder.layers.0.attention, decoder.layers.1.attention]",
        "[decoder.layers.0.attention.q, decoder.layers.1.attention.q]",
        "[encoder.layers.0.attention, decoder.layers.0.attention]",
        "[encoder.layers.*.attention, decoder.layers.*.attention]",
    ],
)
def test_only_what_is_named_is_shared(shared):
    stack = "d_model: 8, num_layers: 3, attention: {num_heads: 2}"
    made = composer.graph(f"""
composer: 1
name: some
inputs: {{tokens: {{kind: tokens, vocab_size: 9}}}}
encoders: {{encoder: {{from: tokens, {stack}}}}}
decoders: {{decoder: {{from: tokens, {stack}}}}}
connections: [shared: {shared}]
outputs: {{logits: {{from: decoder, head: lm}}, states: {{from: encoder}}}}
""")
    model = composer.build(made)

    tensors = dict(model.named_parameters(remove_duplicate=False))
    for name, tensor in tensors.items():
        same = [other for other in tensors if tensors[other] is tensor]
        first = made.aliases.get(name, name)
        assert same == [n for n in tensors if made.aliases.get(n, n) == first]
