"""A segment: some passages with their codes, words, vectors and texts, which never change.

What is deleted of it is a mask beside it, written anew with each deletion.
"""

from __future__ import annotations

import functools
import hashlib
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from isthmus.data.corpora.documents import Metadata
from isthmus.errors import RunError
from isthmus.files import written_whole
from isthmus.search.filters import Condition
from isthmus.search.index.arrays import mapped_array, write_array
from isthmus.search.index.living import living_frequency
from isthmus.search.index.manifest import SegmentEntry
from isthmus.search.index.sealing import check_digests, check_sizes, file_digest
from isthmus.search.index.texts import TEXTS, Texts, write_lines
from isthmus.search.postings import Postings, write_postings

if TYPE_CHECKING:
    from scipy.sparse import csr_array

__all__ = ["Contents", "Segment", "write_mask", "write_segment"]

Ints = NDArray[np.int64]
Halves = NDArray[np.float16]
Singles = NDArray[np.float32]

_CONCEPTS, _WORDS = "concepts", "words"

_WIDE = 1 << 30


@dataclass(frozen=True, eq=False)
class Contents:
    """What becomes a segment: R passages."""

    lines: tuple[Iterable[tuple[Any, ...]], Iterable[tuple[Any, ...]]]
    """Rows of the tables of documents and of passages (`isthmus.search.index.texts`)."""
    ids: Ints
    """The passages' numbers in the index (R,), rising."""
    vectors: Halves
    """Their vectors (R, D)."""
    codes: csr_array
    """Their codes (R, N)."""
    rebuilt: NDArray[np.float32]
    """Lengths (R,) of the vectors that the codes, as postings keep them, decode to."""
    counts: csr_array
    """Their words (R, V)."""
    vocabulary: Mapping[str, int]
    """The column of each word."""


def write_segment(folder: Path, contents: Contents) -> None:
    """Write a segment into a folder that was just made.

    Raises
    ------
    RunError
        If it can't be written.
    """
    write_lines(folder, *contents.lines, contents.vocabulary)
    concepts = write_postings(folder / _CONCEPTS, contents.codes)
    words = write_postings(folder / _WORDS, contents.counts)
    write_array(folder / "ids.npy", contents.ids)
    write_array(folder / "vectors.npy", contents.vectors)
    write_array(folder / "rebuilt.npy", contents.rebuilt)
    write_array(folder / "lengths.npy", concepts.row_sums().astype(np.float32))
    write_array(folder / "word_lengths.npy", words.row_sums().astype(np.float32))


def write_mask(folder: Path, alive: NDArray[np.bool_], generation: int) -> str:
    """Write beside a segment which of its passages live (R,); return the file's name.

    The name holds the beginning of the file's SHA-256.
    """
    held = io.BytesIO()
    np.save(held, alive, allow_pickle=False)
    content = held.getvalue()
    name = f"alive-{generation}-{hashlib.sha256(content).hexdigest()[:16]}.npy"
    with written_whole(folder / name) as temporary:
        temporary.write_bytes(content)
    return name


