"""A spec of two pretrained parts, and the files and maps that they come from."""

import torch
from safetensors.torch import save_file

import composer
from composer.weights import export, load_map, plan_back

SPEC = """
composer: 1
name: glued
inputs:
  source: {kind: tokens, vocab_size: 13}
  target: {kind: tokens, vocab_size: 11}
defaults: {num_layers: 3, attention: {num_heads: 2}, feed_forward: {d_ff: 12}}
encoders:
  reader: {from: source, d_model: 6}
decoders:
  writer: {from: target, d_model: 8}
connections:
  - cross: {from: reader, to: writer}
  - shared: [writer.embed.tokens, logits.head]
outputs: {logits: {from: writer, head: lm}}
weights:
  first: {extends: maps/stack.yaml, names: {stack: reader}, parts: reader}
  second:
    extends: maps/stack.yaml
    names: {stack: writer}
    parts: [writer, logits]
    new: writer.layers.*.cross_attention*
freeze: {parts: [reader, writer, logits], except: [writer.layers.*.cross_attention*]}
"""

MAP = """
rules:
  - wte.weight -> stack.embed.tokens.weight
  - h.{i}.attn.(wq|wk|wv|wo).{p} -> stack.layers.{i}.attention.(q|k|v|o).{p}
  - h.{i}.norm(1|2).{p} -> stack.layers.{i}.(attention|feed_forward)_norm.{p}
  - {from: "h.{i}.mlp.{part}.weight", transpose: true, to: "stack.layers.{i}.feed_forward.{part}.weight"}
  - "h.{i}.mlp.{part}.bias -> stack.layers.{i}.feed_forward.{part}.bias"
  - norm.{p} -> stack.norm.{p}
"""


def written(folder, spec=SPEC):
    """The spec in a file with its map beside it."""
    (folder / "maps").mkdir(exist_ok=True)
    (folder / "maps" / "stack.yaml").write_text(MAP)
    path = folder / "spec.yaml"
    path.write_text(spec)
    return path


def files(folder, spec):
    """Files of random weights for both maps, and what each map should make of its own."""
    loaded = composer.load(spec)
    graph = composer.graph(loaded)
    generator = torch.Generator().manual_seed(7)
    paths, wanted = {}, {}
    for name, weight_map in loaded.weights.items():
        back = plan_back(graph, load_map(weight_map))
        ours = {n: torch.randn(shape, generator=generator) for n, shape in back.targets.items()}
        paths[name] = folder / f"{name}.safetensors"
        save_file(export(back, ours.__getitem__), paths[name])
        wanted |= ours
    return paths, wanted
