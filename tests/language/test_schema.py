"""The JSON Schema: every real spec fits it, typical mistakes do not, and every key is explained."""

from __future__ import annotations

from pathlib import Path

import jsonschema
import pytest

import composer
from composer.components.component import KINDS, kinds_for
from composer.language.document import plain
from composer.language.load import load, parse
from composer.language.schema import schema
from composer.targets.expand import expand

ROOT = Path(__file__).resolve().parents[2]
SPECS = sorted(
    [
        *ROOT.glob("specs/*.yaml"),
        *ROOT.glob("specs/patterns/*.yaml"),
        *ROOT.glob("tests/specs/*.yaml"),
    ]
)
SCHEMA = schema()
VALIDATOR = jsonschema.Draft7Validator(SCHEMA)

GOOD = """
composer: 1
name: good
dims: {width: 64}
inputs:
  source: {kind: tokens, vocab_size: 100}
  target: {kind: tokens, vocab_size: 100}
encoders:
  encoder: {from: source, d_model: width, num_layers: 2, attention: {num_heads: 4}}
decoders:
  decoder:
    from: target
    d_model: width
    num_layers: 2
    norm: {kind: rmsnorm, placement: post}
    attention: {num_heads: 4, bias: true}
    layer: [attention, cross_attention, {feed_forward: {scale: 0.5}}]
modules:
  rows: {kind: rearrange, from: decoder, pattern: "b t (h d) -> b t h d", h: 4}
connections:
  - cross: {from: encoder, to: decoder, layers: every 2, combine: serial, gate: tanh}
  - shared: [encoder.embed.tokens, decoder.embed.tokens]
outputs:
  logits: {from: decoder, head: {kind: lm}}
  rows_out: {from: rows}
sizes:
  small: {}
  large: {dims: {width: 128}, decoders: {decoder: {attention: {num_heads: 8}}}}
"""


def problems(text: str) -> list[str]:
    return [error.message for error in VALIDATOR.iter_errors(plain(parse(text, "spec.yaml")))]


def test_it_is_a_schema_of_draft_7():
    jsonschema.Draft7Validator.check_schema(SCHEMA)
    assert SCHEMA["$schema"] == "http://json-schema.org/draft-07/schema#"


@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.stem)
def test_every_spec_fits_as_written_and_expanded(path):
    made = composer.load(path)
    text = expand(made, composer.graph(made))

    assert [error.message for error in VALIDATOR.iter_errors(plain(load(path)))] == []
    assert problems(text) == []


def test_the_spec_that_the_mistakes_are_made_in_is_good():
    composer.graph(GOOD)

    assert problems(GOOD) == []


@pytest.mark.parametrize(
    ("found", "mistake"),
    [
        ("name: good", "nam: good"),
        ("composer: 1", "composer: 2"),
        ("inputs:", "input:"),
        ("vocab_size: 100}\n  target", "vocab: 100}\n  target"),
        ("{kind: tokens, vocab_size: 100}\n  target", "{kind: tokens}\n  target"),
        ("{kind: tokens, vocab_size: 100}\n  target", "{kind: words, vocab_size: 100}\n  target"),
        ("d_model: width, num_layers: 2", "d_model: width, num_layers: [2]"),
        ("d_model: width, num_layers: 2", "d_model: width, num_layers: 0"),
        ("d_model: width, num_layers: 2", "d_model: width"),
        ("d_model: width, num_layers: 2", "d_model: width, num_layers: 2, depth: 3"),
        ("attention: {num_heads: 4}}", "attention: {heads: 4}}"),
        ("attention: {num_heads: 4}}", "attention: {kind: atention, num_heads: 4}}"),
        ("bias: true", "bias: yes"),
        ("kind: rmsnorm", "kind: rms"),
        ("placement: post", "placement: after"),
        ("kind: rmsnorm, placement", "kind: rmsnorm, bias: false, placement"),
        ("[attention, cross_attention", "[atention, cross_attention"),
        ("{scale: 0.5}", "{scale: [0.5]}"),
        ("{feed_forward: {scale: 0.5}}", "{feed_foward: {scale: 0.5}}"),
        ("{feed_forward: {scale: 0.5}}", "{conv: {scale: 0.5}}"),
        ("kind: rearrange, from: decoder", "kind: rearrange, form: decoder"),
        ("h: 4}", "h: four}"),
        ("- cross: {from: encoder", "- crss: {from: encoder"),
        ("cross: {from: encoder, to: decoder", "cross: {from: encoder"),
        ("combine: serial", "combine: serially"),
        ("gate: tanh", "gate: tan"),
        ("shared: [encoder.embed.tokens, decoder.embed.tokens]", "shared: [encoder.embed.tokens]"),
        ("head: {kind: lm}", "head: {kind: glu}"),
        ("head: {kind: lm}", "head: {kind: lm, bias: 1}"),
        ("logits: {from: decoder", "logits: {of: decoder"),
        ("dims: {width: 128}", "dim: {width: 128}"),
        ("decoder: {attention: {num_heads: 8}}", "decoder: {attention: {num_head: 8}}"),
    ],
)
def test_a_mistake_is_refused(found, mistake):
    assert GOOD.count(found) == 1
    assert problems(GOOD.replace(found, mistake)) != []


