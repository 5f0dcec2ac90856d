"""Weights of several origins in one model: filled part by part, new where nobody has them."""

import pytest
import torch

import composer
from composer.graph.tensors import first_names
from composer.targets.expand import expand
from composer.weights import WeightError
from tests.weights.parts import SPEC, files, written

NEW = "writer.layers.*.cross_attention*"


@pytest.fixture
def spec(tmp_path):
    return written(tmp_path)


@pytest.fixture
def pieces(tmp_path, spec):
    return files(tmp_path, spec)


def refused(spec, weights):
    with pytest.raises(WeightError) as caught:
        composer.build(spec, weights=weights)
    return [(problem.code, problem.message, problem.fix) for problem in caught.value.problems]


def test_loaded_tensors_are_equal_and_new_ones_are_those_of_the_seed(spec, pieces):
    paths, wanted = pieces
    fresh = composer.build(spec, seed=5).state_dict()
    made = composer.build(spec, weights=paths, seed=5).state_dict()
    owner = first_names(composer.graph(spec))
    loaded = {name for name in made if owner[name] in wanted}
    new = set(made) - loaded

    assert {name.split(".")[3].removesuffix("_norm") for name in new} == {"cross_attention"}
    assert len(new) == 3 * (8 + 2)
    assert all(torch.equal(made[name], wanted[owner[name]]) for name in loaded)
    assert all(torch.equal(made[name], fresh[name]) for name in new)
    assert not all(torch.equal(made[name], fresh[name]) for name in loaded)


def test_shared_tensors_stay_shared(spec, pieces):
    model = composer.build(spec, weights=pieces[0])

    assert model.logits.head.weight is model.writer.embed.tokens.weight


def test_one_of_the_maps_may_be_given_alone(spec, pieces):
    paths, wanted = pieces
    fresh = composer.build(spec, seed=5).state_dict()
    made = composer.build(spec, weights={"first": paths["first"]}, seed=5).state_dict()

    assert all(torch.equal(made[n], wanted[n]) for n in wanted if n.startswith("reader."))
    assert all(torch.equal(made[n], fresh[n]) for n in made if not n.startswith("reader."))


def test_the_way_back_writes_the_parts_of_a_map(tmp_path, spec, pieces):
    from safetensors.torch import load_file, save_file

    paths, _ = pieces
    model = composer.build(spec, weights=paths, seed=0)
    names = composer.graph(spec).state
    state = model.state_dict()
    save_file({name: state[name].clone() for name in names}, tmp_path / "own.safetensors")

    composer.export_weights(
        spec, tmp_path / "own.safetensors", tmp_path / "back.safetensors", to="second"
    )

    back, source = (load_file(tmp_path / f"{name}.safetensors") for name in ("back", "second"))
    assert back.keys() == source.keys()
    assert all(torch.equal(back[name], source[name]) for name in source)


def test_an_audit_says_what_becomes_of_every_tensor(spec, pieces):
    found = composer.audit_weights(spec, pieces[0])
    graph = composer.graph(spec)

    assert set(found.loaded) == {"first", "second"}
    every = [*found.loaded["first"], *found.loaded["second"], *found.new]
    assert sorted(every) == sorted(graph.state)
    assert set(found.frozen) == set(graph.frozen) == set(graph.tensors) - set(found.new)
    assert str(found) == (
        "loaded   first: 1,152 parameters: reader\n"
        "loaded   second: 1,700 parameters: writer.embed, writer.layers.*.attention_norm, "
        "writer.layers.*.attention, writer.layers.*.feed_forward_norm, "
        "writer.layers.*.feed_forward, writer.norm, logits\n"
        "new      816 parameters: writer.layers.*.cross_attention_norm, "
        "writer.layers.*.cross_attention\n"
        "frozen   2,852 parameters: reader, writer.embed, writer.layers.*.attention_norm, "
        "writer.layers.*.attention, writer.layers.*.feed_forward_norm, "
        "writer.layers.*.feed_forward, writer.norm, logits"
    )


def test_ignored_sources_are_told(tmp_path):
    spec = written(
        tmp_path, SPEC.replace("parts: reader}", 'parts: reader, rules: [{ignore: "x.*"}]}')
    )
    paths, _ = files(tmp_path, spec)
    add(paths["first"], "x.y")

    assert str(composer.audit_weights(spec, paths)).endswith("\nignored  first: x.y")


def add(path, name):
    """One more tensor in a file."""
    from safetensors.torch import load_file, save_file

    save_file({**load_file(path), name: torch.ones(2)}, path)


def test_an_expanded_spec_reads_the_same(spec, pieces):
    loaded = composer.load(spec)
    text = expand(loaded, composer.graph(loaded))
    first = composer.build(spec, weights=pieces[0], seed=5)
    second = composer.build(text, weights=pieces[0], seed=5)

    assert composer.graph(text).frozen == composer.graph(spec).frozen
    assert first.state_dict().keys() == second.state_dict().keys()
    assert all(torch.equal(t, second.state_dict()[n]) for n, t in first.state_dict().items())


# Refusals


def test_a_refusal_says_whose_weights_it_is_about(spec, pieces):
    paths, _ = pieces
    add(paths["second"], "h.0.more")

    with pytest.raises(WeightError, match=rf"'second' reads '{paths['second']}'"):
        composer.build(spec, weights=paths)


def test_a_source_that_nothing_is_made_of(spec, pieces):
    paths, _ = pieces
    add(paths["second"], "h.0.more")

    assert refused(spec, paths) == [
        ("W401", "nothing is made of 'h.0.more' [2]", "add a rule for it, or ignore it")
    ]


