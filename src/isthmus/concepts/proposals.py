"""From words to names: which words, which phrases, and a different name for each concept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isthmus.concepts.naming import Keywords, Naming
from isthmus.concepts.ranking import Postings, Strong
from isthmus.concepts.reading import Reader

__all__ = ["JOINT", "Proposal", "Wording", "proposed_names"]

Array = NDArray[Any]
JOINT = " · "
"""What stands between the parts of a name."""
_READ, _LOOKED = 6, 64


@dataclass(frozen=True)
class Proposal:
    """A name that is not yet scored."""

    text: str
    """How it reads."""
    words: tuple[int, ...]
    """Its words by number, which passages are ranked by."""


class Wording:
    """How words and phrases are written.

    Parameters
    ----------
    vocabulary
        The number of each stem.
    surfaces
        How each stem is mostly written; None: it is looked up in the passages.
    reader
        Looks words up in passages; None: there are none, and so no phrases.
    made
        The passages of the naming part.
    strong, postings, keywords
        Strong passages, words and keywords of the naming part.
    """

    def __init__(
        self,
        vocabulary: Mapping[str, int],
        surfaces: Mapping[str, str] | None,
        reader: Reader | None,
        made: Array,
        strong: Strong,
        postings: Postings,
        keywords: Keywords,
    ) -> None:
        self.stems, self.reader, self.made = list(vocabulary), reader, made
        self.strong, self.postings = strong, postings
        self._allowed = keywords.words
        self._surfaces: dict[int, str] = {}
        for stem, written in (surfaces or {}).items():
            if stem in vocabulary:
                self._surfaces[vocabulary[stem]] = written

    def word(self, word: int) -> str:
        """Return a word as it is mostly written."""
        found = self._surfaces.get(word)
        if found is None:
            rows = self.made[self.postings.holders(word)[:_READ]].tolist()
            written = self.reader.surface(word, rows) if self.reader else None
            found = self._surfaces[word] = written or self.stems[word]
        return found

    def phrase(self, word: int, concept: int) -> tuple[tuple[int, ...], str]:
        """Return the phrase that a word mostly stands in on a concept's passages."""
        if self.reader is None:
            return (word,), self.word(word)
        mine = self.strong.first(concept, _LOOKED)
        rows = self.made[mine[self.postings.hold(word, mine)][:_READ]].tolist()
        allowed = self._allowed[concept].tolist()
        words, text = self.reader.phrase(word, rows, allowed)
        return (words, text) if len(words) > 1 and text else ((word,), self.word(word))


def proposed_names(
    keywords: Keywords, strong: Strong, postings: Postings, wording: Wording, config: Naming
) -> list[Proposal | None]:
    """Propose a name for each concept; None where no word sets it apart.

    Words are picked from the keywords one by one while that raises the precision of the name on
    the naming part; a word that nearly always stands in the same phrase there gives way to the
    phrase, unless that costs precision. Where two concepts would have the same name, the one that
    it fits less gets a further word.
    """
    usable = np.array([_different(row, wording.stems) for row in keywords.words.tolist()])
    usable = usable.reshape(keywords.words.shape)
    chosen = postings.grown(usable, strong, config.most, config.gain)
    plain: list[list[_Part]] = [
        [((word,), wording.word(word)) for word in row if word >= 0 and word in own]
        for row, own in zip(usable.tolist(), map(set, chosen.tolist()), strict=True)
    ]
    phrased = [_phrased(parts, j, wording) for j, parts in enumerate(plain)]
    before = _precisions(plain, strong, postings)
    after = _precisions(phrased, strong, postings)
    better = after >= 0.95 * before
    names = [p if ok else q for p, q, ok in zip(phrased, plain, better, strict=True)]
    return _distinct(names, np.where(better, after, before), usable, wording, config)


_Part = tuple[tuple[int, ...], str]


def _phrased(parts: list[_Part], concept: int, wording: Wording) -> list[_Part]:
    """Replace words by the phrases that they stand in, and drop words that a phrase holds."""
    found: list[_Part] = []
    for (word,), _ in parts:
        if not any(word in words for words, _ in found):
            words, text = wording.phrase(word, concept)
            found = [part for part in found if not set(part[0]) <= set(words)]
            found.append((words, text))
    return found


def _precisions(names: list[list[_Part]], strong: Strong, postings: Postings) -> Array:
    words = [_words(parts) for parts in names]
    own = np.arange(len(names))
    return postings.precisions(words, strong, np.column_stack([own, own]))


def _words(parts: list[_Part]) -> tuple[int, ...]:
    return tuple(dict.fromkeys(word for words, _ in parts for word in words))


def _text(parts: list[_Part]) -> str:
    return JOINT.join(text for _, text in parts)


def _distinct(
    names: list[list[_Part]], precision: Array, usable: Array, wording: Wording, config: Naming
) -> list[Proposal | None]:
    taken: set[str] = set()
    found: list[Proposal | None] = [None] * len(names)
    for j in np.argsort(-precision, kind="stable").tolist():
        parts = names[j]
        if not parts:
            continue
        if _key(parts) in taken:
            others = [w for w in usable[j].tolist() if w >= 0 and w not in _words(parts)]
            kept = parts[: config.most - 1]
            longer = ([*kept, ((w,), wording.word(w))] for w in others)
            parts = next((new for new in longer if _key(new) not in taken), parts)
        taken.add(_key(parts))
        found[j] = Proposal(_text(parts), _words(parts))
    return found


def _key(parts: list[_Part]) -> str:
    """Return what names that read alike have in common: their parts in any order and case."""
    return JOINT.join(sorted(text.casefold() for _, text in parts))


def _different(row: list[int], stems: Sequence[str]) -> list[int]:
    """Leave out words that look like one before them: no name needs two forms of a word."""
    kept: list[int] = []
    for word in row:
        if word >= 0 and not any(_alike(stems[word], stems[k]) for k in kept if k >= 0):
            kept.append(word)
        else:
            kept.append(-1)
    return kept


def _alike(a: str, b: str) -> bool:
    """Whether two stems are forms of one word, by the letters that they begin with.

    >>> _alike("encod", "encoder"), _alike("galaxi", "galact")
    (True, False)
    """
    short, long = sorted((a, b), key=len)
    return len(short) >= 4 and long.startswith(short[: max(4, len(short) - 1)])
