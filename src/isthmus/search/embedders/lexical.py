"""The declared fallback without a language model: hashed n-grams, TF-IDF, truncated SVD."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from isthmus.errors import ConfigError, DataError
from isthmus.search.embedders.base import Floats, Progress, Spans
from isthmus.search.embedders.counting import word_spans
from isthmus.search.embedders.rows import readable, unit_rows

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

__all__ = ["LexicalEmbedder", "LexicalState"]

_WORDS, _CHARACTERS = 1 << 15, 1 << 15
_MAX_TOKENS = 256
_STATE = "lexical.safetensors"
_CHUNK = 4096


@dataclass(frozen=True, eq=False)
class LexicalState:
    """What was learned from a corpus."""

    columns: NDArray[np.int32]
    """Hashed n-grams that count (F,), ascending: those of two texts or more."""
    idf: Floats
    """Their weights (F,): ln((1 + n) / (1 + df)) + 1."""
    components: NDArray[np.float16]
    """Directions of the truncated SVD (F, D)."""

    def __post_init__(self) -> None:
        features = len(self.columns)
        good = (
            self.columns.shape == self.idf.shape == (features,)
            and self.components.ndim == 2
            and len(self.components) == features
            and min(self.components.shape) > 0
            and bool((np.diff(self.columns) > 0).all())
            and int(self.columns[0]) >= 0
            and int(self.columns[-1]) < _WORDS + _CHARACTERS
            and bool(np.isfinite(self.idf).all() and np.isfinite(self.components).all())
        )
        if not good:
            raise DataError("the lexical embedder's state is damaged", fix="make the index anew")

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the arrays by name."""
        return {"columns": self.columns, "idf": self.idf, "components": self.components}


