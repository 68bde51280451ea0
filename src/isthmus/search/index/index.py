"""An index: passages that can be searched by concepts, vectors and words, with reasons."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from isthmus.concepts.table import Names
from isthmus.data.corpora.words import Words
from isthmus.errors import ConfigError, RunError
from isthmus.search.filters import Condition
from isthmus.search.hits import Contribution, Hit
from isthmus.search.index.manifest import Manifest, read_manifest
from isthmus.search.index.segment import Segment
from isthmus.search.postings import BM25, Saturation
from isthmus.search.ranking import RANKINGS, HybridWeights, Query, Weighting
from isthmus.search.ranking.base import Found, Ranking
from isthmus.search.steering import Moved, Steering, steered

if TYPE_CHECKING:
    from isthmus.concepts import Concepts
    from isthmus.models.dictionary import SparseDictionary
    from isthmus.search.embedders.base import Embedder, EmbedderOptions
    from isthmus.search.index.texts import StoredPassage

__all__ = ["Index", "Results"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Results:
    """What a search found."""

    query: str
    """The query's words."""
    by: str
    """How passages were ranked."""
    hits: tuple[Hit, ...]
    """The passages, the best first."""
    concepts: tuple[Contribution, ...]
    """The query's concepts after steering, with their activations, the strongest first."""
    moved: tuple[Moved, ...] = ()
    """What steering changed."""
    unknown: bool = False
    """Whether the query has no concept that any passage has: a search by concepts then finds
    nothing."""

    def json(self) -> dict[str, Any]:
        """Return what ``isthmus search --json`` prints."""
        return {
            "query": self.query,
            "by": self.by,
            "concepts": [vars(concept) for concept in self.concepts],
            "moved": [vars(moved) for moved in self.moved],
            "hits": [_hit(hit) for hit in self.hits],
        }


def _hit(hit: Hit) -> dict[str, Any]:
    said = dict(vars(hit))
    said["concepts"] = [vars(concept) for concept in hit.concepts]
    said["metadata"], said["parts"] = dict(hit.metadata), dict(hit.parts)
    return said


