"""`prune`: exact shares of zeros, which stay zeros in training, in files and in copies."""

import copy

import pytest
import torch
from torch.nn.utils import prune as torch_prune

import composer
from composer.compression import compress, prepare, zeros
from composer.compression.lottery import lottery
from composer.diagnostics import SpecError
from tests.compression.models import seq2seq

SPEC = seq2seq(num_layers=3, num_heads=2)


def spec(*passes, shared=()):
    text = SPEC
    for share in shared:
        text = text.replace("outputs:", f"  - shared: {share}\noutputs:")
    lines = "".join(f"  - prune: {each}\n" for each in passes)
    return composer.graph(f"{text}compress:\n{lines}")


def batch(seed=0):
    numbers = torch.Generator().manual_seed(seed)
    return {n: torch.randint(20, (3, 5), generator=numbers) for n in ("source", "target")}


def train(model, steps, optimizer=None):
    optimizer = optimizer or torch.optim.AdamW(model.parameters(), lr=0.01, weight_decay=0.1)
    for step in range(steps):
        inputs = batch(step)
        scores = model(**inputs).logits
        loss = torch.nn.functional.cross_entropy(scores.flatten(0, 1), inputs["target"].flatten())
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return optimizer


def count(found):
    return sum(each.zeros for each in found.values()), sum(each.numbers for each in found.values())


@pytest.mark.parametrize("amount", [0.1, 0.37, 0.5, 0.999])
def test_the_share_is_exact_over_all_or_in_each(amount):
    whole = spec(f"{{on: encoder, amount: {amount}}}")
    model = composer.build(whole, seed=0)
    compress(whole, model)
    gone, every = count(zeros(whole, model))
    assert gone == round(amount * every)
    assert len({str(each) for each in zeros(whole, model).values()}) > 1

    each = spec(f"{{on: encoder, amount: {amount}, scope: layer}}")
    model = composer.build(each, seed=0)
    compress(each, model)
    assert all(z.zeros == round(amount * z.numbers) for z in zeros(each, model).values())


def test_the_same_numbers_go_as_with_torch():
    graph = spec("{on: '*.layers.*.feed_forward', amount: 0.6}")
    ours, theirs = composer.build(graph, seed=0), composer.build(graph, seed=0)

    compress(graph, ours)
    pairs = [(theirs.get_submodule(path), "weight") for path in graph.compressions[0].maps]
    torch_prune.global_unstructured(pairs, torch_prune.L1Unstructured, amount=0.6)

    for path in graph.compressions[0].maps:
        assert torch.equal(ours.get_submodule(path).weight, theirs.get_submodule(path).weight)


def test_what_is_not_named_is_as_before_and_listed():
    graph = spec("{on: '*.layers.*.feed_forward', amount: 0.6}")
    before, model = composer.build(graph, seed=0), composer.build(graph, seed=0)

    report = compress(graph, model)

    changed = {f"{path}.weight" for path in graph.compressions[0].maps}
    for name, tensor in model.state_dict().items():
        assert (name in changed) != torch.equal(tensor, before.state_dict()[name])
    assert changed | report.left.keys() == graph.state.keys()
    assert report.changed[0].zeros == round(0.6 * 6 * 2 * 16 * 24)


def test_zeros_stay_in_100_steps_in_a_copy_and_after_loading(tmp_path):
    graph = spec("{on: '*', amount: 0.8}")
    model = composer.build(graph, seed=0)
    compress(graph, model)
    gone = {name: model.get_parameter(name) == 0 for name in zeros(graph, model)}
    prepare(graph, model)
    prepare(graph, model)
    model = copy.deepcopy(model)

    optimizer = train(model, 60)
    composer.save_compressed(model, graph, tmp_path / "model.safetensors")
    again = composer.build(graph, weights=tmp_path / "model.safetensors")
    prepare(graph, again)
    resumed = torch.optim.AdamW(again.parameters(), lr=0.01, weight_decay=0.1)
    resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    train(again, 40, resumed)
    train(model, 40, optimizer)

    for name, zero in gone.items():
        weight = again.get_parameter(name)
        assert torch.equal(weight == 0, zero)
        assert torch.equal(weight, model.get_parameter(name))
    dense = composer.build(graph, seed=0)
    assert not torch.equal(
        again.encoder.layers[0].attention.q.weight, dense.encoder.layers[0].attention.q.weight
    )


