"""Go on with the training of dictionaries from its folder alone."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from isthmus.bottlenecks import DICTIONARY_BOTTLENECKS
from isthmus.cli.resuming import check_format
from isthmus.cli.values import dictionary_settings
from isthmus.configs import from_json
from isthmus.errors import ConfigError, RunError, in_a_line
from isthmus.files import read_json
from isthmus.models.dictionary import SparseDictionary
from isthmus.models.dictionary.presets import DICTIONARY_PRESETS, DictionaryPreset
from isthmus.models.dictionary.storage import KIND
from isthmus.models.storage import CONFIG
from isthmus.runs.dictionary.jobs import DictionaryJob, job_for, jobs_together
from isthmus.runs.dictionary.routing import Asked
from isthmus.runs.dictionary.training import MEMBERS
from isthmus.runs.dictionary.vectors import vectors_of
from isthmus.runs.run import kind_of

__all__ = ["BegunDictionary", "begun_dictionary"]


@dataclasses.dataclass(frozen=True)
class BegunDictionary:
    """What a folder says about how a training of dictionaries was begun."""

    folder: Path
    """The folder."""
    asked: Mapping[str, tuple[Asked, Mapping[str, Any]]]
    """The dictionaries by name, with the settings of their own."""
    presets: tuple[str, ...]
    """The names of their presets."""
    training: Mapping[str, Any]
    """The training's settings."""
    source: str | None
    """What was opened; None for arrays that were in memory."""
    options: Mapping[str, Any]
    """How it was opened."""
    several: bool
    """Whether there are several."""

    def job(
        self, data: str | None, loading: Mapping[str, Any], typed: Mapping[str, Any]
    ) -> DictionaryJob:
        """Put the same job together again, with what was typed in place of what was there.

        Raises
        ------
        RunError
            If the vectors were in memory, and none are given.
        """
        source = data if data is not None else self.source
        if source is None:
            raise RunError(
                "this run was trained on arrays in memory, which it does not keep",
                where=str(self.folder),
                fix="resume it from Python, with the same arrays",
            )
        options = (dict(self.options) if data is None else {}) | dict(loading)
        vectors = vectors_of(source, options, any_kind=True)
        if vectors is None:  # pragma: no cover - with any kind, what is loaded is opened
            raise RunError("these data can't be read as vectors", where=source)
        if self.several:
            settings = dict(self.training) | dictionary_settings(None, typed)
            return jobs_together(self.asked, vectors, **settings)
        ((asked, own),) = self.asked.values()
        settings = {**self.training, **own} | dictionary_settings(asked, typed)
        return job_for(asked, vectors, **settings)


def begun_dictionary(folder: Path) -> BegunDictionary | None:
    """Read how a training of dictionaries was begun; None where the folder holds none.

    Raises
    ------
    RunError
        If the configuration is damaged or of a newer format.
    """
    if (folder / MEMBERS).is_file():
        return _several(folder, read_json(folder / MEMBERS))
    if not (folder / CONFIG).is_file():
        return None
    config = read_json(folder / CONFIG)
    return _one(folder, config) if kind_of(config) == KIND else None


def _one(folder: Path, config: dict[str, Any]) -> BegunDictionary:
    check_format(config, folder / CONFIG)
    try:
        preset = str(config.get("preset", "custom"))
        asked, _ = _asked(preset, config["model"])
        return _begun(folder, {"": (asked, {})}, (preset,), config, several=False)
    except (KeyError, TypeError, AttributeError, ConfigError) as error:
        raise _damaged(folder / CONFIG, error) from error


def _several(folder: Path, config: dict[str, Any]) -> BegunDictionary:
    check_format(config, folder / MEMBERS)
    try:
        members = {
            name: _asked(str(member["preset"]), member["model"])
            for name, member in config["members"].items()
        }
        presets = tuple(str(member["preset"]) for member in config["members"].values())
        return _begun(folder, members, presets, config, several=True)
    except (KeyError, TypeError, AttributeError, ConfigError) as error:
        raise _damaged(folder / MEMBERS, error) from error


def _begun(
    folder: Path,
    asked: Mapping[str, tuple[Asked, Mapping[str, Any]]],
    presets: tuple[str, ...],
    config: Mapping[str, Any],
    *,
    several: bool,
) -> BegunDictionary:
    training = {k: v for k, v in config["training"].items() if k != "kind"}
    data = config["data"]
    return BegunDictionary(
        folder, asked, presets, training, data["source"], dict(data["options"]), several
    )


def _asked(preset: str, model: Mapping[str, Any]) -> tuple[Asked, Mapping[str, Any]]:
    """Return what makes the same dictionary again, and its own seed where it has one."""
    bottleneck = from_json(model["bottleneck"], DICTIONARY_BOTTLENECKS)
    if not any(found.name == preset for found in DICTIONARY_PRESETS):
        made = SparseDictionary(
            model["dim"], bottleneck, normalise=model["normalise"], seed=model["seed"]
        )
        return made, {}
    names = tuple(field.name for field in dataclasses.fields(bottleneck))  # type: ignore[arg-type]
    kept = DictionaryPreset(preset, "", bottleneck, normalise=model["normalise"], asked=names)
    return kept, {"seed": model["seed"]}


def _damaged(path: Path, error: Exception) -> RunError:
    return RunError(
        "this training can't be resumed from its configuration",
        where=str(path),
        why=in_a_line(error),
        fix="train anew into another folder",
    )