class Index:
    """An index in a folder, opened for searching; any number of processes may have it open.

    What a writer does later is not seen: open it again.

    Parameters
    ----------
    folder
        The index' folder.
    threads
        Threads of a search.
    options
        How the embedder works on queries; None: its defaults.
    manifest
        A head that is not written yet; None: that in the folder.

    Raises
    ------
    RunError
        If there is no index, or it is damaged or of a newer format.
    """

    def __init__(
        self,
        folder: str | PathLike[str],
        *,
        threads: int = 1,
        options: EmbedderOptions | None = None,
        manifest: Manifest | None = None,
    ) -> None:
        if threads < 1:
            raise ConfigError("threads must be 1 or more", where=f"threads={threads}")
        self.folder, self.threads, self._options = Path(folder), threads, options
        self.manifest = read_manifest(self.folder) if manifest is None else manifest
        latents = self.manifest.dictionary.get("latents")
        if not isinstance(latents, int) or latents < 1:
            raise RunError("the head of the index names no dictionary", where=str(self.folder))
        self.latents = latents
        self.segments = tuple(
            Segment(self.folder / "segments" / entry.folder, entry, latents)
            for entry in self.manifest.segments
        )
        self._saturations: dict[tuple[int, str, BM25], Saturation] = {}

    def __len__(self) -> int:
        return self.living

    def __repr__(self) -> str:
        return f"Index({str(self.folder)!r}, passages={len(self)}, concepts={self.latents})"

    def __enter__(self) -> Index:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the files."""
        for segment in self.segments:
            segment.close()

    def verify(self) -> None:
        """Read everything and check it.

        Raises
        ------
        RunError
            If anything is damaged; says which file.
        """
        for segment in self.segments:
            segment.verify()
        _ = self.dictionary
        if self.manifest.concepts is not None:
            _ = self.concepts

    # --- what it is made of ------------------------------------------------------------------

    @property
    def living(self) -> int:
        """Passages that are not deleted."""
        return self.manifest.passages

    @property
    def written(self) -> int:
        """Passages, deleted ones that still take room counted."""
        return sum(segment.entry.passages for segment in self.segments)

    @functools.cached_property
    def embedder(self) -> Embedder:
        """What makes queries into vectors: the same that made the passages'.

        Raises
        ------
        RunError
            If the one that is here now is another one.
        """
        from isthmus.search.embedders import embedder_from

        said = self.manifest.embedder
        state = said.get("state")
        place = None if state is None else self.folder / "embedder" / str(state)
        found = embedder_from(said["config"], self._options, place)
        check_embedder(self.manifest, found, self.folder)
        return found

    @functools.cached_property
    def dictionary(self) -> SparseDictionary:
        """The sparse dictionary whose latents are the concepts."""
        from isthmus.models.dictionary import SparseDictionary

        place = self.folder / "dictionaries" / str(self.manifest.dictionary["folder"])
        found = SparseDictionary.from_pretrained(place)
        if found.latent != self.latents or found.dim != self.manifest.embedder.get("dim"):
            raise RunError("the dictionary is not that of this index", where=str(place))
        return found

    @functools.cached_property
    def decoder(self) -> Floats:
        """Directions of the concepts (N, D)."""
        return self.dictionary.weights().decoder_ND.astype(np.float64)

    @functools.cached_property
    def pre_bias(self) -> Floats:
        """What all passages have in common (D,)."""
        return self.dictionary.weights().pre_bias_D.astype(np.float64)

    @functools.cached_property
    def concepts(self) -> Concepts:
        """The concepts with all that is known of them, edits included."""
        from isthmus.search.index.describing import edited_concepts

        return edited_concepts(self)

    @functools.cached_property
    def names(self) -> Names:
        """The names of the concepts, edits included."""
        from isthmus.search.index.describing import edited_names

        return edited_names(self)

    @functools.cached_property
    def words(self) -> Words:
        """How texts are taken apart into words."""
        return Words(**self.manifest.words)

    # --- what scores need --------------------------------------------------------------------

    @functools.cached_property
    def concept_frequency(self) -> Ints:
        """Living passages with each concept (N,)."""
        found = np.zeros(self.latents, np.int64)
        for segment in self.segments:
            found += segment.frequency
        return found

    def concept_saturation(self, segment: Segment, bm25: BM25) -> Saturation:
        """Return what BM25 makes of a segment's rows; see `ConceptRanking`."""
        key = (self.segments.index(segment), "concepts", bm25)
        if key not in self._saturations:
            mean, activation = self._concept_means
            # in units of the mean activation, so that k1 means the same for every dictionary
            scaled = BM25(bm25.k1 * activation, bm25.b)
            self._saturations[key] = scaled.saturation(segment.lengths, mean)
        return self._saturations[key]

    def word_saturation(self, segment: Segment, bm25: BM25) -> Saturation:
        """Return what BM25 makes of a segment's rows, by their words."""
        key = (self.segments.index(segment), "words", bm25)
        if key not in self._saturations:
            total = sum(float(s.word_lengths.sum(dtype=np.float64)) for s in self.segments)
            mean = total / max(self.written, 1)
            self._saturations[key] = bm25.saturation(segment.word_lengths, mean)
        return self._saturations[key]

    def reconstruction_scaling(self, segment: Segment) -> NDArray[np.float32]:
        """Return one over the length of each row's reconstruction (R,), 0 where it has none."""
        lengths = np.asarray(segment.rebuilt)
        return np.divide(1, lengths, out=np.zeros_like(lengths), where=lengths > 1e-6)

    @functools.cached_property
    def _concept_means(self) -> tuple[float, float]:
        """Mean sum of a row's activations, and mean activation where there is one."""
        total = sum(float(s.lengths.sum(dtype=np.float64)) for s in self.segments)
        count = sum(segment.concepts.count for segment in self.segments)
        return total / max(self.written, 1), total / max(count, 1)

    # --- searching ---------------------------------------------------------------------------

    def query(self, text: str, steering: Steering | None = None) -> tuple[Query, tuple[Moved, ...]]:
        """Embed and encode a query, and steer it.

        Raises
        ------
        ConfigError
            If it is empty, or steering names a concept that does not exist.
        """
        if not text.strip():
            raise ConfigError("the query is empty", fix="write what is looked for")
        vector = self.embedder.embed_queries([text])[0]
        return self.query_of(text, vector, steering)

    def query_of(
        self, text: str, vector: NDArray[Any], steering: Steering | None = None
    ) -> tuple[Query, tuple[Moved, ...]]:
        """Do the same with a vector (D,) that is there already."""
        code = self.dictionary.encode(np.asarray(vector, np.float32)[None])
        code.sort_indices()
        concepts, values = code.indices.astype(np.int64), code.data.astype(np.float64)
        kept = values > 0
        concepts, values = concepts[kept], values[kept]
        direction: Floats = np.asarray(vector, np.float64)
        moved: tuple[Moved, ...] = ()
        if steering:
            wanted = {*steering.change, *steering.remove}
            beyond = [concept for concept in wanted if not 0 <= concept < self.latents]
            if beyond:
                raise ConfigError(
                    f"there is no concept #{beyond[0]}", why=f"the last is #{self.latents - 1}"
                )
            concepts, values, moved = steered(concepts, values, steering)
            for change in moved:
                direction = direction + (change.after - change.before) * self.decoder[change.id]
        return Query(text, direction, concepts, values), moved

    def steering(
        self,
        more: Sequence[str | int] = (),
        less: Sequence[str | int] = (),
        without: Sequence[str | int] = (),
    ) -> Steering:
        """Return the steering for concepts given by number or by name.

        Raises
        ------
        ConfigError
            If a name is that of no concept, or of several, which are listed.
        """

        def found(given: Sequence[str | int]) -> list[int]:
            return [c if isinstance(c, int) else self.names.find(c) for c in given]

        return Steering.of(found(more), found(less), found(without))

    def search(
        self,
        query: str,
        *,
        limit: int = 10,
        by: str = "concepts",
        more: Sequence[str | int] = (),
        less: Sequence[str | int] = (),
        without: Sequence[str | int] = (),
        steering: Steering | None = None,
        where: Sequence[Condition] = (),
        scoring: str = "bm25",
        hybrid: HybridWeights | None = None,
    ) -> Results:
        """Search.

        Parameters
        ----------
        query
            What is looked for, in words.
        limit
            Passages to return at most.
        by
            "concepts": the few that the query and a passage share; "reconstruction": cosine of
            the query's vector with what a passage's concepts rebuild; "dense": cosine of the two
            vectors; "words": BM25 over words; "hybrid": concepts, vectors and words together.
        more, less, without
            Concepts to turn up, turn down or leave out, by number or name; one may be named
            several times. See `isthmus.search.steering`.
        steering
            The same, in finer steps; in place of the three.
        where
            Conditions on the metadata that all hits must meet.
        scoring
            How shared concepts are weighed: "bm25", "idf" or "dot".
        hybrid
            Weights of the parts of a hybrid search; None: those of the index, which are fitted
            on judged queries where there were any.

        Returns
        -------
        Results
            Hits in the order of their scores, equal ones in that of the index. The
            contributions of a hit's concepts and its other parts add up to its score.

        Raises
        ------
        ConfigError
            If the query is empty, a word for a choice is unknown, or a concept is not found.
        RunError
            If the index turns out to be damaged, or its embedder is another one now.
        """
        if limit < 1:
            raise ConfigError("the limit must be 1 or more", where=f"limit={limit}")
        if steering is not None and (more or less or without):
            raise ConfigError("give more, less and without, or a steering, not both")
        asked = steering if steering is not None else self.steering(more, less, without)
        found, moved = self.query(query, asked)
        ranking = self.ranking(found, by, scoring=scoring, hybrid=hybrid)
        hits = self.hits(ranking, ranking.search(limit, where))
        return Results(query, by, hits, self._told(found), moved, self._is_unknown(found))

    def ranking(
        self,
        query: Query,
        by: str = "concepts",
        *,
        scoring: str = "bm25",
        hybrid: HybridWeights | None = None,
    ) -> Ranking:
        """Hold a query against the passages in one of the ways of `search`."""
        if by not in RANKINGS:
            raise ConfigError(f"unknown way of ranking {by!r}", fix=f"one of {', '.join(RANKINGS)}")
        weights = hybrid or HybridWeights(**self.manifest.settings.get("hybrid", {}))
        return RANKINGS[by](self, query, weights, Weighting.named(scoring))

    def hits(self, ranking: Ranking, found: Sequence[Found]) -> tuple[Hit, ...]:
        """Fetch the texts of what was found, and explain the scores."""
        rows: dict[Segment, list[int]] = {}
        for each in found:
            rows.setdefault(each.segment, []).append(each.row)
        texts = {
            (segment, passage.row): passage
            for segment, wanted in rows.items()
            for passage in segment.texts.passages(wanted)
        }
        return tuple(self._hit(ranking, f, texts[f.segment, f.row]) for f in found)

    def passages(self, ids: Sequence[int]) -> list[StoredPassage | None]:
        """Return passages by their numbers in the index; None for one that was deleted."""
        found: dict[int, StoredPassage] = {}
        wanted = np.unique(np.array(ids, np.int64))
        for segment in self.segments:
            rows = np.searchsorted(segment.ids, wanted)
            rows = np.minimum(rows, max(len(segment.ids) - 1, 0))
            here = segment.ids[rows] == wanted if len(segment.ids) else np.zeros(len(wanted), bool)
            if segment.alive is not None:
                here &= segment.alive[rows]
            passages = segment.texts.passages(rows[here].tolist())
            found.update(zip(wanted[here].tolist(), passages, strict=True))
        return [found.get(int(id_)) for id_ in ids]

    def _hit(self, ranking: Ranking, found: Found, passage: StoredPassage) -> Hit:
        explained = ranking.explain(found)
        order = np.lexsort((explained.concepts, -explained.parts))
        return Hit(
            id=passage.id,
            score=found.score,
            text=passage.text,
            document=passage.document,
            title=passage.title,
            source=passage.source,
            row=passage.line,
            start=passage.start,
            end=passage.end,
            start_byte=passage.start_byte,
            end_byte=passage.end_byte,
            metadata=passage.metadata,
            concepts=tuple(
                self._contribution(int(explained.concepts[i]), float(explained.parts[i]))
                for i in order
            ),
            parts=dict(explained.rest),
        )

    def _told(self, query: Query) -> tuple[Contribution, ...]:
        order = np.lexsort((query.concepts, -query.activations))
        return tuple(
            self._contribution(int(query.concepts[i]), float(query.activations[i])) for i in order
        )

    def _contribution(self, concept: int, value: float) -> Contribution:
        return Contribution(concept, self.names[concept], value)

    def _is_unknown(self, query: Query) -> bool:
        return not self.concept_frequency[query.concepts].any()


def check_embedder(manifest: Manifest, embedder: Embedder, folder: Path) -> None:
    """Make sure that vectors of this embedder may be held against those of the index.

    Raises
    ------
    RunError
        If it is another one; says how they differ.
    """
    said = manifest.embedder
    if embedder.dim != said.get("dim"):
        raise RunError(
            "the index was written by another embedder",
            where=str(folder),
            why=f"its vectors have {said.get('dim')} numbers, those of {embedder.name} have "
            f"{embedder.dim}",
            fix=f"use {said.get('name')}, or make the index again",
        )
    if embedder.digest != said.get("digest"):
        raise RunError(
            "the index was written by another embedder",
            where=str(folder),
            why=f"the digest of {said.get('name')} was {str(said.get('digest'))[:12]}, that of "
            f"{embedder.name} is {embedder.digest[:12]}",
            fix="bring back the one that it was written by, or make the index again",
        )
