"""Some of the steps of a sequence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field
from typing_extensions import Self

from composer.shapes import Axes, Shape, Size

from .component import Component, Inputs, Label, OptionError, Role
from .options import Natural, Positive


class Slice(Component):
    """The steps from `start` to before `stop`, e.g. patches without the class token."""

    kind: Literal["slice"] = "slice"
    role: ClassVar[Role] = "operator"
    signature: ClassVar[str] = "x[batch time d_model] -> [batch steps d_model]"
    examples: ClassVar[tuple[Mapping[str, Any], ...]] = (
        {"start": 1},
        {"start": 1, "stop": 2},
        {"stop": 4},
    )

    start: Natural = Field(default=0, description="The first step.")
    stop: Positive | None = Field(
        default=None, description="The step after the last one. Default: the end."
    )

    def infer(
        self, inputs: Inputs, place: Mapping[str, Any]
    ) -> tuple[Self, Axes, dict[str, Shape]]:
        axes = self.parsed.bind(inputs)  # type: ignore[arg-type]  # one port
        time, stop = axes["time"], self.stop
        if stop is not None and not isinstance(time, int):
            message = f"a stop needs a sequence of known length, and '{time}' is not a number"
            raise OptionError("stop", message, "leave out stop")
        if isinstance(time, int) and stop is not None and stop > time:
            message = f"stop {stop} is past the end of {time} steps"
            raise OptionError("stop", message, f"stop: {time}")
        end: Size = time if stop is None else stop
        if isinstance(end, int) and self.start >= end:
            message = f"no step is left from start {self.start} to before {end}"
            raise OptionError("start", message, f"start: {end - 1}")
        steps = end - self.start
        return self, Axes({**axes, "steps": steps}), {"": (axes["batch"], steps, axes["d_model"])}

    def expression(self, inputs: Mapping[str, Any], axes: Axes) -> str | None:
        start = self.start or ""
        stop = "" if self.stop is None else self.stop
        return f"{inputs['x']}[:, {start}:{stop}]"

    def label(self, axes: Axes) -> Label:
        return Label("Slice", f"steps {self.start} to {'end' if self.stop is None else self.stop}")