def test_a_target_that_is_neither_filled_nor_new(tmp_path, pieces):
    spec = written(tmp_path, SPEC.replace(f"    new: {NEW}\n", ""))

    found = refused(spec, pieces[0])

    assert len(found) == 10
    assert found[0] == (
        "W402",
        "'writer.layers.0.cross_attention_norm.weight' [8] is made of nothing (and 2 more like it)",
        "if it starts anew: new: writer.layers.*.cross_attention_norm.weight",
    )


def test_a_source_for_what_is_new(tmp_path, pieces):
    spec = written(tmp_path, SPEC.replace(f"new: {NEW}", f"new: [{NEW}, writer.norm]"))

    assert refused(spec, pieces[0]) == [
        ("W404", f"'norm.{p}' becomes 'writer.norm.{p}', which is new", f"ignore 'norm.{p}', or fill it")
        for p in ("bias", "weight")
    ]  # fmt: skip


def test_a_source_for_what_is_outside_the_parts(tmp_path, pieces):
    spec = written(
        tmp_path, SPEC.replace("parts: reader}", "parts: [reader.embed, reader.layers]}")
    )

    assert ("W404", "'norm.bias' becomes 'reader.norm.bias', which no part of the map holds",
            "ignore 'norm.bias', or fill it") in refused(spec, pieces[0])  # fmt: skip


def test_two_maps_for_one_tensor(tmp_path, pieces):
    more = "  third: {extends: maps/stack.yaml, names: {stack: reader}, parts: reader}\nfreeze"
    spec = written(tmp_path, SPEC.replace("freeze", more))
    weights = {"first": pieces[0]["first"], "third": pieces[0]["first"]}

    assert refused(spec, weights)[0] == (
        "W404",
        "'first' and 'third' both fill 'reader.embed.tokens.weight'",
        "name parts that do not overlap",
    )


def test_one_place_for_several_parts(spec, pieces):
    assert refused(spec, pieces[0]["first"]) == [
        (
            "W409",
            "the weights of 'glued' are those of parts: first, second",
            'give each its place: weights={"first": ..., "second": ...}',
        )
    ]


def test_a_map_that_the_spec_does_not_have(spec, pieces):
    assert refused(spec, {"frist": pieces[0]["first"]}) == [
        ("W409", "the spec has no weights called 'frist' (first, second)", None)
    ]
    assert refused(spec, {}) == [("W409", "no weights are named", "names: first, second")]


def test_a_converted_file_is_whole(tmp_path, pieces):
    spec = written(
        tmp_path,
        SPEC.split("weights:")[0]
        + "weights: {some: {extends: maps/stack.yaml, names: {stack: writer}, new: [reader, "
        + f'"{NEW}"]}}}}\n',
    )

    with pytest.raises(WeightError, match="are new, so a file would not be whole"):
        composer.convert(spec, pieces[0]["second"], tmp_path / "out.safetensors")
    assert not (tmp_path / "out.safetensors").exists()
    composer.build(spec, weights=pieces[0]["second"])


# Two published families in one model


def test_opt_reads_and_gpt2_writes(tmp_path):
    from pathlib import Path
    from shutil import copy

    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    opt = transformers.OPTForCausalLM(
        transformers.OPTConfig(
            vocab_size=61, hidden_size=32, ffn_dim=128, num_hidden_layers=2, num_attention_heads=4,
            max_position_embeddings=20, word_embed_proj_dim=32, attn_implementation="eager",
        )
    ).eval()  # fmt: skip
    gpt2 = transformers.GPT2LMHeadModel(
        transformers.GPT2Config(
            vocab_size=53, n_embd=48, n_layer=2, n_head=4, n_positions=20,
            bos_token_id=0, eos_token_id=0, attn_implementation="eager",
        )
    ).eval()  # fmt: skip
    places = {"opt": tmp_path / "opt", "gpt2": tmp_path / "gpt2"}
    opt.save_pretrained(places["opt"])
    gpt2.save_pretrained(places["gpt2"])
    for name in places:
        copy(Path(__file__).parents[2] / "specs" / "maps" / f"{name}.yaml", tmp_path)
    (tmp_path / "spec.yaml").write_text(PUBLISHED)

    model = composer.build(tmp_path / "spec.yaml", weights=places, seed=0).eval()

    source, target = torch.randint(61, (2, 9)), torch.randint(53, (2, 7))
    with torch.no_grad():
        states = opt.model(source).last_hidden_state
        assert (model(source=source, target=target).states - states).abs().max() < 1e-5
        for layer in model.decoder.layers:  # without what it reads it is the decoder alone
            layer.cross_attention.o.weight.zero_()
            layer.cross_attention.o.bias.zero_()
        made = model(source=source, target=target).logits
        assert (made - gpt2(target).logits).abs().max() < 1e-5


PUBLISHED = """
composer: 1
name: opt-gpt2
inputs:
  source: {kind: tokens, vocab_size: 61}
  target: {kind: tokens, vocab_size: 53}
defaults: {num_layers: 2, attention: {num_heads: 4}}
decoders:
  reader:
    from: source
    d_model: 32
    embed: {position: {kind: learned, max_length: 20, offset: 2}}
    feed_forward: {activation: relu}
  decoder:
    from: target
    d_model: 48
    embed: {position: {kind: learned, max_length: 20}}
    feed_forward: {activation: gelu_tanh}
connections:
  - cross: {from: reader, to: decoder}
  - shared: [decoder.embed.tokens, logits.head]
outputs:
  states: {from: reader}
  logits: {from: decoder, head: lm}
weights:
  opt: {extends: opt.yaml, names: {decoder: reader}, parts: reader}
  gpt2: {extends: gpt2.yaml, parts: [decoder, logits], new: "decoder.layers.*.cross_attention*"}
freeze: [reader]
"""
