"""``digit-trio``: handwritten digits, spoken digits and words, paired by digit."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from isthmus.data.dataset import SPLITS
from isthmus.data.modalities.audio import AudioAdapter
from isthmus.data.modalities.image import ImageAdapter
from isthmus.data.modalities.text import TextAdapter
from isthmus.data.multimodal.dataset import ModalityData, MultimodalData, Numbers
from isthmus.data.multimodal.drawing import fixed_class_pairs
from isthmus.data.multimodal.spoken_digits import fitted, fold_split, read_spoken_digits
from isthmus.data.multimodal.words import TEMPLATES, WORDS, digit_texts
from isthmus.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from isthmus.data.audio.front_end import LogMel

__all__ = ["PAIR_ROWS", "assembled", "digit_trio", "fsdd", "text_modality"]

PAIR_ROWS = {"train": 30_000, "validation": 3_000, "test": 3_000}
"""Rows of the fixed tables."""
_PAIR_SEED = 20_240_501
_TRAINING_IMAGES = 55_000


def digit_trio(
    *, fold: str = "seen", text: str = "word", front: LogMel | None = None
) -> MultimodalData:
    """Load MNIST, spoken digits and words.

    Images: the first 55,000 of MNIST's training images train, its last 5,000 validate, its
    10,000 test images test. Sounds: by the fold. Pairs share the digit; training pairs are drawn
    anew each epoch, and fixed tables stand beside them.

    Parameters
    ----------
    fold
        ``seen``, or ``unseen:SPEAKER``; see :func:`fold_split`.
    text
        ``word`` or ``templates``; see :func:`digit_texts`.
    front
        The front end of sounds; None: the default.

    Raises
    ------
    MissingDataError
        If MNIST or FSDD is not here and can't be fetched.
    """
    modalities = {
        "image": _mnist(),
        "audio": _sounds(fold, front),
        "text": text_modality(text),
    }
    name = "digit-trio" if fold == "seen" else f"digit-trio {fold}"
    return assembled(name, "MNIST, the Free Spoken Digit Dataset and words", modalities)


def fsdd(*, fold: str = "seen", front: LogMel | None = None) -> MultimodalData:
    """Load the spoken digits as a data set of one modality, with digits and speakers."""
    sounds = {"audio": _sounds(fold, front)}
    pairs = {split: sounds["audio"].rows(split)[:, None] for split in SPLITS}
    name = "fsdd" if fold == "seen" else f"fsdd {fold}"
    source = "the Free Spoken Digit Dataset"
    return MultimodalData(name, source, sounds, pairs, classes=tuple(map(str, range(10))))


def assembled(
    name: str,
    source: str,
    modalities: Mapping[str, ModalityData],
    rows: Mapping[str, int] | None = None,
    classes: tuple[str, ...] = WORDS,
) -> MultimodalData:
    """Join modalities that share classes, with fixed tables and pairs by class.

    Parameters
    ----------
    name, source, modalities, classes
        As the fields of :class:`MultimodalData`.
    rows
        Rows of the fixed table of each split.
    """
    sizes = rows or PAIR_ROWS
    pairs: dict[str, Numbers] = {}
    for number, split in enumerate(SPLITS):
        columns = [(data.rows(split), data.labels) for data in modalities.values()]
        pairs[split] = fixed_class_pairs(columns, sizes[split], _PAIR_SEED + number)
    return MultimodalData(
        name, source, modalities, pairs, "class", classes, epoch_rows=sizes["train"]
    )


def _folder(name: str) -> Path:
    from isthmus.data.named_sets import entry_called, folder_of

    return folder_of(entry_called(name))


def _mnist() -> ModalityData:
    from isthmus.data.options import LoadOptions
    from isthmus.data.read_idx import IdxFolder

    parts = IdxFolder().read(_folder("mnist"), LoadOptions()).parts
    if set(parts) != {"train", "test"} or any(part.labels is None for part in parts.values()):
        raise DataError("MNIST needs its four files", where=", ".join(parts))
    adapter = ImageAdapter()
    values = np.concatenate([np.asarray(parts[name].values) for name in ("train", "test")])
    labels = np.concatenate([np.asarray(parts[name].labels) for name in ("train", "test")])
    split = np.full(len(values), 2, np.uint8)
    n_train = len(parts["train"].values)
    split[:n_train] = 1
    split[: min(_TRAINING_IMAGES, n_train * 11 // 12)] = 0
    return ModalityData(adapter, adapter.transform(values), labels.astype(np.int64), split)


def _sounds(fold: str, front: LogMel | None) -> ModalityData:
    import torch

    digits = read_spoken_digits(_folder("fsdd"))
    split = fold_split(digits, fold)
    adapter = AudioAdapter() if front is None else AudioAdapter(front=front)
    chosen, items = fitted(adapter, digits, split)
    return ModalityData(
        chosen,
        torch.from_numpy(items),
        digits.digits,
        split,
        {"speaker": digits.speakers},
        {"speaker": digits.speaker_names},
        digits.names,
    )


def text_modality(kind: str) -> ModalityData:
    """Return the texts that name digits as a modality."""
    texts = digit_texts(kind)
    adapter = TextAdapter(length=texts.length)
    return ModalityData(
        adapter,
        adapter.transform(texts.texts),
        texts.digits,
        texts.split,
        {"template": texts.templates},
        {"template": TEMPLATES if kind == "templates" else ("{word}",)},
        texts.texts,
    )
