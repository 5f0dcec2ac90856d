"""Factors, adapters beside branches and prefixes: what they compute, cost and share."""

from __future__ import annotations

import itertools

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_model

import composer
from composer.graph.tensors import first_names
from tests.numbers.test_flops import check
from tests.targets.test_adapting import (
    PAIR,
    SMALL,
    SPEC,
    adapted,
    added,
    hashes,
    inputs_of,
    tokens,
    trained,
)

GPT3 = SMALL.replace(
    "from: tokens, d_model: 8, num_layers: 4, attention: {num_heads: 2}",
    "from: tokens, d_model: 12_288, num_layers: 96, attention: {num_heads: 96}",
)


# Counts


def test_counts_follow_their_formulas():
    prefix = adapted("prefix: {on: decoder, length: 32}", base=GPT3)
    beside = adapted("parallel_adapter: {beside: decoder.layers, bottleneck: 8}", base=GPT3)

    assert added(prefix) == 96 * 2 * 32 * 12_288 == 75_497_472
    assert added(beside) == 96 * 2 * (2 * 8 * 12_288 + 8 + 12_288) == 40_109_568


def test_a_prefix_counts_the_heads_of_keys():
    base = SMALL.replace("{num_heads: 2}", "{num_heads: 4, num_kv_heads: 2, head_dim: 6}")

    assert added(adapted("prefix: {on: decoder, length: 5}", base=base)) == 4 * 2 * 2 * 5 * 6


@pytest.mark.parametrize("size", ["factors", "beside", "prefixes"])
def test_a_step_costs_what_torch_counts(size):
    graph = composer.graph(SPEC, size=size)
    with torch.device("meta"):
        model = composer.build(graph)

    check(graph, model.eval(), {"batch": 2, "source": 7, "target": 5})


# What they compute


def test_a_prefix_is_what_every_query_may_read():
    text = adapted("prefix: {on: decoder.layers.*.attention, length: 3}")
    attention = trained(composer.build(text, seed=0)).eval().decoder.layers[0].attention
    x = torch.randn(2, 5, 8)
    q, k, v = (
        linear(x).unflatten(-1, (2, 4)).transpose(1, 2)
        for linear in (attention.q, attention.k, attention.v)
    )
    own = attention.before.prefix
    k, v = (
        torch.cat([first.expand(2, -1, -1, -1), rest], dim=2)
        for first, rest in ((own.k, k), (own.v, v))
    )
    allowed = torch.cat([torch.ones(5, 3), torch.ones(5, 5).tril()], dim=1).bool()
    scores = (q @ k.transpose(-2, -1) / 2).masked_fill(~allowed, float("-inf"))
    expected = attention.o((scores.softmax(-1) @ v).transpose(1, 2).flatten(2))

    assert torch.allclose(attention(x), expected, atol=1e-6)


def test_an_adapter_beside_a_branch_reads_what_the_branch_reads():
    item = "parallel_adapter: {beside: decoder.layers.*.feed_forward, bottleneck: 2, scale: 4}"
    model = trained(composer.build(adapted(item), seed=0)).eval()
    layer, x = model.decoder.layers[0], torch.randn(2, 5, 8)
    own = layer.feed_forward.beside.parallel_adapter
    h = x + layer.attention(layer.attention_norm(x))
    n = layer.feed_forward_norm(h)
    expected = h + layer.feed_forward(n) + 4 * own.up(F.relu(own.down(n)))

    assert torch.allclose(layer(x), expected, atol=1e-6)


@pytest.mark.parametrize(
    "branch",
    [
        "layer: [{parallel: [attention, feed_forward]}]",
        "norm: {placement: post}",
        "norm: {kind: rmsnorm, placement: sandwich}, dropout: 0.1",
    ],
)
def test_an_adapter_stands_beside_branches_of_every_form(branch):
    base = SMALL.replace("d_model: 8,", f"d_model: 8, {branch},")
    text = adapted("parallel_adapter: {beside: decoder.layers, bottleneck: 2}", base=base)
    plain, model = composer.build(base, seed=0).eval(), composer.build(text, seed=0).eval()

    assert torch.allclose(plain(tokens()).logits, model(tokens()).logits, atol=1e-6)
    assert (trained(model).eval()(tokens()).logits - plain(tokens()).logits).abs().max() > 1e-3
    composer.use_adapters(model)
    assert torch.allclose(plain(tokens()).logits, model(tokens()).logits, atol=1e-6)


