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


@dataclass(frozen=True)
class Scheme:
    """How weights are stored: `bits` of each number, and one scale a row or a group of a row.

    `scale` are bytes of each scale with its zero point, `inputs` those of the scale of a map's
    inputs, which calibration finds.
    """

    bits: int
    grouped: bool = False
    scale: int = 5
    inputs: int = 0

    @property
    def calibrated(self) -> bool:
        """Whether it needs data."""
        return self.inputs > 0


SCHEMES: dict[SchemeName, Scheme] = {
    "int8_dynamic": Scheme(8),
    "int8_static": Scheme(8, inputs=4),
    "int8_weight": Scheme(8),
    "int4_weight": Scheme(4, grouped=True, scale=4),
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
    group: Positive | Literal["row"] = Field(
        default=32,
        description="Numbers of a row that have one scale, or row for all of them; for schemes of "
        "four bits or fewer.",
    )
    aware: bool = Field(
        default=False, description="Whether training computes with rounded weights."
    )

    @property
    def how(self) -> Scheme:
        """How its weights are stored."""
        return SCHEMES[self.scheme]

    @property
    def function(self) -> str:
        """One function for each kind of weights."""
        if not self.scheme.endswith("_group"):
            return f"quantize_{self.scheme}"
        return "quantize_row" if self.group == "row" else "quantize_group"

    @property
    def reads(self) -> tuple[str, ...]:
        """Calibration runs the model on data."""
        return ("model", "batches") if self.how.calibrated else ()

    def groups(self, read: int) -> int:
        """How many scales a row of `read` numbers has."""
        return read // self.group if self.how.grouped and self.group != "row" else 1

    def arguments(self) -> dict[str, int | float | str]:
        """Bits and groups, where the function does not know them."""
        bits = {"bits": self.how.bits} if self.scheme.endswith("_group") else {}
        groups = self.how.grouped and self.group != "row"
        return {**bits, **({"group": self.group} if groups else {})}

    @property
    def mark(self) -> str:
        """The bits of a weight: `int8`."""
        return f"int{self.how.bits}"

    def obstacle(self, shape: tuple[int, ...]) -> str | None:
        """Groups must fill the rows."""
        _, read = shape
        if self.scheme == "int4_weight" and self.group == "row":
            return "its kernels want groups of a row; int4_group does not"
        if self.how.grouped and self.group != "row" and read % self.group:
            return f"its {read} inputs are no whole number of groups of {self.group}"
        return None

    def weight_bytes(self, shape: tuple[int, ...]) -> int:
        """Numbers packed into whole bytes, then a scale and a zero point for each row or group."""
        width, read = shape
        groups = width * self.groups(read)
        numbers = -(-width * read * self.how.bits // 8)
        return numbers + groups * self.how.scale + self.how.inputs
