"""One trained model of several modalities with everything that belongs to it, and its folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from isthmus.data.modalities import Adapter
from isthmus.data.multimodal import MultimodalData, open_multimodal
from isthmus.errors import ConfigError, RunError
from isthmus.files import write_json, write_text
from isthmus.models import storage
from isthmus.models.multimodal import MultimodalAutoencoder
from isthmus.models.multimodal.codes import Codes
from isthmus.models.multimodal.joint_mixture import JointMixture
from isthmus.models.multimodal.mixture_fitting import MixtureFit
from isthmus.runs.environment import environment
from isthmus.runs.multimodal import verbs
from isthmus.runs.multimodal.folder import (
    JUDGES,
    MIXTURE,
    PAGE,
    config_of,
    save_adapters,
)
from isthmus.runs.multimodal.jobs import OwnHalves, data_for
from isthmus.runs.multimodal.judge_training import JudgeSettings
from isthmus.runs.multimodal.judges import Judges, class_count
from isthmus.runs.multimodal.report import MultimodalReport
from isthmus.runs.multimodal.results import RetrievedItem, Translated
from isthmus.runs.multimodal.subject import MultimodalEvaluation
from isthmus.runs.multimodal.trained import MultimodalTrained
from isthmus.runs.run import DataOrigin, claim
from isthmus.runs.settings import threads_held
from isthmus.training import History
from isthmus.training.multimodal import MultimodalTraining

if TYPE_CHECKING:
    from isthmus.models.multimodal import Modality
    from isthmus.runs.multimodal.drawing import MultimodalFigures

__all__ = ["MultimodalRun"]

Labels = NDArray[np.int64]


class MultimodalRun:
    """A trained model of several modalities, its history and its numbers; raw items in and out.

    Attributes
    ----------
    model
        The trained :class:`~isthmus.models.multimodal.MultimodalAutoencoder`.
    mixture
        The joint mixture of its codes; None where it has a single modality.
    adapters
        By modality, how raw items go in and come out.
    classes
        Names of the classes.
    history
        A row an epoch.
    report
        The :class:`~isthmus.runs.multimodal.MultimodalReport`; None until it is measured.
    training, mixture_fit
        The settings.
    origin
        Where the data came from.
    trained
        How the training went.
    notes
        What a user should know, the collapse alarm among it.
    preset
        Name of the preset, or "custom".
    folder
        The run's folder; None where it was not saved.
    judge_settings, judge_folder
        How judges are trained, and where they are kept: by default in the run's folder.
    """

    def __init__(
        self,
        model: MultimodalAutoencoder,
        mixture: JointMixture | None,
        adapters: Mapping[str, Adapter],
        history: History,
        training: MultimodalTraining,
        origin: DataOrigin,
        *,
        classes: Sequence[str] = (),
        report: MultimodalReport | None = None,
        mixture_fit: MixtureFit | None = None,
        trained: MultimodalTrained | None = None,
        notes: Sequence[str] = (),
        preset: str = "custom",
        folder: Path | None = None,
        data: MultimodalData | None = None,
    ) -> None:
        self.model, self.mixture, self.adapters = model, mixture, dict(adapters)
        self.history, self.training, self.origin = history, training, origin
        self.classes, self.report, self.preset = tuple(classes), report, preset
        self.mixture_fit, self.trained = mixture_fit or MixtureFit(), trained or MultimodalTrained()
        self.notes, self.folder, self._data = tuple(notes), folder, data
        self.judge_settings, self.judge_folder = (
            JudgeSettings(),
            None if folder is None else folder / JUDGES,
        )
        self._galleries: dict[tuple[str, int], torch.Tensor] = {}

    @property
    def name(self) -> str:
        """The folder's name, or data and preset."""
        if self.folder is not None:
            return self.folder.resolve().name
        return f"{self.origin.name}-{self.preset}"

    @property
    def metrics(self) -> dict[str, Any]:
        """The report as JSON values; empty until it is measured."""
        return {} if self.report is None else self.report.as_json()

    def __repr__(self) -> str:
        parts = ", ".join(self.model.names)
        return f"MultimodalRun({self.name}: {self.preset} on {self.origin.name}; {parts})"

    def adapter(self, name: str) -> Adapter:
        """Return how raw items of a modality go in and come out.

        Raises
        ------
        ConfigError
            If the run never saw such a modality.
        """
        if name not in self.adapters:
            raise ConfigError(
                f"this run has no modality {name!r}",
                where=self.name,
                fix=f"it has: {', '.join(self.adapters)}; others are joined with add-modality",
            )
        return self.adapters[name]

    def class_name(self, number: int) -> str | None:
        """Return what a class is called; None for -1."""
        if number < 0:
            return None
        return self.classes[number] if number < len(self.classes) else str(number)

    # --- its data -----------------------------------------------------------------------------

    @cached_property
    def data(self) -> MultimodalData:
        """The run's data, loaded again where the run was opened from its folder.

        Raises
        ------
        RunError
            If they were in memory only, or have changed.
        """
        if self._data is not None:
            return self._data
        if self.origin.source is None:
            raise RunError(
                "this run was trained on data in memory, which it does not keep",
                where=str(self.folder),
                fix="give the data again: --data, or use_data(data)",
            )
        found = open_multimodal(self.origin.source, **self.origin.options)
        if found.digest != self.origin.fingerprint:
            raise RunError(
                "the data have changed since this run was trained",
                where=self.origin.source,
                fix="give the data to use with --data",
            )
        return found.only(list(self.model.names))

    def use_data(self, data: MultimodalData) -> None:
        """Use these data from now on: to retrieve from, to measure on."""
        self.data = data.only(list(self.model.names))
        self._galleries.clear()

    def gallery(self, name: str, rows: Labels) -> torch.Tensor:
        """Return the shared codes of items; they are kept for the next query."""
        key = (name, hash(rows.tobytes()))
        if key not in self._galleries:
            items = self.data[name].items[torch.from_numpy(rows)]
            self._galleries[key] = self.model.encode({name: items}).shared.cpu()
        return self._galleries[key]

    def item(self, modality: str, number: int) -> Any:
        """Return a raw item of the run's data, as its adapter gives it back."""
        items = self.data[modality].items[number : number + 1]
        return self.adapter(modality).inverse(items)[0]

    # --- raw items in, raw items out -----------------------------------------------------------

    def encode(self, raw: Mapping[str, Any]) -> Codes:
        """Return the codes of raw items.

        Parameters
        ----------
        raw
            By modality, one raw item or a list; modalities may be left out.

        Raises
        ------
        ConfigError
            If the run never saw a modality, or none is given.
        DataError
            If an item doesn't fit its modality.
        """
        return verbs.encoded(self, raw)

    def retrieve(
        self,
        from_modality: str,
        item: Any,
        to: str,
        top: int = 5,
        split: str | None = "test",
        among: Sequence[Any] | None = None,
    ) -> list[RetrievedItem]:
        """Return the items of a modality that are nearest to a raw item, the best first.

        Parameters
        ----------
        split
            Where to look: ``train``, ``validation``, ``test``, or None for everywhere.
        among
            Raw items to look among instead, such as arrays or sounds of the user's own.
        """
        return verbs.retrieved(self, {from_modality: item}, to, top, split, among)

    def translate(
        self,
        from_modality: str | Mapping[str, Any],
        item: Any = None,
        to: str = "",
        style: Any = None,
        *,
        samples: int = 0,
        seed: int = 0,
    ) -> Translated:
        """Return what a raw item becomes in another modality, with its uncertainty.

        Parameters
        ----------
        from_modality, item
            What is given; or several raw items by modality, and no ``item``.
        to
            The modality wanted.
        style
            A raw item of the modality wanted whose style is kept (say this in that voice).
        samples
            Draws beside the likeliest translation.
        """
        raw = from_modality if isinstance(from_modality, Mapping) else {from_modality: item}
        return verbs.translated(self, raw, to, style=style, samples=samples, seed=seed)

    def complete(self, raw: Mapping[str, Any]) -> dict[str, Any]:
        """Return a row of raw items with the modalities that were missing filled in."""
        return verbs.completed(self, raw)

    def imagine(self, count: int = 1, seed: int = 0) -> list[dict[str, Any]]:
        """Draw rows of raw items, all modalities together, from the joint mixture."""
        return verbs.imagined(self, count, seed)

    def belongs(self, one: Mapping[str, Any], other: Mapping[str, Any]) -> list[float]:
        """Return for each row how much likelier its two sides belong together than not, in nats.

        Above 0 they belong together; without a mixture it is the cosine of their codes.
        """
        return list(verbs.score_of(self, one, other))

    # --- numbers and pictures -------------------------------------------------------------------

    @property
    def figures(self) -> MultimodalFigures:
        """The run's figures, drawn when called."""
        from isthmus.runs.multimodal.drawing import MultimodalFigures

        return MultimodalFigures(self)

    def judges(self, tell: Any = None) -> Judges | None:
        """Return the judges of the run's data, trained once and kept in ``judge_folder``.

        None where the data have no classes.
        """
        if class_count(self.data) < 2:
            return None
        with threads_held(self.training.threads):
            return Judges.trained(self.data, self.judge_folder, self.judge_settings, tell)

    def evaluate(
        self,
        data: MultimodalData | str | PathLike[str] | None = None,
        options: MultimodalEvaluation | None = None,
        *,
        tell: Any = None,
    ) -> MultimodalReport:
        """Measure the model again, on the run's own data or on others.

        Data that are given are transformed by their own adapters; they must have the model's
        modalities, and items of their shapes.
        """
        from isthmus.runs.multimodal.protocol import evaluate_multimodal

        found = self.data if data is None else data_for(data)[0]
        judges = self.judges(tell) if data is None else _judges_of(found, self.judge_settings, tell)
        with threads_held(self.training.threads):
            return evaluate_multimodal(
                self.model, self.mixture, found, judges, options=options, tell=tell
            )

    def page(self, path: str | PathLike[str] | None = None) -> str:
        """Return one HTML page of the run, its sounds to be played; write it if a path is given."""
        from isthmus.runs.multimodal.page import run_page

        html = run_page(self)
        if path is not None:
            write_text(Path(path), html)
        return html

    def add_modality(
        self,
        modality: Modality | str,
        data: MultimodalData | str | PathLike[str],
        *,
        out: str | PathLike[str] | None = None,
        halves: OwnHalves | None = None,
        **settings: Any,
    ) -> MultimodalRun:
        """Return a run with one more modality joined to the frozen space of this one.

        Parameters
        ----------
        modality
            Its description, or its name among the data's modalities.
        data
            Data in which rows hold the new modality beside known ones.
        out
            Folder of the new run; this one is left alone.
        halves
            The user's own encoder and decoder of it.
        settings
            Fields of the training.
        """
        from isthmus.runs.multimodal.training import join_modality

        return join_modality(self, modality, data, out=out, halves=halves, **settings)

    # --- its folder -----------------------------------------------------------------------------

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
        self.folder, self.judge_folder = place, self.judge_folder or place / JUDGES
        return place

    def write_config(self, folder: Path) -> None:
        """Write ``config.json``."""
        write_json(folder / storage.CONFIG, config_of(self))

    def write_results(self, folder: Path, *, figures: bool = True) -> None:
        """Write adapters, mixture, history, metrics, figures, page, card, environment, weights.

        The weights come last: a folder that has them is whole.
        """
        from isthmus.runs.multimodal.card import card
        from isthmus.runs.multimodal.page import run_page

        save_adapters(self.adapters, folder)
        if self.mixture is not None:
            self.mixture.save(folder / MIXTURE)
        if len(self.history):
            self.history.save(folder / "history.csv")
        write_json(folder / "environment.json", environment(self.model.device))
        self.write_config(folder)
        if self.report is not None:
            write_json(folder / "metrics.json", self.report.as_json())
        if figures:
            drawn = dict(self.figures.all())
            for name, picture in drawn.items():
                picture.save(folder / "figures", name)
            write_text(folder / PAGE, run_page(self, drawn))
        write_text(folder / storage.CARD, card(self))
        storage.save_weights(self.model, folder)


def _judges_of(data: MultimodalData, settings: JudgeSettings, tell: Any) -> Judges | None:
    return Judges.trained(data, None, settings, tell) if class_count(data) > 1 else None
