"""Specs made at random: every seed gives one, the same each time."""

from __future__ import annotations

import random
from typing import Any

Mapping = dict[str, Any]


def spec(seed: int) -> Mapping:
    """A decoder, an encoder, or both, with options of every sort."""
    chance = random.Random(seed)
    shape = chance.choice(["decoder", "encoder", "both", "features", "skips"])
    made = {
        "decoder": _decoder, "encoder": _encoder, "both": _both, "features": _features,
        "skips": _skips,
    }[shape](chance)  # fmt: skip
    return {"composer": 1, "name": f"generated-{seed}", **made}


def _decoder(chance: random.Random) -> Mapping:
    stack = _stack(chance)
    made: Mapping = {
        "inputs": {"tokens": _tokens(chance)},
        "decoders": {"decoder": {"from": "tokens", **stack}},
        "outputs": {"logits": {"from": "decoder", "head": "lm"}},
    }
    shared: list[Any] = []
    if chance.random() < 0.4:
        shared.append(["decoder.embed.tokens", "logits.head"])
    if chance.random() < 0.3 and stack["num_layers"] > 1:
        shared.append({"within": "decoder.layers", "every": stack["num_layers"]})
    return {**made, **({"connections": [{"shared": one} for one in shared]} if shared else {})}


def _encoder(chance: random.Random) -> Mapping:
    head = {"kind": "classification", "num_classes": 5, "pool": chance.choice(["mean", "max"])}
    return {
        "inputs": {"tokens": _tokens(chance)},
        "encoders": {"encoder": {"from": "tokens", **_stack(chance)}},
        "outputs": {"classes": {"from": "encoder", "head": head}},
    }


def _both(chance: random.Random) -> Mapping:
    cross: Mapping = {"from": "encoder", "to": "decoder"}
    encoder, decoder = _stack(chance), _stack(chance)
    if chance.random() < 0.5 and decoder["num_layers"] == 4:
        cross["layers"] = "every 2"
    elif chance.random() < 0.5:
        cross["read"] = "weighted"
    if chance.random() < 0.3:
        cross["gate"] = "tanh"
    return {
        "inputs": {"source": _tokens(chance), "target": _tokens(chance)},
        "encoders": {"encoder": {"from": "source", **encoder}},
        "decoders": {"decoder": {"from": "target", **decoder}},
        "connections": [{"cross": cross}],
        "outputs": {"logits": {"from": "decoder", "head": "lm"}},
    }


def _features(chance: random.Random) -> Mapping:
    stack = _stack(chance)
    inputs = {"frames": {"kind": "features", "width": stack["d_model"]}}
    return {
        "inputs": inputs,
        "encoders": {"encoder": {"from": "frames", **stack}},
        "outputs": {"states": {"from": "encoder"}},
    }


def _skips(chance: random.Random) -> Mapping:
    down, up = _stack(chance), _stack(chance)
    up["num_layers"] = down["num_layers"]
    combine = chance.choice(["add", "concat", "gated", "weighted", "mean"])
    skip = {"from": "down", "to": "up", "pairs": "mirror", "combine": combine}
    up["d_model"] = down["d_model"]
    return {
        "inputs": {"frames": {"kind": "features", "width": down["d_model"]}},
        "encoders": {"down": {"from": "frames", **down}, "up": {"from": "down", **up}},
        "connections": [{"skip": skip}],
        "outputs": {"states": {"from": "up"}},
    }


def _tokens(chance: random.Random) -> Mapping:
    padding = chance.choice([{}, {"padding": "mask"}, {"padding": 0}])
    return {"kind": "tokens", "vocab_size": chance.choice([11, 29]), **padding}


def _stack(chance: random.Random) -> Mapping:
    norm: Mapping = {"kind": chance.choice(["layernorm", "rmsnorm"])}
    norm["placement"] = chance.choice(["pre", "post", "sandwich"])
    stack: Mapping = {
        "d_model": chance.choice([16, 24, 32]),
        "num_layers": chance.choice([1, 2, 4]),
        "norm": norm,
        "attention": _attention(chance),
        "feed_forward": _feed_forward(chance),
        "dropout": chance.choice([0.0, 0.0, 0.1]),
    }
    if chance.random() < 0.2:
        stack["layer"] = [{"parallel": ["attention", "feed_forward"]}]
    return stack


def _attention(chance: random.Random) -> Mapping:
    heads = chance.choice([2, 4])
    made: Mapping = {"num_heads": heads, "num_kv_heads": chance.choice([1, heads // 2, heads])}
    made["bias"] = chance.choice([True, False, ["q", "v"]])
    if chance.random() < 0.4:
        made["head_dim"] = 6
    if chance.random() < 0.3:
        made["qk_norm"] = True
    if chance.random() < 0.3:
        made["window"] = 5
    if chance.random() < 0.2:
        made["softcap"] = 20.0
    if chance.random() < 0.2:
        made["sinks"] = True
    made["position"] = chance.choice(["none", "rope", "alibi"])
    return made


def _feed_forward(chance: random.Random) -> Mapping:
    kind = chance.choice(["feed_forward", "glu", "glu", "moe"])
    if kind == "moe":
        return {"kind": kind, "num_experts": 4, "experts_per_token": 2, "d_ff": 12}
    made: Mapping = {"kind": kind, "d_ff": chance.choice([20, 44])}
    made["bias"] = chance.choice([True, False])
    made["activation"] = chance.choice(["gelu", "gelu_tanh", "silu", "relu", "quick_gelu"])
    return made