CHANGED = """
composer: 1
name: changed
dims: {width: 64}
inputs: {tokens: {kind: tokens, vocab_size: 100}}
decoders:
  decoder:
    from: tokens
    d_model: width
    num_layers: 2
    norm: {kind: layernorm, placement: post}
    attention: {num_heads: 4, position: {kind: relative_bias}}
    layer_types: [near, far]
    types:
      near: {}
      far: {attention: {position: {max_distance: 30}}}
outputs: {logits: {from: decoder, head: lm}, label: {from: decoder, head: {kind: linear, out_features: 2}}}
sizes:
  large: {outputs: {label: {head: {out_features: 3}}}}
parametrization: {kind: mup, base: {dims: {width: 32}, outputs: {label: {head: {bias: true}}}}}
"""


def test_what_is_changed_needs_no_kind():
    composer.graph(CHANGED, size="large")

    assert problems(CHANGED) == []
    extending = "extends: base.yaml\noutputs: {label: {head: {out_features: 3}}}\n"
    assert problems(extending) == []


@pytest.mark.parametrize(
    ("found", "mistake"),
    [
        ("max_distance: 30", "max_distances: 30"),
        ("head: {out_features: 3}", "head: {outfeatures: 3}"),
        ("head: {out_features: 3}", "head: {kind: linaer, out_features: 3}"),
        ("head: {bias: true}", "head: {biases: true}"),
        ("kind: mup", "kind: mut"),
        ("head: {kind: linear, out_features: 2}", "head: {out_features: 2}"),
    ],
)
def test_a_mistake_in_what_is_changed_is_refused(found, mistake):
    assert CHANGED.count(found) == 1
    assert problems(CHANGED.replace(found, mistake)) != []


def test_a_spec_that_extends_another_may_leave_out_what_that_one_says():
    text = "extends: base.yaml\ndecoders: {decoder: {num_layers: 3, attention: {window: 4}}}\n"

    assert problems(text) == []
    assert problems(text.replace("window", "windows")) != []


def test_every_key_is_described():
    def undescribed(node: object, path: tuple[str, ...]):
        if isinstance(node, list):
            for item in node:
                yield from undescribed(item, path)
        elif isinstance(node, dict):
            if "additionalProperties" in node and "properties" in node:
                for key, body in node["properties"].items():
                    if not body.get("description"):
                        yield (*path, key)
            for key, value in node.items():
                yield from undescribed(value, (*path, key))

    assert list(undescribed(SCHEMA, ())) == []


@pytest.mark.parametrize("kind", kinds_for("module"))
def test_the_examples_of_a_kind_fit_and_an_unknown_option_does_not(kind):
    cls = KINDS[kind]
    ports = {port.name: "x" for port in cls.parsed.inputs[1:]}
    one = {"$ref": "#/definitions/module", "definitions": SCHEMA["definitions"]}
    validator = jsonschema.Draft7Validator(one)
    for example in cls.examples:
        module = {"kind": kind, "from": "x", **ports, **example}

        assert list(validator.iter_errors(module)) == []
        assert list(validator.iter_errors({**module, "no_such_option": "x"})) != []
