"""A dictionary's training that is ready to start: vectors, models, settings."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from isthmus.configs import validated
from isthmus.data.streams import VectorFacts, checked
from isthmus.errors import ConfigError
from isthmus.models.dictionary import SparseDictionary
from isthmus.models.dictionary.presets import DictionaryPreset, dictionary_preset
from isthmus.runs.dictionary.routing import Asked, applied
from isthmus.runs.dictionary.splits import Parts, training_rows
from isthmus.runs.dictionary.vectors import Vectors
from isthmus.runs.run import DataOrigin
from isthmus.training.device import chosen_device
from isthmus.training.dictionary import DictionaryTraining, Together, latents_for
from isthmus.training.dictionary.rules import completed

__all__ = ["DictionaryJob", "among", "job_for", "jobs_together"]

ALONE = "dictionary"
"""What a dictionary is called in its checkpoint that is trained by itself."""
_TAKEN = frozenset({"checkpoints", "figures"})
_FEW = 8  # rows a latent
_COPIES = 0.01  # share of copies that is worth a word


@dataclass(frozen=True, eq=False)
class DictionaryJob:
    """One dictionary, or several that one pass over the data trains."""

    models: Mapping[str, SparseDictionary]
    """The dictionaries by name."""
    presets: Mapping[str, str]
    """The name of each one's preset, or "custom"."""
    parts: Parts
    """The rows, this process' share of each batch."""
    training: DictionaryTraining
    """The settings that they share; each one's own follow in ``own``."""
    origin: DataOrigin
    """Where the vectors came from."""
    notes: tuple[str, ...]
    """What a user should know about the data and the sizes."""
    several: bool = False
    """Whether each has a folder of its own below the one of all."""

    @property
    def one(self) -> SparseDictionary:
        """The only dictionary, or the first."""
        return next(iter(self.models.values()))

    @property
    def preset(self) -> str:
        """Its preset."""
        return next(iter(self.presets.values()))

    def own(self, name: str, world: int = 1) -> DictionaryTraining:
        """Return the settings of one of them with everything that follows from the data."""
        return completed(self.training, self.parts.stream.rows, self.models[name].latent, world)


def among() -> Together:
    """Return this process' place among those that ``torchrun`` started, which may be alone."""
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1 or "MASTER_ADDR" not in os.environ:
        return Together()
    return Together(int(os.environ.get("RANK", "0")), world)


def job_for(model: Asked | str, vectors: Vectors, **settings: Any) -> DictionaryJob:
    """Put a dictionary, vectors and settings together.

    Parameters
    ----------
    model
        A dictionary (which is trained from the start, in place), a preset, or a preset's name.
    vectors
        What :func:`~isthmus.runs.dictionary.vectors.vectors_of` opened.
    settings
        Fields of :class:`~isthmus.training.dictionary.DictionaryTraining`; with a preset, of its
        bottleneck too (``latents`` is another name of ``latent``), and ``normalise``.

    Raises
    ------
    ConfigError
        If a setting is unknown or doesn't fit.
    DataError
        If the vectors can't be trained on.
    """
    asked = dictionary_preset(model) if isinstance(model, str) else model
    found, training = applied(asked, settings)
    return _job({ALONE: found}, vectors, training, several=False)


def jobs_together(
    members: Mapping[str, tuple[Asked | str, Mapping[str, Any]]],
    vectors: Vectors,
    **settings: Any,
) -> DictionaryJob:
    """Put several dictionaries together that one pass over the data trains.

    Parameters
    ----------
    members
        By name: a dictionary, a preset or a preset's name, and settings of its bottleneck,
        ``normalise`` and ``seed`` (of the directions at its start).
    settings
        The training's, which they share.

    Raises
    ------
    ConfigError
        If there is no member, a name can't be a folder's, or a setting is unknown.
    """
    if not members:
        raise ConfigError("there is no dictionary to train", fix="name at least one")
    training = validated(DictionaryTraining, settings)
    models = {name: _member(name, *found, training) for name, found in members.items()}
    return _job(models, vectors, training, several=True)


