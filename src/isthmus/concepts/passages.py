"""What the passages say: word counts, and the texts themselves where they are at hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from isthmus.data.corpora.words import Words
from isthmus.errors import DataError

if TYPE_CHECKING:
    from scipy.sparse import csr_array

__all__ = ["Passages"]


@dataclass(frozen=True, eq=False)
class Passages:
    """The P passages that a dictionary's codes were made of, as words.

    Raises
    ------
    DataError
        If counts, vocabulary, texts and groups do not fit together.
    """

    counts: csr_array
    """Word counts (P, V)."""
    vocabulary: Mapping[str, int]
    """The column of each stem."""
    texts: Sequence[str] | None = None
    """The passages; only some are asked for, each a few times. None: names have no phrases."""
    words: Words | None = None
    """How they were taken apart; needed with `texts`."""
    surfaces: Mapping[str, str] | None = None
    """How each stem is mostly written; None: looked up in `texts`, or the stem itself."""
    groups: Sequence[object] | None = None
    """What each passage belongs to (its document): names are made and scored on different ones.
    None: each to itself."""

    def __post_init__(self) -> None:
        rows, columns = self.counts.shape
        if sorted(self.vocabulary.values()) != list(range(columns)):
            raise DataError(
                "the vocabulary does not fit the word counts",
                why=f"{len(self.vocabulary)} words, {columns} columns",
                fix="give the vocabulary that count_words filled",
            )
        for name, values in (("text", self.texts), ("group", self.groups)):
            if values is not None and len(values) != rows:
                raise DataError(
                    f"there must be one {name} a passage",
                    why=f"{len(values)} {name}s, {rows} rows of counts",
                )
        if self.texts is not None and self.words is None:
            raise DataError("texts can't be read", why="it is not said how words were counted")
        if list(self.vocabulary.values()) != list(range(columns)):
            ordered = dict(sorted(self.vocabulary.items(), key=lambda item: item[1]))
            object.__setattr__(self, "vocabulary", ordered)

    @classmethod
    def of(
        cls,
        texts: Sequence[str],
        words: Words | None = None,
        groups: Sequence[object] | None = None,
    ) -> Passages:
        """Count the words of texts.

        Examples
        --------
        >>> said = Passages.of(["Cats and dogs.", "A cat"])
        >>> said.counts.toarray().tolist(), said.surfaces
        ([[1, 1], [1, 0]], {'cat': 'cat', 'dog': 'dogs'})
        """
        from isthmus.data.corpora.word_counts import WordCounter

        chosen = words or Words()
        counter = WordCounter(chosen)
        for text in texts:
            counter.add(text)
        counts = counter.csr()
        return cls(counts, counter.vocabulary, texts, chosen, counter.surfaces(), groups)