@pytest.mark.parametrize("size", ["factors", "beside", "prefixes"])
@pytest.mark.parametrize("padded", [False, True])
def test_cached_generation_is_the_whole_one(size, padded):
    graph = composer.graph(SPEC, size=size)
    model = trained(composer.build(graph, seed=0)).eval()
    source, prompt = torch.randint(0, 23, (2, 5)), torch.randint(0, 19, (2, 4))
    mask = {"source_mask": torch.tensor([[True] * 5, [True] * 3 + [False] * 2])} if padded else {}
    given = {"max_new_tokens": 6, "source": source, **mask}
    cached, whole = (
        composer.generate(model, graph, prompt, cache=cache, **given) for cache in (True, False)
    )

    assert torch.equal(cached.tokens, whole.tokens)


@pytest.mark.parametrize("position", ["alibi", "{kind: rope}", "relative_bias"])
@pytest.mark.parametrize("more", ["", ", window: 3", ", softcap: 5.0", ", sinks: true"])
def test_a_prefix_goes_with_positions_and_masks(position, more):
    base = SMALL.replace("{num_heads: 2}", f"{{num_heads: 2, position: {position}{more}}}")
    text = adapted("prefix: {on: decoder, length: 2}", base=base)
    graph = composer.graph(text)
    model = trained(composer.build(graph, seed=0)).eval()
    given = {"max_new_tokens": 5}
    cached, whole = (
        composer.generate(model, graph, tokens(), cache=cache, **given) for cache in (True, False)
    )
    logits = model(tokens()).logits
    changed = tokens()
    changed[:, -1] = (changed[:, -1] + 1) % 11

    assert torch.equal(cached.tokens, whole.tokens)
    assert torch.equal(model(changed).logits[:, :-1], logits[:, :-1])  # no step reads a later one
    composer.use_adapters(model)
    assert torch.equal(composer.build(base, seed=0).eval()(tokens()).logits, model(tokens()).logits)


# Sharing: one thing under all names, or refused by name

ITEMS = {
    "lora": 'lora: {{on: "{path}.attention.q", rank: 2}}',
    "dora": 'lora: {{on: "{path}.attention.q", rank: 2, dora: true}}',
    "ia3": 'ia3: {{on: "{path}.attention.q"}}',
    "adapter": 'adapter: {{after: "{path}.attention", bottleneck: 2}}',
    "parallel": 'parallel_adapter: {{beside: "{path}.attention", bottleneck: 2}}',
    "prefix": 'prefix: {{on: "{path}.attention", length: 3}}',
}
EACH = {"lora": 32, "dora": 40, "ia3": 8, "adapter": 42, "parallel": 42, "prefix": 48}
"""Parameters of one of them."""
SHARED = {
    "one layer applied n times": ("{within: decoder.layers, every: all}", "decoder.layers.*", 1),
    "a part of two stacks": (
        "[encoder.layers.*.attention, decoder.layers.*.attention]", "*.layers.*", 4,
    ),
    "tied embeddings beside": ("[decoder.embed.tokens, logits.head]", "decoder.layers.*", 4),
}  # fmt: skip


def shared(connection, item):
    connections = (
        f"connections:\n  - cross: {{from: encoder, to: decoder}}\n  - shared: {connection}\n"
    )
    return adapted(item, base=PAIR + connections)


@pytest.mark.parametrize(("kind", "case"), list(itertools.product(ITEMS, SHARED)))
def test_what_is_shared_has_one_adapter(kind, case, tmp_path):
    connection, path, count = SHARED[case]
    text = shared(connection, ITEMS[kind].format(path=path))
    graph = composer.graph(text)
    model = trained(composer.build(text, seed=0)).eval()
    before = hashes(composer.build(text, seed=0), graph.frozen)
    known = dict(model.named_parameters(remove_duplicate=False))
    expected = model(**inputs_of(model)).logits

    assert added(text) == count * EACH[kind]
    assert {n: tuple(p.shape) for n, p in model.named_parameters()} == graph.tensors
    assert all(known[name] is known[first] for name, first in first_names(graph).items())
    assert hashes(model, graph.frozen) == before
    save_model(model, str(tmp_path / "saved.safetensors"))
    again = composer.build(text, seed=7, weights=tmp_path / "saved.safetensors").eval()
    assert torch.equal(again(**inputs_of(model)).logits, expected)
    if kind in {"lora", "dora", "ia3"}:
        merged = composer.merge(text, model).eval()
        assert (merged(**inputs_of(model)).logits - expected).abs().max() < 1e-5


