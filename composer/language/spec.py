"""A checked spec: every name, option and component as written, with the place it was written at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from composer.components.component import Component
from composer.diagnostics import Span

from .document import Tree, key_span, value_span
from .freeze import FreezeSpec
from .parallel import Parallelism
from .pass_fields import PassFields
from .paths import Chosen
from .train import TrainFields
from .weights import WeightMap

Placement = Literal["pre", "post", "sandwich", "branch"]
ParametrizationKind = Literal["mup", "completep"]


@dataclass(frozen=True)
class Written:
    """A component and the tree that it was read from, for the places of its options."""

    component: Component
    tree: Tree

    def option(self, name: str) -> Span:
        """The place of an option's value, or of the whole where it was left out."""
        return value_span(self.tree, (name,))


@dataclass(frozen=True)
class InputSpec:
    """What comes in."""

    name: str
    made: Written
    span: Span


@dataclass(frozen=True)
class Wiring:
    """How a branch is wired into its layer."""

    norm: Written | None
    placement: Placement
    scale: float = 1.0
    gate: Written | None = None
    residual: bool = True


@dataclass(frozen=True)
class BranchSpec:
    """A branch of a layer: one component, or several side by side.

    `made` is None where a cross connection must first say what is attended to.
    """

    name: str
    made: Written | None
    wiring: Wiring
    span: Span
    branches: tuple[BranchSpec, ...] = ()
    combine: Written | None = None
    norms: Literal["shared", "each"] = "shared"


@dataclass(frozen=True)
class LayerSpec:
    """The branches of a layer of one type, their usual wiring, and the cross-attention it would have."""

    branches: tuple[BranchSpec, ...]
    wiring: Wiring
    cross_attention: Written | None
    cross_wiring: Wiring
    dropout: float


@dataclass(frozen=True)
class StackSpec:
    """A stack of layers."""

    name: str
    role: Literal["encoder", "decoder"]
    source: str
    d_model: int
    num_layers: int
    embed: Written | None
    norm: Written | None
    placement: Placement
    dropout: float
    final_norm: Written | None
    layer_types: tuple[str, ...]
    types: Mapping[str, LayerSpec]
    tree: Tree
    span: Span


@dataclass(frozen=True)
class ModuleSpec:
    """A component on its own, and what each of its ports reads."""

    name: str
    made: Written
    sources: Mapping[str, tuple[str, ...]]
    mask: Literal["keep", "drop"]
    tree: Tree
    span: Span


@dataclass(frozen=True)
class CrossSpec:
    """Attention from stacks into one."""

    sources: tuple[str, ...]
    to: str
    layers: str | tuple[int, ...]
    gate: Written | None
    combine: Literal["serial", "parallel", "flat", "hierarchical", "gated"]
    read: Literal["last", "weighted"]
    causal: bool
    tree: Tree


@dataclass(frozen=True)
class SharedSpec:
    """Several paths with one set of parameters, or the layers of one stack."""

    paths: tuple[str, ...]
    within: str | None
    every: int | Literal["all"] | None
    tree: Tree


@dataclass(frozen=True)
class SkipSpec:
    """An earlier state that reaches a later layer."""

    source: str
    to: str
    pairs: Literal["mirror", "aligned"] | tuple[tuple[int, int], ...] | None
    combine: Written
    tree: Tree


@dataclass(frozen=True)
class ParallelSpec:
    """Stacks side by side."""

    stacks: tuple[str, ...]
    exchange: Literal["cross"] | None
    direction: tuple[str, str] | None
    causal: bool
    combine: Written | None
    output: str | None
    tree: Tree


ConnectionSpec = CrossSpec | SharedSpec | SkipSpec | ParallelSpec


@dataclass(frozen=True)
class AdaptSpec:
    """An adapter, and what it changes."""

    made: Written
    name: str
    chosen: Chosen
    slot: str
    span: Span


@dataclass(frozen=True)
class CompressSpec:
    """A pass that makes a model smaller, its options, and the linear maps that it is for."""

    options: PassFields
    chosen: Chosen
    tree: Tree
    span: Span


@dataclass(frozen=True)
class OutputSpec:
    """Something that a model returns."""

    name: str
    source: str
    head: Written | None
    tree: Tree
    span: Span


@dataclass(frozen=True)
class ParametrizationSpec:
    """How starts, factors and learning rates follow the sizes; `base` is what they start from."""

    kind: ParametrizationKind
    base: ModelSpec
    span: Span


@dataclass(frozen=True)
class Named:
    """A name, and where it was written."""

    text: str
    span: Span = field(compare=False)


@dataclass(frozen=True)
class MatchSpec:
    """A state or weights of an attention that the student is to make like the teacher's."""

    teacher: Named
    student: Named
    loss: Literal["mse", "cosine", "kl"] | None
    project: bool
    weight: float
    span: Span


@dataclass(frozen=True)
class StartSpec:
    """A path of the student, and the path of the teacher whose tensors it starts with.

    Of the layers of a stack, there is one of the teacher for each.
    """

    student: Named
    teacher: Named | tuple[Named, ...]


@dataclass(frozen=True)
class DistillSpec:
    """A teacher, and what is learned from it; `soft` and `hard` are weights, None for not at all.

    `teacher_output` and `student_output` are the scores that are compared, where it is said which.
    """

    teacher: ModelSpec
    weights: Path | None
    temperature: float
    soft: float | None
    hard: float | None
    teacher_output: Named | None
    student_output: Named | None
    matches: tuple[MatchSpec, ...]
    starts: tuple[StartSpec, ...]
    span: Span


@dataclass(frozen=True)
class ModelSpec:
    """A whole spec; `tree` is the text it came from, sizes and defaults applied."""

    name: str
    title: str
    description: str
    cite: tuple[str, ...]
    dims: Mapping[str, int | float]
    inputs: tuple[InputSpec, ...]
    stacks: tuple[StackSpec, ...]
    modules: tuple[ModuleSpec, ...]
    connections: tuple[ConnectionSpec, ...]
    outputs: tuple[OutputSpec, ...]
    initialization: Written
    tree: Tree
    size: str | None = None
    places: Mapping[str, Span] = field(default_factory=dict)
    weights: Mapping[str, WeightMap] = field(default_factory=dict)
    freeze: FreezeSpec | None = None
    parametrization: ParametrizationSpec | None = None
    adapt: tuple[AdaptSpec, ...] = ()
    compress: tuple[CompressSpec, ...] = ()
    train: TrainFields | None = None
    distill: DistillSpec | None = None
    parallel: Parallelism | None = None

    def place_of(self, section: str, name: str) -> Span:
        """The place of a named part's key."""
        return key_span(self.tree, (section, name))
