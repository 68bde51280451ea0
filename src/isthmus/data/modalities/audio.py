"""Sounds: WAV files and clips to standardised log-mel pictures, and back."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from isthmus.configs import validated
from isthmus.data.audio.clip import Audio
from isthmus.data.audio.front_end import LogMel
from isthmus.data.audio.limits import AudioLimits
from isthmus.data.audio.reading import read_audio
from isthmus.data.audio.wav_writing import write_wav
from isthmus.data.modalities.base import State, check_tensor, taken
from isthmus.errors import ConfigError, DataError

if TYPE_CHECKING:
    import torch

    from isthmus.data.audio.inversion import RoundTrip

__all__ = ["AudioAdapter"]

_LEAST_SPREAD = 1e-3


@dataclass(frozen=True, eq=False)
class AudioAdapter:
    """Clips as log-mel pictures, each band standardised by the training clips."""

    name: str = "audio"
    """What the modality is called."""
    front: LogMel = field(default_factory=LogMel)
    """The front end."""
    iterations: int = 48
    """Steps of Griffin-Lim on the way back."""
    mean: NDArray[np.float32] | None = None
    """Mean of each band over training clips, shape (mels,); None: not fitted yet."""
    spread: NDArray[np.float32] | None = None
    """Standard deviation of each band over training clips, shape (mels,)."""

    kind = "audio"

    @property
    def shape(self) -> tuple[int, int, int]:
        """(1, mels, frames)."""
        return self.front.shape

    def fit(self, items: Sequence[Audio]) -> Self:
        """Return the adapter with mean and spread of each band taken from training clips."""
        if not len(items):
            raise DataError("there are no clips to take statistics from", where=self.name)
        return self.fit_power(self.front.log_power(items))

    def fit_power(self, log_power: torch.Tensor) -> Self:
        """Return the adapter fitted to log-mel power that is there already, (n, mels, frames)."""
        values = log_power.double()
        mean, spread = values.mean((0, 2)), values.std((0, 2), unbiased=False)
        return replace(
            self,
            mean=mean.numpy().astype(np.float32),
            spread=spread.clamp(min=_LEAST_SPREAD).numpy().astype(np.float32),
        )

    def statistics(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return mean and spread of each band, shape (mels, 1) both.

        Raises
        ------
        ConfigError
            If the adapter was not fitted.
        """
        import torch

        if self.mean is None or self.spread is None:
            raise ConfigError(
                f"the modality {self.name!r} has no statistics yet",
                fix="fit it to training clips first: adapter = adapter.fit(clips)",
            )
        return torch.from_numpy(self.mean)[:, None], torch.from_numpy(self.spread)[:, None]

    def transform(self, items: Sequence[Audio]) -> torch.Tensor:
        """Return standardised log-mel pictures, float32, shape (n, 1, mels, frames).

        Parameters
        ----------
        items
            Clips at any rate.

        Raises
        ------
        ConfigError
            If the adapter was not fitted.
        DataError
            If an item is no :class:`Audio`, or is silent.
        """
        for i, item in enumerate(items):
            if not isinstance(item, Audio):
                raise DataError(
                    "this is not a sound",
                    where=f"modality {self.name!r}, item {i}: {type(item).__name__}",
                    fix="give Audio(samples, rate), as read_audio returns it",
                )
        self.statistics()
        return self.standardised(self.front.log_power(items))

    def standardised(self, log_power: torch.Tensor) -> torch.Tensor:
        """Standardise log-mel power (n, mels, frames) to pictures (n, 1, mels, frames)."""
        mean, spread = self.statistics()
        bound = self.front.clamp
        return ((log_power - mean) / spread).clamp_(-bound, bound)[:, None]

    def power_of(self, values: torch.Tensor) -> torch.Tensor:
        """Return the log-mel power of standardised pictures, shape (n, mels, frames)."""
        check_tensor(values, self.shape, self.name)
        mean, spread = self.statistics()
        return values.detach().cpu().float()[:, 0] * spread + mean

    def inverse(self, values: torch.Tensor) -> list[Audio]:
        """Return a sound for each picture (n, 1, mels, frames), by fast Griffin-Lim.

        The phases start from a fixed seed, so the same picture gives the same sound.
        """
        from isthmus.data.audio.inversion import sounds_from

        power = self.power_of(values)
        return sounds_from(self.front, power, iterations=self.iterations)

    def round_trip(self, items: Sequence[Audio]) -> RoundTrip:
        """Report what clips lose on the way to pictures and back."""
        from isthmus.data.audio.inversion import round_trip

        return round_trip(self.front, items, iterations=self.iterations)

    def read(self, source: str | Path) -> Audio:
        """Return the sound in a file, as :func:`isthmus.data.audio.read_audio` does."""
        return read_audio(source, AudioLimits())

    def write(self, item: Audio, path: str | Path) -> None:
        """Write a sound as WAV of 16 bits, whole or not at all."""
        write_wav(item, path)

    def config(self) -> dict[str, Any]:
        """Return the settings as JSON values."""
        return {
            "kind": self.kind,
            "name": self.name,
            "front": dataclasses.asdict(self.front),
            "iterations": self.iterations,
        }

    def state(self) -> dict[str, NDArray[Any]]:
        """Return mean and spread of each band."""
        self.statistics()
        return {"mean": np.asarray(self.mean), "spread": np.asarray(self.spread)}

    @classmethod
    def rebuilt(cls, values: dict[str, Any], state: State) -> Self:
        """Make the adapter again from what :meth:`config` and :meth:`state` returned."""
        front = validated(LogMel, values["front"])
        bands, name = (front.mels,), str(values["name"])
        spread = taken(state, "spread", bands, name)
        if spread.min() <= 0:
            raise DataError(f"the saved state of the modality {name!r} is damaged", where="spread")
        return cls(
            name, front, int(values["iterations"]), taken(state, "mean", bands, name), spread
        )
