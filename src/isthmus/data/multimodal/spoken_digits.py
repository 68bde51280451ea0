"""The Free Spoken Digit Dataset: 3,000 clips of ten digits by six speakers, and its folds.

Source: Jackson and others, github.com/Jakobovski/free-spoken-digit-dataset, CC BY-SA 4.0.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from isthmus.data.audio.archive import read_wav_archive
from isthmus.data.audio.clip import Audio
from isthmus.data.audio.reading import read_audio
from isthmus.data.named_sounds import SPOKEN_ARCHIVES, SPOKEN_NAME
from isthmus.data.options import LoadOptions, Part, Raw
from isthmus.errors import ConfigError, DataError

if TYPE_CHECKING:
    from isthmus.data.modalities.audio import AudioAdapter

__all__ = ["SPEAKERS", "SpokenDigits", "fold_split", "read_fsdd", "read_spoken_digits"]

SPEAKERS = ("george", "jackson", "lucas", "nicolas", "theo", "yweweler")
"""The six speakers, in the order of their numbers."""


@dataclass(frozen=True, eq=False)
class SpokenDigits:
    """Clips with what their names say, sorted by digit, speaker and index."""

    clips: tuple[Audio, ...]
    """The sounds."""
    names: tuple[str, ...]
    """File names, without folders."""
    digits: NDArray[np.int64]
    """0 to 9, shape (n,)."""
    speakers: NDArray[np.int64]
    """Numbers in ``speaker_names``, shape (n,)."""
    indices: NDArray[np.int64]
    """The recording's number among those of one speaker and digit, shape (n,)."""
    speaker_names: tuple[str, ...] = SPEAKERS
    """What speakers are called."""


def read_spoken_digits(folder: Path) -> SpokenDigits:
    """Read the set from a folder.

    Parameters
    ----------
    folder
        Holds ``recordings.tar``, the repository's own archive, or the folder ``recordings``.

    Raises
    ------
    DataError
        If a file is broken, or none is called digit_speaker_index.wav.
    """
    packed = [folder / name for name in SPOKEN_ARCHIVES if (folder / name).is_file()]
    found: Iterable[tuple[str, Audio]]
    if packed:
        found = read_wav_archive(packed[0])
    else:
        loose = sorted((folder / "recordings").glob("*.wav"))
        found = ((path.name, read_audio(path)) for path in loose)
    rows = []
    for name, clip in found:
        match = SPOKEN_NAME.fullmatch(PurePosixPath(name).name)
        if match:
            rows.append((int(match["digit"]), match["speaker"].lower(), int(match["index"]), clip))
    if not rows:
        raise DataError(
            "no spoken digits were found",
            where=str(folder),
            why="files are called digit_speaker_index.wav, such as 7_theo_12.wav",
        )
    rows.sort(key=lambda row: row[:3])
    digits, speakers, indices, clips = zip(*rows, strict=True)
    known = SPEAKERS if set(speakers) <= set(SPEAKERS) else tuple(sorted(set(speakers)))
    names = tuple(f"{d}_{s}_{i}.wav" for d, s, i, _ in rows)
    return SpokenDigits(
        clips,
        names,
        np.array(digits, np.int64),
        np.array([known.index(speaker) for speaker in speakers], np.int64),
        np.array(indices, np.int64),
        known,
    )


def fold_split(digits: SpokenDigits, fold: str = "seen") -> NDArray[np.uint8]:
    """Return the split of each clip: 0 training, 1 validation, 2 test.

    ``seen``: recordings 0-4 of each speaker and digit are test (the official rule), 5-9
    validation, the rest training. ``unseen:SPEAKER``: all clips of that speaker are test;
    recordings 0-4 of the other five are validation, the rest training.

    Raises
    ------
    ConfigError
        If there is no such fold.
    """
    index, speaker = digits.indices, digits.speakers
    if fold == "seen":
        return np.select([index < 5, index < 10], [2, 1], 0).astype(np.uint8)
    word, _, name = fold.partition(":")
    if word != "unseen" or name not in digits.speaker_names:
        raise ConfigError(
            f"there is no fold called {fold!r}",
            fix="choose seen, or unseen:NAME with one of: " + ", ".join(digits.speaker_names),
        )
    held = speaker == digits.speaker_names.index(name)
    return np.select([held, index < 5], [2, 1], 0).astype(np.uint8)


def read_fsdd(folder: Path, options: LoadOptions) -> Raw:
    """Return the set as standardised log-mel images with digits as labels, seen speakers.

    Parameters
    ----------
    folder
        Holds ``recordings.tar`` or ``recordings/``.
    options
        Not used.
    """
    from isthmus.data.modalities.audio import AudioAdapter

    digits = read_spoken_digits(folder)
    split = fold_split(digits)
    adapter, items = fitted(AudioAdapter(), digits, split)
    parts = {
        name: Part(items[split == number], digits.digits[split == number], f"fsdd, {name}")
        for number, name in enumerate(("train", "validation", "test"))
    }
    bound = adapter.front.clamp
    return Raw(
        name="fsdd",
        source=f"fsdd in {folder}",
        parts=parts,
        kind="image",
        channels_first=True,
        range=(-bound, bound),
        label_names=tuple(map(str, range(10))),
        notes=(
            "Sounds are log-mel pictures, each band standardised by the training clips; speakers "
            "of the test split are also in training (other recordings).",
        ),
    )


def fitted(
    adapter: AudioAdapter, digits: SpokenDigits, split: NDArray[np.uint8]
) -> tuple[AudioAdapter, NDArray[np.float32]]:
    """Return the adapter fitted to training clips, and all clips transformed, as an array."""
    power = adapter.front.log_power(digits.clips)
    import torch

    chosen = adapter.fit_power(power[torch.from_numpy(split == 0)])
    return chosen, chosen.standardised(power).numpy()
