"""Short texts as characters: words and templates to symbols, and back."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from isthmus.data.modalities.base import State
from isthmus.errors import ConfigError, DataError
from isthmus.files import write_text

if TYPE_CHECKING:
    import torch

__all__ = ["ALPHABET", "TextAdapter"]

ALPHABET = "abcdefghijklmnopqrstuvwxyz 0123456789"
"""The letters, the space and the digits."""


@dataclass(frozen=True)
class TextAdapter:
    """Texts as symbols: 0 is the end and what follows it, 1 upward are the alphabet's characters.

    Texts are put in lower case, and runs of spaces count as one.

    Examples
    --------
    >>> words = TextAdapter(length=8)
    >>> words.transform(["Seven"])
    tensor([[19,  5, 22,  5, 14,  0,  0,  0]])
    >>> words.inverse(words.transform(["seven", "two"]))
    ['seven', 'two']
    >>> words.symbols
    38
    """

    name: str = "text"
    """What the modality is called."""
    length: int = 8
    """Characters of the window; longer texts are refused."""
    alphabet: str = ALPHABET
    """The characters that texts may hold, each once."""
    replace_with: str | None = None
    """The character put for those outside the alphabet; None: they are refused."""

    kind = "text"

    def __post_init__(self) -> None:
        if self.length < 1 or not self.alphabet or len(set(self.alphabet)) != len(self.alphabet):
            raise ConfigError(
                "text needs a window of at least 1 and an alphabet of characters, each once",
                where=f"length={self.length}, alphabet={self.alphabet!r}",
            )
        if self.replace_with is not None and (
            len(self.replace_with) != 1 or self.replace_with not in self.alphabet
        ):
            raise ConfigError(
                "replace_with must be one character of the alphabet",
                where=f"replace_with={self.replace_with!r}",
            )

    @property
    def shape(self) -> tuple[int]:
        """(length,)."""
        return (self.length,)

    @property
    def symbols(self) -> int:
        """How many symbols there are: the end, and the alphabet's characters."""
        return len(self.alphabet) + 1

    def fit(self, items: Sequence[str]) -> Self:
        """Return the adapter itself: the alphabet is a setting."""
        return self

    def transform(self, items: Sequence[str]) -> torch.Tensor:
        """Return symbols, int64, shape (n, length).

        Raises
        ------
        DataError
            If a text is empty, too long, or holds a character outside the alphabet.
        """
        import torch

        rows = [self._symbols(self.read(item), i) for i, item in enumerate(items)]
        return torch.tensor(rows, dtype=torch.int64).reshape(len(rows), self.length)

    def _symbols(self, text: str, number: int) -> list[int]:
        where = f"modality {self.name!r}, text {number}: {_shown(text)}"
        symbols = []
        for position, character in enumerate(text):
            found = self.alphabet.find(character)
            if found < 0 and self.replace_with is None:
                raise DataError(
                    f"the character {character!r} is outside the alphabet",
                    where=f"{where}, position {position}",
                    why=f"known are {self.alphabet!r}",
                    fix="write the text with these, or have others replaced: replace_with=' '",
                )
            symbols.append(
                1 + (self.alphabet.index(self.replace_with or "") if found < 0 else found)
            )
        if not symbols:
            raise DataError("the text is empty", where=where)
        if len(symbols) > self.length:
            raise DataError(
                f"the text has {len(symbols)} characters; the window holds {self.length}",
                where=where,
                fix="shorten it",
            )
        return symbols + [0] * (self.length - len(symbols))

    def inverse(self, values: torch.Tensor) -> list[str]:
        """Return texts, each up to its first end symbol.

        Parameters
        ----------
        values
            Symbols (n, length), or scores of each symbol (n, length, symbols), of which the
            best is taken.
        """
        found = values.detach().cpu()
        if found.ndim == 3 and tuple(found.shape[1:]) == (self.length, self.symbols):
            found = found.argmax(-1)
        if found.ndim != 2 or found.shape[1] != self.length or found.is_floating_point():
            raise DataError(
                f"the tensor does not fit the modality {self.name!r}",
                why=f"its shape is {tuple(values.shape)}; symbols (n, {self.length}) or scores "
                f"(n, {self.length}, {self.symbols}) are needed",
            )
        rows = found.numpy()
        if rows.size and (rows.min() < 0 or rows.max() >= self.symbols):
            raise DataError("a symbol lies outside the alphabet", where=self.name)
        texts = []
        for row in rows:
            ends = np.flatnonzero(row == 0)
            stop = int(ends[0]) if len(ends) else self.length
            texts.append("".join(self.alphabet[symbol - 1] for symbol in row[:stop]))
        return texts

    def read(self, source: str | Path) -> str:
        """Return a text in lower case with single spaces; ``source`` is the text, or a .txt file.

        Raises
        ------
        DataError
            If ``source`` is neither, or the file is not UTF-8 or longer than a page.
        """
        if not isinstance(source, str | Path):
            raise DataError("this is not a text", where=f"{self.name}: {type(source).__name__}")
        text = str(source)
        path = Path(source)
        if isinstance(source, Path) or (path.suffix.lower() == ".txt" and path.is_file()):
            text = _text_in(path)
        return " ".join(text.lower().split())

    def write(self, item: str, path: str | Path) -> None:
        """Write a text as a line of UTF-8, whole or not at all."""
        write_text(Path(path), item + "\n")

    def config(self) -> dict[str, Any]:
        """Return the settings as JSON values."""
        return {"kind": self.kind, **dataclasses.asdict(self)}

    def state(self) -> dict[str, NDArray[Any]]:
        """Return nothing: the alphabet is a setting."""
        return {}

    @classmethod
    def rebuilt(cls, values: dict[str, Any], state: State) -> Self:
        """Make the adapter again from what :meth:`config` and :meth:`state` returned."""
        return cls(**values)


def _shown(text: str) -> str:
    return repr(text if len(text) <= 40 else f"{text[:37]}...")


def _text_in(path: Path) -> str:
    try:
        with path.open("rb") as handle:
            content = handle.read(4097)
        if len(content) > 4096:
            raise DataError("the text file is longer than a page", where=str(path))
        return content.decode("utf-8-sig")
    except OSError as error:
        raise DataError("the text can't be read", where=str(path), why=str(error)) from error
    except UnicodeDecodeError as error:
        raise DataError("the text is not UTF-8", where=str(path), why=str(error)) from error
