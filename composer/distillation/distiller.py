"""A student beside its teacher: what a batch costs, for any loop."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from typing_extensions import Self

from composer.graph.distilling import Pairing
from composer.graph.matching import Match, Padding
from composer.language.spec import ModelSpec
from composer.targets.module import build_module
from composer.training.data import IGNORED
from composer.weights import load_into

from .losses import COMPARE, hard_targets, soft_targets

Outputs = Any
"""What a model returns: a named tuple of its own."""


class Losses(NamedTuple):
    """What a batch costs: the weighted sum, and its parts before they are weighted."""

    total: Tensor
    parts: dict[str, Tensor]


class Distiller(nn.Module):
    """A student, its teacher, and learned maps between states of different widths.

    The teacher is frozen and in evaluation mode always. `student` returns what is compared as
    further outputs; its parameters have the names of the spec.
    """

    def __init__(
        self, spec: ModelSpec, pairing: Pairing, student: nn.Module, teacher: nn.Module,
        *, seed: int = 0,
    ) -> None:  # fmt: skip
        super().__init__()
        assert spec.distill is not None, "only what has a teacher is distilled"
        self.spec, self.distill, self.pairing = spec, spec.distill, pairing
        self.student, self.teacher = student, teacher.requires_grad_(requires_grad=False)
        widths = {match.student: match.widths for match in pairing.matches if match.widths}
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.projections = nn.ModuleDict({name: nn.Linear(*w) for name, w in widths.items()})
        self._read = {one.name for one in pairing.teacher.inputs}
        self.train()

    def train(self, mode: bool = True) -> Self:  # noqa: FBT002 - as torch declares it
        """Sets the mode of the student; the teacher stays as it is."""
        super().train(mode)
        self.teacher.eval()
        return self

    def forward(self, inputs: Mapping[str, Tensor], targets: Tensor | None = None) -> Losses:
        """What a batch costs: its inputs by name, and the right classes where they are known.

        Targets are those of the scores without the classes' axis; -100 is none.
        """
        return self.compare(self.student(**inputs), self.taught(inputs), inputs, targets)

    @torch.no_grad()
    def taught(self, inputs: Mapping[str, Tensor]) -> Outputs:
        """The outputs of the teacher."""
        known = {n: x for n, x in inputs.items() if n.removesuffix("_mask") in self._read}
        return self.teacher(**known)

    def compare(
        self, outputs: Outputs, taught: Outputs, inputs: Mapping[str, Tensor],
        targets: Tensor | None = None, *, smoothing: float = 0.0,
    ) -> Losses:  # fmt: skip
        """What the outputs of both cost."""
        parts: dict[str, Tensor] = {}
        weights: dict[str, float] = {}
        scores, real = self.pairing.scores, self.rows(inputs, targets)
        if scores is not None and self.distill.soft is not None:
            pair = getattr(outputs, scores.student), getattr(taught, scores.teacher)
            parts["soft"] = soft_targets(*pair, self.distill.temperature, real)
            weights["soft"] = self.distill.soft
        if scores is not None and self.distill.hard is not None and targets is not None:
            own = getattr(outputs, scores.student)
            parts["hard"] = hard_targets(own, targets, IGNORED, smoothing)
            weights["hard"] = self.distill.hard
        for match in self.pairing.matches:
            steps = real if match.scored else unpadded(match.padding, inputs)
            parts[match.student] = self._apart(match, outputs, taught, steps)
            weights[match.student] = match.weight
        assert parts, "a loss of targets alone wants targets"
        total = torch.stack([weights[name] * part for name, part in parts.items()]).sum()
        return Losses(total, parts)

    def rows(self, inputs: Mapping[str, Tensor], targets: Tensor | None) -> Tensor | None:
        """Which scores are compared, as the targets are shaped; None for all.

        Padded steps are not. Steps without a target are not, unless their example has no target
        at all: then it is one that nobody has labelled, and the teacher alone says what is right.
        """
        scores = self.pairing.scores
        real = None if scores is None else unpadded(scores.padding, inputs)
        if targets is None or targets.dim() == 1:
            return real
        known = targets != IGNORED
        known = known | ~known.any(-1, keepdim=True)
        return known if real is None else known & real

    def plain(self) -> nn.Module:
        """The student alone, as `composer.build` makes it."""
        model = build_module(self.pairing.plain)
        state = self.student.state_dict()
        load_into(model, {name: state[name] for name in self.pairing.plain.state})
        return model

    def _apart(
        self, match: Match, outputs: Outputs, taught: Outputs, real: Tensor | None
    ) -> Tensor:
        """How far two states are from each other, at the real steps (batch, steps)."""
        own, other = getattr(outputs, match.student), getattr(taught, match.teacher)
        if match.widths:
            own = self.projections[match.student](own)
        if real is not None:  # of weights of attentions: heads stand between batch and steps
            shape = (*real.shape[:1], *([1] * (own.dim() - 3)), *real.shape[1:])
            real = real.view(shape).expand(own.shape[:-1])
        return COMPARE[match.loss](own, other, real)


def unpadded(padding: Padding | None, inputs: Mapping[str, Tensor]) -> Tensor | None:
    """Which steps of an input (batch, time) are real; None for all."""
    if padding is None:
        return None
    if padding.token is not None:
        return inputs[padding.input] != padding.token
    return inputs.get(f"{padding.input}_mask")
