"""From a corpus to an index, and from a changed corpus to the same index brought up to date."""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
import time
from collections.abc import Iterator, Mapping
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from isthmus.data.corpora.documents import Corpus
from isthmus.data.corpora.words import Words
from isthmus.errors import ConfigError
from isthmus.search.embedders import Embedder, fitted_to, open_embedder, save_state
from isthmus.search.index.assembling import Assembler, masked, needs_merging
from isthmus.search.index.comparing import Compared, compared
from isthmus.search.index.config import Built, Indexing, Stage
from isthmus.search.index.describing import described, write_concepts
from isthmus.search.index.embedding import Embedded, embedded
from isthmus.search.index.gathering import joined_vectors
from isthmus.search.index.index import Index, check_embedder
from isthmus.search.index.manifest import HEAD, Manifest, SegmentEntry
from isthmus.search.index.segment import Segment
from isthmus.search.index.training import train_dictionary
from isthmus.search.index.writing import commit, new_folder, swept, writing
from isthmus.search.passages import Cutting

if TYPE_CHECKING:
    from isthmus.models.dictionary import SparseDictionary

__all__ = ["build_index"]

Floats = NDArray[np.float32]

_OURS = frozenset(
    {HEAD, "segments", "dictionaries", "concepts", "embedder", "edits.jsonl", ".writing"}
)
_REFRESH = 0.05
"""Share of the documents that must have moved for the concepts to be described again."""
_SAID = 1000


def build_index(
    corpus: Corpus,
    out: str | PathLike[str],
    embedder: Embedder | None = None,
    config: Indexing | None = None,
    *,
    source: Mapping[str, Any] | None = None,
    dictionary: SparseDictionary | None = None,
    also: Floats | None = None,
    retrain: bool = False,
    stage: Stage | None = None,
) -> Built:
    """Index a corpus, or bring its index up to date.

    Where ``out`` holds an index already, documents are told apart by what they say: new and
    changed ones are cut, embedded and encoded, those that are gone are deleted, the others stay
    as they are, with their dictionary and their concepts. The index is replaced in one step: a
    reader, or a process killed at any moment, sees the old one or the new one.

    Parameters
    ----------
    corpus
        The texts.
    out
        Folder of the index.
    embedder
        Makes texts into vectors; None: MiniLM, or what the index was made with.
    config
        How the index is made; None: the defaults.
    source
        Where the corpus came from, to be kept in the index.
    dictionary
        A dictionary that was trained elsewhere; None: one is trained on the passages.
    also
        Further vectors (Q, D) that the dictionary learns from, too.
    retrain
        Whether an index that is there gets a new dictionary, trained from the old one on:
        concepts keep their numbers where they are the same, and edits are kept.
    stage
        Told of the progress.

    Raises
    ------
    DataError
        If the corpus has no document, or the texts can't be embedded.
    ConfigError
        If settings do not fit each other or the embedder.
    RunError
        If the folder holds another embedder's index, is being written, or can't be written.
    """
    config = config or Indexing()
    folder = Path(out)
    _claim(folder)
    with writing(folder):
        swept(folder)
        try:
            work = _Work(folder, corpus, embedder, config, stage or _silent)
            return work.run(dictionary, also, source or {}, retrain=retrain)
        except BaseException:
            swept(folder)
            if not (folder / HEAD).exists():
                _forget(folder)
            raise


def _silent(what: str, done: int, total: int) -> None:
    """Tell nobody."""


def _claim(folder: Path) -> None:
    """Refuse a folder that holds something else."""
    if folder.exists() and not folder.is_dir():
        raise ConfigError("the index must be a folder", where=str(folder))
    if folder.is_dir() and not (folder / HEAD).exists():
        others = [p.name for p in folder.iterdir() if p.name not in _OURS and p.name[0] != "."]
        if others:
            raise ConfigError(
                "the folder holds something that is no index",
                where=str(folder),
                why=f"there is {others[0]}",
                fix="choose a new folder with --out",
            )


def _forget(folder: Path) -> None:
    """Remove what was begun of an index that never came to be."""
    for name in ("segments", "dictionaries", "concepts", "embedder"):
        shutil.rmtree(folder / name, ignore_errors=True)


