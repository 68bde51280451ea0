"""Words of a text: found, folded, stemmed, and where they stand."""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, fields
from itertools import chain
from typing import Any, TypeVar

from isthmus.data.corpora.stop_words import ENGLISH
from isthmus.errors import ConfigError

__all__ = ["Words"]

T = TypeVar("T")

_CACHED, _CHUNK = 1 << 17, 64
_CHUNKS = re.compile(r"\S+")
_APOSTROPHES = "'’ʼ＇"
_HYPHENS = "‐‑-"  # the plain one last: it stands at the end of character classes
_JOINS = frozenset(c for c in _APOSTROPHES + _HYPHENS if not c.isalpha())
# One letter in lower case, several in upper case: no single letter, so that case plays no part.
_SEVERAL = (
    "ßẞŉևẚ\ufb00-\ufb17\u1f80-\u1faf\u1fb2-\u1fb4\u1fb7\u1fbc\u1fc2-\u1fc4\u1fc7\u1fcc"
    "\u1ff2-\u1ff4\u1ff7\u1ffc"
)
# Han, kana, Thai, Lao, Myanmar, Khmer: written without spaces between words.
_UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3040-\u30ff\u3400-\u4dbf"
    "\u4e00-\u9fff\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff]+"
)
_PLAIN = str.maketrans(
    dict.fromkeys(_APOSTROPHES, "'") | dict.fromkeys(_HYPHENS, "-") | {"ı": "i", "\u0307": None}
)


@dataclass(frozen=True)
class Words:
    """How texts are taken apart into words.

    A word is a run of letters and digits of any script; apostrophes stay inside it, hyphens where
    a single letter or a number stands beside them (``x-ray``, ``il-6``), points inside numbers
    and between the letters of an abbreviation (``3.5``, ``U.S.A.``), and ``C++`` and ``C#`` are
    words too. Scripts without spaces between words give overlapping pairs of characters, as
    Lucene's CJK analyser does. Words are folded (NFKC and case), so that a text says the same in
    upper and in lower case; stop words are left out; the rest are stemmed by Snowball's rules.

    Raises
    ------
    ConfigError
        If there are no stemming rules for the language, or ``longest`` is not positive.

    Examples
    --------
    >>> words = Words()
    >>> words.tokens("The neural networks' X-rays of C++ are 3.5 times better!")
    ['neural', 'network', 'x-ray', 'c++', '3.5', 'time', 'better']
    >>> words.spans("of Cats")
    [('cat', 3, 7)]
    """

    language: str = "english"
    """Snowball's name of the language; matters for stems and for the usual stop words."""
    stem: bool = True
    """Whether words are cut down to stems: "networks" and "network" are then the same."""
    stop_words: tuple[str, ...] | None = None
    """Words that are left out; None: a short list for English, none for other languages."""
    longest: int = 64
    """Characters; what is longer is no word (encoded data) and is left out."""

    def __post_init__(self) -> None:
        if self.longest < 1:
            raise ConfigError("words must have room", where=f"longest={self.longest}")
        if self.stem:
            _stemmer(self.language)

    def tokens(self, text: str) -> list[str]:
        """Return the stems in the order of the text, stop words left out."""
        return list(chain.from_iterable(map(self._pieces.__getitem__, text.split())))

    def spans(self, text: str) -> list[tuple[str, int, int]]:
        """Return each stem with the characters of ``text`` that it stands for, half-open."""
        placed = self._placed
        return [
            (stem, chunk.start() + a, chunk.start() + b)
            for chunk in _CHUNKS.finditer(text)
            for stem, a, b in placed[chunk[0]]
        ]

    def stem_of(self, written: str) -> str:
        """Return the stem of one written word; empty for a stop word.

        >>> Words().stem_of("Networks"), Words().stem_of("The")
        ('network', '')
        """
        return self._stems[written]

    def content_words(self, question: str) -> dict[str, str]:
        """Return the different stems of a question, each with the form in which it is asked.

        >>> Words().content_words("Which networks learn a network?")
        {'network': 'networks', 'learn': 'learn'}
        """
        found: dict[str, str] = {}
        for stem, start, end in self.spans(question):
            found.setdefault(stem, question[start:end])
        return found

    @functools.cached_property
    def _stems(self) -> _Stems:
        return _Stems(self)

    @functools.cached_property
    def _pieces(self) -> Pieces[str]:
        stems = self._stems
        return Pieces(lambda chunk: tuple(filter(None, map(stems.__getitem__, cut_chunk(chunk)))))

    @functools.cached_property
    def _placed(self) -> Pieces[tuple[str, int, int]]:
        stems = self._stems

        def cut(chunk: str) -> tuple[tuple[str, int, int], ...]:
            found = ((stems[chunk[a:b]], a, b) for a, b in _written_spans(chunk))
            return tuple((stem, a, b) for stem, a, b in found if stem)

        return Pieces(cut)

    def __getstate__(self) -> dict[str, Any]:
        """Leave the cache behind when sent to another process."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


def folded(written: str) -> str:
    """Return a written word without differences of case, width and typography.

    >>> folded("ＮＡÏＶＥ’s"), folded("U.S.A.")
    ("naïve's", 'usa')
    """
    if written.isascii():
        plain = written.lower()
    else:
        cased = unicodedata.normalize("NFKC", written).casefold()
        plain = "".join(unicodedata.normalize("NFKC", cased).translate(_PLAIN).split())
        plain = unicodedata.normalize("NFC", plain)  # an ı that became an i may take an accent
    return plain.replace(".", "") if plain.endswith(".") else plain


def cut_chunk(chunk: str, *, breaks: bool = False) -> list[str]:
    """Return the words of a text as they are written, stop words included.

    Parameters
    ----------
    chunk
        Any text. Words hold no white space, so that a text may be cut there before.
    breaks
        Also return what parts words from each other (punctuation), one character each: words on
        its two sides form no phrase.

    Examples
    --------
    >>> cut_chunk("Fast, U.S. made", breaks=True)
    ['Fast', ',', 'U.S.', 'made']
    """
    found: list[str] = _pattern(chunk, breaks).findall(chunk)
    if chunk.isascii() or not _UNSPACED.search(chunk):
        return found
    return [word[a:b] for word in found for a, b in _cuts(word)]


class Pieces(dict[str, tuple[T, ...]]):
    """What each chunk of text between white space consists of, worked out once.

    Real text repeats itself: almost every chunk was seen before, which makes this several times
    as fast as looking for the words in the text.
    """

    def __init__(self, cut: Callable[[str], tuple[T, ...]]) -> None:
        super().__init__()
        self.cut = cut

    def __missing__(self, chunk: str) -> tuple[T, ...]:
        pieces = self.cut(chunk)
        if len(chunk) <= _CHUNK:
            if len(self) >= _CACHED:  # memory stays flat, whatever the corpus
                self.clear()
            self[chunk] = pieces
        return pieces


def _written_spans(text: str) -> Iterator[tuple[int, int]]:
    unspaced = not text.isascii() and _UNSPACED.search(text) is not None
    for found in _pattern(text, False).finditer(text):
        if unspaced:
            yield from ((found.start() + a, found.start() + b) for a, b in _cuts(found[0]))
        else:
            yield found.span()


def _cuts(word: str) -> Iterator[tuple[int, int]]:
    """Cut a word where a script without spaces begins or ends, and that into pairs."""
    last = 0
    for run in _UNSPACED.finditer(word):
        start, end = run.span()
        yield from _trimmed(word, last, start)
        if end - start == 1:
            yield start, end
        yield from ((i, i + 2) for i in range(start, end - 1))
        last = end
        while last < len(word) and unicodedata.category(word[last])[0] == "M":
            last += 1
    yield from _trimmed(word, last, len(word))


def _trimmed(word: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Leave out hyphens and apostrophes that join nothing any more, and what is then empty."""
    while start < end and word[end - 1] in _JOINS:
        end -= 1
    while start < end and word[start] in _JOINS:
        start += 1
    if start < end:
        yield start, end


