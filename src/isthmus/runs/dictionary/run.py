"""One trained dictionary with everything that belongs to it, and its folder."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from isthmus._version import __version__
from isthmus.configs import to_json, validated
from isthmus.errors import ConfigError, RunError, in_a_line
from isthmus.files import read_json, write_json, write_text
from isthmus.models import storage
from isthmus.models.dictionary import SparseDictionary
from isthmus.models.dictionary import storage as dictionary_storage
from isthmus.runs.dictionary.baselines import FILE, Baselines
from isthmus.runs.dictionary.coders import Own
from isthmus.runs.dictionary.evaluation import baselines_of, evaluate_parts, measure
from isthmus.runs.dictionary.metrics import DictionaryEvaluation, DictionaryMetrics
from isthmus.runs.dictionary.splits import Parts
from isthmus.runs.dictionary.vectors import Vectors, blocks_of, opened_for, vectors_of
from isthmus.runs.environment import environment
from isthmus.runs.run import DataOrigin, claim
from isthmus.training import History
from isthmus.training.dictionary import DictionaryTraining

if TYPE_CHECKING:
    from isthmus.runs.dictionary.drawing import DictionaryFigures

__all__ = ["DictionaryRun", "Trained", "open_dictionary_run"]

_NO_RESULT = frozenset({"kind", "seed", "device", "threads", "checkpoint_seconds"})


@dataclass(frozen=True)
class Trained:
    """How a training went."""

    epochs: int = 0
    """Passes that were made."""
    best_epoch: int = 0
    """The epoch whose weights were kept."""
    seconds: float = 0.0
    """Time spent in training steps."""
    samples_per_second: float = 0.0
    """Speed of the training steps alone."""
    notes: tuple[str, ...] = ()
    """What a user should know: over-fitting, rows left out."""


class DictionaryRun:
    """A trained sparse dictionary, its history and its numbers.

    Attributes
    ----------
    model
        The trained :class:`~isthmus.models.dictionary.SparseDictionary`.
    history
        A row an epoch.
    metrics
        :class:`~isthmus.runs.dictionary.DictionaryMetrics` by split.
    training
        The settings, with what followed from the data filled in.
    origin
        Where the vectors came from.
    trained
        How the training went.
    notes
        What a user should know about the data and the sizes.
    preset
        Name of the preset, or "custom".
    folder
        The run's folder; None where it was not saved.
    """

    def __init__(
        self,
        model: SparseDictionary,
        history: History,
        metrics: Mapping[str, DictionaryMetrics],
        training: DictionaryTraining,
        origin: DataOrigin,
        *,
        trained: Trained | None = None,
        notes: tuple[str, ...] = (),
        preset: str = "custom",
        folder: Path | None = None,
        vectors: Vectors | None = None,
        name: str | None = None,
    ) -> None:
        self.model, self.history, self.metrics = model, history, dict(metrics)
        self.training, self.origin, self.preset = training, origin, preset
        self.trained, self.notes, self.folder = trained or Trained(), notes, folder
        self._vectors, self._name = vectors, name
        self._baselines: Baselines | None = None

    @property
    def name(self) -> str:
        """The folder's name, or data and preset."""
        if self.folder is not None:
            return self.folder.resolve().name
        return self._name or f"{self.origin.name}-{self.preset}"

    def __repr__(self) -> str:
        test = self.metrics.get("test")
        error = f", test FVU {test.fvu:.4g}" if test and test.fvu is not None else ""
        return f"DictionaryRun({self.name}: {self.preset} on {self.origin.name}{error})"

    # --- its data -----------------------------------------------------------------------------

    @cached_property
    def parts(self) -> Parts:
        """The run's own rows, opened again where the run was opened from its folder.

        Raises
        ------
        RunError
            If they can't be opened again, or have changed.
        """
        vectors = self._vectors
        if vectors is None:
            if self.origin.source is None:
                raise RunError(
                    "this run was trained on arrays in memory, which it does not keep",
                    where=str(self.folder),
                    fix="give the data again, with --data or evaluate(data=...)",
                )
            vectors = vectors_of(self.origin.source, self.origin.options, any_kind=True)
        if vectors is None:  # pragma: no cover - with any kind, what is loaded is opened
            raise RunError(
                "the run's data can't be read as vectors", where=self.origin.source or ""
            )
        parts = Parts.of(vectors, self.training)
        if parts.fingerprint() != self.origin.fingerprint:
            raise RunError(
                "the data have changed since this run was trained",
                where=str(self.origin.source),
                fix="give the data to measure on with --data",
            )
        return parts

    @property
    def baselines(self) -> Baselines:
        """The training mean and PCA: those kept in the folder, else learned from the data."""
        if self._baselines is None:
            if self.folder is not None and (self.folder / FILE).is_file():
                self._baselines = Baselines.open(self.folder)
            else:
                last = self.history.rows[-1] if len(self.history) else {}
                l0 = last.get("validation_l0", last.get("train_l0", 0.0))
                options = DictionaryEvaluation()
                self._baselines = baselines_of(self.parts, Own(self.model), l0, options)
        return self._baselines

    def keep_baselines(self, baselines: Baselines) -> None:
        """Hold the run against these, instead of learning them from the data."""
        self._baselines = baselines

    # --- what is done with it -----------------------------------------------------------------

    @property
    def figures(self) -> DictionaryFigures:
        """The run's figures, drawn when called."""
        from isthmus.runs.dictionary.drawing import DictionaryFigures

        return DictionaryFigures(self)

    def evaluate(
        self,
        data: object | None = None,
        options: DictionaryEvaluation | None = None,
        *,
        k: int | None = None,
    ) -> dict[str, DictionaryMetrics]:
        """Measure the dictionary again, on the run's own splits or on other vectors.

        Parameters
        ----------
        data
            Vectors of any kind; all rows count as one split, "data". FVU is about the mean of
            the run's own training rows, which is kept in its folder.
        options
            How to measure.
        k
            Active latents of a sample, in place of the dictionary's own number.

        Raises
        ------
        ConfigError
            If the vectors have another width, or ``k`` doesn't fit.
        """
        options = options or DictionaryEvaluation()
        coder = Own(self.model, k)
        if data is None:
            return evaluate_parts(coder, self.parts, self.baselines, options)
        vectors = data if isinstance(data, Vectors) else opened_for(data, {}, self.model.dim)
        drop = bool(vectors.options.get("drop_bad_rows")) or self.training.drop_bad
        sources = list(vectors.whole())
        found = measure(
            coder,
            lambda: (block for source in sources for block in blocks_of(source, drop_bad=drop)),
            sum(source.rows for source in sources),
            self.baselines,
            refine=options.refined_rows,
            seed=options.seed,
        )
        return {"data": found}

    # --- its folder ---------------------------------------------------------------------------

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

    def write_config(self, folder: Path) -> None:
        """Write ``config.json``: model, training, data, and how the training went."""
        head = {
            "format": storage.FORMAT,
            "isthmus": __version__,
            "preset": self.preset,
            "model": dictionary_storage.config_of(self.model),
            "training": to_json(self.training),
            "data": dataclasses.asdict(self.origin),
            "trained": to_json(self.trained),
            "notes": list(self.notes),
        }
        write_json(folder / storage.CONFIG, head)

    def write_results(self, folder: Path, *, figures: bool = True) -> None:
        """Write weights, baselines, history, metrics, figures, model card and environment."""
        from isthmus.runs.dictionary.card import card

        storage.save_weights(self.model, folder)
        self.baselines.save(folder)
        if len(self.history):
            self.history.save(folder / "history.csv")
        write_json(folder / "environment.json", environment(self.model.device))
        self.write_config(folder)
        if figures:
            self.figures.save(folder / "figures")
        write_text(folder / storage.CARD, card(self))
        write_json(folder / "metrics.json", {name: m.as_json() for name, m in self.metrics.items()})

    # --- beside other runs --------------------------------------------------------------------

    @property
    def parameters(self) -> int:
        """Number of trained parameters."""
        return sum(p.numel() for p in self.model.parameters())

    def recipe(self) -> list[Any]:
        """Return everything that the run was asked for, but for its seed, as JSON values."""
        model = {k: v for k, v in dictionary_storage.config_of(self.model).items() if k != "seed"}
        training = {k: v for k, v in to_json(self.training).items() if k not in _NO_RESULT}
        return [model, training, self.origin.fingerprint]

    def scale(self) -> bytes:
        """Return the scale that errors are measured in: that of the data as they are."""
        return b"as they are"


