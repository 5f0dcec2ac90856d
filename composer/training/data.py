"""From texts to batches: examples of ids, put together as a model's inputs and its targets."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from composer.compiler import Source
from composer.compiler import graph as graph_of
from composer.components.embedding import Learned
from composer.components.placed import Placed
from composer.graph.graph import Graph, Input
from composer.language.spec import ModelSpec
from composer.language.train import TrainFields

from .errors import training_error
from .records import Record, records
from .tasks import COLUMNS, Wiring, wiring
from .tokens import Bytes, Tokenizer, TokenizerFile

IGNORED = -100
"""The target of a step that is not learned, as in torch's cross entropy."""

Example = tuple[Tensor, ...]
Batch = tuple[dict[str, Tensor], Tensor]
"""The inputs of `forward` by name, and the class that is right for each row of the scores."""


class Texts(Dataset[Example]):
    """Examples of int64 ids; `digest` tells different data apart."""

    def __init__(self, examples: Sequence[Example], digest: str = "") -> None:
        self.examples = examples
        self.digest = digest or _digest(examples)

    def __len__(self) -> int:
        """Number of examples."""
        return len(self.examples)

    def __getitem__(self, index: int) -> Example:
        """An example: for each column its ids."""
        return self.examples[index]


class Windows(Dataset[Example]):
    """A long text in windows of `length` steps, each with the token after it."""

    def __init__(self, ids: Tensor, length: int) -> None:
        self.ids, self.length = ids, length
        self.digest = _digest([(ids,)])

    def __len__(self) -> int:
        """Number of windows; what is left at the end is not used."""
        return (len(self.ids) - 1) // self.length

    def __getitem__(self, index: int) -> Example:
        """The ids of a window, one more than it has steps."""
        start = index * self.length
        return (self.ids[start : start + self.length + 1].long(),)


@dataclass(frozen=True)
class Data:
    """What a model learns from: examples, how they become a batch, and the output it is scored at.

    Any data set of torch will do, with a `collate` that makes batches of its items.
    """

    train: Dataset[Example]
    evaluation: Dataset[Example] | None
    collate: Callable[[list[Example]], Batch]
    output: str
    labels: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """What tells these data from others, if the data set knows."""
        return str(getattr(self.train, "digest", ""))


def read_data(
    spec: Source | ModelSpec | Graph, path: str | Path, *, evaluation: str | Path | None = None,
    tokenizer: str | Path | None = None, settings: TrainFields | None = None,
) -> Data:  # fmt: skip
    """The data of a text file, JSON lines or a saved data set, as the model of `spec` takes them.

    `tokenizer` is a file of the library `tokenizers`; without one, tokens are bytes. The task and
    the length are those of `settings`. Raises SpecError, of which TrainingError tells what is wrong
    with the data.
    """
    graph = spec if isinstance(spec, Graph) else graph_of(spec)
    settings = settings or getattr(spec, "train", None) or TrainFields()
    wired = wiring(graph, settings.task)
    made = TokenizerFile(tokenizer) if tokenizer is not None else Bytes()
    for one in wired.inputs:
        _check_vocabulary(one, made)
    length = _length(graph, wired, settings.length)
    columns = COLUMNS[wired.task]
    rows = records(Path(path), columns)
    labels = tuple(sorted({row[1] for row in rows})) if wired.task == "classification" else ()
    if len(labels) > wired.classes:
        why = f"'{path}' has {len(labels)} labels, but '{wired.output.name}' scores {wired.classes}"
        raise training_error("T502", why, f"make it score {len(labels)} classes")
    held = None
    if evaluation is not None:
        others = records(Path(evaluation), columns)
        held = _examples(others, Path(evaluation), wired, made, length, labels)
    train = _examples(rows, Path(path), wired, made, length, labels)
    return Data(train, held, _Collate(wired), wired.output.name, labels)


