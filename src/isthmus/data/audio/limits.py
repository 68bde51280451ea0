"""What a sound file may be, decided before memory is spent on it."""

from __future__ import annotations

from dataclasses import dataclass

from isthmus.errors import ConfigError, DataError

__all__ = ["AudioLimits", "check_shape_of"]


@dataclass(frozen=True)
class AudioLimits:
    """Bounds of a sound file that is read."""

    seconds: float = 60.0
    """How long a clip may last."""
    lowest_rate: int = 8_000
    """Fewest samples a second."""
    highest_rate: int = 48_000
    """Most samples a second."""
    channels: int = 2
    """Most channels; two are mixed down to one by their mean."""

    def __post_init__(self) -> None:
        if not self.seconds > 0:
            raise ConfigError("the limit on seconds must be above 0", where=f"{self.seconds}")


def check_shape_of(rate: int, channels: int, frames: int, limits: AudioLimits, where: str) -> None:
    """Refuse a rate, a number of channels or a length that is out of bounds.

    Raises
    ------
    DataError
        If one is; says which and what is allowed.
    """
    if not limits.lowest_rate <= rate <= limits.highest_rate:
        raise DataError(
            f"the sampling rate is {rate:,} Hz",
            where=where,
            why=f"rates from {limits.lowest_rate:,} to {limits.highest_rate:,} Hz are read",
            fix="convert it to 16,000 Hz",
        )
    if not 1 <= channels <= limits.channels:
        raise DataError(
            f"the sound has {channels} channels",
            where=where,
            why="mono and stereo are read",
            fix="mix it down to mono",
        )
    if frames > limits.seconds * rate:
        raise DataError(
            f"the clip lasts {_lasting(frames / rate)}; the limit is {_lasting(limits.seconds)}",
            where=where,
            why="a model takes clips of about a second; nothing of it was read",
            fix="cut it into clips, or raise the limit with AudioLimits(seconds=...)",
        )


def _lasting(seconds: float) -> str:
    """Write a duration for people."""
    if seconds >= 3600:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 60:.1f} min" if seconds > 90 else f"{seconds:.1f} s"
