"""Small models that share parameters in every way, and a loop to train them with."""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_LM = """\
composer: 1
name: lm
inputs: {tokens: {kind: tokens, vocab_size: 51}}
decoders:
  decoder:
    {from: tokens, d_model: 16, num_layers: 3, norm: rmsnorm,
     attention: {num_heads: 4, num_kv_heads: 2, qk_norm: true, position: {kind: rope}},
     feed_forward: {kind: glu, d_ff: 24}}
outputs: {logits: {from: decoder, head: lm}}
"""
_PAIR = """\
composer: 1
name: pair
defaults: {d_model: 16, num_layers: 2, attention: {num_heads: 4}}
inputs: {source: {kind: tokens, vocab_size: 40}, target: {kind: tokens, vocab_size: 40}}
encoders: {encoder: {from: source, embed: {position: sinusoidal}}}
decoders: {decoder: {from: target, embed: {position: {kind: learned, max_length: 32}}}}
connections:
  - cross: {from: encoder, to: decoder}
"""
SPECS = {
    "plain": _LM,
    "tied": _LM + "connections: [{shared: [decoder.embed.tokens, logits.head]}]\n",
    "one_layer": _LM + "connections: [{shared: {within: decoder.layers, every: all}}]\n",
    "one_feed_forward": _LM
    + "connections: [{shared: {within: decoder.layers.*.feed_forward, every: all}}]\n",
    "biased": _LM.replace("qk_norm: true, position: {kind: rope}", "position: relative_bias"),
    "pair": _PAIR
    + "  - shared: [encoder.embed.tokens, decoder.embed.tokens, logits.head]\n"
    + "outputs: {logits: {from: decoder, head: lm}}\n",
    "two_stacks": _PAIR
    + "  - shared: [encoder.layers, decoder.layers]\n"
    + "outputs: {logits: {from: decoder, head: {kind: lm, bias: true}}}\n",
}

STEPS, BATCH = 5, 8


def batches(name: str) -> Iterator[tuple[dict[str, Tensor], Tensor]]:
    """One random batch, again and again, so that it is learned; its 9 steps do not divide by 2."""
    random = torch.Generator().manual_seed(1)
    pair = name in {"pair", "two_stacks"}
    ids = torch.randint(0, 40, (BATCH, 16), generator=random)
    inputs = {"source": ids[:, 9:], "target": ids[:, :9]} if pair else {"tokens": ids[:, :9]}
    for _ in range(STEPS):
        yield inputs, ids[:, :9].contiguous()


def losses(model: nn.Module, name: str, share: tuple[int, int] = (0, 1)) -> list[Tensor]:
    """Losses of a share of each batch while AdamW trains the model."""
    from composer.parallel.ranks import alike

    groups = alike([{"params": list(model.parameters())}])
    optimizer = torch.optim.AdamW(groups, lr=2e-2)
    found = []
    for inputs, targets in batches(name):
        each = len(targets) // share[1]
        part = slice(share[0] * each, (share[0] + 1) * each)
        scores = model(**{key: value[part] for key, value in inputs.items()}).logits
        loss = F.cross_entropy(scores.flatten(0, 1), targets[part].flatten())
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        found.append(loss.detach())
    return found
