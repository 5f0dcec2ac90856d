"""Components in their places: completed, with sizes of axes, tensors, costs and adapters."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from math import prod

from composer.shapes import Axes, Shape, ShapeError, Size

from .component import Component, Inputs, Label, LinearMap, Tensors
from .costs import Product, of_part


@dataclass(frozen=True)
class Adapter:
    """What changes a component: an attribute of it, a name, and the change.

    The attribute is that of a linear map, or the one in which a component holds such adapters.
    """

    linear: str
    name: str
    placed: Placed

    @property
    def path(self) -> str:
        """The attribute that holds it, below the component."""
        return f"{self.linear}.{self.name}".lstrip(".")

    def flops(self) -> Size:
        """Floating point operations that it adds."""
        axes = self.placed.axes
        return self.placed.flops() + self.placed.component.further_flops(axes)


@dataclass(frozen=True)
class Placed:
    """A component in its place: completed, with the sizes of its axes and its outputs' shapes.

    `adapters` change the results of its linear maps.
    """

    component: Component
    axes: Axes
    outputs: dict[str, Shape] = field(hash=False)
    adapters: tuple[Adapter, ...] = ()

    @property
    def shape(self) -> Shape:
        """Shape of the main output."""
        return next(iter(self.outputs.values()))

    @cached_property
    def parts(self) -> dict[str, Placed]:
        """Components inside this one."""
        return self.component.parts(self.axes)

    @cached_property
    def construction(self) -> tuple[object, ...]:
        """What its torch half is made of; equal ones compute the same."""
        given = tuple(self.component.arguments(self.axes).items())
        parts = tuple((name, part.construction) for name, part in self.parts.items())
        return (self.component.half, given, parts)

    @cached_property
    def tensors(self) -> Tensors:
        """Every parameter, with the names of the parts before theirs."""
        own = self.component.tensors(self.axes)
        inner = {
            f"{name}.{tensor}": shape
            for name, part in self.parts.items()
            for tensor, shape in part.tensors.items()
        }
        whole = {**own, **inner}
        for adapter in self.adapters:
            whole = _after_map(whole, adapter)
        return whole

    @cached_property
    def linears(self) -> dict[str, LinearMap]:
        """Every linear map by its attribute, those of parts with the names of the parts before."""
        inner = {
            f"{name}.{linear}": each
            for name, part in self.parts.items()
            for linear, each in part.linears.items()
        }
        return {**self.component.linears(self.axes), **inner}

    @property
    def label(self) -> Label:
        """What a diagram writes into its box, with what adapts it."""
        made = self.component.label(self.axes)
        adapted: dict[str, list[str]] = {}
        for adapter in self.adapters:
            said = adapter.placed.component.label(adapter.placed.axes)
            word = f"{said.title} {said.detail}".rstrip()
            on = "" if adapter.placed.component.held else adapter.linear.rpartition(".")[2]
            adapted.setdefault(word, []).append(on)
        notes = [
            word + (f" on {', '.join(linears)}" if any(linears) else "")
            for word, linears in adapted.items()
        ]
        return Label(made.title, ", ".join(note for note in (made.detail, *notes) if note))

    @cached_property
    def buffers(self) -> Tensors:
        """Every buffer, with the names of the parts before theirs."""
        own = self.component.buffers(self.axes)
        inner = {
            f"{name}.{tensor}": shape
            for name, part in self.parts.items()
            for tensor, shape in part.buffers.items()
        }
        return {**own, **inner}

    @property
    def state(self) -> Tensors:
        """Parameters and buffers: what a state dict holds."""
        return {**self.tensors, **self.buffers}

    @property
    def parameters(self) -> int:
        """Number of parameters, sharing not considered."""
        return sum(prod(shape) for shape in self.tensors.values())

    def flops(self) -> Size:
        """Floating point operations of one forward pass, parts included."""
        total = self.component.flops(self.axes)
        for part in self.parts.values():
            total = total + part.flops()
        for adapter in self.adapters:
            total = total + adapter.flops()
        return total

    def inside(self) -> int:
        """Numbers kept of a part and of its input, which is as large as its result."""
        kept = self.component.kept(self.axes)
        return kept.numbers + (self.size if kept.ports else 0)

    @property
    def size(self) -> int:
        """Numbers of the main output, where its shape is one of numbers."""
        known = [size for size in self.shape if isinstance(size, int)]
        assert len(known) == len(self.shape), "a length is not known yet"
        return prod(known)

    def products(self) -> tuple[Product, ...]:
        """Matrix products and convolutions of one forward pass, parts included."""
        component = self.component
        found = component.products(self.axes)
        if not found and (flops := component.flops(self.axes)) != 0:
            ports = tuple(port.name for port in component.parsed.inputs)
            found = (Product(flops, ports, tuple(component.tensors(self.axes)) or ports),)
        for name, part in self.parts.items():
            ports = tuple(port.name for port in part.component.parsed.inputs)
            before = component.before(name, self.axes)
            found += tuple(of_part(product, name, ports, before) for product in part.products())
        whole = found
        for adapter in self.adapters:
            made, axes = adapter.placed.component, adapter.placed.axes
            whole = made.adapted(whole, axes, adapter.path, adapter.linear)
        return (*whole, *(p for adapter in self.adapters for p in _adapted(found, adapter)))


def _adapted(found: tuple[Product, ...], adapter: Adapter) -> Iterator[Product]:
    """The products of an adapter: it reads what its linear map reads, or what that makes."""
    own = tuple(f"{adapter.linear}.{name}".lstrip(".") for name in ("weight", "bias"))
    read = next((p.left for p in found if own[0] in p.right), ("x",))
    ports = {"x": read, "y": (*read, *own)}

    def renamed(sources: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(n for s in sources for n in ports.get(s, (f"{adapter.path}.{s}",)))

    for product in adapter.placed.products():
        yield replace(product, left=renamed(product.left), right=renamed(product.right))


def _after_map(tensors: Tensors, adapter: Adapter) -> Tensors:
    """Tensors with those of an adapter after those of its linear map, as in the torch half."""
    prefix = f"{adapter.linear}." if adapter.linear else ""
    names = list(tensors)
    inside = [at for at, name in enumerate(names) if name.startswith(prefix)]
    last = max(inside, default=len(names) - 1) + 1
    added = {f"{adapter.path}.{name}": s for name, s in adapter.placed.tensors.items()}
    before, after = names[:last], names[last:]
    return {
        **{name: tensors[name] for name in before},
        **added,
        **{name: tensors[name] for name in after},
    }


def place(component: Component, inputs: Inputs, /, **given: object) -> Placed:
    """Puts a component where it gets `inputs`; `given` fills options that were left out.

    Raises ShapeError or OptionError, and OptionError where a parameter's size stays unknown.
    """
    wanted = {port.name for port in component.parsed.inputs}
    shapes = {port: shape for port, shape in inputs.items() if port in wanted or component.many}
    _check_width(component, shapes)
    made, axes, outputs = component.infer(shapes, given)
    placed = Placed(made, axes, outputs)
    for name, shape in placed.tensors.items():
        if not all(isinstance(size, int) for size in shape):
            first = next(iter(shapes))
            raise ShapeError(
                first, "a known width", _main(shapes[first]), f"'{name}' depends on it"
            )
    return placed


def _check_width(component: Component, inputs: Inputs) -> None:
    """Branches and heads work at a width that is a number: their options follow from it."""
    if not {"layer", "cross_attention", "head"} & set(component.slots):
        return
    for port in component.parsed.inputs:
        shape = _main(inputs[port.name])
        if "d_model" not in port.axes or len(shape) != len(port.axes):
            continue
        if not isinstance(width := shape[port.axes.index("d_model")], int):
            raise ShapeError(port.name, "a known width", shape, f"'{width}' is a length")


def _main(shape: Shape | tuple[Shape, ...]) -> Shape:
    return shape[0] if shape and isinstance(shape[0], tuple) else shape  # type: ignore[return-value]
