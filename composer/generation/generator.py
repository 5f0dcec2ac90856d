"""A model and the way it is decoded: what people call to generate."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from composer.components.inputs import Tokens
from composer.graph.decoding import decoding_of
from composer.graph.graph import Graph, Input

from .beams import Beams, beam_search
from .binding import BindingError, bind, decoding_form
from .choosing import Sampling, choose
from .steps import CachedSteps, Steps, WholeSteps


@dataclass(frozen=True)
class Generated:
    """What was generated.

    `tokens` (batch, steps) begin with the prompt, and are filled up behind the end of each example,
    which has `lengths` (batch,) tokens. `scores` (batch,) are those of beam search. `cached` says
    whether earlier steps were kept, or computed again at each step.
    """

    tokens: Tensor
    lengths: Tensor
    scores: Tensor | None
    cached: bool

    def lists(self) -> list[list[int]]:
        """The tokens of each example, prompt included, without what fills them up."""
        pairs = zip(self.tokens.tolist(), self.lengths.tolist(), strict=True)
        return [tokens[:length] for tokens, length in pairs]


class Generator:
    """Generation with a model that was built from a graph.

    `obstacle` says why no cache can be kept, and is empty where one is. With `cache=True` an
    obstacle is an error, with `cache=False` there never is a cache, and by default a warning says
    that every step runs the whole model.

    Raises ValueError where no output scores the next token of an input, or several do and `output`
    does not choose one.
    """

    def __init__(
        self, model: nn.Module, graph: Graph, *, output: str | None = None,
        cache: bool | None = None,
    ) -> None:  # fmt: skip
        self.model = getattr(model, "_orig_mod", model)  # that of torch.compile has other names
        self.decoding = decoding_of(graph, output)
        self.obstacle = self.decoding.obstacle
        self._form: nn.Module | None = None
        if cache is False:
            self.obstacle = self.obstacle or "it was turned off"
            return
        if not self.obstacle:
            self._form = decoding_form(self.decoding)
            self.obstacle = _misfit(self._form, self.model)
        if self.obstacle and cache:
            raise ValueError(f"no cache can be kept: {self.obstacle}")
        if self.obstacle:
            text = f"every step runs the whole model, as no cache can be kept: {self.obstacle}"
            warnings.warn(text, stacklevel=3)

    def steps(self, inputs: Mapping[str, Tensor]) -> Steps:
        """The model ready for its first step, with its other `inputs`."""
        if self._form is None or self.obstacle:
            return WholeSteps(self.model, self.decoding, inputs)
        return CachedSteps(self._form, self.model, inputs)

    @torch.no_grad()
    def generate(
        self, prompt: Tensor | Sequence[Sequence[int]], *, max_new_tokens: int,
        temperature: float | None = None, top_k: int | None = None, top_p: float | None = None,
        seed: int | None = None, num_beams: int = 1, length_penalty: float = 1.0,
        early_stopping: bool | Literal["never"] = False, eos: int | Sequence[int] | None = None,
        pad: int | None = None, **inputs: Tensor,
    ) -> Generated:  # fmt: skip
        """Continues each prompt until a token of `eos`, or by `max_new_tokens`.

        Prompts of several lengths are run in groups of one length, so that none is padded. What
        fills up shorter results is `pad`, or the first `eos`, or 0. Dropout is off meanwhile.

        Raises ValueError for settings that do not go together, and for inputs that do not fit.
        """
        rows = _rows(prompt, self._vocab_size(), next(self.model.parameters()).device)
        ends = [eos] if isinstance(eos, int) else list(eos or ())
        fill = pad if pad is not None else ends[0] if ends else 0
        self._check(rows, max_new_tokens, inputs)
        asked = {"temperature": temperature, "top_k": top_k, "top_p": top_p}
        given = {name: value for name, value in asked.items() if value is not None}
        sampling = Sampling(**given) if given or seed is not None else None  # type: ignore[arg-type]
        beams = Beams(num_beams, length_penalty, early_stopping)
        if sampling is not None and num_beams > 1:
            raise ValueError("beam search draws no samples: leave out num_beams or the sampling")
        random = None
        if seed is not None:
            random = torch.Generator(rows[0].device).manual_seed(seed)
        found: dict[int, tuple[Tensor, int, Tensor | None]] = {}
        with evaluated(self.model):
            for places in _by_length(rows):
                group = torch.stack([rows[place] for place in places])
                chosen = {n: t[places] if len(places) < len(rows) else t for n, t in inputs.items()}
                steps, stop = self.steps(chosen), torch.tensor(ends, device=group.device)
                scores: Tensor | None = None
                if num_beams > 1:
                    made = beam_search(steps, group, beams, max_new_tokens, stop)
                    tokens, lengths, scores = made
                else:
                    tokens, lengths = _continued(
                        steps, group, max_new_tokens, stop, sampling, random
                    )
                for at, place in enumerate(places):
                    score = None if scores is None else scores[at]
                    found[place] = tokens[at], int(lengths[at]), score
        return _joined([found[place] for place in range(len(rows))], fill, cached=not self.obstacle)

    def _vocab_size(self) -> int:
        grown = self.decoding.graph.parts[self.decoding.tokens]
        assert isinstance(grown, Input)
        assert isinstance(grown.node.component, Tokens)
        return grown.node.component.vocab_size

    def _check(self, rows: list[Tensor], new: int, inputs: Mapping[str, Tensor]) -> None:
        if new < 1:
            raise ValueError("max_new_tokens must be 1 or more")
        items = [i for i in self.decoding.graph.inputs if i.name != self.decoding.tokens]
        masks = [f"{item.name}_mask" for item in items if item.padding == "mask"]
        names = [item.name for item in items]
        for name in names:
            if name not in inputs:
                raise ValueError(f"the model also reads '{name}': give {name}=")
        for name, value in inputs.items():
            if name not in {*names, *masks}:
                known = ", ".join(f"'{n}'" for n in [*names, *masks]) or "none"
                raise ValueError(f"there is no input '{name}' beside the prompt: there are {known}")
            if len(value) != len(rows):
                raise ValueError(f"'{name}' has {len(value)} examples, the prompt {len(rows)}")
        longest, wanted = self.decoding.longest, max(map(len, rows)) + new - 1
        if longest is not None and wanted > longest:
            raise ValueError(
                f"the model has {longest} positions, and a prompt of {wanted - new + 1} tokens with "
                f"{new} new ones needs {wanted}: ask for fewer"
            )


def _misfit(form: nn.Module, model: nn.Module) -> str:
    try:
        bind(form, model)
    except BindingError as error:
        return str(error)
    return ""


@contextmanager
def evaluated(model: nn.Module) -> Iterator[None]:
    """Every module of a model in the mode of evaluation, and afterwards as it was."""
    before = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in before:
            module.training = training


def _rows(
    prompt: Tensor | Sequence[Sequence[int]], vocab_size: int, device: torch.device
) -> list[Tensor]:
    """The tokens of each prompt (steps,), on the model's device."""
    if isinstance(prompt, Tensor) and prompt.dim() != 2:  # noqa: PLR2004 - batch and steps
        raise ValueError(f"a prompt is (batch, steps), not {tuple(prompt.shape)}")
    rows = [torch.as_tensor(row, dtype=torch.long, device=device) for row in prompt]
    if not rows or any(len(row) == 0 for row in rows):
        raise ValueError("a prompt has at least one example, and each at least one token")
    lowest, highest = min(int(r.min()) for r in rows), max(int(r.max()) for r in rows)
    if lowest < 0 or highest >= vocab_size:
        wrong = lowest if lowest < 0 else highest
        raise ValueError(f"token {wrong} is not in the vocabulary of {vocab_size}")
    return rows


