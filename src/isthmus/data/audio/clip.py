"""A sound in memory."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isthmus.errors import DataError

__all__ = ["Audio", "checked_sound", "clipped_share"]

_RUN = 3
_CLIPPED = 1e-3


@dataclass(frozen=True, eq=False)
class Audio:
    """One channel of sound.

    Examples
    --------
    >>> import numpy as np
    >>> tone = Audio(np.sin(np.arange(800, dtype=np.float32)), 8000)
    >>> tone.seconds, round(tone.rms, 2)
    (0.1, 0.71)
    """

    samples: NDArray[np.float32]
    """The samples, shape (n,), float32; full scale is -1 to 1."""
    rate: int
    """Samples a second."""
    notes: tuple[str, ...] = ()
    """What a reader of the result should know: clipped, mixed down, resampled."""

    @property
    def seconds(self) -> float:
        """How long it lasts."""
        return len(self.samples) / self.rate

    @property
    def rms(self) -> float:
        """Its root mean square."""
        return float(np.sqrt(np.mean(self.samples.astype(np.float64) ** 2)))

    def __repr__(self) -> str:
        return f"Audio({self.seconds:.3f} s at {self.rate} Hz)"


def clipped_share(samples: NDArray[Any]) -> float:
    """Return the share of samples that stand at the loudest value in runs of 3 or more.

    A sound that an amplifier or a converter cut off stays at its largest value for several
    samples; a clean one touches it once.

    Parameters
    ----------
    samples
        Shape (n,).
    """
    loud = np.abs(samples)
    top = loud.max(initial=0.0)
    if top < 0.5:  # nothing that was recorded near full scale
        return 0.0
    at_top = loud >= top * (1 - 1e-4)
    padded = np.concatenate([[False], at_top, [False]])
    edges = np.flatnonzero(padded[1:] != padded[:-1])
    runs = edges[1::2] - edges[::2]
    return float(runs[runs >= _RUN].sum() / len(samples))


def checked_sound(clip: Audio, where: str) -> Audio:
    """Return the clip with notes on its quality.

    Parameters
    ----------
    clip
        Freshly read.
    where
        The file, for messages.

    Raises
    ------
    DataError
        If it is empty, silent (all samples are the same), or holds NaN or infinite samples.
    """
    samples = clip.samples
    if not len(samples):
        raise DataError(
            "the sound is empty", where=where, why="it holds no sample", fix="record it again"
        )
    if not np.isfinite(samples).all():
        raise DataError(
            "the sound holds NaN or infinite samples",
            where=f"{where}, sample {int(np.flatnonzero(~np.isfinite(samples))[0])}",
            fix="export it again",
        )
    if float(samples.max()) == float(samples.min()):
        raise DataError(
            "the sound is silent",
            where=where,
            why="all its samples are the same, so its loudness can't be normalised",
            fix="record it again, or leave it out",
        )
    notes = []
    share = clipped_share(samples)
    if share > _CLIPPED:
        notes.append(f"{share:.1%} of the samples are clipped: it was recorded too loud.")
    if float(np.abs(samples).max()) > 1:
        notes.append("Samples exceed full scale; they are kept as they are.")
    return replace(clip, notes=(*clip.notes, *notes))
