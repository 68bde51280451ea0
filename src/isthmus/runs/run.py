"""One trained model with everything that belongs to it, and its folder."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from isthmus._version import __version__
from isthmus.configs import to_json, validated
from isthmus.data import Dataset, load
from isthmus.errors import ConfigError, RunError, in_a_line
from isthmus.files import read_json, write_json, write_text
from isthmus.models import storage
from isthmus.models.autoencoder import Autoencoder
from isthmus.runs.environment import environment
from isthmus.runs.evaluation import Evaluation, SplitMetrics, evaluate
from isthmus.runs.identity import fingerprint
from isthmus.training import History, Training

if TYPE_CHECKING:
    from isthmus.runs.dictionary import DictionaryRun
    from isthmus.runs.drawing import RunFigures
    from isthmus.runs.multimodal import MultimodalRun

__all__ = ["DataOrigin", "Run", "kind_of", "of_one_modality", "open_run"]

_NO_RESULT = ("kind", "seed", "device", "threads", "checkpoint_seconds")
"""Training settings that are not part of what is compared."""


@dataclass(frozen=True)
class DataOrigin:
    """Where a run's data came from, so that they can be found again."""

    name: str
    """The data set's name."""
    source: str | None = None
    """What was loaded, a name or a path; None for arrays that were in memory."""
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """Options of loading."""
    samples: Mapping[str, int] = dataclasses.field(default_factory=dict)
    """Number of samples by split."""
    fingerprint: str = ""
    """Digest of a few samples of each split, to notice that data have changed."""


class Run:
    """A trained model, its history and its numbers.

    Attributes
    ----------
    model
        The trained :class:`~isthmus.models.Autoencoder`.
    history
        A row an epoch.
    metrics
        :class:`~isthmus.runs.SplitMetrics` by split.
    training
        The settings of the training.
    origin
        Where the data came from.
    preset
        Name of the preset, or "custom".
    folder
        The run's folder; None where it was not saved.
    """

    def __init__(
        self,
        model: Autoencoder,
        history: History,
        metrics: Mapping[str, SplitMetrics],
        training: Training,
        origin: DataOrigin,
        *,
        preset: str = "custom",
        folder: Path | None = None,
        dataset: Dataset | None = None,
    ) -> None:
        self.model, self.history, self.metrics = model, history, dict(metrics)
        self.training, self.origin, self.preset = training, origin, preset
        self.folder, self._dataset = folder, dataset

    @property
    def name(self) -> str:
        """The folder's name, or data set and preset."""
        return self.folder.name if self.folder is not None else f"{self.origin.name}-{self.preset}"

    def __repr__(self) -> str:
        test = self.metrics.get("test")
        error = f", test mse {test.mse:.5g}" if test else ""
        return f"Run({self.name}: {self.preset} on {self.origin.name}{error})"

    @cached_property
    def dataset(self) -> Dataset:
        """The run's data, loaded again where the run was opened from its folder.

        Raises
        ------
        RunError
            If they can't be loaded again, or have changed.
        """
        if self._dataset is not None:
            return self._dataset
        if self.origin.source is None:
            raise RunError(
                "this run was trained on arrays in memory, which it does not keep",
                where=str(self.folder),
                fix="give the data again, with --data or evaluate(data=...)",
            )
        found = prepared(load(self.origin.source, **self.origin.options), self.training)
        if fingerprint(found) != self.origin.fingerprint:
            raise RunError(
                "the data have changed since this run was trained",
                where=self.origin.source,
                fix="give the data to measure on with --data",
            )
        return found

    @property
    def figures(self) -> RunFigures:
        """The run's figures, drawn when called."""
        from isthmus.runs.drawing import RunFigures

        return RunFigures(self)

    def evaluate(
        self, data: object | None = None, options: Evaluation | None = None
    ) -> dict[str, SplitMetrics]:
        """Measure the model again, on the run's own data or on others.

        Parameters
        ----------
        data
            Anything that ``isthmus.load`` takes; all of it counts as one split, "data". PCA and
            neighbours still come from the run's own training split, where it is at hand.
        options
            How to measure; default as in training.

        Raises
        ------
        ConfigError
            If the data's samples have another shape than the model's.
        """
        options = options or Evaluation(binarise=self.training.binarise)
        if data is None:
            return evaluate(self.model, self.dataset, options)
        from isthmus.runs.elsewhere import measured_on

        return {"data": measured_on(self, data, options)}

    def save(self, folder: str | PathLike[str], *, figures: bool = True) -> Path:
        """Write the whole run into a folder of its own.

        Raises
        ------
        RunError
            If the folder already holds a run or anything else.
        """
        place = claim(Path(folder))
        self.write_config(place)
        self.write_results(place, figures=figures)
        self.folder = place
        return place

    @property
    def parameters(self) -> int:
        """Number of trained parameters."""
        return self.model.parameters_count

    def recipe(self) -> list[Any]:
        """Return everything that the run was asked for, but for its seed, as JSON values."""
        model = {k: v for k, v in storage.model_config(self.model).items() if k != "seed"}
        training = {k: v for k, v in to_json(self.training).items() if k not in _NO_RESULT}
        own = "" if self.model.network is not None else f"{self.model.encoder}{self.model.decoder}"
        return [model, training, own, self.origin.fingerprint]

    def scale(self) -> bytes:
        """Return the scale that errors are measured in: that of the preprocessing."""
        scaling = self.model.preprocessing
        numbers = [b.detach().cpu().contiguous().numpy().tobytes() for b in scaling.buffers()]
        return b"|".join([*numbers, self.training.binarise.encode()])

    def write_config(self, folder: Path) -> None:
        """Write ``config.json``: model, training and data."""
        head = {
            "format": storage.FORMAT,
            "isthmus": __version__,
            "preset": self.preset,
            "model": storage.model_config(self.model),
            "training": to_json(self.training),
            "data": dataclasses.asdict(self.origin),
        }
        write_json(folder / storage.CONFIG, head)

    def write_results(self, folder: Path, *, figures: bool = True) -> None:
        """Write weights, history, metrics, figures, model card and environment."""
        from isthmus.runs.card import card

        storage.save_weights(self.model, folder)
        self.history.save(folder / "history.csv")
        write_json(folder / "environment.json", environment(self.model.device))
        if figures:
            self.figures.save(folder / "figures")
        write_text(folder / storage.CARD, card(self))
        write_json(folder / "metrics.json", {name: m.as_json() for name, m in self.metrics.items()})


