"""All judges of a data set, trained once and kept beside the run."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from isthmus.data.modalities.text import TextAdapter
from isthmus.data.multimodal import ModalityData, MultimodalData
from isthmus.data.named_sounds import SPOKEN_NAME
from isthmus.errors import DataError
from isthmus.runs.multimodal.judge import Judge, NetworkJudge, WordJudge
from isthmus.runs.multimodal.judge_storage import open_judge, save_judge
from isthmus.runs.multimodal.judge_training import JudgeSettings, train_judge

__all__ = ["Judges", "Told", "class_count", "judge_rows", "oracles"]

Labels = NDArray[np.int64]
Told = Callable[[str], None]
_HELD = 5  # recordings 0-4 of an unseen speaker stay unheard by the judges too


@dataclass(frozen=True, eq=False)
class Judges:
    """Judges by modality; they have seen real items only."""

    classes: int
    """How many classes there are."""
    of: Mapping[str, Judge]
    """What says the class of an item, by modality. Where a speaker is unseen in training, these
    have heard him: the judge is not the model, and a weak judge would hide a good model."""
    oracle: Mapping[str, Judge]
    """Classifiers of the training split alone: the supervised bound of retrieval."""
    factors: Mapping[str, Mapping[str, Judge]]
    """What says another factor, such as the speaker, by modality and factor."""
    heard: Mapping[str, Labels]
    """By modality, the items that its judge has learned from."""

    def unheard(self, data: MultimodalData, name: str, split: str = "test") -> Labels:
        """Return the items of a split that the modality's judge has not learned from."""
        rows = data[name].rows(split)
        return rows[~np.isin(rows, self.heard[name])]

    @classmethod
    def trained(
        cls,
        data: MultimodalData,
        folder: Path | None = None,
        settings: JudgeSettings | None = None,
        tell: Told | None = None,
    ) -> Judges:
        """Train the judges of every modality, or read those that were trained before.

        Parameters
        ----------
        data
            With classes.
        folder
            Where judges are kept; a judge of the same items and settings is read from there, so
            that several runs on one data set may share it. None: nothing is kept.
        settings
            How they are trained.
        tell
            Is told, in a line, before a judge is trained.

        Raises
        ------
        DataError
            If the data have no classes.
        """
        settings = settings or JudgeSettings()
        count = class_count(data)
        if count < 2:
            raise DataError("judges need classes to tell apart", where=data.name)
        kept = _Kept(folder, settings, tell)
        of: dict[str, Judge] = {}
        oracle: dict[str, Judge] = {}
        factors: dict[str, dict[str, Judge]] = {}
        heard: dict[str, Labels] = {}
        for name, modality in data.modalities.items():
            if isinstance(modality.adapter, TextAdapter):
                of[name] = oracle[name] = _words(modality, modality.adapter, count)
                heard[name] = np.empty(0, np.int64)
                continue
            rows = _known(modality.rows("train"), modality.labels)
            wide = _known(judge_rows(modality), modality.labels)
            oracle[name] = kept.classifier(name, modality, count)
            same = np.array_equal(rows, wide)
            of[name] = (
                oracle[name] if same else kept.judge(name, modality, modality.labels, wide, count)
            )
            heard[name] = wide
            factors[name] = {
                factor: kept.judge(f"{name}-{factor}", modality, values, known, most)
                for factor, values in modality.factors.items()
                if (most := int(values.max(initial=-1)) + 1) > 1
                and len(known := _known(judge_rows(modality), values))
                and len(np.unique(values[known])) > 1
            }
        return cls(count, of, oracle, factors, heard)


def oracles(
    data: MultimodalData,
    folder: Path | None = None,
    settings: JudgeSettings | None = None,
    tell: Told | None = None,
) -> dict[str, Judge]:
    """Return the supervised classifiers of the training split alone, by modality.

    Parameters are those of :meth:`Judges.trained`, whose ``oracle`` they are.
    """
    kept, count = _Kept(folder, settings or JudgeSettings(), tell), class_count(data)
    return {
        name: kept.classifier(name, modality, count) for name, modality in data.modalities.items()
    }


def class_count(data: MultimodalData) -> int:
    """Return how many classes the data have."""
    most = max((int(m.labels.max(initial=-1)) + 1 for m in data.modalities.values()), default=0)
    return max(len(data.classes), most)


def judge_rows(modality: ModalityData) -> Labels:
    """Return the items that a judge learns from.

    The training split; and where a factor's values occur in the test split alone (an unseen
    speaker), those of his test items too, but for recordings 0 to 4 by their names, or every
    tenth item where names don't say.
    """
    rows, test = modality.rows("train"), modality.rows("test")
    unseen = np.zeros(len(test), bool)
    for values in modality.factors.values():
        lone = ~np.isin(values[test], values[rows]) & (values[test] >= 0)
        # templates of a text are unseen as well, and none of its items is heard elsewhere
        unseen |= lone if lone.all() and len(np.unique(values[test])) == 1 else False
    kept = np.array([_is_heard(modality, int(item)) for item in test[unseen]], bool)
    return np.sort(np.concatenate([rows, test[unseen][kept]])).astype(np.int64)


def _is_heard(modality: ModalityData, item: int) -> bool:
    match = SPOKEN_NAME.fullmatch(modality.name_of(item))
    return int(match["index"]) >= _HELD if match else item % 10 != 0


def _known(rows: Labels, values: Labels) -> Labels:
    return rows[values[rows] >= 0]


def _words(modality: ModalityData, adapter: TextAdapter, classes: int) -> WordJudge:
    rows = np.flatnonzero(modality.labels >= 0)
    texts = adapter.inverse(modality.items[torch.from_numpy(rows)])
    return WordJudge(
        adapter, dict(zip(texts, modality.labels[rows].tolist(), strict=True)), classes
    )


@dataclass(frozen=True)
class _Kept:
    """Judges that are read where they were trained before."""

    folder: Path | None
    settings: JudgeSettings
    tell: Told | None

    def classifier(self, name: str, modality: ModalityData, classes: int) -> Judge:
        """Return what tells classes apart after the training split; texts need no training."""
        if isinstance(modality.adapter, TextAdapter):
            return _words(modality, modality.adapter, classes)
        rows = _known(modality.rows("train"), modality.labels)
        return self.judge(name, modality, modality.labels, rows, classes)

    def judge(
        self, name: str, modality: ModalityData, values: Labels, rows: Labels, classes: int
    ) -> NetworkJudge:
        key = self._key(modality, values, rows)
        plain = re.sub(r"[^\w-]", "_", name)
        path = None if self.folder is None else self.folder / f"{plain}-{key}.safetensors"
        shape = tuple(modality.items.shape[1:])
        if path is not None and path.is_file():
            return open_judge(path, shape, classes)
        if self.tell is not None:
            self.tell(f"training the judge of {name} on {len(rows):,} real items")
        items = modality.items[torch.from_numpy(rows)]
        found = train_judge(items, values[rows], classes, modality.adapter, self.settings)
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            save_judge(found, path)
        return found

    def _key(self, modality: ModalityData, values: Labels, rows: Labels) -> str:
        """Return a digest of what a judge depends on: items, their classes, settings."""
        found = hashlib.sha256(json.dumps(asdict(self.settings), sort_keys=True).encode())
        found.update(rows.astype("<i8").tobytes() + values[rows].astype("<i8").tobytes())
        some = rows[:: max(1, len(rows) // 64)]
        items = modality.items[torch.from_numpy(some)].contiguous()
        found.update(items.numpy().tobytes())
        return found.hexdigest()[:12]