def open_dictionary_run(
    place: Path, config: Mapping[str, Any], *, device: str = "cpu"
) -> DictionaryRun:
    """Open the folder of a dictionary's run, whose ``config.json`` has been read.

    Raises
    ------
    RunError
        If a file is missing or damaged.
    """
    model = SparseDictionary.from_pretrained(place, device=device)
    metrics = read_json(place / "metrics.json") if (place / "metrics.json").exists() else {}
    try:
        found = {split: DictionaryMetrics.from_json(values) for split, values in metrics.items()}
    except (ConfigError, AttributeError) as error:
        raise RunError("the metrics are damaged", where=str(place / "metrics.json")) from error
    history = place / "history.csv"
    try:
        training = validated(DictionaryTraining, _without_kind(config.get("training", {})))
        trained = validated(Trained, _without_kind(config.get("trained", {})))
        origin = validated(DataOrigin, config.get("data", {"name": "unknown"}))
        notes = tuple(str(note) for note in config.get("notes", ()))
    except (ConfigError, AttributeError, TypeError) as error:
        raise RunError(
            "the configuration is damaged",
            where=str(place / storage.CONFIG),
            why=in_a_line(error),
        ) from error
    return DictionaryRun(
        model,
        History.open(history) if history.exists() else History(),
        found,
        training,
        origin,
        trained=trained,
        notes=notes,
        preset=str(config.get("preset", "custom")),
        folder=place,
    )


def _without_kind(values: Mapping[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in values.items() if k != "kind"}