def _member(
    name: str, model: Asked | str, own: Mapping[str, Any], training: DictionaryTraining
) -> Asked | _Seeded:
    """Return a member with its own settings and seed."""
    if not name or name[0] in ".-" or "/" in name or "\\" in name or name in _TAKEN:
        raise ConfigError(
            f"a dictionary can't be called {name!r}",
            why="it is the name of its folder",
            fix="choose another name",
        )
    asked = dictionary_preset(model) if isinstance(model, str) else model
    if isinstance(asked, SparseDictionary):
        if own:
            raise ConfigError(f"the dictionary {name!r} has its settings already")
        return asked
    changed, rest = asked.with_settings(own)
    seed = rest.pop("seed", training.seed)
    if rest:
        raise ConfigError(
            f"the dictionary {name!r} can't have a {sorted(rest)[0]} of its own",
            why="members of one training share its settings, and differ in their bottlenecks, "
            "normalise and seed",
            fix="give it for all of them, or train that one by itself",
        )
    return _Seeded(changed, validated(DictionaryTraining, {"seed": seed}).seed)


@dataclass(frozen=True)
class _Seeded:
    """A preset, and the seed of one member's start."""

    preset: DictionaryPreset
    """The preset."""
    seed: int
    """The seed."""


def _job(
    asked: Mapping[str, Asked | _Seeded],
    vectors: Vectors,
    training: DictionaryTraining,
    *,
    several: bool,
) -> DictionaryJob:
    chosen_device(training.device)
    if vectors.options.get("drop_bad_rows"):
        training = dataclasses.replace(training, drop_bad=True)
    facts = checked(vectors.train, drop_bad=training.drop_bad)
    rows, together = training_rows(vectors, training), among()
    models, presets = {}, {}
    for name, found in asked.items():
        models[name], presets[name] = _built(found, rows, vectors.dim, training.seed)
    full = completed(training, rows, next(iter(models.values())).latent, together.world)
    # the learning rate of several follows from each one's own number of latents
    full = dataclasses.replace(full, lr=training.lr) if several else full
    parts = Parts.of(vectors, full, together)
    origin = DataOrigin(
        vectors.name, vectors.source, dict(vectors.options), dict(parts.rows), parts.fingerprint()
    )
    notes = [*vectors.notes, *facts.notes, *_size_notes(models, parts, facts)]
    return DictionaryJob(models, presets, parts, full, origin, tuple(notes), several)


def _built(asked: Asked | _Seeded, rows: int, dim: int, seed: int) -> tuple[SparseDictionary, str]:
    """Return the dictionary and its preset's name."""
    if isinstance(asked, SparseDictionary):
        if asked.dim != dim:
            raise ConfigError(f"the vectors have {dim} values, the dictionary takes {asked.dim}")
        return asked, "custom"
    preset, start = (asked.preset, asked.seed) if isinstance(asked, _Seeded) else (asked, seed)
    return preset.sized(latents_for(rows, dim)).model(dim, start), preset.name


def _size_notes(
    models: Mapping[str, SparseDictionary], parts: Parts, facts: VectorFacts
) -> list[str]:
    """Say what is unusual about the sizes."""
    rows, dim, notes = parts.stream.rows, parts.vectors.dim, []
    for name, model in models.items():
        own = []
        if model.latent < dim:
            own.append(
                f"{model.latent:,} latents are fewer than the {dim:,} dimensions: each sample is "
                "still a sum of a few, but they can't span the data."
            )
        if (model.objective.k or 0) > dim:
            own.append(
                f"{model.objective.k:,} active latents of a sample are more numbers than its "
                f"{dim:,} values."
            )
        if rows < _FEW * model.latent:
            own.append(
                f"{rows / model.latent:.2g} training rows for each of the {model.latent:,} latents "
                "are few: it may learn them by heart, as the held-out error will tell."
            )
        notes += [note if name == ALONE else f"{name}: {note}" for note in own]
    if facts.duplicates > _COPIES * facts.seen and len(parts.rows) > 1:
        notes.append("Held-out rows may be copies of training rows: their numbers then flatter.")
    if len(parts.rows) == 1:
        notes.append("There are too few rows to hold any out: only the training error is known.")
    return notes
