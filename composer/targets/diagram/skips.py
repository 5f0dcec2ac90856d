"""Skips: an earlier state, a chip on its way, and the circle in which it meets a later one."""

from __future__ import annotations

from dataclasses import dataclass

from composer.graph.graph import Skip, Stack, State

from . import words
from .scene import LayerPlace, Scene, Spot
from .sheet import Attributes


def draw_skips(scene: Scene) -> None:
    """Every skip; layers that are drawn as one have one line."""
    for stack in scene.graph.stacks:
        for layer in scene.places[stack.name].layers:
            for index, circle in enumerate(layer.skips):
                _SkipLine(scene, stack, layer, index, circle).draw()


@dataclass(frozen=True)
class _SkipLine:
    """The line of one skip, which ends in a circle at the foot of a layer."""

    scene: Scene
    stack: Stack
    layer: LayerPlace
    index: int
    circle: str

    @property
    def skip(self) -> Skip:
        """The skip of a layer."""
        return self.layer.fold.kind.skips[self.index]

    @property
    def states(self) -> tuple[State, ...]:
        """What each of the layers reads."""
        return self.layer.fold.skips[self.index]

    def draw(self) -> None:
        """The line with its chip."""
        scene, source = self.scene, self.states[0].part
        place = scene.places[source]
        chip = scene.pen.chip(f"{self.circle} <- {source}", "skip", *self._text())
        column = scene.places[self.stack.name].column
        scene.put_beside(chip, column, below=place.column.down)
        head, tail = self._head(), place.tail(self.states[0])
        if source == self.stack.name:
            side = "n" if scene.pen.right else "w"  # opposite to the residuals
            self._line(f"{tail}:{side}", chip)
            self._line(chip, f"{head}:{side}")
            return
        scene.pen.sheet.row(*dict.fromkeys((tail, chip, head, self.circle)))
        self._line(tail, chip, {"ltail": place.block} if place.block else {})
        self._line(chip, head)

    def _line(self, tail: str, head: str, clip: Attributes | None = None) -> None:
        self.scene.pen.kinds.setdefault("skip", self.skip.combine.component.kind)
        self.scene.pen.line("skip", tail, head, clip)

    def _text(self) -> list[str]:
        """From which layers to which, and the shape of what is carried."""
        read = [state.layer for state in self.states if state.layer is not None]
        rule = words.pairs(list(zip(read, self.layer.fold.numbers, strict=True)))
        value = self.scene.graph.values[State(self.states[0].part)]
        return [rule, self.scene.shape(value.shape), *(["resampled"] if self.skip.resample else [])]

    def _head(self) -> str:
        """The circle, or the linear map before it."""
        project = self.skip.project
        if project is None or self.scene.view.depth_of(self.stack.name) == 0:
            return self.circle
        path = f"{self.stack.name}.layers.*.{project.name}"
        box = self.scene.component(Spot(f"{self.circle}.project", path, None), project)
        self._line(box, self.circle)
        return box