class Segment:
    """An open segment.

    Parameters
    ----------
    folder
        Where it is.
    entry
        What the head of the index says of it.
    latents
        Concepts of the dictionary.
    dim
        Numbers in a vector; None: any.

    Raises
    ------
    RunError
        If it is damaged, or contradicts the head.
    """

    def __init__(
        self, folder: Path, entry: SegmentEntry, latents: int, dim: int | None = None
    ) -> None:
        self.folder, self.entry, self.dim = folder, entry, dim
        check_sizes(folder)
        self.texts = Texts(folder)
        self.concepts = Postings.open(folder / _CONCEPTS)
        self.ids: Ints = mapped_array(folder / "ids.npy", np.int64, (entry.passages,))
        if (self.concepts.rows, self.concepts.terms) != (entry.passages, latents):
            raise self._damaged("concepts", "another number of passages or concepts")
        self._masks: dict[str, NDArray[np.bool_]] = {}

    @functools.cached_property
    def alive(self) -> NDArray[np.bool_] | None:
        """Which passages are not deleted (R,); None: all."""
        if self.entry.alive is None:
            return None
        path, shape = self.folder / self.entry.alive, (self.entry.passages,)
        mask: NDArray[np.bool_] = mapped_array(path, np.bool_, shape)
        if int(mask.sum()) != self.entry.living:
            raise self._damaged(self.entry.alive, "another number lives than the head says")
        return mask

    @functools.cached_property
    def words(self) -> Postings:
        """The inverted index of the words."""
        postings = Postings.open(self.folder / _WORDS)
        if postings.rows != self.entry.passages:
            raise self._damaged(_WORDS, "another number of passages")
        return postings

    @functools.cached_property
    def vectors(self) -> Halves:
        """The passages' vectors (R, D), mapped into memory."""
        shape = self.entry.passages, self.dim
        values: Halves = mapped_array(self.folder / "vectors.npy", np.float16, shape)
        return values

    @functools.cached_property
    def wide_vectors(self) -> NDArray[np.float32] | None:
        """The same in float32, in memory, where that is at most 1 GiB; None: it is more."""
        if 2 * self.vectors.nbytes > _WIDE:
            return None
        return self.vectors.astype(np.float32)

    @functools.cached_property
    def lengths(self) -> Singles:
        """Summed activations of each passage (R,)."""
        return self._sizes("lengths.npy")

    @functools.cached_property
    def rebuilt(self) -> Singles:
        """Lengths of the vectors that the codes decode to (R,)."""
        return self._sizes("rebuilt.npy")

    @functools.cached_property
    def word_lengths(self) -> Singles:
        """Words of each passage (R,)."""
        return self._sizes("word_lengths.npy")

    @functools.cached_property
    def owners(self) -> Ints:
        """The document's row of every passage (R,)."""
        try:
            owners = np.array(self.texts.owners(), np.int64)
        except (TypeError, ValueError, OverflowError) as error:
            raise self._damaged(TEXTS, str(error)) from error
        if owners.shape != (self.entry.passages,):
            raise self._damaged(TEXTS, "another number of passages")
        if owners.size and not 0 <= owners.min() <= owners.max() < len(self._names):
            raise self._damaged(TEXTS, "a passage of a document that is not there")
        return owners

    @functools.cached_property
    def document_names(self) -> list[str]:
        """The id of every living document."""
        living = set(self.owners[self.living].tolist())
        return [name for row, name in enumerate(self._names) if row in living]

    def document_of(self, row: int) -> str:
        """Return the id of the document that a passage belongs to."""
        return self._names[int(self.owners[row])]

    @functools.cached_property
    def _names(self) -> list[str]:
        return [id_ for id_, _ in self.texts.documents()]

    @functools.cached_property
    def frequency(self) -> Ints:
        """Living passages with each concept (N,)."""
        return living_frequency(self.concepts, self.alive)

    @functools.cached_property
    def living(self) -> Ints:
        """Rows that are not deleted."""
        rows = np.arange(self.entry.passages) if self.alive is None else np.flatnonzero(self.alive)
        return rows.astype(np.int64)

    @functools.cached_property
    def totals(self) -> tuple[float, float]:
        """Summed activations, and words, of all living passages."""
        rows = slice(None) if self.alive is None else self.alive
        parts = (self.lengths, self.word_lengths)
        activations, words = (float(p[rows].sum(dtype=np.float64)) for p in parts)
        return activations, words

    def terms(self, words: Sequence[str]) -> dict[str, int]:
        """Return the term of each word that stands here.

        Raises
        ------
        RunError
            If the list of words is damaged.
        """
        found = self.texts.terms(words)
        if not all(type(t) is int and 0 <= t < self.words.terms for t in found.values()):
            raise self._damaged(TEXTS, "a word has an impossible number")
        return found

    def vocabulary(self) -> list[str]:
        """Return the word of every term.

        Raises
        ------
        RunError
            If the list of words is damaged.
        """
        found = self.texts.vocabulary()
        if list(found.values()) != list(range(self.words.terms)):
            raise self._damaged(TEXTS, "the numbers of the words have gaps")
        return list(found)

    def word_frequency(self, terms: Sequence[int]) -> list[int]:
        """Return in how many living passages words stand."""
        found: list[int] = living_frequency(self.words, self.alive, terms).tolist()
        return found

    def allowed(self, where: Sequence[Condition]) -> NDArray[np.bool_] | None:
        """Return which passages may be found (R,); None: all."""
        mask = self.alive
        for condition in where:
            met = self._meeting(condition)
            mask = met if mask is None else mask & met
        return mask

    def close(self) -> None:
        """Let go of the files."""
        self.texts.close()

    def verify(self) -> None:
        """Read everything and check it.

        Raises
        ------
        RunError
            If anything is damaged.
        """
        check_digests(self.folder)
        self._check_mask()
        self.concepts.verify()
        self.words.verify()
        self.texts.verify()
        _ = self.alive, self.owners, self.rebuilt, self.totals, self.vocabulary()
        if (np.diff(self.ids) <= 0).any():
            raise self._damaged("ids.npy", "the numbers do not rise")
        for start in range(0, self.entry.passages, 1 << 14):
            if not np.isfinite(self.vectors[start : start + (1 << 14)]).all():
                raise self._damaged("vectors.npy", "a value is not finite")

    def _check_mask(self) -> None:
        """Hold the mask against the digest in its name."""
        name = self.entry.alive
        if name is None:
            return
        try:
            digest = file_digest(self.folder / name)
        except OSError as error:
            raise self._damaged(name, error.strerror or str(error)) from error
        if Path(name).stem.rpartition("-")[2] != digest[:16]:
            raise self._damaged(name, "its SHA-256 is not the one in its name")

    def _meeting(self, condition: Condition) -> NDArray[np.bool_]:
        key = repr(condition)  # conditions on 1, 1.0 and True are equal, but not the same
        if key not in self._masks:
            while len(self._masks) >= 16:
                self._masks.pop(next(iter(self._masks)))
            met = [condition.holds(facts) for facts in self._facts]
            self._masks[key] = np.array(met, bool)[self.owners]
        return self._masks[key]

    @functools.cached_property
    def _facts(self) -> list[Metadata]:
        return self.texts.facts()

    def _sizes(self, name: str) -> Singles:
        """Open one number for each passage, none of them negative."""
        values: Singles = mapped_array(self.folder / name, np.float32, (self.entry.passages,))
        if not (np.isfinite(values) & (values >= 0)).all():
            raise self._damaged(name, "a value is negative or not finite")
        return values

    def _damaged(self, name: str, why: str) -> RunError:
        return RunError(
            "the index is damaged",
            where=str(self.folder / name),
            why=why,
            fix="make the index again",
        )
