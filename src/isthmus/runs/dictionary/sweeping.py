"""Sweeps of sparse dictionaries: how one is trained, read and drawn, and how vectors travel."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from isthmus.data.streams import VectorSource, open_vectors
from isthmus.errors import DataError
from isthmus.models.dictionary.presets import DictionaryPreset
from isthmus.runs.dictionary.jobs import job_for
from isthmus.runs.dictionary.metrics import DictionaryEvaluation
from isthmus.runs.dictionary.routing import applied
from isthmus.runs.dictionary.training import carry_out
from isthmus.runs.dictionary.vectors import Vectors, vectors_of
from isthmus.runs.holding import Held
from isthmus.runs.rows import Row
from isthmus.runs.sweep_axes import Axes, axes_for
from isthmus.runs.sweep_family import cannot_hold, measured_by
from isthmus.runs.sweep_hourglass import OneModality
from isthmus.training import Watch

if TYPE_CHECKING:
    from isthmus.runs.sweep_work import Work

__all__ = ["DictionarySweep", "NamedVectors", "StoredVectors"]


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


@dataclass(frozen=True)
class DictionarySweep(OneModality):
    """See :class:`~isthmus.runs.sweep_family.SweepFamily`."""

    preset: DictionaryPreset
    """The preset that a sweep starts from."""
    shown = (
        "latent", "parameters", "seconds", "fvu", "fvu_refined", "pca_ratio", "l0",
        "dead_fraction", "max_firing_rate",
    )  # fmt: skip

    def changed(self, settings: Mapping[str, Any]) -> Self:
        """Return this with some settings of the preset changed."""
        return dataclasses.replace(self, preset=self.preset.with_settings(settings)[0])

    def check(self, settings: Mapping[str, Any], data: Vectors) -> None:
        """Put preset and training together."""
        changed, _ = applied(
            self.preset, {name: value for name, value in settings.items() if name != "preprocess"}
        )
        if isinstance(changed, DictionaryPreset):
            changed.sized(changed.bottleneck.latent)

    def held(
        self, what: str, fixed: Mapping[str, Any], settings: Mapping[str, Any], data: Vectors
    ) -> Held:
        """Refuse: nothing is held."""
        raise cannot_hold(what, "sparse dictionaries")

    def fingerprint(self, data: Vectors) -> str:
        """Return what tells these vectors from others."""
        return data.fingerprint()

    def named(self, source: str, options: Mapping[str, Any], data: Vectors) -> NamedVectors:
        """Return how another process opens the vectors."""
        return NamedVectors(source, data.options)

    def stored(self, data: Vectors, folder: Path) -> StoredVectors:
        """Lay the vectors out in files."""
        return StoredVectors.write(data, folder)

    def train(self, work: Work, data: Vectors, *, resume: bool, watch: Watch) -> None:
        """Train, measure and write one dictionary, or go on with it."""
        job = job_for(self.preset, data, **work.settings)
        source, options = work.origin
        told = dataclasses.replace(job.origin, source=source, options=options)
        carry_out(
            dataclasses.replace(job, origin=told),
            work.folder,
            resume=resume,
            watch=watch,
            figures=work.figures,
            evaluation=measured_by(work.evaluation, DictionaryEvaluation),
        )

    def axes(self, rows: Sequence[Row], varied: Sequence[str], hold: str | None) -> Axes:
        """Choose what the trade-off figure shows."""
        found = axes_for(self.preset.bottleneck, rows, varied, hold)
        return dataclasses.replace(found, y="fvu")
