"""What a component is: the half that says what people may write and what is true of it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict
from typing_extensions import Self

from composer.shapes import Axes, Shape, Signature, Size

from .costs import Cache, Kept, Product, Working
from .splits import Split

if TYPE_CHECKING:
    from .placed import Placed

Tensors = dict[str, tuple[int, ...]]
Inputs = Mapping[str, "Shape | tuple[Shape, ...]"]
Role = Literal[
    "input", "embedding", "position", "norm", "attention", "feed_forward", "convolution",
    "projection", "head", "resample", "operator", "combine", "gate",
]  # fmt: skip

LinearRole = Literal[
    "q", "k", "v", "o", "ffn_in", "ffn_out", "head", "router", "mix", "project",
]  # fmt: skip
"""What a linear map is for."""

Scale = Literal["width", "inner", "heads", "groups", "depth", "length", "kept"]
"""What an option is when a model grows: see `composer.scaling.rules`."""

SLOTS = {
    "input": "under `inputs`",
    "embed": "as the `embed` of a stack",
    "position": "as the `position` of an embedding",
    "attention_position": "as the `position` of an attention",
    "disentangled_position": "as the `position` of a disentangled attention",
    "rope_scaling": "as the `scaling` of rotary positions",
    "norm": "as a `norm`",
    "qk_norm": "as the `qk_norm` of an attention",
    "conv_norm": "as the `norm` of a convolution",
    "convolution": "among the `layers` of a conv_stem",
    "layer": "as a branch of a layer",
    "cross_attention": "as a `cross_attention`",
    "feed_forward": "as a `feed_forward`",
    "attention": "as an `attention`",
    "module": "under `modules`",
    "head": "as the `head` of an output",
    "combine": "as a `combine`",
    "gate": "as a `gate`",
    "read": "as the `read` of a cross connection",
    "pool": "inside a head",
    "initialization": "as the `initialization` of a model",
    "linear_adapter": "under `adapt`, on linear maps",
    "result_adapter": "under `adapt`, after what a branch computes",
    "branch_adapter": "under `adapt`, beside a branch",
    "attention_adapter": "under `adapt`, on attentions",
}


WIRING = {"name", "norm", "scale", "gate", "residual", "branches", "combine", "norms"}
"""Keys that wire a branch into its layer; no component of a layer may have such an option."""


class OptionError(Exception):
    """An option whose value cannot hold in its place: which option, why, and what to write."""

    def __init__(self, option: str, message: str, fix: str | None = None) -> None:
        super().__init__(message)
        self.option, self.message, self.fix = option, message, fix

    def inside(self, option: str) -> OptionError:
        """The same, told of the component that has this one in an option."""
        return OptionError(f"{option}.{self.option}", self.message, self.fix)


@dataclass(frozen=True, slots=True)
class Name:
    """An argument that is emitted as the Python expression it names, e.g. `F.relu`."""

    text: str


@dataclass(frozen=True, slots=True)
class Mask:
    """What an attention may look at: the arguments of the mask that its stack makes for it."""

    causal: bool = False
    window: int | None = None
    over: Literal["x", "memory", "padding"] = "x"


@dataclass(frozen=True, slots=True)
class Label:
    """The two lines that a diagram writes into a component's box."""

    title: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class LinearMap:
    """A linear map inside a component: what it is for, and how many vectors it maps in a pass."""

    role: LinearRole
    rows: Size


