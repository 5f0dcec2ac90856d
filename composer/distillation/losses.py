"""How far a student is from its teacher: of scores, of states, and of the weights of attentions.

Each is a mean over the rows that are `real`, by default over all.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

Compare = Callable[[Tensor, Tensor, "Tensor | None"], Tensor]


def soft_targets(
    student: Tensor, teacher: Tensor, temperature: float, real: Tensor | None = None
) -> Tensor:
    """The divergence of the student's classes from the teacher's, both at a temperature.

    Scores are (..., classes), `real` is (...). KL(teacher || student) times the square of the
    temperature, so that gradients keep their size (Hinton et al., 2015, arXiv:1503.02531).
    """
    log_student = (_wide(student) / temperature).log_softmax(-1)
    log_teacher = (_wide(teacher) / temperature).log_softmax(-1)
    rows = F.kl_div(log_student, log_teacher, reduction="none", log_target=True).sum(-1)
    return _mean(rows, real) * temperature**2


def hard_targets(student: Tensor, targets: Tensor, ignored: int, smoothing: float = 0.0) -> Tensor:
    """Cross entropy of scores (..., classes) with targets (...); 0 where all are ignored."""
    rows, wanted = _wide(student).flatten(0, -2), targets.flatten()
    total = F.cross_entropy(
        rows, wanted, reduction="sum", ignore_index=ignored, label_smoothing=smoothing
    )
    return total / (wanted != ignored).sum().clamp_min(1)


def mse(student: Tensor, teacher: Tensor, real: Tensor | None = None) -> Tensor:
    """The mean squared difference of (..., width); rows that are `real` are (...)."""
    return _mean((_wide(student) - _wide(teacher)).square().mean(-1), real)


def cosine(student: Tensor, teacher: Tensor, real: Tensor | None = None) -> Tensor:
    """One less the cosine of the angle between states (DistilBERT, 2019, arXiv:1910.01108)."""
    return _mean(1 - F.cosine_similarity(_wide(student), _wide(teacher), dim=-1), real)


def kl(student: Tensor, teacher: Tensor, real: Tensor | None = None) -> Tensor:
    """KL(teacher || student) of probabilities, such as an attention's over the keys.

    What the teacher gives no weight costs nothing (MiniLM, 2020, arXiv:2002.10957).
    """
    own, other = _wide(student), _wide(teacher)
    log_own = own.clamp_min(torch.finfo(own.dtype).tiny).log()
    rows = (torch.special.xlogy(other, other) - other * log_own).sum(-1)
    return _mean(rows, real)


COMPARE: dict[Literal["mse", "cosine", "kl"], Compare] = {"mse": mse, "cosine": cosine, "kl": kl}
"""What compares two states, by its name in a spec."""


def _wide(tensor: Tensor) -> Tensor:
    """At least float32: half precision is too coarse for logarithms and sums."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


def _mean(rows: Tensor, real: Tensor | None) -> Tensor:
    """The mean of the rows that are real; 0 where none is."""
    if real is None:
        return rows.mean()
    return torch.where(real, rows, 0.0).sum() / real.sum().clamp_min(1)
