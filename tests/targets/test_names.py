"""What things are called in emitted source."""

from __future__ import annotations

import ast
import builtins

import torch

import composer

SPEC = """
composer: 1
name: names
inputs:
  input: {kind: tokens, vocab_size: 20}
  object: {kind: features, width: 32}
encoders:
  filter: {from: object, d_model: 32, num_layers: 2, attention: {num_heads: 2}}
  map: {from: sum, d_model: 32, num_layers: 3, attention: {num_heads: 2}}
  enumerate: {from: next, d_model: 32, num_layers: 3, attention: {num_heads: 2}}
decoders:
  reversed: {from: input, d_model: 32, num_layers: 2, attention: {num_heads: 2}}
modules:
  next: {kind: project, from: filter, d_model: 32}
  next_: {kind: project, from: next, d_model: 32}
  sum: {kind: add, from: [next, next_]}
connections:
  - cross: {from: map, to: reversed, layers: [1]}
  - cross: {from: next, to: reversed, layers: [0]}
  - skip: {from: filter.layers.0, to: map.layers.2}
outputs:
  hash: {from: reversed, head: lm}
  vars: {from: enumerate}
"""


def test_no_variable_hides_a_function_of_python():
    tree = ast.parse(composer.source(SPEC))
    stored = {
        node.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    }
    fields = {"hash", "vars"}

    assert {name for name in stored if name != "_" and hasattr(builtins, name)} == fields
    model = composer.build(SPEC, seed=0)
    assert {"filter", "map", "enumerate", "reversed", "next", "next_", "hash"} <= {
        name for name, _ in model.named_children()
    }
    made = model(input=torch.randint(20, (2, 5)), object=torch.randn(2, 4, 32))
    assert made.hash.shape == (2, 5, 20)
    assert made.vars.shape == (2, 4, 32)


def test_a_description_keeps_its_first_letter():
    text = SPEC.replace("name: names\n", "name: names\ntitle: X\ndescription: BERT with more.\n")

    assert ast.get_docstring(ast.parse(composer.source(text))).startswith("X: BERT with more.")