@pytest.mark.parametrize("kind", ITEMS)
def test_one_place_of_a_shared_part_is_refused(kind):
    connection, _, _ = SHARED["a part of two stacks"]
    for path, share in (
        ("decoder.layers.*", connection),
        ("decoder.layers.2", "{within: decoder.layers, every: all}"),
    ):
        with pytest.raises(composer.SpecError) as error:
            composer.graph(shared(share, ITEMS[kind].format(path=path)))
        assert "is adapted, but its weight is also that of" in str(error.value)


ONE_LINEAR = {
    "lora": "lora: {on: decoder.layers.*.attention.k, rank: 2}",
    "ia3": "ia3: {on: decoder.layers.*.attention.k}",
}


@pytest.mark.parametrize("kind", ONE_LINEAR)
def test_a_linear_map_with_two_places_has_one_adapter(kind):
    share = "{within: decoder.layers.*.attention.k, every: all}"
    text = shared(share, ONE_LINEAR[kind])
    model = trained(composer.build(text, seed=0)).eval()
    merged = composer.merge(text, model).eval()

    assert added(text) == {"lora": 32, "ia3": 8}[kind]
    assert (merged(**inputs_of(model)).logits - model(**inputs_of(model)).logits).abs().max() < 1e-5


@pytest.mark.parametrize(
    ("share", "item"),
    [
        ("k", "prefix: {on: decoder.layers.*.attention, length: 3}"),
        ("o", "parallel_adapter: {beside: decoder.layers.*.attention, bottleneck: 2}"),
    ],
)
def test_attentions_that_share_a_map_only_are_refused(share, item):
    connection = f"{{within: decoder.layers.*.attention.{share}, every: all}}"

    with pytest.raises(composer.SpecError, match="they are not one in everything"):
        composer.graph(shared(connection, item))


def test_attentions_of_other_parameters_are_not_one():
    text = shared(
        "[decoder.layers.*.attention.k, encoder.layers.*.attention.k]",
        'prefix: {on: "*.layers.*.attention", length: 3}',
    ).replace("{from: source}", "{from: source, attention: {bias: [k], num_heads: 2}}")

    with pytest.raises(composer.SpecError, match="they are not one in everything"):
        composer.graph(text)


@pytest.mark.parametrize("kind", ["lora", "ia3"])
def test_a_tied_head_is_refused(kind):
    item = {"lora": "lora: {on: logits, rank: 2}", "ia3": "ia3: {on: logits}"}[kind]

    with pytest.raises(composer.SpecError, match="which is no linear map"):
        composer.graph(shared("[decoder.embed.tokens, logits.head]", item))


# What is refused, switched and loaded

REFUSED = {
    "prefix: {on: decoder.layers.*.feed_forward, length: 2}": "makes the keys of an attention",
    "parallel_adapter: {beside: logits, bottleneck: 2}": "is the result of no linear map",
    "lora: {on: decoder.embed, rank: 2}": "what 'decoder.embed' has are no linear maps",
    "lora: {on: {role: embed}, rank: 2}": "embeddings are no linear maps",
}


@pytest.mark.parametrize("item", REFUSED)
def test_what_has_no_place_is_refused_by_name(item):
    with pytest.raises(composer.SpecError, match=REFUSED[item]):
        composer.graph(adapted(item))


def test_attentions_without_keys_of_their_own_take_no_prefix():
    base = SMALL.replace(
        "{num_heads: 2}",
        "{kind: mla, num_heads: 2, kv_rank: 4, head_dim: 4, rope_dim: 2, position: rope}",
    )

    with pytest.raises(composer.SpecError, match="is a mla, whose keys can have no prefix"):
        composer.graph(adapted("prefix: {on: decoder, length: 2}", base=base))
    with pytest.raises(composer.SpecError, match="are read, which has no place for a prefix"):
        composer.graph(
            adapted("prefix: {on: decoder, length: 2}"),
            attention_weights="decoder.layers.*.attention",
        )


@pytest.mark.parametrize("size", ["factors", "beside", "prefixes"])
def test_adapters_of_a_kind_are_switched_by_name(size):
    model = trained(composer.build(SPEC, size=size, seed=0)).eval()
    first = {"factors": "ia3", "beside": "parallel_adapter", "prefixes": "prefix"}[size]
    both = model(**inputs_of(model)).logits
    found = {}
    for names in ((), (first,), ("second",)):
        composer.use_adapters(model, *names)
        found[names] = model(**inputs_of(model)).logits
    composer.use_adapters(model, first, "second", *(["lora"] if size == "beside" else []))

    assert torch.equal(model(**inputs_of(model)).logits, both)
    for one, other in itertools.combinations([both, *found.values()], 2):
        assert (one - other).abs().max() > 1e-5
