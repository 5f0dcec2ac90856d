"""Tokenizers: bytes, or a file of the `tokenizers` library."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from .errors import training_error

_STARTS = ("<s>", "<bos>", "[BOS]", "<|startoftext|>", "<|begin_of_text|>", "[CLS]")
_ENDS = ("</s>", "<eos>", "[EOS]", "<|endoftext|>", "<|end_of_text|>", "[SEP]")


class Tokenizer(Protocol):
    """What training needs of a tokenizer; ids of special tokens are None where it has none."""

    @property
    def size(self) -> int:
        """Number of different tokens."""

    @property
    def start(self) -> int | None:
        """The token before a text that is to be written."""

    @property
    def end(self) -> int | None:
        """The token after a text."""

    def encode(self, texts: Sequence[str], *, whole: bool = False) -> list[list[int]]:
        """The ids of texts; `whole` ones have the special tokens that the tokenizer adds."""


@dataclass(frozen=True)
class Bytes:
    """The bytes of UTF-8; special tokens are the control characters that ASCII has for them."""

    size: int = 256
    start: int = 2
    end: int = 3

    def encode(self, texts: Sequence[str], *, whole: bool = False) -> list[list[int]]:
        """The bytes of texts; there is nothing to add to whole ones."""
        del whole
        return [list(text.encode()) for text in texts]


class TokenizerFile:
    """A `tokenizer.json`; special tokens are found by their usual names."""

    def __init__(self, path: str | Path) -> None:
        """Reads the file.

        Raises TrainingError where it cannot be read, or `tokenizers` is not installed.
        """
        try:
            from tokenizers import Tokenizer as Read
        except ImportError:
            raise training_error(
                "T501", f"'{path}' needs the library tokenizers", "pip install tokenizers"
            ) from None
        try:
            self._made: Any = Read.from_str(Path(path).read_text(encoding="utf-8"))
        except Exception as error:  # noqa: BLE001 - the library raises plain Exception
            reason = getattr(error, "strerror", None) or str(error)
            raise training_error("T501", f"'{path}' is no tokenizer: {reason.lower()}") from None
        self._made.no_padding()
        self._made.no_truncation()
        self.size: int = self._made.get_vocab_size()
        self.end = self._first(_ENDS)
        self.start = self._first(_STARTS) if self._first(_STARTS) is not None else self.end

    def encode(self, texts: Sequence[str], *, whole: bool = False) -> list[list[int]]:
        """The ids of texts; whole ones have what the file's post-processor adds."""
        made = self._made.encode_batch(list(texts), add_special_tokens=whole)
        return [list(one.ids) for one in made]

    def _first(self, names: Sequence[str]) -> int | None:
        ids = (self._made.token_to_id(name) for name in names)
        return next((found for found in ids if found is not None), None)