class _Stems(dict[str, str]):
    """From written words to stems, each worked out once; empty for what is left out."""

    def __init__(self, words: Words) -> None:
        super().__init__()
        usual: Collection[str] = ENGLISH if words.language == "english" else ()
        chosen = usual if words.stop_words is None else map(folded, words.stop_words)
        self.stop, self.words = frozenset(chosen), words

    def __missing__(self, written: str) -> str:
        if len(self) >= _CACHED:
            self.clear()
        stem = self[written] = self._stem(written)
        return stem

    def _stem(self, written: str) -> str:
        plain = folded(written)
        if len(plain) > self.words.longest or plain in self.stop:
            return ""
        if not any(map(str.isalnum, plain)):  # what parts words, and accents by themselves
            return ""
        if not self.words.stem:
            return plain
        # A stemmer keeps the word that it works on: one for each word is safe among threads.
        return str(_stemmer(self.words.language).stemWord(plain)) or plain


def _stemmer(language: str) -> Any:
    import snowballstemmer

    known = snowballstemmer.algorithms()
    if language not in known:
        raise ConfigError(
            f"there are no stemming rules for {language!r}",
            where=f"language={language!r}",
            fix=f"one of {', '.join(known)}; or stem=False",
        )
    return snowballstemmer.stemmer(language)


def _pattern(text: str, breaks: bool) -> re.Pattern[str]:
    marked = not text.isascii() and _marks().search(text) is not None
    return _compiled(marked, breaks)


@functools.cache
def _marks() -> re.Pattern[str]:
    """Return what finds the accents and vowel signs that Python does not count as letters."""
    every = (c for c in map(chr, [*range(0x20000), *range(0xE0100, 0xE01F0)]))
    return re.compile(f"[{''.join(c for c in every if unicodedata.category(c)[0] == 'M')}]")


@functools.cache
def _compiled(marked: bool, breaks: bool) -> re.Pattern[str]:
    more = rf"{_marks().pattern}*" if marked else ""
    letter = rf"(?![{_SEVERAL}])[^\W\d_]{more}"
    run = rf"(?:[^\W_]{more})+" if marked else r"[^\W_]+"
    join, dash = f"[{_APOSTROPHES}]", f"[{_HYPHENS}]"
    choices = [
        rf"(?:{letter}\.){{2,}}",  # U.S.A.
        rf"{letter}(?:\+\+|\#)(?!\w)",  # C++
        r"\d+(?:[.,]\d+)+",  # 3.5
        rf"(?:{letter}{dash}(?=[^\W\d_]))?{run}(?:{join}{run})*"  # x-ray, don't
        rf"(?:(?<!\d){dash}\d+(?!\w))?",  # il-6
    ]
    if breaks:
        choices.append(rf"[^\w\s{_APOSTROPHES}{_HYPHENS}]|_")
    return re.compile("|".join(choices))
