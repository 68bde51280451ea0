"""Ready-made vectors, standardised."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from isthmus.data.modalities.base import State, check_tensor, taken
from isthmus.errors import ConfigError, DataError, MissingDataError
from isthmus.files import written_whole

if TYPE_CHECKING:
    import torch

__all__ = ["VectorAdapter", "vectors_of"]


@dataclass(frozen=True, eq=False)
class VectorAdapter:
    """Vectors of one length, each value standardised by the training vectors.

    Examples
    --------
    >>> adapter = VectorAdapter(size=2).fit([[0.0, 5.0], [4.0, 5.0]])
    >>> adapter.transform([[4.0, 6.0]])
    tensor([[1., 1.]])
    """

    name: str = "vector"
    """What the modality is called."""
    size: int = 1
    """Values a vector."""
    mean: NDArray[np.float32] | None = None
    """Mean of training vectors, shape (size,); None: not fitted yet."""
    spread: NDArray[np.float32] | None = None
    """Standard deviation of training vectors, shape (size,); 1 where they do not vary."""

    kind = "vector"

    def __post_init__(self) -> None:
        if self.size < 1:
            raise ConfigError("vectors need at least one value", where=f"size={self.size}")

    @property
    def shape(self) -> tuple[int]:
        """(size,)."""
        return (self.size,)

    def fit(self, items: Sequence[Any]) -> Self:
        """Return the adapter with mean and spread taken from training vectors."""
        values = vectors_of(items, self.size, self.name).astype(np.float64)
        if not len(values):
            raise DataError("there are no vectors to take statistics from", where=self.name)
        spread = values.std(axis=0)
        spread[spread < 1e-7 * np.abs(values).max(initial=1.0)] = 1.0
        return replace(
            self,
            mean=values.mean(axis=0).astype(np.float32),
            spread=spread.astype(np.float32),
        )

    def _statistics(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        if self.mean is None or self.spread is None:
            raise ConfigError(
                f"the modality {self.name!r} has no statistics yet",
                fix="fit it to training vectors first: adapter = adapter.fit(vectors)",
            )
        return self.mean, self.spread

    def transform(self, items: Sequence[Any]) -> torch.Tensor:
        """Return standardised vectors, float32, shape (n, size)."""
        import torch

        mean, spread = self._statistics()
        return torch.from_numpy((vectors_of(items, self.size, self.name) - mean) / spread)

    def inverse(self, values: torch.Tensor) -> list[NDArray[np.float32]]:
        """Return vectors in their own units."""
        check_tensor(values, self.shape, self.name)
        mean, spread = self._statistics()
        rows: NDArray[np.float32] = values.detach().cpu().float().numpy() * spread + mean
        return list(rows)

    def read(self, source: str | Path) -> NDArray[np.float32]:
        """Return the vector in a .npy file."""
        path = Path(source).expanduser()
        if not path.is_file():
            raise MissingDataError("there is no such vector file", where=str(path))
        try:
            found = np.load(path, mmap_mode="r", allow_pickle=False)
        except (ValueError, OSError, EOFError) as error:
            raise DataError("the vector can't be read", where=str(path), why=str(error)) from error
        if found.size != self.size:
            raise DataError(
                f"the file holds {found.size:,} values; the modality has {self.size}",
                where=str(path),
            )
        row: NDArray[np.float32] = vectors_of(found.reshape(1, -1), self.size, str(path))[0]
        return row

    def write(self, item: Any, path: str | Path) -> None:
        """Write a vector as .npy, whole or not at all."""
        with written_whole(Path(path)) as temporary, temporary.open("wb") as handle:
            np.save(handle, np.asarray(item, np.float32), allow_pickle=False)

    def config(self) -> dict[str, Any]:
        """Return the settings as JSON values."""
        return {"kind": self.kind, "name": self.name, "size": self.size}

    def state(self) -> dict[str, NDArray[Any]]:
        """Return mean and spread."""
        mean, spread = self._statistics()
        return {"mean": mean, "spread": spread}

    @classmethod
    def rebuilt(cls, values: dict[str, Any], state: State) -> Self:
        """Make the adapter again from what :meth:`config` and :meth:`state` returned."""
        name, size = str(values["name"]), int(values["size"])
        return cls(
            name, size, taken(state, "mean", (size,), name), taken(state, "spread", (size,), name)
        )


def vectors_of(items: Sequence[Any] | NDArray[Any], size: int, name: str) -> NDArray[np.float32]:
    """Return vectors as one array (n, size), checked.

    Raises
    ------
    DataError
        If one has another length, or holds NaN or infinite values.
    """
    rows = []
    for i, item in enumerate(items):
        row = np.asarray(item)
        if row.shape != (size,) or row.dtype.kind not in "uifb":
            raise DataError(
                "the vector does not fit the modality",
                where=f"modality {name!r}, item {i}",
                why=f"its shape is {row.shape} of {row.dtype}; ({size},) numbers are needed",
            )
        rows.append(row.astype(np.float32))
    values = np.stack(rows) if rows else np.empty((0, size), np.float32)
    if not np.isfinite(values).all():
        raise DataError(
            "a vector holds NaN or infinite values",
            where=f"modality {name!r}, item {int(np.flatnonzero(~np.isfinite(values).all(1))[0])}",
        )
    return values
