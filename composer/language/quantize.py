"""`quantize`: weights, and with some schemes what they multiply, as whole numbers of few bits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from pydantic import Field

from composer.components.options import Positive

from .pass_fields import PassFields

SchemeName = Literal[
    "int8_dynamic", "int8_static", "int8_weight", "int4_weight", "int4_group", "int3_group",
    "int2_group",
]  # fmt: skip

SCALE_BYTES = 4  # scales are fp32


@dataclass(frozen=True)
class Scheme:
    """How weights are stored: `bits` of each number, and one scale a row or a group of a row.

    `zero` are bytes of a zero point beside each scale, `inputs` of what is known of a map's inputs.
    """

    bits: int
    grouped: bool = False
    zero: int = 1
    inputs: int = 0
    calibrated: bool = False


SCHEMES: dict[SchemeName, Scheme] = {
    "int8_dynamic": Scheme(8),
    "int8_static": Scheme(8, inputs=SCALE_BYTES + 1, calibrated=True),
    "int8_weight": Scheme(8),
    "int4_weight": Scheme(4, grouped=True),
    "int4_group": Scheme(4, grouped=True),
    "int3_group": Scheme(3, grouped=True),
    "int2_group": Scheme(2, grouped=True),
}
"""Every scheme."""


class QuantizeFields(PassFields):
    """Rounds weights to whole numbers times a scale: r = S (q - Z) (Jacob et al., 2018)."""

    kind: ClassVar[str] = "quantize"
    done: ClassVar[str] = "quantized"
    last: ClassVar[bool] = True

    scheme: SchemeName = Field(
        description="int8_dynamic rounds inputs as they come, int8_static with scales of "
        "calibration data, the others weights alone; int4_weight computes in four bits, the "
        "groups store few bits and compute in floats."
    )
    group: Positive = Field(
        default=32,
        description="Numbers of a row that have one scale, for schemes of four bits or fewer.",
    )
    aware: bool = Field(
        default=False, description="Whether training computes with rounded weights."
    )

    @property
    def how(self) -> Scheme:
        """How its weights are stored."""
        return SCHEMES[self.scheme]

    @property
    def mark(self) -> str:
        """The bits of a weight: `int8`."""
        return f"int{self.how.bits}"

    def obstacle(self, shape: tuple[int, ...]) -> str | None:
        """Groups must fill the rows."""
        _, read = shape
        if self.how.grouped and read % self.group:
            return f"its {read} inputs are no whole number of groups of {self.group}"
        return None

    def weight_bytes(self, shape: tuple[int, ...]) -> int:
        """Numbers packed into whole bytes, then a scale and a zero point for each row or group."""
        width, read = shape
        groups = width * (read // self.group if self.how.grouped else 1)
        numbers = -(-width * read * self.how.bits // 8)
        return numbers + groups * (SCALE_BYTES + self.how.zero) + self.how.inputs
