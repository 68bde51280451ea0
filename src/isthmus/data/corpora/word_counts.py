"""How often each word and phrase stands in each text, for corpora of any size."""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterable
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from isthmus.data.corpora.words import Pieces, Words, cut_chunk, folded
from isthmus.errors import ConfigError

if TYPE_CHECKING:
    from scipy.sparse import csr_array

__all__ = ["WordCounter", "count_words"]

Ints = NDArray[np.int64]
Triples = tuple[Ints, Ints, Ints]

_CHUNK = 1 << 20
_EMPTY_LINE = re.compile(r"\n[^\S\n]*\n")
_NONE, _LOW = -1, (1 << 32) - 1


def count_words(texts: Iterable[str], words: Words, vocabulary: dict[str, int]) -> csr_array:
    """Count stems by text.

    Parameters
    ----------
    texts
        Any number of texts, gone through once.
    words
        How they are taken apart.
    vocabulary
        Column of each stem; new stems are added to it in the order in which they come.

    Returns
    -------
    scipy.sparse.csr_array
        Counts (texts, stems), int32, columns ascending within a row.

    Examples
    --------
    >>> vocabulary = {}
    >>> count_words(["cats and dogs", "dog, dog"], Words(), vocabulary).toarray().tolist()
    [[1, 1], [0, 2]]
    >>> vocabulary
    {'cat': 0, 'dog': 1}
    """
    counter = WordCounter(words, vocabulary)
    for text in texts:
        counter.add(text)
    return counter.csr()