def _examples(
    rows: list[Record], path: Path, wired: Wiring, made: Tokenizer, length: int,
    labels: tuple[str, ...],
) -> Texts | Windows:  # fmt: skip
    """Ids of the rows, as their task wants them."""
    firsts = [row[0] for row in rows]
    if wired.task == "language_modeling":
        return _windows(made.encode(firsts), path, made, length)
    if wired.task == "classification":
        unknown = sorted({row[1] for row in rows} - set(labels))
        if unknown:
            raise training_error("T501", f"'{path}' has a label '{unknown[0]}' that is new")
        ids = [one[:length] for one in made.encode(firsts, whole=True)]
        classes = [torch.tensor([labels.index(row[1])]) for row in rows]
        pairs = [(torch.tensor(one), label) for one, label in zip(ids, classes, strict=True)]
        return Texts(pairs)
    if made.start is None or made.end is None:
        why = "the tokenizer has no token for the end of a text, such as </s>"
        raise training_error("T502", why)
    sources = [[*one[: length - 1], made.end] for one in made.encode(firsts)]
    targets = [
        [made.start, *one[: length - 1], made.end] for one in made.encode([row[1] for row in rows])
    ]
    pairs = [(torch.tensor(a), torch.tensor(b)) for a, b in zip(sources, targets, strict=True)]
    return Texts(pairs)


def _windows(texts: list[list[int]], path: Path, made: Tokenizer, length: int) -> Windows:
    """One long sequence; several texts are told apart by the token for their end."""
    between = [made.end] if len(texts) > 1 and made.end is not None else []
    ids = torch.cat([torch.tensor(one + between, dtype=torch.int32) for one in texts])
    windows = Windows(ids, length)
    if not len(windows):
        why = f"'{path}' has {len(ids)} tokens, too few for one window of {length} and the next"
        raise training_error("T501", why, f"set length below {len(ids)}")
    return windows


@dataclass(frozen=True)
class _Collate:
    """Examples side by side: shorter ones are filled up, as the inputs know padding."""

    wired: Wiring

    def __call__(self, examples: list[Example]) -> Batch:
        columns = list(zip(*examples, strict=True))
        first = self.wired.inputs[0]
        if self.wired.task == "language_modeling":
            ids = torch.stack(columns[0])
            return {first.name: ids[:, :-1]}, ids[:, 1:]
        inputs = _filled(first, columns[0], needed=True)
        if self.wired.task == "classification":
            return inputs, torch.cat(columns[1])
        target = self.wired.inputs[1]
        before, after = [one[:-1] for one in columns[1]], [one[1:] for one in columns[1]]
        wanted = torch.nn.utils.rnn.pad_sequence(after, batch_first=True, padding_value=IGNORED)
        return inputs | _filled(target, before, needed=False), wanted


def _filled(one: Input, texts: Sequence[Tensor], *, needed: bool) -> dict[str, Tensor]:
    """Texts as one tensor (batch, time), and its mask where the input takes one."""
    lengths = {len(text) for text in texts}
    if needed and one.padding is None and len(lengths) > 1:
        raise training_error(
            "T502", f"examples differ in length, but the input '{one.name}' has no padding",
            f"{one.name}: {{kind: tokens, padding: mask, ...}}",
        )  # fmt: skip
    empty = one.padding if isinstance(one.padding, int) else 0
    filled = torch.nn.utils.rnn.pad_sequence(list(texts), batch_first=True, padding_value=empty)
    made = {one.name: filled}
    if one.padding == "mask":
        steps = torch.arange(max(lengths))
        made[f"{one.name}_mask"] = steps < torch.tensor([[len(text)] for text in texts])
    return made


