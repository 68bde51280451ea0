"""Small corpora, an embedder without a language model, and indexes of both, for tests."""

import dataclasses
import hashlib
from unittest.mock import patch

import numpy as np

from isthmus.data.corpora.documents import Document
from isthmus.search.embedders.counting import word_spans
from isthmus.search.index.building import build_index
from isthmus.search.index.config import Indexing
from isthmus.search.index.index import Index
from isthmus.search.index.training import DictionarySettings
from isthmus.search.passages import Cutting

TOPICS = (
    ("anchor", "harbor", "sail", "mast", "keel"),
    ("violin", "orchestra", "cello", "concert", "tempo"),
    ("dough", "yeast", "oven", "flour", "crust"),
    ("galaxy", "telescope", "comet", "orbit", "nebula"),
    ("goal", "penalty", "keeper", "referee", "pitch"),
    ("enzyme", "protein", "amino", "peptide", "ribosome"),
    ("treaty", "embassy", "minister", "summit", "envoy"),
    ("glacier", "moraine", "ice", "crevasse", "fjord"),
)
FILLER = ("today", "people", "speak", "matter", "simply", "other", "place", "number", "begin")
SMALL = Indexing(
    cutting=Cutting(size=16),
    dictionary=DictionarySettings(latents=48, k=6, epochs=6),
    concepts=False,
    threads=1,
)
"""Small and quick; concepts are not described."""


class WordVectors:
    """A text is the sum of its words' directions; the same words, the same vector.

    Parameters
    ----------
    dim
        Numbers in a vector.
    digest
        What an index is bound to.
    """

    name, max_tokens, description = "toy", 40, "toy: sums of random directions of words"

    def __init__(self, dim=24, digest="a" * 64):
        self.dim, self.digest, self.seen = dim, digest, 0
        self._known = {}

    def token_spans(self, texts):
        return word_spans(texts)

    def embed(self, texts, *, progress=None):
        rows = np.stack([self._row(text) for text in texts]) if texts else self._none()
        self.seen += len(texts)
        if progress is not None:
            progress(len(texts), len(texts))
        return rows

    def embed_queries(self, texts):
        return self.embed(texts)

    def config(self):
        return {"kind": "toy", "dim": self.dim}

    def _none(self):
        return np.empty((0, self.dim), np.float32)

    def _row(self, text):
        row = 0.5 * self._direction("")
        for word in text.lower().split():
            row = row + self._direction(word.strip(".,"))
        return (row / np.linalg.norm(row)).astype(np.float32)

    def _direction(self, word):
        if word not in self._known:
            seed = hashlib.sha256(word.encode("utf-8", "replace")).digest()[:8]
            rng = np.random.default_rng(int.from_bytes(seed, "little"))
            self._known[word] = rng.normal(size=self.dim)
        return self._known[word]


class Texts:
    """A corpus in memory, as it is given: nothing is left out or changed."""

    name, root, skipped = "toys", "", ()

    def __init__(self, documents):
        self.documents = list(documents)

    def __iter__(self):
        return iter(self.documents)


def text_of(rng, topic, sentences=3):
    """Some sentences about a topic."""
    said = []
    for _ in range(sentences):
        words = [*rng.choice(TOPICS[topic], 3), *rng.choice(FILLER, 2)]
        rng.shuffle(words)
        said.append(" ".join(words).capitalize() + ".")
    return " ".join(said)


def documents(count=80, seed=0):
    """Documents of one topic each, some of them long, with a title and metadata."""
    rng = np.random.default_rng(seed)
    found = []
    for number in range(count):
        topic = int(rng.integers(len(TOPICS)))
        text = text_of(rng, topic, int(rng.integers(1, 9)))
        title = TOPICS[topic][0].capitalize() if number % 3 else ""
        facts = {"topic": topic, "year": 1990 + number % 20, "even": number % 2 == 0}
        facts |= {"kind": "note" if number % 4 else "letter", "weight": number / 8}
        found.append(Document(f"d{number}", text, title, f"{number}.txt", metadata=facts))
    return found


def build(folder, texts, config=SMALL, embedder=None, **options):
    """Index documents with the toy embedder; nobody waits for the disk."""
    with patch("os.fsync"):
        return build_index(Texts(texts), folder, embedder or WordVectors(), config, **options)


def opened(folder, embedder=None, **options):
    """Open an index whose queries the toy embeds."""
    return Index(folder, embedder=embedder or WordVectors(), **options)


def sums(hit):
    """What a hit's explanation adds up to."""
    return sum(c.contribution for c in hit.concepts) + sum(hit.parts.values())


def with_(config=SMALL, **changes):
    """The same settings, some of them changed."""
    return dataclasses.replace(config, **changes)