def _by_length(rows: list[Tensor]) -> list[list[int]]:
    """Numbers of the prompts, those of one length together."""
    groups: dict[int, list[int]] = {}
    for place, row in enumerate(rows):
        groups.setdefault(len(row), []).append(place)
    return list(groups.values())


def _continued(
    steps: Steps, prompt: Tensor, most: int, ends: Tensor, sampling: Sampling | None,
    random: torch.Generator | None,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Prompts (batch, steps) and what follows token by token; the length of each."""
    batch, start = prompt.shape
    lengths = torch.full((batch,), start + most, device=prompt.device)
    running = torch.ones(batch, dtype=torch.bool, device=prompt.device)
    tokens, new = [prompt], prompt
    for made in range(1, most + 1):
        new = choose(steps(new)[:, -1], sampling, random)[:, None]
        tokens.append(new)
        if len(ends):
            ended = running & torch.isin(new[:, 0], ends)
            lengths[ended] = start + made
            running = running & ~ended
            if not running.any():
                break
    return torch.cat(tokens, dim=1), lengths


def _joined(
    found: list[tuple[Tensor, int, Tensor | None]], fill: int, *, cached: bool
) -> Generated:
    """Results of single examples as one batch."""
    lengths = torch.tensor([length for _, length, _ in found])
    tokens = found[0][0].new_full((len(found), int(lengths.max())), fill)
    for row, (made, length, _) in zip(tokens, found, strict=True):
        row[:length] = made[:length]
    scores = [score for _, _, score in found if score is not None]
    return Generated(
        tokens, lengths.to(tokens.device), torch.stack(scores) if scores else None, cached
    )
