"""What a stack does in forward: embedding, masks, the loop over its layers, the last norm."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from composer.graph.graph import Graph, Layer, LayerKind, Memory, Stack, State

from .layers import arguments_of
from .plan import Plan, local, memory_mask, several, states_read
from .writing import call, condition, index_of


@dataclass
class StackText:
    """The text of one stack's forward, as a method of its own or inside the model's.

    `x` is what its state is called, `holder` where its modules are: `self` or `self.NAME`.
    """

    stack: Stack
    plan: Plan
    x: str = "x"
    holder: str = "self"
    prefix: str = ""
    sides: dict[object, str] = field(default_factory=dict)

    def local(self, name: str) -> str:
        """A local variable of this stack."""
        return f"{self.prefix}{name}"

    @property
    def stepping(self) -> bool:
        """Whether the text is that of a decoding step."""
        return self.plan.steps(self.stack.name)

    @property
    def keeps_states(self) -> bool:
        """Whether somebody reads the state after single layers."""
        return self.stack.name in states_read(self.plan.graph)

    @property
    def states(self) -> str:
        """The list of states."""
        return f"{self.stack.name}_states" if self.prefix else "states"

    def before(self, source: str) -> list[str]:
        """Embedding, masks, tables and memories, in this order."""
        lines = []
        if self.stack.embed is not None:
            self.plan.use(self.stack.embed.placed, {})
            cached = self.stepping and self.stack.embed.component.cached
            given = f'{source}, cache["embed"]' if cached else source
            lines.append(f"{self.x} = {self.holder}.embed({given})")
        elif source != self.x:
            lines.append(f"{self.x} = {source}")
        for memory in self.stack.memories:
            lines += self._memory(memory)
        lines += self._sides()
        names = [self.states] if self.keeps_states else []
        names += [self.weights(branch) for branch in self.weight_branches()]
        return [*lines, *(f"{name} = []" for name in names)]

    def weight_branches(self) -> list[str]:
        """Attentions whose weights are returned."""
        found = [name for kind in self.stack.kinds for name in kind.weights]
        return list(dict.fromkeys(found))

    def weights(self, branch: str) -> str:
        """The list of weights of one attention."""
        return f"{self.stack.name}_{branch}_weights" if self.prefix else f"{branch}_weights"

    def after(self) -> list[str]:
        """What follows the last layer."""
        norm = self.stack.final_norm
        return [] if norm is None else [f"{self.x} = {self.holder}.{norm.name}({self.x})"]

    def _memory(self, memory: Memory) -> list[str]:
        if memory.mix is not None:
            self.plan.use(memory.mix.placed, {})
            states = ", ".join(several(memory.sources, self.plan.graph))
            return [f"{memory.argument} = {self.holder}.{memory.mix.name}({states})"]
        values = []
        for state, project in zip(memory.sources, memory.projects, strict=True):
            name = outside_name(state, self.plan.graph)
            values.append(name if project is None else f"{self.holder}.{project.name}({name})")
        lines = call(f"{memory.argument} = torch.cat", [f"[{', '.join(values)}]", "dim=1"], 0)
        if memory.value.mask is not None:
            graph = self.plan.graph
            masks = [str(graph.values[State(s.part)].mask) for s in memory.sources]
            plain = [outside_name(state, self.plan.graph) for state in memory.sources]
            known = [self.plan.masks.get(m, "maybe") for m in masks if m != "None"]
            self.plan.masks[memory.value.mask] = "tensor" if "tensor" in known else "maybe"
            parts = [f"[{', '.join(masks)}]", f"[{', '.join(plain)}]"]
            lines += call(f"{memory.value.mask} = concat_masks", parts, 0)
        return lines

    def _sides(self) -> list[str]:
        """Masks and tables that the layers take."""
        lines = []
        for kind in self.stack.kinds:
            for key, _ in arguments_of(kind, self.stack, self.plan).sides.values():
                if key not in self.sides:
                    lines += self._side(key)
        return lines

    def _side(self, key: object) -> list[str]:
        if not isinstance(key, tuple):
            self.sides[key] = self.local(str(key))
            if self.stepping:
                table = f"{self.holder}.{key}(cache.whole({self.x}))"
                return [f"{self.sides[key]} = recent({table}, {self.x})"]
            return [f"{self.sides[key]} = {self.holder}.{key}({self.x})"]
        over, causal, window = key
        if over == "padding":
            self.sides[key] = str(self.stack.value.mask)
            return []
        memory = over != "x"
        padding = (
            memory_mask(self.plan.graph, self.stack, over) if memory else self.stack.value.mask
        )
        name = f"{over}_mask" if memory else "mask" if window is None else "window_mask"
        if self.local(name) in {*self.sides.values(), padding}:
            name = f"window_{window}_mask" if window is not None else f"{over}_attention_mask"
        self.sides[key] = self.local(name)
        arguments = [self.x]
        if padding is not None:
            arguments.append(f"padding={padding}")
        arguments += ["causal=True"] if causal else []
        arguments += [f"window={window}"] if window is not None else []
        if self.stepping and not memory:
            arguments.insert(1, "cache.start")
            return call(f"{self.sides[key]} = step_mask", arguments, 0)
        return call(f"{self.sides[key]} = attention_mask", arguments, 0)

    # The loop over the layers

    def calls(self, layer: str) -> list[tuple[list[int], str, tuple[str, ...]]]:
        """Calls of the layers: for which numbers, the call in terms of `i`, weights returned."""
        merged: dict[tuple[str, tuple[str, ...]], list[int]] = {}
        indices = self._indices()
        for kind in self.stack.kinds:
            numbers = [n for n, made in enumerate(self.stack.layers) if made.kind is kind]
            text = f"{layer}({', '.join([self.x, *self._arguments(kind, numbers, indices)])})"
            merged.setdefault((text, kind.weights), []).extend(numbers)
        return [(sorted(numbers), text, weights) for (text, weights), numbers in merged.items()]

    def _indices(self) -> dict[str, str]:
        """For arguments that are states of layers: the number to read, in terms of `i`."""
        pairs: dict[str, dict[int, int]] = {}
        for number, layer in enumerate(self.stack.layers):
            for name, state in layer.reads.items():
                if state.layer is not None and not self._live(state):
                    pairs.setdefault(name, {})[number] = state.layer
        return {name: index_of(found) for name, found in pairs.items()}

    def _live(self, state: State) -> bool:
        """Whether a state is that of a stack in step, as it is just now."""
        return state.part in self.stack.lockstep and state.part != self.stack.name

    def follows(self) -> bool:
        """Whether each layer reads what a stack in step has just made, not what was before."""
        return any(
            self._live(state) and state.layer == number
            for number, layer in enumerate(self.stack.layers)
            for state in layer.reads.values()
        )

    def _arguments(
        self, kind: LayerKind, numbers: list[int], indices: dict[str, str]
    ) -> Iterator[str]:
        arguments = arguments_of(kind, self.stack, self.plan)
        layer: Layer = self.stack.layers[numbers[0]]
        for name in arguments.reads:
            state = layer.reads[name]
            if not state.part:
                yield state.item
            elif state.layer is None or self._live(state):
                now = state.layer is not None
                graph = self.plan.graph
                yield local(state.part, graph) if now else outside_name(state, graph)
            else:
                own = state.part == self.stack.name
                index = indices[name]
                if "{" in index:
                    found = {n: self.stack.layers[n].reads[name].layer or 0 for n in numbers}
                    index = index_of(found)
                yield f"{self.states if own else f'{state.part}_states'}[{index}]"
        for key, _ in arguments.sides.values():
            yield self.sides[key]
        if self.stepping:
            yield "cache[i]"

    def loop(self) -> list[str]:
        """The loop over the layers of a stack that runs by itself."""
        head, calls = self._head(self.calls("layer"))
        return [head, *(f"    {line}" for line in self.steps(calls, self.x))]

    def _head(
        self, calls: list[tuple[list[int], str, tuple[str, ...]]]
    ) -> tuple[str, list[tuple[list[int], str, tuple[str, ...]]]]:
        """The `for` line; `zip` where one list of states is read in step."""
        count = len(self.stack.layers)
        plain = f"for layer in {self.holder}.layers:"
        indexed = any("[i" in text or "i]" in text for _, text, _ in calls) or len(calls) > 1
        if not indexed:
            return plain, calls
        if len(calls) == 1:
            numbers, text, weights = calls[0]
            for name, index in self._indices().items():
                state = self.stack.layers[numbers[0]].reads[name]
                source = f"{state.part}_states"
                walk = {"i": source, f"{count - 1} - i": f"reversed({source})"}.get(index)
                if walk and state.part != self.stack.name and text.count("[") == 1:
                    given = text.replace(f"{source}[{index}]", name)
                    return (
                        f"for layer, {name} in zip({self.holder}.layers, {walk}):",
                        [(numbers, given, weights)],
                    )
        return f"for i, layer in enumerate({self.holder}.layers):", calls

    def steps(self, calls: list[tuple[list[int], str, tuple[str, ...]]], target: str) -> list[str]:
        """The body of the loop: the right call for each layer, and what is kept of it."""
        lines = []
        count = len(self.stack.layers)
        for at, (numbers, text, weights) in enumerate(calls):
            results = ", ".join([target, *(self.weights_item(name) for name in weights)])
            body = [f"{results} = {text}"]
            body += [f"{self.weights(name)}.append({self.weights_item(name)})" for name in weights]
            if len(calls) == 1:
                lines += body
                continue
            test = (
                "else:"
                if at == len(calls) - 1
                else f"{'el' if at else ''}if {condition(numbers, count)}:"
            )
            lines += [test, *(f"    {line}" for line in body)]
        if self.keeps_states:
            lines.append(f"{self.states}.append({target})")
        return lines

    def weights_item(self, name: str) -> str:
        """One layer's weights."""
        return f"{self.prefix}weights" if len(self.weight_branches()) == 1 else f"{name}_weight"


def outside_name(state: State, graph: Graph) -> str:
    """What a value from outside is called in a stack."""
    return f"{state.part}_{state.item}" if state.item else local(state.part, graph)
