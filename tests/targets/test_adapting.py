"""What a spec adapts, the built model adapts: by the right numbers, or it is refused by name."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file, save_model

import composer
from composer.cli import main
from composer.graph.tensors import first_names
from composer.targets.diagram import draw_mermaid
from composer.targets.summary import summarize

ROOT = Path(__file__).resolve().parents[2]
SPEC = ROOT / "tests" / "specs" / "adapted.yaml"

SMALL = """
composer: 1
name: small
inputs: {tokens: {kind: tokens, vocab_size: 11}}
decoders:
  decoder: {from: tokens, d_model: 8, num_layers: 4, attention: {num_heads: 2}}
outputs: {logits: {from: decoder, head: lm}}
"""

PAIR = """
composer: 1
name: pair
inputs:
  source: {kind: tokens, vocab_size: 11}
  target: {kind: tokens, vocab_size: 11}
defaults: {d_model: 8, num_layers: 4, attention: {num_heads: 2}}
encoders:
  encoder: {from: source}
decoders:
  decoder: {from: target}
outputs: {logits: {from: decoder, head: lm}}
"""


def adapted(*items, base=SMALL):
    """The text of a spec with these adapters."""
    return base + "adapt:\n" + "".join(f"  - {item}\n" for item in items)


def added(spec, **options):
    """How many parameters adapters add."""
    graph = composer.graph(spec, **options)
    return sum(torch.Size(graph.tensors[name]).numel() for name in graph.added)


def tokens():
    return torch.randint(0, 11, (2, 6), generator=torch.Generator().manual_seed(1))


def inputs_of(model):
    """Tokens for every input."""
    names = list(model.forward.__annotations__)
    return {name: tokens() for name in names if name in {"tokens", "source", "target"}}


def trained(model, steps=3):
    """The model after some steps on random targets."""
    rates = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(rates, lr=0.02)
    for _ in range(steps):
        loss = sum(out.square().mean() + out.mean() for out in model(**inputs_of(model)))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model


def hashes(model, names):
    """What each tensor holds, in short."""
    state = model.state_dict()
    return {n: hashlib.sha256(state[n].numpy().tobytes()).hexdigest() for n in names}


# Published counts


@pytest.mark.parametrize(
    ("layers", "width", "rank", "expected"),
    [
        (12, 768, 8, 294_912),
        (24, 1024, 8, 786_432),
        (48, 1536, 16, 4_718_592),
        (96, 12_288, 1, 4_718_592),
        (96, 12_288, 4, 18_874_368),
        (96, 12_288, 8, 37_748_736),
    ],
    ids=["roberta-base", "roberta-large", "deberta-xxl", "gpt-3 r1", "gpt-3 r4", "gpt-3 r8"],
)
def test_queries_and_values_cost_what_the_paper_says(layers, width, rank, expected):
    shape = f"from: tokens, d_model: {width}, num_layers: {layers}, attention: {{head_dim: 64, num_heads: {width // 64}}}"
    base = SMALL.replace(
        "from: tokens, d_model: 8, num_layers: 4, attention: {num_heads: 2}", shape
    )
    by_path = adapted(f"lora: {{on: decoder.layers.*.attention.(q|v), rank: {rank}}}", base=base)
    by_role = adapted(f"lora: {{on: {{role: [q, v]}}, rank: {rank}}}", base=base)

    assert added(by_path) == expected
    assert added(by_role) == expected


@pytest.mark.parametrize(("size", "expected"), [("base", 294_912), ("large", 786_432)])
def test_published_roberta_takes_adapters(size, expected, tmp_path):
    shutil.copytree(ROOT / "specs", tmp_path, dirs_exist_ok=True)
    text = (ROOT / "specs" / "roberta.yaml").read_text(encoding="utf-8")
    adapt = "\nadapt: [{lora: {on: {role: [q, v]}, rank: 8}}]\n"
    (tmp_path / "roberta.yaml").write_text(text + adapt, encoding="utf-8")

    assert added(tmp_path / "roberta.yaml", size=size) == expected


@pytest.mark.parametrize(
    ("layers", "width", "bottleneck", "expected"),
    [
        (96, 12_288, 1, 7_078_080),
        (96, 12_288, 8, 40_109_568),
        (24, 1024, 64, 6_343_680),
        (24, 1024, 8, 835_968),
    ],
    ids=["gpt-3 1", "gpt-3 8", "bert-large 64", "roberta-large 8"],
)
def test_adapters_cost_what_their_formula_says(layers, width, bottleneck, expected):
    shape = f"from: tokens, d_model: {width}, num_layers: {layers}, attention: {{head_dim: 64, num_heads: {width // 64}}}"
    base = SMALL.replace(
        "from: tokens, d_model: 8, num_layers: 4, attention: {num_heads: 2}", shape
    )
    text = adapted(f"adapter: {{after: decoder.layers, bottleneck: {bottleneck}}}", base=base)

    assert added(text) == layers * 2 * (2 * bottleneck * width + width + bottleneck)
    assert added(text) == expected


@pytest.mark.parametrize(
    ("layers", "width", "inner", "expected"),
    [(12, 768, 3072, 55_296), (24, 4096, 10_240, 442_368)],
    ids=["bert-base", "t0-11b shape"],
)
def test_factors_cost_one_number_a_feature(layers, width, inner, expected):
    shape = f"from: tokens, d_model: {width}, num_layers: {layers}, attention: {{head_dim: 64, num_heads: {width // 64}}}, feed_forward: {{d_ff: {inner}}}"
    base = SMALL.replace(
        "from: tokens, d_model: 8, num_layers: 4, attention: {num_heads: 2}", shape
    )
    text = adapted("ia3: {on: {role: [k, v, ffn_out]}}", base=base)

    assert added(text) == layers * (2 * width + inner)
    assert added(text) == expected


# What an adapted model is


KINDS = {
    "lora": "lora: {on: decoder, rank: 2, alpha: 16}",
    "dora": "lora: {on: decoder, rank: 2, alpha: 16, dora: true}",
    "rslora": "lora: {on: decoder, rank: 2, scaling: rslora, dropout: 0.1}",
    "ia3": "ia3: {on: decoder}",
    "adapter": "adapter: {after: decoder, bottleneck: 2}",
    "parallel": "parallel_adapter: {beside: decoder, bottleneck: 2, scale: 4}",
    "prefix": "prefix: {on: decoder, length: 3}",
}
"""An adapter of each kind."""


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "prefix"])
def test_an_adapted_model_starts_as_the_model_with_its_seed(kind):
    plain = composer.build(SMALL, seed=0).eval()
    model = composer.build(adapted(KINDS[kind]), seed=0)

    assert torch.equal(model.eval()(tokens()).logits, plain(tokens()).logits)


@pytest.mark.parametrize("kind", KINDS)
def test_all_but_adapters_is_frozen_and_stays_what_it_was(kind):
    text = adapted(KINDS[kind])
    model, graph = composer.build(text, seed=0), composer.graph(text)
    before = hashes(model, graph.tensors)
    trained(model, steps=100)
    after = hashes(model, graph.tensors)

    assert {n for n in before if before[n] == after[n]} == graph.frozen
    assert {n for n in before if before[n] != after[n]} == graph.added
    assert graph.frozen | graph.added == graph.tensors.keys()


def test_freeze_says_what_else_is_trained():
    text = adapted("lora: {on: decoder, rank: 2}") + 'freeze: {parts: "*", except: logits}\n'
    model, graph = composer.build(text), composer.graph(text)
    learns = {n for n, p in model.named_parameters() if p.requires_grad}

    assert learns == graph.added | {"logits.head.weight"}
    assert learns == graph.tensors.keys() - graph.frozen


def test_freeze_alone_decides_what_is_frozen():
    text = adapted("lora: {on: decoder, rank: 2}") + "freeze: decoder.embed\n"
    model = composer.build(text)
    fixed = {n for n, p in model.named_parameters() if not p.requires_grad}

    assert fixed == {"decoder.embed.tokens.weight"} == composer.graph(text).frozen


def test_ranks_differ_by_pattern():
    graph = composer.graph(
        adapted(
            "lora: {on: decoder.layers.0.attention.q, rank: 1}",
            "lora: {on: decoder.layers.(1|2).attention.q, rank: 3}",
        )
    )

    assert {n: s[0] for n, s in graph.tensors.items() if n.endswith(".a")} == {
        "decoder.layers.0.attention.q.lora.a": 1,
        "decoder.layers.1.attention.q.lora.a": 3,
        "decoder.layers.2.attention.q.lora.a": 3,
    }


def test_the_source_says_it_in_loops():
    source = composer.source(
        adapted(
            "lora: {on: decoder.layers.*.attention.(q|v), rank: 2, alpha: 4}",
            "lora: {on: decoder.layers.(1|2).feed_forward.up, rank: 1, dora: true}",
        )
    )

    assert (
        """
        self.apply(init_normal)
        self.requires_grad_(False)
        for layer in self.decoder.layers:
            layer.attention.q = LoraLinear(
                layer.attention.q, lora=Lora(in_features=8, out_features=8, rank=2, scale=2.0)
            )
            layer.attention.v = LoraLinear(
                layer.attention.v, lora=Lora(in_features=8, out_features=8, rank=2, scale=2.0)
            )
        for layer in self.decoder.layers[1:3]:
            layer.feed_forward.up = DoraLinear(
                layer.feed_forward.up, lora=Dora(in_features=8, out_features=32, rank=1)
            )