class LexicalEmbedder:
    """Words and parts of words in common: no meaning beyond what stands in the same texts.

    A text's words and pairs of words, and the runs of 3 to 5 characters within its words, are
    hashed; their counts are damped (1 + ln), weighted by idf and scaled to length 1 for words and
    characters apart; a truncated SVD of the corpus turns them into short vectors (latent semantic
    analysis; Deerwester et al. 1990).

    Parameters
    ----------
    dim
        Numbers in a vector, at most; fewer for a corpus of fewer texts or n-grams.
    seed
        Seed of the randomised SVD (Halko et al. 2011).
    state
        What `fitted` learned; None: nothing yet.

    Examples
    --------
    >>> toy = LexicalEmbedder(dim=2).fitted(["red apples", "red roses", "grey stones, grey seas"])
    >>> toy.embed(["apples"]).shape
    (1, 2)
    """

    def __init__(self, dim: int = 256, seed: int = 0, state: LexicalState | None = None) -> None:
        self.wanted, self.seed, self.state = dim, seed, state

    @property
    def name(self) -> str:
        """Lexical."""
        return "lexical"

    @property
    def dim(self) -> int:
        """Numbers in a vector."""
        return self.wanted if self.state is None else int(self.state.components.shape[1])

    @property
    def digest(self) -> str:
        """SHA-256 over what was learned; it needs a corpus."""
        found = hashlib.sha256(b"isthmus lexical 1\n")
        for name, array in self._learned().arrays().items():
            found.update(f"{name} {array.shape} {array.dtype.str}\n".encode())
            found.update(np.ascontiguousarray(array).tobytes())
        return found.hexdigest()

    @property
    def max_tokens(self) -> int | None:
        """Words and signs of a passage; more would be read all the same."""
        return _MAX_TOKENS

    @property
    def description(self) -> str:
        """One line that says what it is not."""
        return f"lexical: hashed n-grams and SVD, no language model; {self.dim} numbers"

    def token_spans(self, texts: Sequence[str]) -> list[Spans]:
        """Return where words and the signs between them stand (T, 2)."""
        return word_spans(texts)

    def fitted(self, texts: Sequence[str]) -> LexicalEmbedder:
        """Return an embedder that has learned from a corpus.

        Raises
        ------
        DataError
            If the texts have nothing in common that could be learned from.
        """
        clean = readable(texts)
        counts = _counts(clean or [""])
        frequency = np.bincount(counts.indices, minlength=counts.shape[1])
        least = 2 if (frequency >= 2).any() else 1
        columns = np.flatnonzero(frequency >= least).astype(np.int32)
        if not len(columns):
            raise DataError(
                "the texts hold no words to learn from",
                where="lexical embedder",
                fix="check what is in the corpus",
            )
        idf = np.log((1 + len(clean)) / (1 + frequency[columns])) + 1
        weights = _weighted(counts, columns, idf.astype(np.float32))
        dim = max(1, min(self.wanted, weights.shape[0] - 1, weights.shape[1] - 1))
        components = _directions(weights, dim, self.seed)
        state = LexicalState(columns, idf.astype(np.float32), components)
        return LexicalEmbedder(self.wanted, self.seed, state)

    def embed(self, texts: Sequence[str], *, progress: Progress | None = None) -> Floats:
        """Return the vectors of texts (n, D), of length 1; zeros for a text of unknown n-grams.

        Raises
        ------
        ConfigError
            If nothing was learned yet.
        """
        state, clean = self._learned(), readable(texts)
        components = state.components.astype(np.float32)
        found = np.empty((len(clean), self.dim), dtype=np.float32)
        for first in range(0, len(clean), _CHUNK):
            part = clean[first : first + _CHUNK]
            weights = _weighted(_counts(part), state.columns, state.idf)
            made = np.asarray(weights @ components)
            found[first : first + len(part)] = unit_rows(made, self.name, first=first, zeros=True)
            if progress is not None:
                progress(first + len(part), len(clean))
        return found

    def embed_queries(self, texts: Sequence[str]) -> Floats:
        """Return the vectors of queries, made in the same way."""
        return self.embed(texts)

    def config(self) -> dict[str, Any]:
        """Return its settings; what it learned goes to a folder with `save`."""
        return {"kind": "lexical", "dim": self.wanted, "seed": self.seed}

    def save(self, folder: Path) -> None:
        """Write what it learned to ``folder``, whole or not at all.

        Raises
        ------
        ConfigError
            If nothing was learned yet.
        RunError
            If the file can't be written.
        """
        from safetensors.numpy import save_file

        from isthmus.files import written_whole

        state = self._learned()
        with written_whole(Path(folder) / _STATE) as temporary:
            save_file(state.arrays(), temporary)

    @classmethod
    def load(cls, folder: Path, dim: int = 256, seed: int = 0) -> LexicalEmbedder:
        """Return the embedder that `save` wrote to ``folder``.

        Raises
        ------
        DataError
            If the file is missing or damaged.
        """
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        path = Path(folder) / _STATE
        try:
            state = LexicalState(**load_file(path))
        except (OSError, SafetensorError, TypeError, DataError, IndexError) as error:
            raise DataError(
                "the lexical embedder's state can't be read",
                where=str(path),
                why=str(error).partition("\n")[0],
                fix="make the index anew",
            ) from error
        return cls(dim, seed, state)

    def _learned(self) -> LexicalState:
        if self.state is None:
            raise ConfigError(
                "the lexical embedder has not learned from a corpus yet",
                fix="call fitted(texts) first; indexing does",
            )
        return self.state


def _counts(texts: Sequence[str]) -> csr_matrix:
    """Count the hashed n-grams of texts (n, words + characters)."""
    from scipy.sparse import hstack
    from sklearn.feature_extraction.text import HashingVectorizer

    shared = {"alternate_sign": False, "norm": None, "dtype": np.float32, "lowercase": True}
    words = HashingVectorizer(
        n_features=_WORDS, ngram_range=(1, 2), token_pattern=r"(?u)\b\w+\b", **shared
    )
    characters = HashingVectorizer(
        n_features=_CHARACTERS, ngram_range=(3, 5), analyzer="char_wb", **shared
    )
    return hstack([words.transform(texts), characters.transform(texts)], format="csr")


def _weighted(counts: csr_matrix, columns: NDArray[np.int32], idf: Floats) -> csr_matrix:
    """Return damped, weighted counts (n, F); words and characters have length 1 each."""
    from scipy.sparse import hstack
    from sklearn.preprocessing import normalize

    kept = counts[:, columns].astype(np.float32)
    kept.data = (1 + np.log(kept.data)) * idf[kept.indices]
    split = int(np.searchsorted(columns, _WORDS))
    halves = [part for part in (kept[:, :split], kept[:, split:]) if part.shape[1]]
    return hstack([normalize(half) for half in halves], format="csr")


def _directions(weights: csr_matrix, dim: int, seed: int) -> NDArray[np.float16]:
    """Return the first right singular vectors (F, dim), their signs fixed."""
    from sklearn.utils.extmath import randomized_svd

    _, _, right = randomized_svd(weights, dim, n_iter=4, random_state=seed)
    return np.ascontiguousarray(right.T, dtype=np.float16)
