"""One pass over a corpus that makes an index, or brings it up to date."""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from isthmus.data.corpora.documents import Corpus
from isthmus.data.corpora.words import Words
from isthmus.errors import ConfigError, DataError, RunError
from isthmus.search.embedders import Embedder, fitted_to, open_embedder, save_state
from isthmus.search.index.assembling import Assembler, masked, needs_merging
from isthmus.search.index.checking import check_embedder
from isthmus.search.index.comparing import Compared, compared
from isthmus.search.index.config import Built, Indexing, Stage
from isthmus.search.index.describing import described, moved, write_concepts
from isthmus.search.index.embedding import Embedded, embedded
from isthmus.search.index.gathering import joined_vectors
from isthmus.search.index.index import Index
from isthmus.search.index.manifest import HEAD, Manifest, SegmentEntry
from isthmus.search.index.segment import Segment
from isthmus.search.index.texts import storable
from isthmus.search.index.training import train_dictionary
from isthmus.search.index.writing import commit, new_folder
from isthmus.search.passages import Cutting

if TYPE_CHECKING:
    from isthmus.models.dictionary import SparseDictionary

__all__ = ["Update"]

Floats = NDArray[np.float32]

_REFRESH = 0.05
"""Share of the passages that must be new, or gone, for the concepts to be described again."""
_SAID = 1000