"""
        in source
    )


def test_the_summary_and_the_labels_name_adapters():
    rows = summarize(composer.graph(adapted("lora: {on: decoder.layers.0, rank: 2}"))).rows
    label = {row.path: row.label for row in rows}

    assert label["decoder.layers.0.attention"].endswith(", LoRA r=2 on q, k, v, o")
    assert "LoRA" not in label["decoder.layers.1-3.attention"]


# Sharing: one thing, or refused

ONE_THING = {
    "one layer for all": ("{within: decoder.layers, every: all}", "decoder.layers.*.attention.q", 1),
    "sets of two layers": ("{within: decoder.layers, every: 2}", "decoder.layers.*.attention.q", 2),
    "one attention for all": (
        "{within: decoder.layers.*.attention, every: all}", "decoder.layers.*.attention.q", 1,
    ),
    "one linear map for all": (
        "{within: decoder.layers.*.attention.q, every: all}", "decoder.layers.*.attention.q", 1,
    ),
    "a part of two stacks": (
        "[encoder.layers.*.attention, decoder.layers.*.attention]", '"*.layers.*.attention.q"', 4,
    ),
    "a linear map of two stacks": (
        "[encoder.layers.*.attention.q, decoder.layers.*.attention.q]", '"*.layers.*.attention.q"', 4,
    ),
    "whole layers of two stacks": (
        "[encoder.layers, decoder.layers]", '"*.layers.*.attention.q"', 4,
    ),
    "tied embeddings beside it": (
        "[decoder.embed.tokens, logits.head]", "decoder.layers.*.attention.q", 4,
    ),
}  # fmt: skip


def shared(connection, path, more=""):
    connections = (
        f"connections:\n  - cross: {{from: encoder, to: decoder}}\n  - shared: {connection}\n"
    )
    return adapted(f"lora: {{on: {path}, rank: 2{more}}}", base=PAIR + connections)


@pytest.mark.parametrize("option", ["", ", dora: true"])
@pytest.mark.parametrize("case", ONE_THING)
def test_what_is_shared_is_adapted_once(case, option, tmp_path):
    connection, path, count = ONE_THING[case]
    text = shared(connection, path, option)
    graph, model = composer.graph(text), trained(composer.build(text, seed=0)).eval()
    each = 2 * 16 + (8 if option else 0)
    known = dict(model.named_parameters(remove_duplicate=False))
    expected = model(**inputs_of(model)).logits

    assert len(graph.added) == count * (3 if option else 2)
    assert added(text) == count * each
    assert {n: tuple(p.shape) for n, p in model.named_parameters()} == graph.tensors
    for name, first in first_names(graph).items():
        assert known[name] is known[first], name
    merged = composer.merge(text, model).eval()
    assert (merged(**inputs_of(model)).logits - expected).abs().max() < 1e-5
    assert {n for n, _ in merged.named_parameters()} == graph.tensors.keys() - graph.added
    save_model(model, str(tmp_path / "saved.safetensors"))
    again = composer.build(text, seed=7, weights=tmp_path / "saved.safetensors").eval()
    assert torch.equal(again(**inputs_of(model)).logits, expected)


REFUSED = {
    "the head of tied embeddings": (
        "[decoder.embed.tokens, logits.head]", "logits",
        "'decoder.embed.tokens', which is no linear map",
    ),
    "a head that owns its embedding": (
        "[logits.head, decoder.embed.tokens]", "logits",
        "which is no linear map",
    ),
    "one of the layers that are one": (
        "{within: decoder.layers, every: all}", "decoder.layers.2.attention.q",
        "'decoder.layers.2.attention.q' is adapted, but its weight is also that of 'decoder.layers.0.attention.q', which is not",
    ),
    "one of two stacks that share a part": (
        "[encoder.layers.*.attention, decoder.layers.*.attention]", "decoder.layers.*.attention.q",
        "is adapted, but its weight is also that of 'encoder.layers.0.attention.q', which is not",
    ),
    "one of two stacks that share layers": (
        "[encoder.layers, decoder.layers]", "encoder.layers.*.attention",
        "which is not",
    ),
    "one parameter of unlike attentions": (
        "[decoder.layers.*.attention.q, decoder.layers.*.cross_attention.q]", "{role: q, in: decoder}",
        "and they are not one in everything",
    ),
    "one parameter of unlike maps": (
        "[decoder.layers.*.attention.q, decoder.layers.*.attention.o]", "decoder.layers.*.attention.(q|o)",
        "and they are not one in everything",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_adapted_as_one_is_refused_by_name(case):
    connection, path, message = REFUSED[case]

    with pytest.raises(composer.SpecError) as error:
        composer.graph(shared(connection, path))

    assert message in str(error.value)
    assert "<text>:" in str(error.value)


# Several adapters, merging, loading


def two():
    return adapted(
        "lora: {name: french, on: {role: [q, v]}, rank: 2}",
        "lora: {name: german, on: {role: [q, ffn_out]}, rank: 3, alpha: 7}",
    )


def test_adapters_are_switched_by_name():
    model = trained(composer.build(two(), seed=0)).eval()
    both = model(tokens()).logits
    results = {}
    for names in ((), ("french",), ("german",), ("french", "german")):
        composer.use_adapters(model, *names)
        results[names] = model(tokens()).logits

    assert torch.equal(results["french", "german"], both)
    assert torch.equal(results[()], composer.build(SMALL, seed=0).eval()(tokens()).logits)
    for name in ("french", "german"):
        merged = composer.merge(two(), model, adapters=[name]).eval()
        assert (merged(tokens()).logits - results[(name,)]).abs().max() < 1e-5
        assert (results[(name,)] - both).abs().max() > 1e-3
    with pytest.raises(composer.SpecError, match="no adapter is called 'dutch'"):
        composer.use_adapters(model, "dutch")


@pytest.mark.parametrize("size", ["paths", "groups", "attention", "queries"])
def test_merged_computes_what_adapted_does(size):
    lines = SPEC.read_text().splitlines()  # a bottleneck is not linear, and cannot be merged
    spec = "\n".join(line for line in lines if not line.startswith("  - adapter:"))
    model = trained(composer.build(spec, size=size, seed=0)).eval()
    merged = composer.merge(spec, model, size=size).eval()

    for one, other in zip(model(**inputs_of(model)), merged(**inputs_of(model)), strict=True):
        assert (one - other).abs().max() < 1e-5


def test_weights_of_the_model_without_adapters_load_unchanged(tmp_path):
    file = tmp_path / "plain.safetensors"
    plain = composer.build(SMALL, seed=3).eval()
    save_model(plain, str(file))
    for option in ("", ", dora: true"):
        text = adapted(f"lora: {{on: decoder, rank: 2{option}}}")
        model = composer.build(text, seed=0, weights=file).eval()

        assert torch.equal(model(tokens()).logits, plain(tokens()).logits)
        assert set(composer.audit_weights(text, file).new) == composer.graph(text).added


def test_maps_of_other_names_fill_all_but_adapters(tmp_path):
    plain = composer.build(SMALL, seed=3).eval()
    theirs = {f"model.{name}": tensor for name, tensor in plain.state_dict().items()}
    save_file(theirs, tmp_path / "theirs.safetensors")
    rules = "\n".join(f"      - model.{name} -> {name}" for name in plain.state_dict())
    text = adapted("lora: {on: decoder, rank: 2}") + f"weights:\n  theirs:\n    rules:\n{rules}\n"
    model = composer.build(text, seed=0, weights=tmp_path / "theirs.safetensors").eval()

    assert torch.equal(model(tokens()).logits, plain(tokens()).logits)
    save_model(model, str(tmp_path / "ours.safetensors"))
    with pytest.raises(composer.SpecError, match="no names for adapters"):
        composer.export_weights(text, tmp_path / "ours.safetensors", tmp_path / "back.safetensors")


def test_the_command_merges_files(tmp_path, capsys):
    spec = tmp_path / "two.yaml"
    spec.write_text(two(), encoding="utf-8")
    model = trained(composer.build(spec, seed=0)).eval()
    save_model(model, str(tmp_path / "two.safetensors"))
    arguments = ["merge", str(tmp_path / "two.safetensors"), "--spec", str(spec)]
    main([*arguments, "--out", str(tmp_path / "one.safetensors")])
    merged = composer.build(SMALL, weights=tmp_path / "one.safetensors").eval()

    assert (merged(tokens()).logits - model(tokens()).logits).abs().max() < 1e-5
    assert main([*arguments, "--adapter", "dutch", "--out", str(tmp_path / "none")]) != 0
    assert "no adapter is called 'dutch'" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()


def test_bottlenecks_are_not_merged(tmp_path):
    text = adapted("adapter: {after: decoder, bottleneck: 2}", "lora: {on: {role: q}, rank: 2}")
    model = trained(composer.build(text, seed=0)).eval()

    with pytest.raises(composer.SpecError, match="is not linear, so it cannot be merged"):
        composer.merge(text, model)
    merged = composer.merge(text, model, adapters=["lora"]).eval()
    composer.use_adapters(model, "lora")
    assert (merged(tokens()).logits - model(tokens()).logits).abs().max() < 1e-5


def test_the_drawing_says_what_is_adapted():
    graph = composer.graph(adapted("lora: {on: decoder.layers.(0|1).attention.(q|v), rank: 2}"))
    drawn = draw_mermaid(graph)

    assert "LoRA r=2 on q, v" in drawn
    assert drawn.count("LoRA") == 1