class WordCounter:
    """Counts words and phrases text by text; holds the counts, never the texts.

    Parameters
    ----------
    words
        How texts are taken apart.
    vocabulary
        Column of each stem, extended in place in the order in which stems come; None: a new one.
        Phrases (``neural network``) come behind the stems when `csr` is called.
    grow
        Whether stems that are not in the vocabulary are added to it (default) or left out.
    phrases
        0: words only. Otherwise pairs of neighbouring words, neither a stop word and nothing but
        white space or a hyphen between them, are counted too, where at least so many texts have
        them. A pair that the given vocabulary names is always counted.

    Raises
    ------
    ConfigError
        If ``phrases`` is negative.

    Examples
    --------
    >>> counter = WordCounter(Words(), phrases=2)
    >>> for text in ["Neural networks learn.", "A neural network", "neural. Networks"]:
    ...     counter.add(text)
    >>> counter.csr().toarray().tolist()
    [[1, 1, 1, 1], [1, 1, 0, 1], [1, 1, 0, 0]]
    >>> list(counter.vocabulary)
    ['neural', 'network', 'learn', 'neural network']
    >>> counter.surfaces()["neural network"]
    'neural network'
    """

    def __init__(
        self,
        words: Words,
        vocabulary: dict[str, int] | None = None,
        *,
        grow: bool = True,
        phrases: int = 0,
    ) -> None:
        if phrases < 0:
            raise ConfigError("phrases need a number of texts", where=f"phrases={phrases}")
        self.vocabulary: dict[str, int] = {} if vocabulary is None else vocabulary
        if set(self.vocabulary.values()) != set(range(len(self.vocabulary))):
            raise ConfigError("a vocabulary's columns must be 0, 1, 2, ... without a gap")
        self.words, self.grow, self.phrases, self.rows = words, grow, phrases, 0
        self._pieces = Pieces(self._cut)
        self._forms: dict[str, int] = {}
        self._stems: dict[str, int] = {}
        self._stem_of = array("q")  # of each form; _NONE for stop words and breaks
        self._fresh, self._ends = array("q"), array("q")
        self._counts: list[Triples] = []
        self._pairs: list[Triples] = []
        self._written: Ints = np.zeros(0, np.int64)

    def add(self, text: str) -> None:
        """Count one more text: the next row."""
        if self.phrases:
            text = _EMPTY_LINE.sub(" . ", text)
        self._fresh.extend(chain.from_iterable(map(self._pieces.__getitem__, text.split())))
        self._ends.append(len(self._fresh))
        self.rows += 1
        if len(self._fresh) >= _CHUNK:
            self._flush()

    def csr(self) -> csr_array:
        """Return the counts so far (texts, vocabulary), int32, columns ascending in a row."""
        from scipy.sparse import csr_array

        self._flush()
        rows, stems, counts = _joined(self._counts)
        if self.grow:
            for stem in self._stems:
                self.vocabulary.setdefault(stem, len(self.vocabulary))
        columns = np.array([self.vocabulary.get(stem, _NONE) for stem in self._stems], np.int64)
        parts = [(rows, columns[stems], counts)]
        if self.phrases:
            parts.append(self._phrase_counts())
        rows, found, counts = _joined(parts)
        kept = found >= 0
        shape = (self.rows, len(self.vocabulary))
        matrix = csr_array((counts[kept].astype(np.int32), (rows[kept], found[kept])), shape=shape)
        matrix.sum_duplicates()
        return matrix

    def surfaces(self) -> dict[str, str]:
        """Return the form in which each term of the vocabulary is written most often.

        Forms that differ by case only are counted together first; of these the most frequent,
        and of equally frequent ones the one in lower case, is the term's name.
        """
        self._flush()
        forms, stems = list(self._forms), list(self._stems)
        written = [
            (stems[stem], form, int(count))
            for form, stem, count in zip(forms, self._stem_of, self._written, strict=True)
            if stem != _NONE
        ]
        if self.phrases:
            _, first, second = _joined(self._pairs)
            pairs, counts = np.unique(first << 32 | second, return_counts=True)
            for pair, count in zip(pairs.tolist(), counts.tolist(), strict=True):
                a, b = pair >> 32, pair & _LOW
                name = f"{stems[self._stem_of[a]]} {stems[self._stem_of[b]]}"
                if name in self.vocabulary:
                    written.append((name, f"{forms[a]} {forms[b]}", count))
        return {k: v for k, v in _most_written(written).items() if k in self.vocabulary}

    def _cut(self, chunk: str) -> tuple[int, ...]:
        return tuple(map(self._form, cut_chunk(chunk, breaks=bool(self.phrases))))

    def _form(self, written: str) -> int:
        found = self._forms.get(written)
        if found is None:
            found = self._forms[written] = len(self._forms)
            stem = self.words.stem_of(written)
            self._stem_of.append(self._stems.setdefault(stem, len(self._stems)) if stem else _NONE)
        return found

    def _flush(self) -> None:
        """Turn the texts since the last time into counts."""
        forms, ends = np.array(self._fresh, np.int64), np.array(self._ends, np.int64)
        sizes = np.diff(ends, prepend=0)
        rows = np.repeat(np.arange(self.rows - len(ends), self.rows), sizes)
        stems = np.array(self._stem_of, np.int64)[forms] if len(forms) else forms
        known = stems != _NONE
        keys, counts = np.unique(rows[known] << 32 | stems[known], return_counts=True)
        self._counts.append((keys >> 32, keys & _LOW, counts))
        self._written = np.bincount(forms, minlength=len(self._forms)) + np.pad(
            self._written, (0, len(self._forms) - len(self._written))
        )
        if self.phrases:
            both = known[:-1] & known[1:] & (rows[:-1] == rows[1:])
            self._pairs.append((rows[:-1][both], forms[:-1][both], forms[1:][both]))
        self._fresh, self._ends = array("q"), array("q")

    def _phrase_counts(self) -> Triples:
        """Give columns to the phrases of enough texts, and count them by text."""
        rows, first, second = _joined(self._pairs)
        stem_of = np.array(self._stem_of, np.int64)
        keys = stem_of[first] << 32 | stem_of[second] if len(first) else first
        pairs, kinds = np.unique(keys, return_inverse=True)
        cells, counts = np.unique(rows * max(1, len(pairs)) + kinds, return_counts=True)
        rows, kinds = np.divmod(cells, max(1, len(pairs)))
        texts = np.bincount(kinds, minlength=len(pairs))
        stems, columns = list(self._stems), np.full(len(pairs), _NONE)
        for kind, pair in enumerate(pairs.tolist()):
            name = f"{stems[pair >> 32]} {stems[pair & _LOW]}"
            if self.grow and texts[kind] >= self.phrases:
                self.vocabulary.setdefault(name, len(self.vocabulary))
            columns[kind] = self.vocabulary.get(name, _NONE)
        return rows, columns[kinds], counts


def _joined(parts: list[Triples]) -> Triples:
    if not parts:
        return (np.zeros(0, np.int64),) * 3
    first, second, third = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    return first, second, third


def _most_written(written: list[tuple[str, str, int]]) -> dict[str, str]:
    together: dict[tuple[str, str], int] = {}
    for term, form, count in written:
        key = (term, folded(form))
        together[key] = together.get(key, 0) + count
    best: dict[str, tuple[tuple[int, int, bool, str], str]] = {}
    for term, form, count in written:
        rank = (-together[term, folded(form)], -count, not form.islower(), form)
        if term not in best or rank < best[term][0]:
            best[term] = rank, form
    return {term: form for term, (_, form) in best.items()}
