"""Random models of another implementation, read through a map, compute the same."""

from pathlib import Path

import pytest
import torch

import composer
from composer.weights import apply, export, load, load_map, plan

MAPS = Path(__file__).parents[2] / "specs" / "maps"

LLAMA = """
composer: 1
name: tiny-llama
inputs: {tokens: {kind: tokens, vocab_size: 61}}
decoders:
  decoder:
    from: tokens
    d_model: 32
    num_layers: 2
    norm: {kind: rmsnorm, eps: 1e-6}
    attention:
      {num_heads: 4, num_kv_heads: 2, head_dim: 10, bias: false, position: {kind: rope, theta: 500}}
    feed_forward: {kind: glu, activation: silu, d_ff: 44, bias: false}
outputs: {logits: {from: decoder, head: lm}}
"""

GPT2 = """
composer: 1
name: tiny-gpt2
inputs: {tokens: {kind: tokens, vocab_size: 61}}
decoders:
  decoder:
    from: tokens
    d_model: 32
    num_layers: 2
    embed: {position: {kind: learned, max_length: 20}}
    attention: {num_heads: 4}
    feed_forward: {d_ff: 44, activation: gelu_tanh}
connections: [{shared: [decoder.embed.tokens, logits.head]}]
outputs: {logits: {from: decoder, head: lm}}
"""


def llama():
    transformers = pytest.importorskip("transformers")
    config = transformers.LlamaConfig(
        vocab_size=61, hidden_size=32, intermediate_size=44, num_hidden_layers=2, head_dim=10,
        num_attention_heads=4, num_key_value_heads=2, rms_norm_eps=1e-6, max_position_embeddings=20,
        rope_parameters={"rope_type": "default", "rope_theta": 500.0}, attn_implementation="eager",
    )  # fmt: skip
    return transformers.LlamaForCausalLM(config)


def gpt2():
    transformers = pytest.importorskip("transformers")
    config = transformers.GPT2Config(
        vocab_size=61, n_embd=32, n_inner=44, n_layer=2, n_head=4, n_positions=20,
        attn_implementation="eager",
    )  # fmt: skip
    return transformers.GPT2LMHeadModel(config)


@pytest.mark.parametrize(
    ("spec", "theirs", "name"), [(LLAMA, llama, "llama"), (GPT2, gpt2, "gpt2")]
)
def test_same_outputs_and_the_way_back(spec, theirs, name):
    torch.manual_seed(0)
    other = theirs().eval()
    for parameter in other.parameters():
        torch.nn.init.normal_(parameter, std=0.15)
    source = dict(other.state_dict())
    graph = composer.graph(spec)

    made = plan(
        graph, load_map(MAPS / f"{name}.yaml"), {n: tuple(t.shape) for n, t in source.items()}
    )
    tensors = apply(made, source.__getitem__)
    model = composer.build(spec).eval()
    missing = model.load_state_dict(tensors, strict=False)
    tokens = torch.randint(0, 61, (2, 13))
    with torch.no_grad():
        difference = (model(tokens=tokens).logits - other(tokens).logits).abs().max()

    assert missing.unexpected_keys == []
    assert set(missing.missing_keys) <= set(graph.aliases)
    assert difference < 1e-5
    back = export(made, tensors.__getitem__)
    assert list(back) == list(source)
    assert all(torch.equal(back[n], source[n]) and back[n].dtype == source[n].dtype for n in source)


@pytest.mark.parametrize(
    ("spec", "theirs", "name"), [(LLAMA, llama, "llama"), (GPT2, gpt2, "gpt2")]
)
def test_saved_models_are_read(tmp_path, spec, theirs, name):
    torch.manual_seed(0)
    other = theirs()
    other.save_pretrained(tmp_path, max_shard_size="20KB")
    graph, rules = composer.graph(spec), load_map(MAPS / f"{name}.yaml")
    source = dict(other.state_dict())
    in_memory = plan(graph, rules, {n: tuple(t.shape) for n, t in source.items()})

    found = load(graph, {"huggingface": rules}, tmp_path)

    assert len(list(tmp_path.glob("*.safetensors"))) > 1
    expected = apply(in_memory, source.__getitem__)
    assert found.keys() == expected.keys()
    assert all(torch.equal(tensor, expected[n]) for n, tensor in found.items())
