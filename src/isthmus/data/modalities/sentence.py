"""Sentences as ready-made vectors, decoded honestly: by the nearest sentence that is known."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from isthmus.data.modalities.base import State, check_tensor
from isthmus.data.modalities.vector import vectors_of
from isthmus.errors import ConfigError, DataError
from isthmus.files import write_text

if TYPE_CHECKING:
    import torch

__all__ = ["Known", "SentenceAdapter"]

Encode = Callable[[Sequence[str]], NDArray[Any]]
_MOST_TEXT = 1 << 30


@dataclass(frozen=True)
class Known:
    """A sentence of the bank that stands for a vector."""

    text: str
    """The sentence; nobody wrote it anew."""
    similarity: float
    """Cosine between its vector and the one that was decoded."""

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, eq=False)
class SentenceAdapter:
    """Sentences with a vector each, scaled to length 1.

    Decoding never makes words up: it names the sentence of the bank whose vector is nearest.

    Examples
    --------
    >>> import numpy as np
    >>> bank = SentenceAdapter.of(["a cat", "a dog"], np.eye(2))
    >>> str(bank.inverse(bank.transform(["a dog"]))[0])
    'a dog'
    """

    name: str = "sentence"
    """What the modality is called."""
    size: int = 1
    """Values a vector."""
    bank: tuple[str, ...] = ()
    """The sentences that are known."""
    vectors: NDArray[np.float32] = field(default_factory=lambda: np.empty((0, 1), np.float32))
    """Their vectors, shape (sentences, size), each of length 1."""
    encode: Encode | None = None
    """Makes vectors (n, size) of unknown sentences; not saved. None: those are refused."""

    kind = "sentence"

    def __post_init__(self) -> None:
        if self.vectors.shape != (len(self.bank), self.size):
            raise ConfigError(
                "every sentence of the bank needs a vector",
                where=f"{len(self.bank):,} sentences, vectors of shape {self.vectors.shape}, "
                f"size {self.size}",
            )
        object.__setattr__(self, "_row", {text: i for i, text in enumerate(self.bank)})

    @classmethod
    def of(
        cls,
        sentences: Sequence[str],
        vectors: NDArray[Any],
        *,
        name: str = "sentence",
        encode: Encode | None = None,
    ) -> Self:
        """Make an adapter of sentences and their vectors (n, size).

        Raises
        ------
        DataError
            If they differ in number, or a vector is not finite or is 0.
        """
        given = np.asarray(vectors)
        if given.ndim != 2 or len(given) != len(sentences):
            raise DataError(
                "every sentence needs a vector",
                where=f"{len(sentences):,} sentences, vectors of shape {given.shape}",
            )
        unit = _unit(vectors_of(given, given.shape[1], name), name)
        return cls(name, given.shape[1], tuple(sentences), unit, encode)

    @property
    def shape(self) -> tuple[int]:
        """(size,)."""
        return (self.size,)

    def fit(self, items: Sequence[str]) -> Self:
        """Return the adapter whose bank is the training sentences alone, each once."""
        texts = tuple(dict.fromkeys(items))
        return replace(self, bank=texts, vectors=self._vectors(texts))

    def _vectors(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return unit vectors of sentences: from the bank, else from the encoder."""
        rows: dict[str, int] = self._row  # type: ignore[attr-defined]
        unknown = [text for text in dict.fromkeys(texts) if text not in rows]
        made = np.empty((0, self.size), np.float32)
        if unknown:
            if self.encode is None:
                shown = unknown[0] if len(unknown[0]) <= 60 else f"{unknown[0][:57]}..."
                raise DataError(
                    "the sentence is not known, and there is nothing to make its vector with",
                    where=f"modality {self.name!r}: {shown!r}",
                    fix="give a sentence of the bank, or an encode function",
                )
            made = _unit(vectors_of(self.encode(unknown), self.size, self.name), self.name)
        place = {text: i for i, text in enumerate(unknown)}
        out = np.empty((len(texts), self.size), np.float32)
        for i, text in enumerate(texts):
            out[i] = made[place[text]] if text in place else self.vectors[rows[text]]
        return out

    def transform(self, items: Sequence[str]) -> torch.Tensor:
        """Return unit vectors, float32, shape (n, size).

        Raises
        ------
        DataError
            If a sentence is not known and there is no ``encode``.
        """
        import torch

        return torch.from_numpy(self._vectors(items))

    def inverse(self, values: torch.Tensor) -> list[Known]:
        """Return the nearest known sentence of each vector, with its cosine."""
        check_tensor(values, self.shape, self.name)
        if not self.bank:
            raise ConfigError(f"the modality {self.name!r} knows no sentence", fix="fit it first")
        given = values.detach().cpu().float().numpy()
        lengths = np.linalg.norm(given, axis=1, keepdims=True)
        cosines = (given / np.maximum(lengths, 1e-12)) @ self.vectors.T
        best = cosines.argmax(axis=1)
        return [Known(self.bank[b], float(cosines[i, b])) for i, b in enumerate(best)]

    def read(self, source: str | Path) -> str:
        """Return the sentence: it is the text itself."""
        return str(source)

    def write(self, item: Known | str, path: str | Path) -> None:
        """Write a sentence as a line of UTF-8, whole or not at all."""
        write_text(Path(path), f"{item}\n")

    def config(self) -> dict[str, Any]:
        """Return the settings as JSON values."""
        return {"kind": self.kind, "name": self.name, "size": self.size}

    def state(self) -> dict[str, NDArray[Any]]:
        """Return the bank: its texts as UTF-8 bytes one after the other, their ends, vectors."""
        texts = [text.encode("utf-8", "surrogatepass") for text in self.bank]
        ends = np.cumsum([len(text) for text in texts], dtype=np.int64)
        joined = np.frombuffer(b"".join(texts), np.uint8).copy()
        return {"vectors": self.vectors, "texts": joined, "ends": ends}

    @classmethod
    def rebuilt(cls, values: dict[str, Any], state: State) -> Self:
        """Make the adapter again from what :meth:`config` and :meth:`state` returned."""
        name, size = str(values["name"]), int(values["size"])
        vectors = np.asarray(state.get("vectors", np.empty(0)))
        ends = np.asarray(state.get("ends", np.empty(0)))
        content = np.asarray(state.get("texts", np.empty(0)))
        fits = (
            vectors.ndim == 2 and vectors.shape == (len(ends), size) and content.dtype == np.uint8
        )
        last = int(ends[-1]) if len(ends) else 0
        if not fits or ends.dtype.kind != "i" or last != content.size or last > _MOST_TEXT:
            raise DataError(f"the saved state of the modality {name!r} is damaged")
        if len(ends) and (int(ends[0]) < 0 or (np.diff(ends) < 0).any()):
            raise DataError(f"the saved state of the modality {name!r} is damaged", where="ends")
        joined, starts = content.tobytes(), [0, *ends[:-1].tolist()]
        bank = tuple(
            joined[start:end].decode("utf-8", "surrogatepass")
            for start, end in zip(starts, ends.tolist(), strict=False)
        )
        return cls(name, size, bank, vectors.astype(np.float32))


def _unit(vectors: NDArray[np.float32], name: str) -> NDArray[np.float32]:
    lengths = np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
    if len(vectors) and lengths.min() < 1e-12:
        raise DataError(
            "a sentence has a vector of zeros",
            where=f"modality {name!r}, item {int(lengths[:, 0].argmin())}",
        )
    scaled: NDArray[np.float64] = vectors / np.maximum(lengths, 1e-12)
    return scaled.astype(np.float32)
