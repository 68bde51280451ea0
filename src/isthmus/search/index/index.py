"""An index: passages that can be searched by concepts, vectors and words, with reasons."""

from __future__ import annotations

import contextlib
import functools
import operator
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from isthmus.concepts.table import Names
from isthmus.data.corpora.words import Words
from isthmus.errors import ConfigError, RunError
from isthmus.search.filters import Condition
from isthmus.search.hits import Hit
from isthmus.search.index.checking import check_embedder
from isthmus.search.index.holding import Hold
from isthmus.search.index.manifest import Manifest, read_manifest
from isthmus.search.index.querying import encoded_query, steered_query
from isthmus.search.index.results import Results
from isthmus.search.index.sealing import check_digests
from isthmus.search.index.segment import Segment
from isthmus.search.index.statistics import Statistics
from isthmus.search.index.telling import contributions, hits_of
from isthmus.search.postings import BM25, Saturation
from isthmus.search.ranking import RANKINGS, HybridWeights, Query, Weighting
from isthmus.search.ranking.base import Found, Ranking
from isthmus.search.steering import Moved, Steering

if TYPE_CHECKING:
    from isthmus.concepts import Concepts
    from isthmus.models.dictionary import SparseDictionary
    from isthmus.search.embedders.base import Embedder, EmbedderOptions
    from isthmus.search.index.texts import StoredPassage

__all__ = ["Index", "Results"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class Index:
    """An index in a folder, opened for searching; any number of processes may have it open.

    What a writer does later is not seen, and takes nothing away from what is open: open it again.

    Parameters
    ----------
    folder
        The index' folder.
    threads
        Threads of a search.
    options
        How the embedder works on queries; None: its defaults.
    embedder
        What embeds queries; None: what the index was made with, opened by its configuration.
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
        embedder: Embedder | None = None,
        manifest: Manifest | None = None,
    ) -> None:
        if threads < 1:
            raise ConfigError("threads must be 1 or more", where=f"threads={threads}")
        self.folder, self.threads, self._options = Path(folder), threads, options
        self._given = embedder
        self._open(read_manifest(self.folder) if manifest is None else manifest, manifest is None)
        self.statistics = Statistics(self.segments, self.latents)

    def _open(self, manifest: Manifest, again: bool) -> None:
        """Open what a head names; once more where a writer was quicker."""
        while True:
            self.manifest = manifest
            self.latents: int = manifest.dictionary["latents"]
            try:
                self._hold = Hold(self._folders())
                self.segments = self._opened()
                return
            except RunError:
                if not again:
                    raise
                now = read_manifest(self.folder)
                if now == manifest:
                    raise
                manifest = now

    def _folders(self) -> list[Path]:
        """Return every folder of this state of the index."""
        said = self.manifest
        names: list[tuple[str, str | None]] = [
            *(("segments", entry.folder) for entry in said.segments),
            ("dictionaries", said.dictionary["folder"]),
            ("concepts", said.concepts),
            ("embedder", said.embedder["state"]),
        ]
        return [self.folder / kind / name for kind, name in names if name is not None]

    def _opened(self) -> tuple[Segment, ...]:
        with contextlib.ExitStack() as stack:
            stack.callback(self._hold.close)
            segments = []
            for entry in self.manifest.segments:
                place = self.folder / "segments" / entry.folder
                segments.append(Segment(place, entry, self.latents, self.manifest.embedder["dim"]))
                stack.callback(segments[-1].close)
            stack.pop_all()
        return tuple(segments)

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
        self._hold.close()

    def verify(self) -> None:
        """Read everything and check it.

        Raises
        ------
        RunError
            If anything is damaged; says which file.
        """
        for segment in self.segments:
            segment.verify()
        for folder in self._folders()[len(self.segments) :]:
            check_digests(folder)
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

        said, found = self.manifest.embedder, self._given
        if found is None:
            place = None
            if said["state"] is not None:
                place = self.folder / "embedder" / said["state"]
                check_digests(place)
            found = embedder_from(said["config"], self._options, place)
        check_embedder(said, found, self.folder)
        return found

    @functools.cached_property
    def dictionary(self) -> SparseDictionary:
        """The sparse dictionary whose latents are the concepts.

        Raises
        ------
        RunError
            If it is damaged.
        """
        from isthmus.models.dictionary import SparseDictionary

        place = self.folder / "dictionaries" / self.manifest.dictionary["folder"]
        check_digests(place)
        found = SparseDictionary.from_pretrained(place)
        if found.latent != self.latents or found.dim != self.manifest.embedder["dim"]:
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

    @property
    def hybrid(self) -> HybridWeights:
        """Weights of the hybrid search: fitted ones where there are any."""
        return HybridWeights(**self.manifest.settings.get("hybrid", {}))

    # --- what scores need --------------------------------------------------------------------

    @property
    def concept_frequency(self) -> Ints:
        """Living passages with each concept (N,)."""
        return self.statistics.concept_frequency

    def concept_saturation(self, segment: Segment, bm25: BM25) -> Saturation:
        """Return what BM25 makes of a segment's rows; see `ConceptRanking`."""
        return self.statistics.concept_saturation(segment, bm25)

    def word_saturation(self, segment: Segment, bm25: BM25) -> Saturation:
        """Return what BM25 makes of a segment's rows, by their words."""
        return self.statistics.word_saturation(segment, bm25)

    def reconstruction_scaling(self, segment: Segment) -> NDArray[np.float32]:
        """Return one over the length of each row's reconstruction (R,), 0 where it has none."""
        return self.statistics.scaling(segment)

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
        plain = encoded_query(self.dictionary, text, vector)
        return steered_query(plain, steering, self.decoder) if steering else (plain, ())

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
            return [self.names.find(c) if isinstance(c, str) else operator.index(c) for c in given]

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
        told = contributions(found.concepts, found.activations, self.names)
        unknown = not self.concept_frequency[found.concepts].any()
        return Results(query, by, hits, told, moved, unknown)

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
        return RANKINGS[by](self, query, hybrid or self.hybrid, Weighting.named(scoring))

    def hits(self, ranking: Ranking, found: Sequence[Found]) -> tuple[Hit, ...]:
        """Fetch the texts of what was found, and explain the scores."""
        return hits_of(ranking, found, self.names)

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
