"""Structured pruning: what is left computes what the whole does with the same parts at zero."""

import pytest
import torch

import composer
from composer.compression.cutting import Cut, cut
from composer.diagnostics import SpecError
from composer.graph.tensors import first_names
from tests.compression.models import seq2seq

LM = """
composer: 1
name: tiny
inputs:
  tokens: {kind: tokens, vocab_size: 20}
decoders:
  decoder: {from: tokens, d_model: 16, num_layers: 3, attention: ATTENTION, feed_forward: FF}
outputs:
  logits: {from: decoder, head: lm}
"""

SEQ2SEQ = seq2seq(num_layers=2, num_heads=4)


def lm(attention="{num_heads: 4}", ff="{d_ff: 24}"):
    return LM.replace("ATTENTION", attention).replace("FF", ff)


def made(text, seed=0):
    spec = composer.load(text)
    model = composer.build(spec, seed=seed).double().eval()
    with torch.no_grad():  # so that nothing starts alike
        for number, parameter in enumerate(model.parameters()):
            parameter.add_(0.2 * torch.randn(parameter.shape, generator=_numbers(number)))
    return spec, model


def _numbers(seed):
    return torch.Generator().manual_seed(seed)


def tensors_of(spec, model):
    state, names = model.state_dict(), composer.graph(spec).state
    return {name: state[name] for name in names}


def rebuilt(smaller):
    model = composer.build(smaller.spec, seed=3).double().eval()
    state = model.state_dict()
    first = first_names(composer.graph(smaller.spec))
    model.load_state_dict({name: smaller.tensors[first[name]] for name in state})
    return model


def masked(spec, model, smaller):
    """The whole model with what was cut at zero; experts that were cut are never chosen."""
    graph, names = composer.graph(spec), first_names(composer.graph(spec))
    nodes = {p: n for part in graph.parts.values() for p, n in _nodes(part)}
    state, done = model.state_dict(), set()
    for key, kept in smaller.kept.items():
        path, word = key.rsplit(" ", 1)
        if word == "layers":
            continue
        component = nodes[path].component
        if word == "experts":
            gone = [i for i in range(component.num_experts) if i not in kept]
            model.get_submodule(path).router.register_forward_hook(
                lambda _, __, out, gone=gone: out.index_fill(-1, torch.tensor(gone), -torch.inf)
            )
            continue
        blocks = component.num_kv_heads if word == "heads" else component.d_ff
        suffix = "o.weight" if word == "heads" else "down.weight"
        name = f"{path}.{suffix}" if f"{path}.{suffix}" in names else f"{path}.down"
        if names[name] in done:
            continue
        done.add(names[name])
        weight = state[name]
        blocked = weight.unflatten(-1, (blocks, -1))
        blocked[..., [i for i in range(blocks) if i not in kept], :] = 0
    return model


def _nodes(part):
    from composer.graph.tensors import nodes_of

    return nodes_of(part)


def tokens(names=("tokens",)):
    return {n: torch.randint(20, (2, 7), generator=_numbers(i)) for i, n in enumerate(names)}


def check_equal(text, cuts, inputs=None):
    spec, model = made(text)
    smaller = cut(spec, tensors_of(spec, model), cuts)
    small = rebuilt(smaller)
    inputs = inputs or tokens()
    expected = masked(spec, model, smaller)(**inputs)
    for a, b in zip(expected, small(**inputs), strict=True):
        torch.testing.assert_close(b, a, rtol=0, atol=1e-12)
    assert composer.graph(smaller.spec).parameters < composer.graph(spec).parameters
    return smaller


@pytest.mark.parametrize(
    "attention",
    [
        "{num_heads: 4}",
        "{num_heads: 4, num_kv_heads: 2, head_dim: 6, bias: false, position: rope}",
        "{num_heads: 4, num_kv_heads: 4, bias: [q, v], qk_norm: rmsnorm, sinks: true}",
        "{num_heads: 4, qk_norm: head_norm, softcap: 5}",
        "{num_heads: 4, position: relative_bias, qk_scale: 1.0}",
        "{num_heads: 8, num_kv_heads: 4, window: 3, clip_qkv: 0.5}",
    ],
)
def test_attention_with_fewer_heads_equals_the_masked_one(attention):
    smaller = check_equal(lm(attention), {"decoder": Cut(heads=2)})

    node = next(n for p, n in composer.graph(smaller.spec).nodes() if p.endswith("0.attention"))
    assert node.component.num_heads == 2


@pytest.mark.parametrize(
    "ff",
    [
        "{d_ff: 24}",
        "{kind: glu, d_ff: 24, bias: false}",
        "{d_ff: 24, multiple_of: 8, activation: relu}",
        "{kind: moe, num_experts: 4, experts_per_token: 2, d_ff: 10, bias: true, limit: 0.5}",
    ],
)
def test_feed_forward_with_fewer_features_equals_the_masked_one(ff):
    check_equal(lm(ff=ff), {"decoder": Cut(d_ff=7)})


