"""`train`: how a model is trained. On which data, the command line or the caller says."""

from __future__ import annotations

from collections.abc import Mapping as AnyMapping
from typing import Annotated, Literal

from pydantic import Field

from composer.components.options import Natural, Number, Positive, PositiveNumber, Probability
from composer.diagnostics import Problems

from .document import Mapping, get, value_span
from .fields import Fields
from .validate import validate

Task = Literal["language_modeling", "sequence_to_sequence", "classification"]
Share = Annotated[Number, Field(ge=0, le=1)]


class TrainFields(Fields):
    """How a model is trained. A step is one update of the parameters."""

    task: Task | None = Field(
        default=None, description="What it learns. Default: what its inputs and outputs fit."
    )
    steps: Positive = Field(default=1000, description="Number of updates.")
    batch_size: Positive = Field(default=32, description="Examples that are computed at once.")
    accumulate: Positive = Field(
        default=1, description="Batches for one update; their gradients are added up."
    )
    length: Positive = Field(default=256, description="Tokens of an example, at most.")
    lr: PositiveNumber = Field(default=3e-4, description="Learning rate after the warmup.")
    warmup: Natural = Field(default=0, description="Steps in which the rate rises from zero.")
    schedule: Literal["cosine", "linear", "constant"] = Field(
        default="cosine", description="How the rate falls after the warmup, until the last step."
    )
    final_lr: Share = Field(default=0.1, description="Rate at the last step, as a share of `lr`.")
    betas: list[Probability] = Field(
        default=[0.9, 0.95],
        description="Decay of AdamW's two averages.",
        min_length=2,
        max_length=2,
    )
    eps: PositiveNumber = Field(default=1e-8, description="AdamW's epsilon.")
    weight_decay: Probability = Field(default=0.1, description="Decay of matrices and embeddings.")
    clip: PositiveNumber | None = Field(
        default=1.0, description="Norm that gradients are cut to; null for none."
    )
    label_smoothing: Probability = Field(
        default=0.0, description="Share of the target that goes to all classes alike."
    )
    precision: Literal["float32", "bfloat16", "float16"] = Field(
        default="float32",
        description="bfloat16 and float16 compute under autocast, the latter with losses that are "
        "scaled; parameters stay float32.",
    )
    matmul_precision: Literal["highest", "high", "medium"] = Field(
        default="highest",
        description="How exact products of float32 are: high takes TensorFloat32 or three of "
        "bfloat16, medium one of bfloat16, where the device has them.",
    )
    compile: bool = Field(default=False, description="Whether torch.compile is used.")
    seed: Natural = Field(default=0, description="Of the start, of the order and of dropout.")
    log_every: Positive = Field(default=10, description="Steps between two lines of the log.")
    eval_every: Positive = Field(default=200, description="Steps between two evaluations.")
    eval_batches: Positive | None = Field(
        default=None, description="Batches of an evaluation, at most. Default: all."
    )
    checkpoint_every: Positive = Field(default=200, description="Steps between two checkpoints.")
    keep: Positive = Field(default=2, description="Newest checkpoints that are kept.")


def train_in(tree: Mapping, dims: AnyMapping[str, float], problems: Problems) -> TrainFields | None:
    """How a spec says that its model is trained; what is wrong is added to the problems."""
    section = get(tree, ("train",))
    if section is None:
        return None
    fields = validate(TrainFields, section, problems, where="'train'", dims=dims)
    if fields is not None and isinstance(section, Mapping):
        _check_warmup(fields, section, problems)
    return fields


def _check_warmup(fields: TrainFields, section: Mapping, problems: Problems) -> None:
    if fields.warmup >= fields.steps and "warmup" in section.entries:
        problems.add(
            "C115",
            f"a warmup of {fields.warmup} of {fields.steps} steps never reaches the rate",
            value_span(section, ("warmup",)),
            fix=f"warmup: {fields.steps // 10}",
        )