def test_preparing_changes_neither_names_nor_numbers():
    graph = spec("{on: '*', amount: 0.5}")
    model = composer.build(graph, seed=0).eval()
    compress(graph, model)
    expected, names = model(**batch()).logits, list(model.state_dict())

    prepare(graph, model)

    assert torch.equal(model(**batch()).logits, expected)
    assert sorted(model.state_dict()) == sorted(names)


SHARES = {
    "layers": ("{within: encoder.layers, every: all}", 4 * 256 + 2 * 384),
    "block": ("[encoder.layers.0.feed_forward, encoder.layers.2.feed_forward]", 3 * 1024 + 2 * 768),
    "linear": ("[encoder.layers.0.attention.q, encoder.layers.1.attention.q]", 3072 + 2304 - 256),
    "weights": (
        "[encoder.layers.*.feed_forward.up.weight, decoder.layers.*.feed_forward.up.weight]",
        6528,
    ),
    "stacks": ("[encoder.layers.*.attention, decoder.layers.*.attention]", 5376),
}


@pytest.mark.parametrize("name", SHARES)
def test_shared_weights_are_pruned_once_and_stay_shared(name):
    share, numbers = SHARES[name]
    also = {"stacks": "decoder.layers.*.attention", "weights": "decoder.layers.*.feed_forward"}
    stacks = f"[encoder, {also[name]}]" if name in also else "encoder"
    graph = spec(f"{{on: {stacks}, amount: 0.5}}", shared=[share])
    model = composer.build(graph, seed=0)

    compress(graph, model)
    prepare(graph, model)
    train(model, 3)

    assert count(zeros(graph, model)) == (numbers // 2, numbers)
    for alias, first in graph.aliases.items():
        assert model.get_parameter(alias) is model.get_parameter(first)


def test_some_places_of_a_shared_weight_are_refused():
    with pytest.raises(SpecError, match=r"which is not"):
        spec("{on: encoder, amount: 0.5}", shared=[SHARES["stacks"][0]])


def test_a_tied_head_is_left_out_and_refused_by_name():
    graph = spec("{on: '*', amount: 0.5}")
    model = composer.build(graph, seed=0)
    report = compress(graph, model)
    assert "no linear map" in report.left["encoder.embed.tokens.weight"]
    assert model.logits.head.weight.count_nonzero() == model.logits.head.weight.numel()

    with pytest.raises(SpecError, match="cannot be pruned"):
        spec("{on: logits, amount: 0.5}")


def test_tickets_have_what_is_left_and_start_where_the_model_did():
    graph = spec("{on: encoder, amount: 0.488}", "{on: decoder, amount: 0.19, scope: layer}")
    model = composer.build(graph, seed=0)
    first = copy.deepcopy(model.state_dict())
    starts = []

    def fit(model):
        starts.append(copy.deepcopy(model.state_dict()))
        train(model, 5)
        return 1.0

    ticket = lottery(graph, model, fit, rounds=3)

    assert len(ticket.rounds) == len(starts) == 4
    assert ticket.rounds[0].left == 1
    shares = [each.left for each in ticket.rounds]
    assert shares == sorted(shares, reverse=True)
    for path in graph.compressions[0].maps:
        name = f"{path}.weight"
        zero = ticket.start[name] == 0
        assert torch.equal(ticket.start[name], first[name].masked_fill(zero, 0))
        assert torch.equal(model.get_parameter(name) == 0, zero)
    encoder = [model.get_parameter(f"{p}.weight") for p in graph.compressions[0].maps]
    every = sum(w.numel() for w in encoder)
    assert sum(int((w == 0).sum()) for w in encoder) == round(0.488 * every)
    assert {n: t.tolist() for n, t in starts[-1].items()} == {
        n: t.tolist() for n, t in ticket.start.items()
    }


def test_tickets_may_start_from_a_few_steps():
    graph = spec("{on: encoder, amount: 0.5}")
    model = composer.build(graph, seed=0)
    first = copy.deepcopy(model.state_dict())

    ticket = lottery(
        graph, model, lambda m: bool(train(m, 3)), rounds=1, warm=lambda m: train(m, 2)
    )

    name = "encoder.layers.0.attention.q.weight"
    kept = ticket.start[name] != 0
    assert not torch.equal(ticket.start[name][kept], first[name][kept])
    other = "decoder.layers.0.attention.q.weight"
    assert not torch.equal(ticket.start[other], first[other])


def test_tickets_need_something_to_prune():
    graph = composer.graph(SPEC)
    with pytest.raises(SpecError, match="prunes nothing"):
        lottery(graph, composer.build(graph), lambda _: 0.0)
    graph = spec("{on: encoder, amount: 0.5}")
    with pytest.raises(SpecError, match="0 rounds"):
        lottery(graph, composer.build(graph), lambda _: 0.0, rounds=0)


def test_zeros_and_training_with_rounded_weights_are_refused_together():
    text = (
        SPEC
        + """compress:
  - prune: {on: encoder, amount: 0.5}
  - quantize: {on: "*", scheme: int8_weight, aware: true}
"""
    )
    graph = composer.graph(text)

    with pytest.raises(SpecError, match="cannot keep its zeros"):
        prepare(graph, composer.build(graph))


def test_pruned_weights_can_be_quantized():
    pytest.importorskip("torchao")
    text = (
        SPEC
        + """compress:
  - prune: {on: encoder, amount: 0.5}
  - quantize: {on: encoder, scheme: int8_weight}
"""
    )
    graph = composer.graph(text)
    model = composer.build(graph, seed=0)
    report = compress(graph, model)

    weight = model.encoder.layers[0].attention.q.weight.dequantize()
    assert " are zero" in report.found["encoder.layers.0.attention.q.weight"]
    assert int((weight == 0).sum()) >= int(0.3 * weight.numel())


@pytest.mark.parametrize("amount", ["0", "1", "-0.5", "'many'"])
def test_an_amount_is_a_share(amount):
    with pytest.raises(SpecError, match="amount"):
        spec(f"{{on: encoder, amount: {amount}}}")


def test_the_training_of_the_command_line_keeps_zeros_and_resumes(tmp_path):
    from composer.training import Settings, read_data
    from composer.training import train as run

    made = """
composer: 1
name: bytes
inputs: {tokens: {kind: tokens, vocab_size: 259}}
decoders: {decoder: {from: tokens, d_model: 16, num_layers: 1, attention: {num_heads: 2}}}
outputs: {logits: {from: decoder, head: lm}}
compress: [prune: {on: decoder.layers, amount: 0.5}]
"""
    (tmp_path / "text.txt").write_text("zeros stay zeros, whatever is learned. " * 30)
    graph = composer.graph(made)
    settings = {"batch_size": 2, "length": 8, "lr": 0.01, "warmup": 0, "schedule": "constant"}
    data = read_data(graph, tmp_path / "text.txt", settings=Settings(**settings))
    for steps in (3, 6):
        model = composer.build(graph, seed=0)
        compress(graph, model)
        gone = {name: model.get_parameter(name) == 0 for name in zeros(graph, model)}
        given = Settings(steps=steps, checkpoint_every=3, **settings)
        result = run(model, graph, data, given, out=tmp_path / "run")

    assert result.steps == 6
    for name, zero in gone.items():
        assert torch.equal(model.get_parameter(name) == 0, zero)
    saved = composer.build(graph, weights=result.checkpoint / "model.safetensors")
    assert zeros(graph, saved) == zeros(graph, model)
