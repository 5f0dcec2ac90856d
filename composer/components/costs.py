"""What a component's forward pass costs, as far as only the component knows it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

from composer.shapes import Size


@dataclass(frozen=True, slots=True)
class Product:
    """A product of two operands: a matrix product or a convolution.

    `left` and `right` name what each operand is made of: ports, `PORT.INDEX` where a port takes
    several, and parameters or the modules that hold them. The gradient of an operand costs `flops`
    again, and is made where anything that the operand is made of needs one. `right_gradient` is
    its cost where torch counts another number.
    """

    flops: Size
    left: tuple[str, ...]
    right: tuple[str, ...]
    right_gradient: Size | None = None


def of_part(
    product: Product, name: str, ports: Collection[str], before: tuple[str, ...]
) -> Product:
    """The product of a part called `name` as one of the whole, whose ports it reads.

    What stands `before` it turns what it reads, and is a source of that, too.
    """

    def renamed(sources: tuple[str, ...]) -> tuple[str, ...]:
        reads = any(s.split(".")[0] in ports for s in sources)
        own = tuple(s if s.split(".")[0] in ports else f"{name}.{s}" for s in sources)
        return (*own, *before) if reads else own

    return replace(product, left=renamed(product.left), right=renamed(product.right))


@dataclass(frozen=True, slots=True)
class Cache:
    """Numbers that a component holds between the steps of a generation.

    `step` for each of the last `limit` steps, or of all of them, and `fixed` whatever their number.
    """

    step: Size = 0
    limit: int | None = None
    fixed: Size = 0


@dataclass(frozen=True, slots=True)
class Operand:
    """What is kept for the gradients of some parameters alone, and not where these are frozen."""

    parameters: tuple[str, ...]
    ports: tuple[str, ...] = ()
    numbers: int = 0


@dataclass(frozen=True, slots=True)
class Kept:
    """What torch keeps of a training step for the backward pass, parameters not included.

    `ports` are inputs that are kept, and `result` says whether the result is; `numbers` are those
    of the model's format within, and `others` the bytes of masks and indices. Of these, `operands`
    are kept for parameters alone.
    """

    ports: tuple[str, ...] = ()
    numbers: int = 0
    others: int = 0
    result: bool = False
    operands: tuple[Operand, ...] = ()

    def where_trained(self, parameters: Collection[str]) -> Kept:
        """What is kept where only these of the parameters are trained."""
        spared = [o for o in self.operands if not set(o.parameters) & set(parameters)]
        dropped = {port for operand in spared for port in operand.ports}
        ports = tuple(port for port in self.ports if port not in dropped)
        numbers = self.numbers - sum(operand.numbers for operand in spared)
        return replace(self, ports=ports, numbers=numbers)


@dataclass(frozen=True, slots=True)
class Working:
    """Numbers that come and go within a component during its backward pass, at most at once.

    They are held beside what is kept, the gradients of parameters, and that of the result: the
    gradients of the inputs so many times, so many results, and `numbers` of other sizes. Where the
    forward pass needs more than that, it is what that needs, less one result. `forward` is what a
    forward pass that keeps nothing holds within; by default as much as is kept and comes and goes.
    """

    inputs: int = 1
    results: int = 1
    numbers: int = 0
    forward: int | None = None
