"""`quantize`: weights as whole numbers of few bits, through torchao."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from composer.language.quantize import QuantizeFields
from composer.nn import quantize as half

from . import aware
from .errors import compression_error
from .packing import pack, unpack
from .passes import Pass, Work

_BYTE = 8
_PARTS = {
    "numbers": "qdata",
    "scale": "scale",
    "zero": "zero_point",
    "inputs": "act_quant_scale",
}
"""What a quantized weight is in a file, by what torchao calls it."""


class Quantize(Pass):
    """Rounds weights; training that is aware of it rounds them in each forward pass."""

    def check(self, work: Work) -> None:
        """What torchao cannot do here, it is asked to do on a small map first."""
        check_torchao()
        options = _options(work)
        for path in work.compression.places:
            weight = work.linear(path).weight
            if type(weight.data) is not Tensor:
                raise compression_error("Q701", f"'{path}' is quantized already")
            if weight.is_meta:
                why = "the model is on the meta device, where it has no weights"
                raise compression_error("Q701", why, "model.to_empty(device='cpu')")
        aware.check(options)
        if options.how.calibrated and work.data is None:
            why = f"{options.scheme} needs data, for the scales of what linear maps read"
            raise compression_error("Q703", why, "--data FILE, or composer.compress(..., data=...)")
        if not options.how.calibrated:
            _check_scheme(options, work.linears()[0].weight)

    def apply(self, work: Work) -> None:
        """Rounds the weights."""
        aware.plain(work)
        options, linears = _options(work), work.linears()
        if not options.how.calibrated:
            _round(options, linears)
            return
        try:
            _round(options, linears, work.model, work.data)
        except ValueError as error:
            raise compression_error("Q703", f"{options.scheme}: {error}") from None

    def prepare(self, work: Work) -> None:
        """Rounded weights in each forward pass, and gradients as if they were not."""
        options = _options(work)
        if options.aware:
            check_torchao()
            aware.check(options)
            aware.prepare(work, options)

    def saved(self, work: Work) -> dict[str, Tensor]:
        """Numbers in as few bits as they have, with their scales."""
        found: dict[str, Tensor] = {}
        for path in work.compression.maps:
            weight: Any = work.linear(path).weight
            bits = _options(work).how.bits
            for name, part in _parts(weight).items():
                packed = name == "numbers" and part.dtype == torch.int8 and bits < _BYTE
                found[f"{path}.weight.{name}"] = pack(part, bits) if packed else part
        return found

    def restore(self, work: Work, read: Callable[[str], Tensor]) -> None:
        """Rounds what is there, for the form of it, and puts saved numbers into that."""
        check_torchao()
        options = _options(work)
        if options.how.calibrated:
            places = work.compression.places.items()
            scales = {work.linear(p): read(f"{first}.weight.inputs") for p, first in places}
            half.round_inputs(work.linears(), scales)
        else:
            _check_scheme(options, work.linears()[0].weight)
            _round(options, work.linears())
        for path in work.compression.maps:
            for name, part in _parts(work.linear(path).weight).items():
                full = f"{path}.weight.{name}"
                _fill(part, read(full), full, options.how.bits)


def _options(work: Work) -> QuantizeFields:
    options = work.compression.options
    assert isinstance(options, QuantizeFields), "the registry pairs options with their pass"
    return options


def _round(options: QuantizeFields, linears: list[nn.Linear], *reads: object) -> None:
    """Rounds the weights of linear maps, by the function that emitted source calls."""
    function: Callable[..., None] = getattr(half, options.function)
    function(linears, *reads, **options.arguments())


def _parts(weight: Any) -> dict[str, Tensor]:  # noqa: ANN401 - a tensor of torchao
    """What a quantized weight consists of, by its name in files."""
    found = {name: getattr(weight.data, theirs, None) for name, theirs in _PARTS.items()}
    return {name: part for name, part in found.items() if part is not None}


def _fill(part: Tensor, given: Tensor, name: str, bits: int) -> None:
    """Puts a part that was saved, packed or not, into a weight.

    Raises CompressionError where it is not like that of the weight.
    """
    count = -(-part.numel() * bits // _BYTE)
    if given.dtype == torch.uint8 and given.shape == (count,) and bits < _BYTE:
        given = unpack(given, bits, tuple(part.shape))
    if given.shape != part.shape or given.dtype != part.dtype:
        raise compression_error("Q704", f"'{name}' is no part of what this spec saves")
    part.copy_(given)


def check_torchao() -> None:
    """Raises CompressionError where torchao is not installed."""
    try:
        with _quiet():
            import torchao.quantization  # noqa: F401
    except ImportError:
        why = "quantization needs torchao, which is not installed"
        raise compression_error("Q702", why, "pip install 'graph-composer[quantize]'") from None


@contextmanager
def _quiet() -> Iterator[None]:
    """Silences what torchao logs when it is imported: kernels of other machines do not load."""
    loggers = [logging.getLogger(name) for name in ("torchao", "torch.utils._pytree")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _check_scheme(options: QuantizeFields, like: Tensor) -> None:
    """Raises CompressionError where this machine cannot compute with a scheme's weights."""
    read = 128 if options.group == "row" else 4 * options.group
    linear = nn.Linear(read, 64, device=like.device, dtype=like.dtype)
    try:
        _round(options, [linear])
        with torch.no_grad():
            linear(torch.ones(32, read, device=like.device, dtype=like.dtype))
    except Exception as error:  # noqa: BLE001 - a kernel that is not there can fail in any way
        said = str(error).strip().splitlines() or [type(error).__name__]
        why = (
            f"{options.scheme} cannot be computed on {like.device.type} in {like.dtype}: {said[0]}"
        )
        fix = f"scheme: int{options.how.bits}_group" if options.how.bits < _BYTE else None
        raise compression_error("Q702", why, fix) from None