@pytest.mark.parametrize(
    "ff",
    [
        "{kind: moe, num_experts: 4, experts_per_token: 2, d_ff: 10}",
        "{kind: moe, num_experts: 6, experts_per_token: 2, d_ff: 10, bias: true, router_bias: true, normalize: false, shared_d_ff: 8, shared_gate: true}",
    ],
)
def test_fewer_experts_equal_the_masked_ones(ff):
    check_equal(lm(ff=ff), {"decoder": Cut(experts=3)})


def test_all_at_once_and_layers():
    text = lm("{num_heads: 4, num_kv_heads: 2, position: rope}", "{kind: glu, d_ff: 24}")
    spec, model = made(text)
    cuts = {"decoder": Cut(heads=2, d_ff=8, layers=(0, 2))}

    smaller = cut(spec, tensors_of(spec, model), cuts)

    small = rebuilt(smaller)
    del model.decoder.layers[1]
    whole = cut(composer.load(text.replace("num_layers: 3", "num_layers: 2")),
                tensors_of(composer.load(text.replace("num_layers: 3", "num_layers: 2")), model),
                {"decoder": Cut(heads=2, d_ff=8)})  # fmt: skip
    torch.testing.assert_close(rebuilt(whole)(**tokens()).logits, small(**tokens()).logits)
    assert len(small.decoder.layers) == 2


def test_layers_that_are_left_compute_as_before():
    spec, model = made(lm())
    smaller = cut(spec, tensors_of(spec, model), {"decoder": Cut(layers=(0, 2))})

    del model.decoder.layers[1]

    torch.testing.assert_close(rebuilt(smaller)(**tokens()).logits, model(**tokens()).logits)


def test_layer_types_follow_their_layers():
    text = lm().replace(
        "num_layers: 3",
        "num_layers: 4, layer_types: [near, far], types: {near: {attention: {window: 2}}, far: {}}",
    )
    spec, model = made(text)
    smaller = cut(spec, tensors_of(spec, model), {"decoder": Cut(layers=(0, 1, 3))})

    del model.decoder.layers[2]

    stack = composer.graph(smaller.spec).stacks[0]
    assert [layer.kind.type for layer in stack.layers] == ["near", "far", "far"]
    inputs = tokens()
    small = rebuilt(smaller)
    first = [layer.attention.head_dim for layer in small.decoder.layers]
    assert first == [4, 4, 4]
    assert small(**inputs).logits.isfinite().all()


def test_cross_attention_is_cut_with_its_stack():
    check_equal(SEQ2SEQ, {"decoder": Cut(heads=2, d_ff=8)}, tokens(("source", "target")))


def test_tied_head_keeps_all_of_its_classes():
    smaller = check_equal(
        SEQ2SEQ,
        {"decoder": Cut(heads=1, d_ff=4), "encoder": Cut(heads=3, d_ff=9)},
        tokens(("source", "target")),
    )

    assert smaller.tensors["encoder.embed.tokens.weight"].shape == (20, 16)
    model = rebuilt(smaller)
    assert model.logits.head.weight is model.encoder.embed.tokens.weight


@pytest.mark.parametrize(
    "share",
    [
        "{within: encoder.layers, every: all}",
        "[encoder.layers.0.attention, encoder.layers.1.attention]",
        "[encoder.layers.0.attention.q, encoder.layers.1.attention.q]",
        "[encoder.layers.0.feed_forward.up, encoder.layers.1.feed_forward.up]",
    ],
)
def test_shared_parts_are_cut_alike(share):
    text = SEQ2SEQ.replace("outputs:", f"  - shared: {share}\noutputs:")

    smaller = check_equal(text, {"encoder": Cut(heads=2, d_ff=8)}, tokens(("source", "target")))

    word = "d_ff" if "up" in share else "heads"
    part = "feed_forward" if "up" in share else "attention"
    kept = [smaller.kept[f"encoder.layers.{i}.{part} {word}"] for i in (0, 1)]
    assert kept[0] == kept[1]


def test_layers_shared_by_two_stacks_are_cut_in_both_or_refused():
    text = SEQ2SEQ.replace(
        "outputs:", "  - shared: [encoder.layers.*.attention, decoder.layers.*.attention]\noutputs:"
    )
    check_equal(
        text, {"encoder": Cut(heads=2), "decoder": Cut(heads=2)}, tokens(("source", "target"))
    )
    spec, model = made(text)

    with pytest.raises(SpecError, match=r"encoder.layers.\d.attention"):
        cut(spec, tensors_of(spec, model), {"encoder": Cut(heads=2)})


def test_one_weight_of_unlike_maps_is_cut_once():
    share = "[encoder.layers.*.feed_forward.up.weight, decoder.layers.*.feed_forward.up.weight]"
    text = SEQ2SEQ.replace("outputs:", f"  - shared: {share}\noutputs:")
    both = {"encoder": Cut(d_ff=8), "decoder": Cut(d_ff=8)}

    kept = check_equal(text, both, tokens(("source", "target"))).kept

    for i in (0, 1):
        ours, theirs = (f"{s}.layers.{i}.feed_forward d_ff" for s in both)
        assert kept[ours] == kept[theirs]