class Component(BaseModel):
    """The base of every kind.

    A subclass declares `kind`, its options as fields, a `signature` over named axes, and what is
    true of it: tensors, cost, label. Its torch half is the class `module` in `composer.nn`, or in
    the same file for a component of one's own. What needs earlier steps may have a second class for
    decoding, `cached`, called after the first: its `forward` takes a `cache` beside. An adapter
    that stands in a component, not in one of its linear maps, says which attribute it is `held` in;
    where that must be known when the component is made, the component `takes` it. A
    function of its torch half that takes more turns for longer inputs has a `loops` entry: one
    beside it that computes the same as one loop, which a program can hold.
    """

    model_config = ConfigDict(
        frozen=True, strict=True, extra="forbid", protected_namespaces=(),
        defer_build=True,  # a validator is built for the kinds that a spec uses, not for all
    )  # fmt: skip

    kind: str

    role: ClassVar[Role]
    slots: ClassVar[tuple[str, ...]] = ("module",)
    signature: ClassVar[str] = "x[batch time d_model] -> [batch time d_model]"
    optional: ClassVar[tuple[str, ...]] = ()
    many: ClassVar[bool] = False
    module: ClassVar[str] = ""
    cached: ClassVar[str] = ""
    needs: ClassVar[tuple[str, ...]] = ()
    held: ClassVar[str] = ""
    takes: ClassVar[tuple[str, ...]] = ()
    mixes_time: ClassVar[bool] = False
    ends_mask: ClassVar[bool] = False
    data_dependent: ClassVar[bool] = False
    loops: ClassVar[Mapping[str, str]] = {}
    indices: ClassVar[tuple[str, ...]] = ()
    scales: ClassVar[Mapping[str, Scale]] = {}
    examples: ClassVar[tuple[Mapping[str, Any], ...]] = ()
    example_inputs: ClassVar[Inputs] = {"x": (2, 6, 32)}
    parsed: ClassVar[Signature]

    @property
    def half(self) -> str:
        """The class that computes it; a kind may have one of torch's own for its plain form."""
        return type(self).module

    @property
    def holder(self) -> str:
        """For an adapter of linear maps: the class of a map that has some of them."""
        raise NotImplementedError(self.kind)

    @property
    def sees_future(self) -> bool:
        """Whether step t of the result depends on later steps of the same sequence."""
        return self.mixes_time and not getattr(self, "causal", False)

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: object) -> None:
        """Adds the kind to the registry; a wrong declaration is a TypeError here, not later."""
        super().__pydantic_init_subclass__(**kwargs)
        default = cls.model_fields["kind"].default
        if not isinstance(default, str):
            return  # a base that several kinds share
        _check_declaration(cls, default)
        cls.parsed = Signature.parse(cls.signature)
        cls.module = cls.module or "".join(word.title() for word in default.split("_"))
        KINDS[default] = cls

    def complete(self, place: Mapping[str, Any]) -> Self:
        """This component with the options that were left out taken from its place.

        Raises OptionError where an option cannot hold there.
        """
        given = {
            name: place[name]
            for name in type(self).model_fields
            if name in place and getattr(self, name) is None
        }
        return self.model_copy(update=given) if given else self

    def infer(
        self, inputs: Inputs, place: Mapping[str, Any]
    ) -> tuple[Self, Axes, dict[str, Shape]]:
        """The completed component, the sizes of its axes, and the shape of each output.

        Raises ShapeError for an input that it cannot take, OptionError for an option.
        """
        axes = self.parsed.bind(inputs)  # type: ignore[arg-type]  # one shape a port here
        made = self.complete({**place, **axes})
        options = {
            name: value
            for name in type(made).model_fields
            if type(value := getattr(made, name)) is int and name not in axes
        }
        known = Axes({**axes, **options})
        outputs = {port.name: tuple(known[a] for a in port.axes) for port in self.parsed.outputs}
        return made, known, outputs

    def tensors(self, axes: Axes) -> Tensors:
        """Shapes of the parameters by name, those of `parts` not included."""
        return {}

    def buffers(self, axes: Axes) -> Tensors:
        """Shapes of the persistent tensors that no gradient changes, those of `parts` not included.

        They are in the state dict and in weight maps, and in no parameter count.
        """
        return {}

    def linears(self, axes: Axes) -> dict[str, LinearMap]:
        """The `nn.Linear`s of its torch half by attribute, "" being itself; not those of `parts`."""
        return {}

    def split(self, axes: Axes) -> Split:
        """How several devices compute it together; by default each of them all of it."""
        return Split()

    def parts(self, axes: Axes) -> dict[str, Placed]:
        """Components inside this one, by the attribute that holds them, a list's by number."""
        return {}

    def before(self, part: str, axes: Axes) -> tuple[str, ...]:
        """Parts and parameters that change what a part reads, where it does not read the ports."""
        return ()

    def arguments(self, axes: Axes) -> dict[str, Any]:
        """What the torch half is constructed with, `parts` not included."""
        return {}

    def expression(self, inputs: Mapping[str, Any], axes: Axes) -> str | None:
        """For a component without state: the Python expression that computes it."""
        return None

    def masks(self, axes: Axes) -> dict[str, Mask]:
        """Masks that `forward` takes, by the argument's name."""
        return {}

    def mask_after(self, masks: list[str], inputs: list[str]) -> tuple[str, list[str]] | None:
        """Where a result has other steps: the function that makes its padding mask, its arguments.

        `masks` are the names of those of the `inputs`, or None. Where padding cannot be followed,
        there is no such function.
        """
        return None

    def tables(self, axes: Axes) -> dict[str, Placed]:
        """Components that a stack computes once and hands to `forward`, e.g. rotary angles.

        One that holds parameters is trained by all layers that it is handed to.
        """
        return {}

    def products(self, axes: Axes) -> tuple[Product, ...]:
        """Matrix products and convolutions of a forward pass, those of `parts` not included.

        A component of one product of its input and its weights may declare its `flops` alone.
        """
        return ()

    def flops(self, axes: Axes) -> Size:
        """Floating point operations of one forward pass as torch counts them."""
        total: Size = 0
        for product in self.products(axes):
            total = total + product.flops
        return total

    def adapted(
        self, found: tuple[Product, ...], axes: Axes, path: str, linear: str
    ) -> tuple[Product, ...]:
        """For an adapter at `path`: the products of what it adapts, as it changes them."""
        return found

    def around(self, axes: Axes) -> Axes:
        """For an adapter held in a component: the axes of that, as it changes them."""
        return axes

    def further_flops(self, axes: Axes) -> Size:
        """For an adapter: floating point operations that products of what it adapts have more."""
        return 0

    def cache(self, axes: Axes) -> Cache:
        """Numbers held between the steps of a generation; nothing unless the kind says so."""
        return Cache()

    def kept(self, axes: Axes, *, masked: bool = False, weights: bool = False) -> Kept:
        """What a training step keeps of this component and its parts, whose axes are numbers.

        `masked` says whether a padding mask is given, `weights` whether the weights of an
        attention are returned. Tables count as ports. By default the inputs and the result.
        """
        return Kept(tuple(port.name for port in self.parsed.inputs), result=True)

    def working(self, axes: Axes, *, masked: bool = False, weights: bool = False) -> Working:
        """What comes and goes within during a training step; `axes` and `weights` as for `kept`.

        By default the gradients of the inputs, and one as large as the result.
        """
        return Working()

    def label(self, axes: Axes) -> Label:
        """What a diagram writes into this component's box."""
        return Label(self.kind.replace("_", " ").title())


