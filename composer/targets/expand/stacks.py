"""A stack as plain data: what all of its layer types say alike once, the rest under its type."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from composer.components.component import KINDS
from composer.graph.graph import Branch, LayerKind, Node, Stack
from composer.language.spec import BranchSpec, LayerSpec, Placement, StackSpec, Wiring, Written

from .options import Data, options, over, placed_options

_SLOTTED = ("attention", "cross_attention", "feed_forward")
_ORDER = ("norm", *_SLOTTED, "dropout", "layer")


def stack_data(spec: StackSpec, stack: Stack) -> Data:
    """The keys of a stack, every one of them."""
    types = {name: _type_data(layer, _kinds(stack, name)) for name, layer in spec.types.items()}
    common = _common(list(types.values()))
    common |= {"norm": _norm_data(spec.norm, spec.placement), "dropout": spec.dropout}
    final = stack.final_norm
    data: Data = {"from": spec.source, "d_model": spec.d_model, "num_layers": spec.num_layers}
    data |= {} if stack.embed is None else {"embed": placed_options(stack.embed.placed)}
    data |= {key: common[key] for key in _ORDER if key in common}
    data["final_norm"] = False if final is None else placed_options(final.placed)
    if "" not in types:
        data["layer_types"] = list(spec.layer_types)
        data["types"] = {name: _difference(common, own) for name, own in types.items()}
    return data


def _kinds(stack: Stack, type_: str) -> list[LayerKind]:
    return [kind for kind in stack.kinds if kind.type == type_]


def _common(types: list[Data]) -> Data:
    """What all layer types say alike."""
    first, *others = types
    return {
        key: value
        for key, value in first.items()
        if all(key in other and other[key] == value for other in others)
    }


def _difference(common: Data, own: Data) -> Data:
    """What a layer type says beside what is said for all."""
    changed = {key: value for key, value in own.items() if common.get(key) != value}
    norm, base = changed.get("norm"), common["norm"]
    if isinstance(norm, dict) and isinstance(base, dict):
        changed["norm"] = over(base, norm)
    return changed


def _norm_data(norm: Written | None, placement: Placement) -> Data | str:
    return "none" if norm is None else {**options(norm.component), "placement": placement}


def _type_data(layer: LayerSpec, kinds: list[LayerKind]) -> Data:
    """Everything that layers of one type are made of."""
    usual = layer.wiring
    branches = {branch.name: branch for branch in kinds[0].branches}
    crossing = next((kind for kind in kinds if _cross_nodes(kind)), None)
    items = list(_items(layer, branches, crossing))
    data: Data = {"norm": _norm_data(usual.norm, usual.placement), "dropout": layer.dropout}
    keys = [key for key, _ in items]
    for key in ("attention", "feed_forward"):
        if keys.count(key) == 1:
            at = keys.index(key)
            data[key] = items[at][1]
            items[at] = (key, {})
    if crossing is not None:
        data["cross_attention"] = _cross_data(crossing, data.get("attention"))
    data["layer"] = [{key: body} if body else key for key, body in items]
    return data


def _items(
    layer: LayerSpec, branches: Mapping[str, Branch], crossing: LayerKind | None
) -> Iterator[tuple[str, Data]]:
    """Key and body of each branch of a layer, in order."""
    specs, usual = layer.branches, layer.wiring
    added = "cross_attention", _wiring(layer.cross_wiring, usual)
    listed = any(_is_cross(spec) for spec in specs)
    before = None if listed or crossing is None else _first_cross(crossing)
    seen: dict[str, int] = {}
    for index, spec in enumerate(specs):
        if index == before:
            yield added
        if _is_cross(spec):
            if crossing is not None:
                yield (
                    "cross_attention",
                    {**_name(spec.name, "cross_attention", seen), **_wiring(spec.wiring, usual)},
                )
        else:
            yield _item(spec, branches[spec.name], usual, seen)
    if before == len(specs):
        yield added


def _is_cross(spec: BranchSpec) -> bool:
    return spec.made is None and not spec.branches


def _first_cross(kind: LayerKind) -> int:
    return next(i for i, branch in enumerate(kind.branches) if _reads(branch))


def _reads(branch: Branch) -> bool:
    return any(body.reads for body in branch.bodies)


def _cross_nodes(kind: LayerKind) -> list[Node]:
    return [body.node for branch in kind.branches for body in branch.bodies if body.reads]


def _item(
    spec: BranchSpec, branch: Branch, usual: Wiring, seen: dict[str, int]
) -> tuple[str, Data]:
    if not spec.branches:
        key, body = _plain(spec, branch.bodies[0].node, usual, seen)
        return key, body
    inner: dict[str, int] = {}
    pairs = [
        _plain(one, body.node, usual, inner)
        for one, body in zip(spec.branches, branch.bodies, strict=True)
    ]
    assert branch.combine is not None, "parallel branches are combined"
    name = _name(spec.name, "parallel", seen)
    made = {"combine": placed_options(branch.combine.placed), "norms": spec.norms}
    branches = [{key: body} for key, body in pairs]
    return "parallel", {**name, "branches": branches, **made, **_wiring(spec.wiring, usual)}


def _plain(spec: BranchSpec, node: Node, usual: Wiring, seen: dict[str, int]) -> tuple[str, Data]:
    key = _key(spec.name, node.component.kind)
    name = _name(spec.name, key, seen)
    return key, {**placed_options(node.placed), **name, **_wiring(spec.wiring, usual)}


def _key(name: str, kind: str) -> str:
    """The key that a branch stands under: a slot that its kind fits, or the kind."""
    slots = KINDS[kind].slots
    wanted = re.sub(r"_\d+$", "", name)
    if wanted in _SLOTTED and wanted in slots:
        return wanted
    return kind if "layer" in slots else next(slot for slot in _SLOTTED if slot in slots)


def _name(name: str, key: str, seen: dict[str, int]) -> Data:
    """The name of a branch, unless it is the one that its key gives it."""
    seen[key] = seen.get(key, 0) + 1
    usual = key if seen[key] == 1 else f"{key}_{seen[key]}"
    return {} if name == usual else {"name": name}


def _wiring(wiring: Wiring, usual: Wiring) -> Data:
    """How a branch is wired, where that is not as all are in its layer."""
    data = Data()
    same = _component(wiring.norm) == _component(usual.norm)
    if not same or (wiring.norm is not None and wiring.placement != usual.placement):
        data["norm"] = _norm_data(wiring.norm, wiring.placement)
    if wiring.scale != 1:
        data["scale"] = wiring.scale
    if wiring.gate is not None:
        data["gate"] = options(wiring.gate.component)
    if not wiring.residual:
        data["residual"] = False
    return data


def _component(written: Written | None) -> object:
    return None if written is None else written.component


def _cross_data(kind: LayerKind, attention: Data | None) -> Data:
    """The cross-attention; its connection says whether it is causal."""
    node = _cross_nodes(kind)[0]
    data = placed_options(node.placed)
    data.pop("causal", None)
    shared = type(node.component).model_fields.keys() - {"kind", "causal"}
    base = {key: value for key, value in (attention or {}).items() if key in shared}
    return over({**base, "kind": data["kind"]}, data)
