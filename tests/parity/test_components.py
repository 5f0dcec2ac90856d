"""Components against plain torch, numpy-style loops and complex numbers, in double precision."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch.testing import assert_close

from tests.conformance.checks import in_double, inputs_of, module_of, names, placed, randomize, run


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


def made(kind, **options):
    """A component in double precision with random weights, its inputs, and its result."""
    one = placed(kind, options)
    module = module_of(one).double().eval()
    randomize(module)
    inputs = in_double(inputs_of(one))
    return module, inputs, run(module, one, inputs)


def linear(module, x):
    return x @ module.weight.T + (0 if module.bias is None else module.bias)


def heads(module, x, count):
    """(batch, time, count * dim) -> (batch, count, time, dim)."""
    y = linear(module, x)
    return y.reshape(*y.shape[:2], count, -1).movedim(2, 1)


def attend(module, q, k, v, allowed, scale=None):
    """Each query by itself, over the keys that it may read; `allowed(i, j)` says which."""
    batch, count, time, dim = q.shape
    out = torch.zeros_like(q)
    for i in range(time):
        keys = [j for j in range(k.shape[2]) if allowed(i, j)]
        scores = (q[:, :, i, None] * k[:, :, keys]).sum(-1) * (
            dim**-0.5 if scale is None else scale
        )
        weights = scores.exp() / scores.exp().sum(-1, keepdim=True)
        out[:, :, i] = (weights[..., None] * v[:, :, keys]).sum(2)
    return linear(module.o, out.movedim(1, 2).reshape(batch, time, count * dim))


def everything(i, j):
    return True


def causal(i, j):
    return j <= i


# Attention


@pytest.mark.parametrize("groups", [4, 2, 1])
def test_grouped_query_attention_repeats_keys_and_values(groups):
    module, inputs, actual = made(
        "attention", num_heads=4, num_kv_heads=groups, head_dim=6, causal=True
    )
    x = inputs["x"]
    q, k, v = heads(module.q, x, 4), heads(module.k, x, groups), heads(module.v, x, groups)
    k, v = (t.repeat_interleave(4 // groups, dim=1) for t in (k, v))

    assert module.k.weight.shape == (groups * 6, 32)
    assert_close(actual, attend(module, q, k, v, causal))


@pytest.mark.parametrize("options", [{}, {"causal": True}])
@pytest.mark.parametrize("window", [1, 2, 4, 100])
def test_sliding_window_reads_what_is_near(window, options):
    module, inputs, actual = made("attention", num_heads=2, window=window, **options)
    q, k, v = (heads(part, inputs["x"], 2) for part in (module.q, module.k, module.v))

    def near(i, j):
        return i - window < j <= i if options else abs(i - j) <= window

    assert_close(actual, attend(module, q, k, v, near))


@pytest.mark.parametrize("theta", [10_000.0, 50.0])
def test_rotary_positions_are_complex_rotations(theta):
    module, inputs, actual = made(
        "attention", num_heads=4, position={"kind": "rope", "theta": theta}
    )
    x = inputs["x"]
    q, k, v = (heads(part, x, 4) for part in (module.q, module.k, module.v))

    def turned(t):
        half = t.shape[-1] // 2
        speeds = torch.tensor([theta ** (-i / half) for i in range(half)], dtype=torch.float64)
        angles = torch.arange(t.shape[2], dtype=torch.float64)[:, None] * speeds
        z = torch.complex(t[..., :half], t[..., half:]) * torch.exp(1j * angles)
        return torch.cat([z.real, z.imag], dim=-1)

    assert_close(actual, attend(module, turned(q), turned(k), v, everything))


def test_rotary_scores_depend_on_distance_alone():
    rotate, table = names()["rotate"], names()["RotaryEmbedding"](head_dim=8)
    q, k = torch.randn(8, dtype=torch.float64), torch.randn(8, dtype=torch.float64)
    rope = table(torch.zeros(1, 12, 4, dtype=torch.float64))
    turned = [rotate(t.expand(1, 1, 12, 8), rope)[0, 0] for t in (q, k)]
    scores = turned[0] @ turned[1].T

    for distance in range(-11, 12):
        diagonal = scores.diagonal(distance)
        assert_close(diagonal, diagonal[:1].expand_as(diagonal))
    assert not torch.allclose(scores.diagonal(1)[0], scores.diagonal(2)[0])


def test_query_and_key_norms_and_scale():
    module, inputs, actual = made(
        "attention", num_heads=2, qk_norm=True, qk_scale=0.25, causal=True
    )
    x = inputs["x"]
    q, k, v = (heads(part, x, 2) for part in (module.q, module.k, module.v))

    def normed(t, norm):
        return t / (t.square().mean(-1, keepdim=True) + 1e-6).sqrt() * norm.weight

    expected = attend(module, normed(q, module.q_norm), normed(k, module.k_norm), v, causal, 0.25)
    assert_close(actual, expected)


@pytest.mark.parametrize("options", [{}, {"num_kv_heads": 2, "bias": False}])
def test_cross_attention_reads_another_width(options):
    module, inputs, actual = made("cross_attention", num_heads=4, **options)
    x, memory = inputs["x"], inputs["memory"]
    groups = options.get("num_kv_heads", 4)
    k, v = (
        heads(part, memory, groups).repeat_interleave(4 // groups, 1)
        for part in (module.k, module.v)
    )

    assert_close(actual, attend(module, heads(module.q, x, 4), k, v, everything))


# Feed-forward


ACTIVATIONS = {
    "gelu": F.gelu,
    "gelu_tanh": lambda x: (
        0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
    ),
    "quick_gelu": lambda x: x / (1 + torch.exp(-1.702 * x)),
    "relu": lambda x: x.clamp(min=0),
    "relu_squared": lambda x: x.clamp(min=0) ** 2,
    "silu": lambda x: x / (1 + torch.exp(-x)),
    "tanh": torch.tanh,
    "sigmoid": lambda x: 1 / (1 + torch.exp(-x)),
    "elu": lambda x: torch.where(x > 0, x, x.exp() - 1),
}


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("kind", ["feed_forward", "glu"])
def test_feed_forward_and_its_activations(kind, activation):
    module, inputs, actual = made(kind, d_ff=40, activation=activation)
    x, act = inputs["x"], ACTIVATIONS[activation]
    hidden = (
        act(linear(module.up, x))
        if kind == "feed_forward"
        else act(linear(module.gate, x)) * linear(module.up, x)
    )

    assert_close(actual, linear(module.down, hidden))


# Convolution, norms, positions


@pytest.mark.parametrize("options", [{"kernel_size": 5}, {"kernel_size": 4, "causal": True}])
@pytest.mark.parametrize("masked", [True, False])
def test_convolution_step_by_step(options, masked):
    module, inputs, _ = made("conv", **options)
    x, size = inputs["x"], options["kernel_size"]
    mask = torch.ones(x.shape[:2], dtype=torch.bool)
    mask[1, 4:] = not masked
    first, second = linear(module.expand, x).chunk(2, dim=-1)
    y = first * second.sigmoid() * mask[..., None]
    before = size - 1 if options.get("causal") else size // 2
    mixed = torch.zeros_like(y)
    for t in range(x.shape[1]):
        mixed[:, t] = module.depthwise.bias
        for j in range(size):
            if 0 <= (at := t + j - before) < x.shape[1]:
                mixed[:, t] += y[:, at] * module.depthwise.weight[:, 0, j]
    centred = mixed - mixed.mean(-1, keepdim=True)
    normed = centred / (centred.square().mean(-1, keepdim=True) + 1e-5).sqrt()
    z = normed * module.norm.weight + module.norm.bias

    assert_close(module(x, mask=mask if masked else None), linear(module.contract, z * z.sigmoid()))


@pytest.mark.parametrize("eps", [1e-6, 0.5])
def test_norms(eps):
    module, inputs, actual = made("rmsnorm", eps=eps)
    x = inputs["x"]
    assert_close(actual, x / (x.square().mean(-1, keepdim=True) + eps).sqrt() * module.weight)

    module, inputs, actual = made("layernorm", eps=eps)
    x = inputs["x"]
    centred = x - x.mean(-1, keepdim=True)
    variance = centred.square().mean(-1, keepdim=True)
    assert_close(actual, centred / (variance + eps).sqrt() * module.weight + module.bias)


@pytest.mark.parametrize("theta", [10_000.0, 500.0])
def test_sinusoidal_positions_number_by_number(theta):
    _, inputs, actual = made("sinusoidal", theta=theta)
    expected = torch.tensor(
        [
            [(math.sin, math.cos)[i % 2](t / theta ** (i // 2 * 2 / 32)) for i in range(32)]
            for t in range(inputs["x"].shape[1])
        ],
        dtype=torch.float64,
    )

    assert_close(actual, expected)


# Combinations, heads, images


def test_combinations():
    module, inputs, actual = made("gated")
    xs = torch.stack(inputs["xs"])
    scores = linear(module.gate, torch.cat(inputs["xs"], -1)).chunk(3, dim=-1)
    gates = torch.stack(scores).exp() / torch.stack(scores).exp().sum(0)
    assert_close(actual, (gates * xs).sum(0))

    module, inputs, actual = made("weighted")
    shares = module.weight.exp() / module.weight.exp().sum()
    assert_close(actual, sum(share * x for share, x in zip(shares, inputs["xs"], strict=True)))

    module, inputs, actual = made("concat", d_model=16)
    assert_close(actual, linear(module.linear, torch.cat(inputs["xs"], -1)))

    module, inputs, actual = made("hierarchical")
    scores = torch.stack(
        [
            (linear(module.q, inputs["query"]) * linear(module.k, x)).sum(-1) / 32**0.5
            for x in inputs["xs"]
        ]
    )
    weights = scores.exp() / scores.exp().sum(0)
    expected = sum(
        w[..., None] * linear(module.v, x) for w, x in zip(weights, inputs["xs"], strict=True)
    )
    assert_close(actual, expected)


def test_heads():
    module, inputs, actual = made("lm", vocab_size=50, bias=True, scale=0.5, softcap=3)
    assert_close(actual, 3 * torch.tanh(linear(module.head, inputs["x"]) * 0.5 / 3))

    module, inputs, actual = made("classification", num_classes=5)
    assert_close(actual, linear(module.head, inputs["x"].mean(1)))

    module, inputs, actual = made("tanh")
    assert_close(actual, module.weight.tanh() * inputs["x"])


@pytest.mark.parametrize(("by", "expected"), [
    ("mean", lambda x: x.mean(0)), ("max", lambda x: x.max(0).values),
    ("first", lambda x: x[0]), ("last", lambda x: x[-1]),
])  # fmt: skip
def test_pools_leave_padding_out(by, expected):
    pool = names()["Pool"](by)
    x = torch.randn(3, 6, 4)
    mask = torch.ones(3, 6, dtype=torch.bool)
    mask[1, 4:] = mask[2, 1:] = False

    for given, lengths in ((None, (6, 6, 6)), (mask, (6, 4, 1))):
        rows = torch.stack([expected(row[:length]) for row, length in zip(x, lengths, strict=True)])
        assert_close(pool(x, mask=given), rows)


def test_patches_are_read_row_by_row():
    module, inputs, actual = made("patch", patch_size=4, d_model=24)
    image, weight = inputs["image"], module.patches.weight
    rows = [
        (weight * image[:, None, :, y : y + 4, x : x + 4]).sum((2, 3, 4)) + module.patches.bias
        for y in range(0, 16, 4)
        for x in range(0, 16, 4)
    ]

    assert_close(actual, torch.stack(rows, dim=1))


@pytest.mark.parametrize(("long", "short"), [(8, 4), (4, 8), (6, 9), (5, 5)])
def test_resampling_is_linear_between_the_middles_of_steps(long, short):
    x = torch.randn(2, long, 3, dtype=torch.float64)
    expected = torch.zeros(2, short, 3, dtype=torch.float64)
    for t in range(short):
        at = min(max((t + 0.5) * long / short - 0.5, 0), long - 1)
        low, part = int(at), at - int(at)
        expected[:, t] = x[:, low] * (1 - part) + x[:, min(low + 1, long - 1)] * part

    assert_close(names()["resample"](x, torch.zeros(2, short, 7)), expected)
