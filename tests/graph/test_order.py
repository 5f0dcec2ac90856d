"""The order of parts, and circles among them."""

from __future__ import annotations

import pytest

import composer
from composer.diagnostics import SpecError
from composer.graph.graph import State

HEAD = """\
composer: 1
name: tiny
inputs:
  frames: {kind: features, width: 32}
defaults: {d_model: 32, num_layers: 2, attention: {num_heads: 4}}
"""


def test_parts_run_after_what_they_read_whatever_the_order_of_the_file():
    graph = composer.graph(
        f"{HEAD}outputs: {{out: {{from: c}}}}\n"
        "modules:\n  c: {kind: add, from: [b, a]}\n  b: {kind: layernorm, from: a}\n"
        "encoders:\n  a: {from: frames}\n"
    )

    assert list(graph.parts) == ["frames", "a", "b", "c", "out"]


def test_stacks_in_step_stand_next_to_each_other():
    graph = composer.graph(
        f"{HEAD}encoders:\n  a: {{from: frames}}\n  m: {{from: frames}}\n  b: {{from: frames}}\n"
        "connections:\n  - parallel: {stacks: [a, b], exchange: cross}\n  - cross: {from: m, to: b}\n"
        "outputs: {x: {from: a}, y: {from: b}}\n"
    )

    order = list(graph.parts)
    assert order.index("b") == order.index("a") + 1
    assert order.index("m") < order.index("a")


def test_a_stack_reads_the_state_after_a_layer():
    graph = composer.graph(
        f"{HEAD}encoders:\n  a: {{from: frames}}\n  b: {{from: a.layers.0}}\n"
        "connections:\n  - skip: {from: a, to: b, pairs: aligned}\n  - cross: {from: a, to: b}\n"
        "outputs: {out: {from: b}}\n"
    )

    state = State("a", 0)
    assert graph.parts["b"].source == state
    assert graph.values[state].shape == graph.values[State("a")].shape
    assert "class B(" in composer.source(graph)


def circles(text: str) -> list[str]:
    with pytest.raises(SpecError) as caught:
        composer.graph(HEAD + text)
    assert {problem.code for problem in caught.value.problems} == {"G203"}
    return [problem.message.partition(": ")[2] for problem in caught.value.problems]


def test_the_shortest_circle_of_a_tangle_is_told():
    assert circles(
        "encoders:\n  a: {from: d}\n  b: {from: a}\n  c: {from: b}\n  d: {from: c}\n"
        "connections:\n  - cross: {from: c, to: b}\nmodules: {e: {kind: layernorm, from: frames}}\n"
        "outputs: {out: {from: d}, more: {from: e}}\n"
    ) == ["b -> c -> b"]


def test_each_tangle_is_one_problem():
    assert circles(
        "encoders:\n  a: {from: b}\n  b: {from: a}\n  c: {from: d}\n  d: {from: c}\n"
        "outputs: {out: {from: b}, more: {from: d}, rest: {from: frames}}\n"
    ) == ["a -> b -> a", "c -> d -> c"]


def test_a_thousand_parts_in_a_circle_are_told():
    parts = "".join(f"  m{n}: {{kind: layernorm, from: m{(n + 1) % 1000}}}\n" for n in range(1000))

    (circle,) = circles(
        f"encoders: {{a: {{from: frames}}}}\nmodules:\n{parts}outputs: {{out: {{from: m0}}, more: {{from: a}}}}\n"
    )
    assert circle.count(" -> ") == 1000