def prepared(dataset: Dataset, training: Training) -> Dataset:
    """Return the data as the training saw them: bits drawn once where that was asked for."""
    return dataset.binarised(0) if training.binarise == "static" else dataset


def claim(folder: Path) -> Path:
    """Make a folder for a run, refusing one that holds anything.

    Raises
    ------
    RunError
        If the folder isn't empty, or can't be made.
    """
    if folder.is_dir() and any(folder.iterdir()):
        what = "holds a run" if (folder / storage.CONFIG).exists() else "is not empty"
        raise RunError(
            f"the output folder already {what}; nothing in it was changed",
            where=str(folder),
            fix="give another --out, or --resume to go on with the run in it",
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(
            "the output folder can't be made", where=str(folder), why=error.strerror or str(error)
        ) from error
    return folder


def open_run(
    folder: str | PathLike[str],
    *,
    encoder: nn.Module | None = None,
    decoder: nn.Module | None = None,
    halves: Mapping[str, tuple[nn.Module, nn.Module]] | None = None,
    device: str | torch.device = "cpu",
) -> Run | DictionaryRun | MultimodalRun:
    """Open a run's folder; public as ``isthmus.open``.

    Returns
    -------
    Run, DictionaryRun or MultimodalRun
        By the kind of model that the folder holds.

    Parameters
    ----------
    encoder, decoder
        The user's own halves, where the model was built with such.
    halves
        The same by modality, where the run has several.

    Raises
    ------
    RunError
        If the folder is no run, a file is missing or damaged, the training never ended, or the
        format is newer than this version.
    """
    place = Path(folder)
    _refuse_members(place)
    if not (place / storage.CONFIG).is_file():
        raise RunError(
            "this is no run's folder: it has no config.json",
            where=str(place),
            fix="give the folder that `isthmus train --out` wrote",
        )
    config = read_json(place / storage.CONFIG)
    if not (place / storage.WEIGHTS).is_file() and (place / "checkpoints").is_dir():
        raise RunError(
            "this run's training has not ended",
            where=str(place),
            fix=f"go on with: isthmus train --resume --out {place}",
        )
    if kind_of(config) == "SparseDictionary":
        from isthmus.runs.dictionary.run import open_dictionary_run

        return open_dictionary_run(place, config, device=str(device))
    if kind_of(config) == "MultimodalAutoencoder":
        from isthmus.runs.multimodal.opening import open_multimodal_run

        return open_multimodal_run(place, config, halves=halves, device=str(device))
    model = storage.load(place, encoder=encoder, decoder=decoder, device=device)
    training, origin, preset = _settings(config, place)
    metrics = read_json(place / "metrics.json") if (place / "metrics.json").exists() else {}
    try:
        found = {split: SplitMetrics.from_json(values) for split, values in metrics.items()}
    except (ConfigError, AttributeError) as error:
        raise RunError("the metrics are damaged", where=str(place / "metrics.json")) from error
    history = place / "history.csv"
    return Run(
        model,
        History.open(history) if history.exists() else History(),
        found,
        training,
        origin,
        preset=preset,
        folder=place,
    )


def of_one_modality(run: Run | DictionaryRun | MultimodalRun) -> Run | DictionaryRun:
    """Return a run of one modality as it is.

    Raises
    ------
    ConfigError
        If it has several, which have other numbers and verbs.
    """
    from isthmus.runs.dictionary.run import DictionaryRun as OneDictionary

    if isinstance(run, Run | OneDictionary):
        return run
    raise ConfigError(
        "this is a run of several modalities",
        where=run.name,
        fix="use evaluate, retrieve, translate or add-modality with it; compare it with its like",
    )


def kind_of(config: Mapping[str, Any]) -> str:
    """Return the kind of model that a ``config.json`` describes; empty where it says none."""
    model = config.get("model")
    return str(model.get("kind", "")) if isinstance(model, Mapping) else ""


def _refuse_members(place: Path) -> None:
    """Tell that a folder holds several runs."""
    path = place / "members.json"
    if not path.is_file():
        return
    members = read_json(path).get("members", {})
    names = list(members) if isinstance(members, Mapping) else []
    raise RunError(
        f"this folder holds {len(names)} dictionaries that were trained together",
        where=str(place),
        why=f"they are: {', '.join(map(str, names))}",
        fix=f"name one: {place / str(names[0])}" if names else "",
    )


def _settings(config: Mapping[str, Any], place: Path) -> tuple[Training, DataOrigin, str]:
    try:
        training = {k: v for k, v in config.get("training", {}).items() if k != "kind"}
        origin = config.get("data", {"name": "unknown"})
        return (
            validated(Training, training),
            validated(DataOrigin, origin),
            str(config.get("preset", "custom")),
        )
    except (ConfigError, AttributeError) as error:
        raise RunError(
            "the configuration is damaged",
            where=str(place / storage.CONFIG),
            why=in_a_line(error),
        ) from error