def test_the_sharing_of_layers_may_not_change():
    text = (
        lm()
        .replace("num_layers: 3", "num_layers: 4")
        .replace(
            "outputs:", "connections:\n  - shared: {within: decoder.layers, every: 2}\noutputs:"
        )
    )
    spec, model = made(text)

    with pytest.raises(SpecError, match="would be shared otherwise"):
        cut(spec, tensors_of(spec, model), {"decoder": Cut(layers=(0, 2))})
    smaller = cut(spec, tensors_of(spec, model), {"decoder": Cut(layers=(2, 3))})
    assert composer.graph(smaller.spec).stacks[0].layer_sets == (0, 0)


@pytest.mark.parametrize(
    ("text", "cuts", "why"),
    [
        (lm("{num_heads: 4, num_kv_heads: 2}"), Cut(heads=3), "no whole groups"),
        (lm(), Cut(heads=5), "it has 4 heads"),
        (lm(), Cut(d_ff=25), "it has 24 d_ff"),
        (lm("{num_heads: 4, position: alibi}"), Cut(heads=2), "slopes of alibi"),
        (
            lm("{num_heads: 4, qk_norm: rmsnorm, qk_norm_over: full}"),
            Cut(heads=2),
            "over all heads",
        ),
        (lm(), Cut(experts=2), "has no experts"),
        (lm(), Cut(layers=(0, 3)), "not some of its layers 0 to 2"),
        (lm(), Cut(), "nothing is cut"),
    ],
)
def test_what_cannot_be_cut_is_refused_by_name(text, cuts, why):
    spec, model = made(text)

    with pytest.raises(SpecError, match=why):
        cut(spec, tensors_of(spec, model), {"decoder": cuts})


def test_importance_is_magnitude_or_what_the_loss_loses():
    spec, model = made(lm())
    with torch.no_grad():
        for layer in model.decoder.layers:
            layer.feed_forward.up.weight[5:] *= 1e-3
            layer.feed_forward.up.bias[5:] *= 1e-3
            layer.feed_forward.down.weight[:, 5:] *= 1e-3
    smaller = cut(spec, tensors_of(spec, model), {"decoder": Cut(d_ff=5)})
    assert set(map(tuple, smaller.kept.values())) == {(0, 1, 2, 3, 4)}

    inputs = tokens()
    loss = model(**inputs).logits.square().mean()
    loss.backward()
    gradients = {n: p.grad for n, p in model.named_parameters() if p.grad is not None}
    weight = model.decoder.layers[0].feed_forward.down.weight
    expected = (weight * weight.grad).sum(0).abs().topk(5).indices.sort().values.tolist()
    smaller = cut(spec, tensors_of(spec, model), {"decoder": Cut(d_ff=5)}, gradients=gradients)
    assert smaller.kept["decoder.layers.0.feed_forward d_ff"] == expected


def test_adapters_are_cut_with_what_they_change():
    text = lm() + "adapt:\n  - lora: {on: 'decoder.layers.*.attention.(q|o)', rank: 2}\n"
    spec, model = made(text)
    smaller = cut(spec, tensors_of(spec, model), {"decoder": Cut(heads=2)})

    assert smaller.tensors["decoder.layers.0.attention.o.lora.a"].shape == (2, 8)
    assert smaller.tensors["decoder.layers.0.attention.q.lora.b"].shape == (8, 2)
    with torch.no_grad():
        for path, kept in smaller.kept.items():
            a = model.get_submodule(path.split(" ")[0]).o.lora.a
            a.unflatten(-1, (4, -1))[:, [i for i in range(4) if i not in kept]] = 0
    expected = masked(spec, model, smaller)(**tokens()).logits
    torch.testing.assert_close(rebuilt(smaller)(**tokens()).logits, expected, rtol=0, atol=1e-12)


ADAPTERS = [
    "ia3: {on: '*'}",
    "ia3: {on: {role: [k, v, ffn_out]}}",
    "prefix: {on: decoder.layers.*.attention, length: 5}",
    "parallel_adapter: {beside: 'decoder.layers.*.(attention|feed_forward)', bottleneck: 4}",
    "adapter: {after: 'decoder.layers.*.(attention|feed_forward)', bottleneck: 4}",
]


@pytest.mark.parametrize("adapter", ADAPTERS)
@pytest.mark.parametrize("cuts", [Cut(heads=2), Cut(d_ff=7)])
def test_every_adapter_is_cut_with_what_it_changes(adapter, cuts):
    text = lm("{num_heads: 4, num_kv_heads: 2, head_dim: 6}") + f"adapt:\n  - {adapter}\n"

    check_equal(text, {"decoder": cuts})


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_layers_go_with_their_adapters(adapter):
    spec, model = made(lm() + f"adapt:\n  - {adapter}\n")
    smaller = cut(spec, tensors_of(spec, model), {"decoder": Cut(layers=(0, 2))})

    del model.decoder.layers[1]

    torch.testing.assert_close(rebuilt(smaller)(**tokens()).logits, model(**tokens()).logits)
