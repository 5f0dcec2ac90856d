"""`parallel`: how a model is spread over several devices. How many there are, the launcher says."""

from __future__ import annotations

from collections.abc import Mapping as AnyMapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeVar

from pydantic import Field
from typing_extensions import Self

from composer.components.options import Positive
from composer.diagnostics import Problems

from .document import Mapping, Scalar, Tree, get, value_span
from .fields import Fields, Reference
from .validate import validate

Part = TypeVar("Part", bound=Fields)


class ParallelismFields(Fields):
    """How a model is spread over several devices."""

    mesh: Any = Field(default=None, description="Devices along each axis, e.g. {dp: 2, tp: 4}.")
    fsdp: Any = Field(
        default=None,
        description="How parameters are sharded along dp; false keeps a copy on each. "
        "Default: sharded by block.",
    )
    tp: Any = Field(default=None, description="How layers are split along tp.")
    pp: Any = Field(default=None, description="How the layers are cut into stages along pp.")


class MeshFields(Fields):
    """Devices along each axis; their product is the number of processes."""

    dp: Positive = Field(
        default=1, description="Copies, each of which computes a share of a batch."
    )
    tp: Positive = Field(default=1, description="Devices that compute each layer together.")
    pp: Positive = Field(default=1, description="Stages of layers, one after the other.")

    @property
    def world(self) -> int:
        """Number of processes."""
        return self.dp * self.tp * self.pp


class FsdpFields(Fields):
    """How parameters, gradients and averages are sharded along dp."""

    unit: Literal["block", "model"] = Field(
        default="block",
        description="What is gathered at once to be computed with: a layer, or all of the model.",
    )
    precision: Literal["float32", "bfloat16"] = Field(
        default="float32",
        description="What is gathered and computed with; shards and sums of gradients are float32.",
    )


class TpFields(Fields):
    """How layers are split along tp."""

    sequence: bool = Field(
        default=False,
        description="Whether norms and what is between layers is split by steps, too.",
    )


class PpFields(Fields):
    """How the layers are cut into stages along pp."""

    cuts: list[Reference] | None = Field(
        default=None,
        description="The first layer of each later stage, e.g. [decoder.layers.6]. "
        "Default: stages of about the same cost.",
    )
    schedule: Literal["gpipe", "1f1b"] = Field(
        default="1f1b", description="The order in which stages compute microbatches."
    )
    microbatches: Positive | None = Field(
        default=None, description="Parts of a batch that follow each other. Default: pp."
    )


@dataclass(frozen=True)
class Parallelism:
    """How a model is spread over devices; without `fsdp`, along dp there are whole copies."""

    mesh: MeshFields = field(default_factory=MeshFields)
    fsdp: FsdpFields | None = field(default_factory=FsdpFields)
    tp: TpFields = field(default_factory=TpFields)
    pp: PpFields = field(default_factory=PpFields)

    def over(self, mesh: MeshFields) -> Self:
        """The same over another mesh."""
        return replace(self, mesh=mesh)

    def data(self) -> dict[str, Any]:
        """The section as plain data."""
        parts = {"mesh": self.mesh, "fsdp": self.fsdp, "tp": self.tp, "pp": self.pp}
        return {key: False if part is None else part.model_dump() for key, part in parts.items()}


def parallel_in(
    tree: Mapping, dims: AnyMapping[str, float], problems: Problems
) -> Parallelism | None:
    """How a spec spreads its model over devices; what is wrong is added to the problems."""
    section = get(tree, ("parallel",))
    if section is None:
        return None
    whole = validate(ParallelismFields, section, problems, where="'parallel'", dims=dims)
    if not isinstance(section, Mapping):
        return None

    def part(fields: type[Part], key: str) -> Part | None:
        body = get(section, (key,))
        if body is None or (key == "fsdp" and _is(body, wanted=True)):
            return fields()
        return validate(fields, body, problems, where=f"'parallel.{key}'", dims=dims)

    copies = (body := get(section, ("fsdp",))) is not None and _is(body, wanted=False)
    fsdp = None if copies else part(FsdpFields, "fsdp")
    mesh, tp, pp = part(MeshFields, "mesh"), part(TpFields, "tp"), part(PpFields, "pp")
    if whole is None or mesh is None or tp is None or pp is None:
        return None
    _check_cuts(mesh, pp, section, problems)
    return Parallelism(mesh, fsdp, tp, pp)


def _is(tree: Tree, *, wanted: bool) -> bool:
    return isinstance(tree, Scalar) and tree.value is wanted


def _check_cuts(mesh: MeshFields, pp: PpFields, section: Mapping, problems: Problems) -> None:
    """A mesh with stages has as many as the cuts make."""
    if pp.cuts is not None and mesh.pp not in {1, len(pp.cuts) + 1}:
        count = len(pp.cuts)
        problems.add(
            "C115",
            f"the mesh has pp: {mesh.pp}, but with {count} cut{'' if count == 1 else 's'} there are "
            f"{count + 1} stages",
            value_span(section, ("pp", "cuts")),
            fix=f"pp: {count + 1}, or {mesh.pp - 1} cuts",
        )