class Update:
    """One pass over the corpus, by whoever holds the right to write the index.

    Parameters
    ----------
    folder
        The index, perhaps not there yet.
    corpus, embedder, config, stage
        As in `isthmus.search.index.building.build_index`.
    """

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
        with contextlib.ExitStack() as stack:
            stack.callback(self._close)
            before = self.old.manifest if self.old is not None else None
            self.words = Words(config.language, config.stem)
            self.cutting = config.cutting
            if before is not None:
                self._as_before(before)
            self.words.stem_of("words")  # a language that is not known shows here
            self.embedder = self._chosen(embedder)
            stack.pop_all()

    def __enter__(self) -> Update:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def _close(self) -> None:
        if self.old is not None:
            self.old.close()

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
        with self._timed("embedding"):
            if found.fresh:
                self.embedder = fitted_to(self.embedder, [d.text for d in found.fresh])
                self._check(dictionary, retrain=retrain)
            new = embedded(found, self.embedder, self.cutting, self.stage)
        if self.old is not None and not renew and self._is_idle(self.old, found, new):
            return self._built(self.old.manifest, found, new)
        self._check_left(found, new)
        with self._timed("dictionary"):
            model, how = self._dictionary(new, found, dictionary, also, retrain=retrain)
        with self._timed("writing"):
            manifest = self._written(new, found, model, how, source, renew=renew)
        if self.config.concepts:
            with self._timed("concepts"):
                manifest = self._with_concepts(manifest)
        self._close()
        commit(self.folder, manifest)
        return self._built(manifest, found, new)

    @property
    def _segments(self) -> tuple[Segment, ...]:
        return self.old.segments if self.old is not None else ()

    def _as_before(self, before: Manifest) -> None:
        """Cut texts and count words as the index does, and say so where others were asked for."""
        words, cutting = Words(**before.words), Cutting(**before.cutting["config"])
        if (words, cutting) != (self.words, self.cutting):
            usual = Indexing()
            if (self.words, self.cutting) != (Words(usual.language, usual.stem), usual.cutting):
                self.notes.append("texts are cut and words counted as before: an index keeps that")
        self.words, self.cutting = words, cutting

    def _chosen(self, embedder: Embedder | None) -> Embedder:
        """Return the embedder to use: that of the index, where there is one."""
        if self.old is None:
            return embedder or open_embedder()
        if embedder is None:
            return self.old.embedder
        manifest = self.old.manifest
        kind = embedder.config().get("kind")
        if kind == "lexical" == manifest.embedder["config"].get("kind") and _learns(embedder):
            return self.old.embedder  # what it learned is in the index
        if kind == "lexical" and _learns(embedder):
            raise RunError(
                "the index was written by another embedder",
                where=str(self.folder),
                why=f"that is {manifest.embedder['name']}, not {embedder.name}",
                fix=f"use {manifest.embedder['name']}, or another folder",
            )
        check_embedder(manifest.embedder, embedder, self.folder)
        return embedder

    def _check(self, dictionary: SparseDictionary | None, *, retrain: bool) -> None:
        if dictionary is None:
            return
        if retrain:
            raise ConfigError("a dictionary is given, or trained anew: not both")
        if dictionary.objective.always_dense:
            raise ConfigError(
                "a dictionary whose concepts are all active everywhere can't be searched by them",
                why=f"its codes are dense: {type(dictionary.bottleneck).__name__}",
                fix="give a sparse one: TopK and its kin",
            )
        if dictionary.dim != self.embedder.dim and not _learns(self.embedder):
            raise ConfigError(
                f"the dictionary is for vectors of {dictionary.dim} numbers",
                why=f"{self.embedder.name} makes vectors of {self.embedder.dim}",
            )

    def _is_idle(self, old: Index, found: Compared, new: Embedded) -> bool:
        """Whether there is nothing to do."""
        news = len(new.documents) or found.changed or found.deleted
        return not news and (old.manifest.concepts is not None or not self.config.concepts)

    def _check_left(self, found: Compared, new: Embedded) -> None:
        if not new.documents and not found.unchanged:
            raise DataError(
                "no document of the corpus has a text",
                where=self.corpus.name,
                why=f"{found.total:,} are empty",
                fix="remove the folder of the index, if that is what is meant",
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
            return self.old.dictionary, dict(self.old.manifest.dictionary["training"])
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
        entries = self._entries(new, found, model, ids, generation, renew=renew)
        kept = before is not None and not renew
        skipped = self.corpus.skipped
        report = new.report or (before.cutting["report"] if before is not None else "")
        return Manifest(
            name=self.corpus.name,
            corpus=dict(source) or dict(before.corpus if before is not None else {}),
            embedder=before.embedder if before is not None else self._embedder_said(),
            cutting={"config": dataclasses.asdict(self.cutting), "report": report},
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

    def _entries(
        self,
        new: Embedded,
        found: Compared,
        model: SparseDictionary,
        ids: NDArray[np.int64],
        generation: int,
        *,
        renew: bool,
    ) -> list[SegmentEntry]:
        """Mask what is gone, write what is new, and merge where that pays."""
        write = Assembler(self.folder, model, self.words, self.config.threads, self.stage)
        masks = zip(self._segments, found.gone, strict=True)
        entries = [e for s, rows in masks if (e := masked(s, rows, generation)) is not None]
        if len(ids):
            entries.append(write.written(new, ids))
        if renew or needs_merging(entries):
            with self._opened(entries, model) as segments:
                entries = [write.merged(segments, renew=renew)]
        return entries

    @contextlib.contextmanager
    def _opened(
        self, entries: list[SegmentEntry], model: SparseDictionary
    ) -> Iterator[list[Segment]]:
        """Open segments that no head names yet, whatever dictionary encoded them."""
        before = self.old.latents if self.old is not None else model.latent
        known = {segment.entry.folder for segment in self._segments}
        with contextlib.ExitStack() as stack:
            segments = []
            for entry in entries:
                latents = before if entry.folder in known else model.latent
                folder = self.folder / "segments" / entry.folder
                segments.append(Segment(folder, entry, latents))
                stack.callback(segments[-1].close)
            yield segments

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
            shutil.rmtree(place, ignore_errors=True)
        return {
            "config": self.embedder.config(),
            "name": self.embedder.name,
            "description": self.embedder.description,
            "digest": self.embedder.digest,
            "dim": self.embedder.dim,
            "state": place.name if learned else None,
        }

    # --- concepts ------------------------------------------------------------------------------

    def _with_concepts(self, manifest: Manifest) -> Manifest:
        index = Index(self.folder, manifest=manifest)
        with index:
            if manifest.concepts is not None and moved(index) <= _REFRESH:
                self.notes.append("concepts were left as they are: little has changed")
                return manifest
            with new_folder(self.folder, "concepts") as place:
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

    def _built(self, manifest: Manifest, found: Compared, new: Embedded) -> Built:
        added = sum(storable(d.id) not in found.replaced for d, _ in new.documents)
        empty = len(found.fresh) - len(new.documents)
        if empty:
            self.notes.append(f"{empty:,} documents have no text and can't be found")
        return Built(
            self.folder,
            manifest,
            added,
            found.changed,
            found.deleted,
            found.unchanged,
            self.seconds,
            new.report,
            tuple(self.notes),
        )


def _learns(embedder: Embedder) -> bool:
    """Whether it must learn from a corpus before it can embed."""
    own = getattr(embedder, "embedder", embedder)  # without its cache
    return getattr(own, "state", True) is None