class _Work:
    """One pass over the corpus."""

    def __init__(
        self,
        folder: Path,
        corpus: Corpus,
        embedder: Embedder | None,
        config: Indexing,
        stage: Stage,
    ) -> None:
        self.folder, self.corpus, self.config, self.stage = folder, corpus, config, stage
        self.seconds: dict[str, float] = {}
        self.notes: list[str] = []
        self.old = Index(folder) if (folder / HEAD).exists() else None
        before = self.old.manifest if self.old is not None else None
        self.words = (
            Words(config.language, config.stem) if before is None else Words(**before.words)
        )
        self.cutting = config.cutting if before is None else Cutting(**before.cutting["config"])
        self.embedder = self._chosen(embedder)

    def run(
        self,
        dictionary: SparseDictionary | None,
        also: Floats | None,
        source: Mapping[str, Any],
        *,
        retrain: bool,
    ) -> Built:
        """Do everything, and commit it."""
        self._check(dictionary, retrain=retrain)
        renew = self.old is not None and (retrain or dictionary is not None)
        with self._timed("reading"):
            found = compared(self.corpus, self._segments, self.stage)
        if self.old is not None and found.nothing and not renew:
            return self._built(self.old.manifest, found, "")
        with self._timed("embedding"):
            self.embedder = fitted_to(self.embedder, [d.text for d in found.fresh])
            new = embedded(found, self.embedder, self.cutting, self.stage)
        with self._timed("dictionary"):
            model, how = self._dictionary(new, found, dictionary, also, retrain=retrain)
        with self._timed("writing"):
            manifest = self._written(new, found, model, how, source, renew=renew)
        if self.config.concepts:
            with self._timed("concepts"):
                manifest = self._with_concepts(manifest, found)
        commit(self.folder, manifest)
        return self._built(manifest, found, new.report)

    @property
    def _segments(self) -> tuple[Segment, ...]:
        return self.old.segments if self.old is not None else ()

    def _chosen(self, embedder: Embedder | None) -> Embedder:
        """Return the embedder to use: that of the index, where there is one."""
        if self.old is None:
            return embedder or open_embedder()
        if embedder is None or embedder.config().get("kind") == "lexical":
            return self.old.embedder  # what a lexical one learned is in the index
        check_embedder(self.old.manifest, embedder, self.folder)
        return embedder

    def _check(self, dictionary: SparseDictionary | None, *, retrain: bool) -> None:
        if dictionary is None:
            return
        if retrain:
            raise ConfigError("a dictionary is given, or trained anew: not both")
        if dictionary.dim != self.embedder.dim:
            raise ConfigError(
                f"the dictionary is for vectors of {dictionary.dim} numbers",
                why=f"{self.embedder.name} makes vectors of {self.embedder.dim}",
            )

    # --- the dictionary ------------------------------------------------------------------------

    def _dictionary(
        self,
        new: Embedded,
        found: Compared,
        given: SparseDictionary | None,
        also: Floats | None,
        *,
        retrain: bool,
    ) -> tuple[SparseDictionary, dict[str, Any]]:
        """Return the dictionary that encodes, and how it came about."""
        if given is not None:
            return given, {"given": True}
        if self.old is not None and not retrain:
            return self.old.dictionary, dict(self.old.manifest.dictionary.get("training", {}))
        parts = [
            np.asarray(segment.vectors)[np.setdiff1d(segment.living, rows)]
            for segment, rows in zip(self._segments, found.gone, strict=True)
        ]
        vectors = np.concatenate([*parts, new.vectors]).astype(np.float32)
        before = self.old.dictionary if self.old is not None else None
        if before is not None and len(vectors) < before.latent:
            before = None  # most of the corpus is gone, and its dictionary no longer fits
        trained = train_dictionary(
            vectors,
            self.config.dictionary,
            start=before,
            also=also,
            threads=self.config.threads,
            watch=lambda told: self.stage("training", told.epoch, told.epochs),
        )
        if before is None or trained.model.latent != before.latent:
            return trained.model, trained.how
        from isthmus.concepts import carry_ids, permuted

        weights = before.weights(), trained.model.weights()
        carried = carry_ids(*(w.decoder_ND for w in weights))
        how = {**trained.how, "kept_ids": round(carried.share, 4)}
        return permuted(trained.model, carried.order), how

    # --- writing -------------------------------------------------------------------------------

    def _written(
        self,
        new: Embedded,
        found: Compared,
        model: SparseDictionary,
        how: Mapping[str, Any],
        source: Mapping[str, Any],
        *,
        renew: bool,
    ) -> Manifest:
        """Write everything but the concepts; nothing of it counts before the commit."""
        before = self.old.manifest if self.old is not None else None
        generation = (before.generation if before is not None else 0) + 1
        next_id = before.next_id if before is not None else 0
        ids = np.arange(next_id, next_id + len(new.vectors), dtype=np.int64)
        write = Assembler(self.folder, model, self.words, self.config.threads, self.stage)
        masks = zip(self._segments, found.gone, strict=True)
        entries = [e for s, rows in masks if (e := masked(s, rows, generation)) is not None]
        if len(ids):
            entries.append(write.written(new, ids))
        if renew or needs_merging(entries):
            with self._opened(entries, model) as segments:
                entries = [write.merged(segments)] if segments else []
        kept = before is not None and not renew
        skipped = self.corpus.skipped
        return Manifest(
            name=self.corpus.name,
            corpus=dict(source) or dict(before.corpus if before is not None else {}),
            embedder=before.embedder if before is not None else self._embedder_said(),
            cutting={"config": dataclasses.asdict(self.cutting), "report": new.report},
            words={"language": self.words.language, "stem": self.words.stem},
            dictionary=before.dictionary
            if before is not None and kept
            else self._dictionary_said(model, how),
            concepts=before.concepts if before is not None and kept else None,
            segments=tuple(entries),
            next_id=next_id + len(ids),
            generation=generation,
            skipped=tuple(dataclasses.asdict(s) for s in skipped[:_SAID]),
            skipped_count=int(getattr(self.corpus, "skipped_count", len(skipped))),
            settings=dict(before.settings) if before is not None else {},
        )

    @contextlib.contextmanager
    def _opened(
        self, entries: list[SegmentEntry], model: SparseDictionary
    ) -> Iterator[list[Segment]]:
        """Open segments that no head names yet, whatever dictionary encoded them."""
        before = self.old.latents if self.old is not None else model.latent
        known = {segment.entry.folder for segment in self._segments}
        segments = [
            Segment(
                self.folder / "segments" / entry.folder,
                entry,
                before if entry.folder in known else model.latent,
            )
            for entry in entries
        ]
        try:
            yield segments
        finally:
            for segment in segments:
                segment.close()

    def _dictionary_said(self, model: SparseDictionary, how: Mapping[str, Any]) -> dict[str, Any]:
        with new_folder(self.folder, "dictionaries") as place:
            model.save_pretrained(place)
        active = getattr(model.bottleneck, "k", None)
        return {"folder": place.name, "latents": model.latent, "k": active, "training": dict(how)}

    def _embedder_said(self) -> dict[str, Any]:
        with new_folder(self.folder, "embedder") as place:
            save_state(getattr(self.embedder, "embedder", self.embedder), place)
            learned = any(place.iterdir())
        if not learned:
            place.rmdir()
        return {
            "config": self.embedder.config(),
            "name": self.embedder.name,
            "description": self.embedder.description,
            "digest": self.embedder.digest,
            "dim": self.embedder.dim,
            "state": place.name if learned else None,
        }

    # --- concepts ------------------------------------------------------------------------------

    def _with_concepts(self, manifest: Manifest, found: Compared) -> Manifest:
        moved = len(found.fresh) + found.deleted
        if manifest.concepts is not None and moved <= _REFRESH * manifest.documents:
            self.notes.append("concepts were left as they are: little has changed")
            return manifest
        index = Index(self.folder, manifest=manifest)
        with index, new_folder(self.folder, "concepts") as place:
            concepts = described(
                index,
                embedder=self.embedder,
                others=self._others(index),
                progress=lambda what: self.stage(what, 0, 0),
            )
            write_concepts(place, concepts, index)
        return dataclasses.replace(manifest, concepts=place.name)

    def _others(self, index: Index) -> list[SparseDictionary]:
        """Train the dictionary again with other seeds."""
        if not self.config.stability:
            return []
        vectors = joined_vectors(index.segments).astype(np.float32)
        sizes = dataclasses.replace(self.config.dictionary, latents=index.latents)
        return [
            train_dictionary(
                vectors,
                dataclasses.replace(sizes, seed=sizes.seed + 1 + again),
                threads=self.config.threads,
                watch=lambda told: self.stage("stability", told.epoch, told.epochs),
            ).model
            for again in range(self.config.stability)
        ]

    @contextlib.contextmanager
    def _timed(self, name: str) -> Iterator[None]:
        began = time.monotonic()
        yield
        self.seconds[name] = round(time.monotonic() - began, 3)

    def _built(self, manifest: Manifest, found: Compared, cut: str) -> Built:
        return Built(
            self.folder,
            manifest,
            found.added,
            found.changed,
            found.deleted,
            found.unchanged,
            self.seconds,
            cut,
            tuple(self.notes),
        )
