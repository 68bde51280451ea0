"""How the words of a name are written in the passages, and the phrases that they stand in there.

Passages are not taken apart whole: only a few words about the places where a word is found.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from isthmus.data.corpora.words import Words

__all__ = ["Reader", "Sighting"]

_JOINTS = frozenset((" ", "-", "\n"))
_OPENERS = ".!?:;\"'([\n"
_ABOUT = 48
_TRIES = 4
_SHORTEST = 2


@dataclass(frozen=True)
class Sighting:
    """A word and what stands about it in a passage."""

    text: str
    """The words about it, as written."""
    words: tuple[int, ...]
    """Their numbers; -1 for words that are not in the vocabulary."""
    spans: tuple[tuple[int, int], ...]
    """Where each stands in `text`."""
    at: int
    """Which of them is the word itself."""
    opens: bool
    """Whether the passage begins with `text`."""

    def joined(self, at: int) -> bool:
        """Say whether nothing but a space or a hyphen is between a word and the next."""
        return self.text[self.spans[at][1] : self.spans[at + 1][0]] in _JOINTS

    def written(self, first: int, last: int) -> str:
        """Return words ``first`` to ``last`` on one line; a sentence's capital is taken back."""
        start, end = self.spans[first][0], self.spans[last][1]
        found = " ".join(self.text[start:end].split())
        before = self.text[:start].rstrip(" \t")
        opens = before[-1] in _OPENERS if before else self.opens
        return found.lower() if opens and found[1:].islower() and " " not in found else found


class Reader:
    """Looks words up in passages.

    Parameters
    ----------
    texts
        The passages; each is asked for when it is looked at.
    words, vocabulary
        How they were taken apart, and the number of each stem.
    """

    def __init__(self, texts: Sequence[str], words: Words, vocabulary: Mapping[str, int]) -> None:
        self.texts, self.words, self.vocabulary = texts, words, vocabulary
        self.stems = list(vocabulary)

    def sightings(self, word: int, rows: Sequence[int]) -> list[Sighting]:
        """Return the first place of a word in each of some passages that hold it."""
        found = (self._sighting(word, self.texts[row]) for row in rows)
        return [sighting for sighting in found if sighting is not None]

    def _sighting(self, word: int, text: str) -> Sighting | None:
        stem = self.stems[word]
        small = text.lower()
        # stems differ from the words they stand for in the last letters only, but for a few
        begin = stem[: max(_SHORTEST, len(stem) - 1)]
        place = -1
        for _ in range(_TRIES if len(small) == len(text) else 0):
            place = small.find(begin, place + 1)
            while place > 0 and small[place - 1].isalnum():
                place = small.find(begin, place + 1)
            if place < 0:
                break
            found = self._about(text, place)
            if found is not None and found.words[found.at] == word:
                return found
        return None

    def _about(self, text: str, place: int) -> Sighting | None:
        """Take the words about a place apart; those that the piece's ends cut are left out."""
        first, last = max(0, place - _ABOUT), min(len(text), place + _ABOUT)
        piece = text[first:last]
        spans = [
            (stem, start, end)
            for stem, start, end in self.words.spans(piece)
            if (start > 0 or first == 0) and (end < len(piece) or last == len(text))
        ]
        at = next((i for i, span in enumerate(spans) if span[1] == place - first), None)
        if at is None:
            return None
        numbers = tuple(self.vocabulary.get(stem, -1) for stem, _, _ in spans)
        places = tuple((start, end) for _, start, end in spans)
        return Sighting(piece, numbers, places, at, first == 0)

    def surface(self, word: int, rows: Sequence[int]) -> str | None:
        """Return a word as it is mostly written in some passages; None where it is not found."""
        seen = self.sightings(word, rows)
        return commonest(Counter(s.written(s.at, s.at) for s in seen)) if seen else None

    def phrase(
        self,
        word: int,
        rows: Sequence[int],
        allowed: Collection[int],
        *,
        share: float = 0.6,
        least: int = 3,
        most: int = 3,
    ) -> tuple[tuple[int, ...], str | None]:
        """Grow a word by the neighbours that it has in most of the passages that hold it.

        Parameters
        ----------
        rows
            Passages that hold it.
        allowed
            Words that it may be grown by.
        share, least
            Share of the passages with the phrase so far, and number of them, in which the same
            word must stand right beside it.
        most
            Words of a phrase.

        Returns
        -------
        tuple
            The words by number, and the phrase as it is mostly written; None: not found.
        """
        found: tuple[int, ...] = (word,)
        seen = [(sighting, sighting.at) for sighting in self.sightings(word, rows)]
        while len(found) < most:
            beside: Counter[tuple[int, bool]] = Counter()
            for sighting, at in seen:
                beside.update(_beside(sighting, at, len(found)))
            fitting = [item for item in beside.items() if item[0][0] in allowed]
            (other, after), count = max(
                fitting, key=lambda item: (item[1], item[0]), default=((-1, True), 0)
            )
            if count < max(least, share * len(seen)) or other in found:
                break
            seen = [
                (sighting, at if after else at - 1)
                for sighting, at in seen
                if (other, after) in _beside(sighting, at, len(found))
            ]
            found = (*found, other) if after else (other, *found)
        forms = Counter(s.written(at, at + len(found) - 1) for s, at in seen)
        return found, commonest(forms) if forms else None


def _beside(sighting: Sighting, at: int, length: int) -> list[tuple[int, bool]]:
    """Return the words right before and right after a phrase that begins at ``at``."""
    found, end = [], at + length
    if at > 0 and sighting.joined(at - 1):
        found.append((sighting.words[at - 1], False))
    if end < len(sighting.words) and sighting.joined(end - 1):
        found.append((sighting.words[end], True))
    return [item for item in found if item[0] >= 0]


def commonest(forms: Counter[str]) -> str:
    """Return the most frequent form; of equals one in small letters, then the first.

    >>> commonest(Counter(["Oscar", "oscar", "Oscar"])), commonest(Counter(["As", "as"]))
    ('Oscar', 'as')
    """
    return min(forms, key=lambda form: (-forms[form], not form.islower(), form))
