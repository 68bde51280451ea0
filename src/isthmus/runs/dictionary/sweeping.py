"""How the processes of a sweep come by vectors, and one dictionary's run of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from isthmus.data.streams import VectorSource, open_vectors
from isthmus.errors import DataError
from isthmus.models.dictionary.presets import DictionaryPreset
from isthmus.runs.dictionary.jobs import job_for
from isthmus.runs.dictionary.metrics import DictionaryEvaluation
from isthmus.runs.dictionary.routing import applied
from isthmus.runs.dictionary.training import carry_out
from isthmus.runs.dictionary.vectors import Vectors, vectors_of
from isthmus.training import Watch

__all__ = ["NamedVectors", "StoredVectors", "buildable", "train_one"]


@dataclass(frozen=True)
class NamedVectors:
    """Vectors that every process opens for itself."""

    source: str
    """A path in full, or a name."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """How they are opened."""

    def open(self) -> Vectors:
        """Open them."""
        found = vectors_of(self.source, self.options, any_kind=True)
        if found is None:  # pragma: no cover - with any kind, what is loaded is opened
            raise DataError("these data can't be read as vectors", where=self.source)
        return found


@dataclass(frozen=True)
class StoredVectors:
    """Vectors that were in memory, laid out in files that every process reads."""

    folder: Path
    """Where ``SPLIT.npy`` are."""
    about: Mapping[str, Any]
    """Name, options and notes."""
    splits: tuple[str, ...]
    """Names of the splits."""

    @classmethod
    def write(cls, vectors: Vectors, folder: Path) -> StoredVectors:
        """Write the splits into ``folder``, a few thousand rows at a time."""
        parts = _splits(vectors)
        for name, part in parts.items():
            shape = (part.rows, part.dim)
            kept = np.lib.format.open_memmap(folder / f"{name}.npy", "w+", np.float32, shape)
            # a bad row is refused, or dropped, where it is trained on
            for start in range(0, part.rows, _ROWS):
                stop = min(start + _ROWS, part.rows)
                kept[start:stop] = part.read(start, stop)
            kept.flush()
        about = {"name": vectors.name, "options": dict(vectors.options), "notes": vectors.notes}
        return cls(folder, about, tuple(parts))

    def open(self) -> Vectors:
        """Open the files."""
        found = {name: open_vectors(self.folder / f"{name}.npy") for name in self.splits}
        return Vectors(
            self.about["name"],
            found["train"],
            found.get("validation"),
            found.get("test"),
            options=self.about["options"],
            notes=self.about["notes"],
        )


_ROWS = 8192


def _splits(vectors: Vectors) -> dict[str, VectorSource]:
    found = {"train": vectors.train, "validation": vectors.validation, "test": vectors.test}
    return {name: part for name, part in found.items() if part is not None}


def buildable(preset: DictionaryPreset, settings: Mapping[str, Any]) -> None:
    """Put preset and training together, so that what can't work is known before anything runs."""
    changed, _ = applied(preset, settings)
    if isinstance(changed, DictionaryPreset):
        changed.sized(changed.bottleneck.latent)


def train_one(
    preset: DictionaryPreset,
    vectors: Vectors,
    settings: Mapping[str, Any],
    origin: tuple[str | None, Mapping[str, Any]],
    folder: Path,
    *,
    resume: bool,
    watch: Watch,
    figures: bool,
    evaluation: DictionaryEvaluation | None,
) -> None:
    """Train, measure and write one dictionary of a sweep, or go on with it."""
    job = job_for(preset, vectors, **settings)
    source, options = origin
    told = dataclasses.replace(job.origin, source=source, options=options)
    carry_out(
        dataclasses.replace(job, origin=told),
        folder,
        resume=resume,
        watch=watch,
        figures=figures,
        evaluation=evaluation,
    )