KINDS: dict[str, type[Component]] = {}
"""Every registered kind; filled as component classes are defined."""


def _check_declaration(cls: type[Component], kind: str) -> None:
    if not re.fullmatch(r"[a-z][a-z0-9_]*", kind):
        msg = f"kind {kind!r} of {cls.__name__} is not snake_case"
        raise TypeError(msg)
    known = KINDS.get(kind)
    ours = known is not None and known.__module__.startswith("composer.")
    other = ours and known is not None and known.__module__ != cls.__module__
    if known is not None and (other or known.__qualname__ != cls.__qualname__):
        msg = f"kind {kind!r} is declared by {known.__module__}.{known.__qualname__} already"
        raise TypeError(msg)
    if not hasattr(cls, "role"):
        msg = f"{cls.__name__} declares no role"
        raise TypeError(msg)
    if "layer" in cls.slots and (taken := WIRING & set(cls.model_fields)):
        msg = f"options {sorted(taken)} of {cls.__name__} have another meaning in a layer"
        raise TypeError(msg)
    unknown = set(cls.slots) - set(SLOTS)
    if unknown:
        msg = f"{cls.__name__} has unknown slots {sorted(unknown)}"
        raise TypeError(msg)


def component_class(kind: str) -> type[Component] | None:
    """The component registered under `kind`."""
    return KINDS.get(kind)


def kinds_for(slot: str) -> list[str]:
    """Kinds that may stand in a slot, in alphabetical order."""
    return sorted(kind for kind, cls in KINDS.items() if slot in cls.slots)


ComponentMaker = Callable[[Mapping[str, Any]], Component]