class Order(Sampler[list[int]]):
    """Batches of indices without end: permutation after permutation, each from seed and round.

    Batch number n follows from n alone, so a run goes on exactly by the number of those it has read.
    Of each batch only a `share` is given: (0, 2) is the first half.
    """

    def __init__(
        self, count: int, batch_size: int, seed: int, start: int = 0,
        share: tuple[int, int] = (0, 1),
    ) -> None:  # fmt: skip
        self.count, self.batch_size, self.seed, self.start = count, batch_size, seed, start
        each = batch_size // share[1]
        self.part = slice(share[0] * each, (share[0] + 1) * each)

    def __iter__(self) -> Iterator[list[int]]:
        """Batches from number `start` on."""
        done, order = -1, torch.empty(0)
        first = self.start * self.batch_size
        while True:
            batch = []
            for position in range(first, first + self.batch_size):
                turn, place = divmod(position, self.count)
                if turn != done:
                    random = torch.Generator().manual_seed(self.seed * 1_000_003 + turn)
                    done, order = turn, torch.randperm(self.count, generator=random)
                batch.append(int(order[place]))
            yield batch[self.part]
            first += self.batch_size


def training_batches(
    data: Data, settings: TrainFields, start: int, share: tuple[int, int] = (0, 1)
) -> Iterator[Batch]:
    """Batches to learn from without end, from number `start` on, or a share of each of them."""
    size: int = len(data.train)  # type: ignore[arg-type]
    order = Order(size, settings.batch_size, settings.seed, start, share)
    return iter(_loader(data.train, data, batch_sampler=order))


def evaluation_batches(
    data: Data, settings: TrainFields, share: tuple[int, int] = (0, 1)
) -> Iterator[tuple[Batch, bool]]:
    """The batches of the data that are held out, in order, and whether each of them counts.

    Shares take turns. Where there is none left for one, the first batch stands in and does not
    count, so that all shares are of one length.
    """
    assert data.evaluation is not None, "only data with a part held out are evaluated"
    size: int = len(data.evaluation)  # type: ignore[arg-type]
    each, (own, of) = settings.batch_size, share
    count = min(-(-size // each), settings.eval_batches or size)
    numbers = range(own, -(-count // of) * of, of)
    starts = [each * (number if number < count else 0) for number in numbers]
    order = [list(range(start, min(start + each, size))) for start in starts]
    batches = _loader(data.evaluation, data, batch_sampler=order)
    for number, batch in zip(numbers, batches, strict=True):
        yield batch, number < count


def _loader(examples: Dataset[Example], data: Data, **options: object) -> DataLoader[Example]:
    """A loader with a generator of its own: torch's would draw from the model's random numbers."""
    own = torch.Generator()
    return DataLoader(examples, collate_fn=data.collate, generator=own, **options)  # type: ignore[arg-type]


def _check_vocabulary(one: Input, made: Tokenizer) -> None:
    known: int = getattr(one.node.component, "vocab_size", 0)
    if made.size > known:
        raise training_error(
            "T502", f"the tokenizer has {made.size:,} tokens, but '{one.name}' knows {known:,}",
            f"{one.name}: {{kind: tokens, vocab_size: {made.size}}}",
        )  # fmt: skip


def _length(graph: Graph, wired: Wiring, wanted: int) -> int:
    """Steps of an example: what is wanted, or fewer where an input has a fixed length.

    Raises TrainingError where learned positions end before.
    """
    fixed = [length for one in wired.inputs if isinstance(length := one.value.shape[1], int)]
    length = min([wanted, *fixed])
    most = min((end for _, node in graph.nodes() for end in _ends(node.placed)), default=length)
    if most < length:
        why = f"examples have up to {length} tokens, but positions end at {most}"
        raise training_error("T502", why, f"--set train.length={most}")
    return length


def _ends(placed: Placed) -> Iterator[int]:
    """Where the positions within a component end."""
    if isinstance(placed.component, Learned) and placed.component.max_length is not None:
        yield placed.component.max_length
    for part in placed.parts.values():
        yield from _ends(part)


def _digest(examples: Sequence[Example]) -> str:
    digest = hashlib.sha256()
    for example in examples:
        for ids in example:
            digest.update(str((len(ids), str(ids.dtype))).encode())
            digest.update(ids.numpy().tobytes())
    return digest.hexdigest()
