"""What every adapter does: raw items to tensors, tensors to raw items, and files on both sides."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from isthmus.errors import DataError

if TYPE_CHECKING:
    import torch

__all__ = ["Adapter", "State", "check_tensor", "taken"]

State = Mapping[str, NDArray[Any]]
"""What an adapter learned from training items, by name."""


@runtime_checkable
class Adapter(Protocol):
    """One modality: how its raw items become tensors of one shape, and how they come back."""

    @property
    def name(self) -> str:
        """What the modality is called in commands and tables."""

    @property
    def kind(self) -> str:
        """``image``, ``audio``, ``text``, ``sentence`` or ``vector``."""

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one transformed item."""

    def fit(self, items: Any) -> Self:
        """Return the adapter with its statistics taken from training items."""

    def transform(self, items: Any) -> torch.Tensor:
        """Return raw items as one tensor (n, *shape): float32, or int64 symbols for text."""

    def inverse(self, values: torch.Tensor) -> list[Any]:
        """Return a raw item for each of (n, *shape)."""

    def read(self, source: str | Path) -> Any:
        """Return the raw item that a file holds, or that a text is."""

    def write(self, item: Any, path: str | Path) -> None:
        """Write a raw item to a file, whole or not at all."""

    def config(self) -> dict[str, Any]:
        """Return the settings as JSON values, with the kind; :func:`adapter_from` reads them."""

    def state(self) -> dict[str, NDArray[Any]]:
        """Return what was learned from training items, by name."""


def check_tensor(values: torch.Tensor, shape: tuple[int, ...], name: str) -> None:
    """Refuse a tensor that is not (n, *shape).

    Raises
    ------
    DataError
        If it is not; says what it is.
    """
    if tuple(values.shape[1:]) != shape or values.ndim != len(shape) + 1:
        raise DataError(
            f"the tensor does not fit the modality {name!r}",
            why=f"its shape is {tuple(values.shape)}; (n, {', '.join(map(str, shape))}) is needed",
        )


def taken(state: State, key: str, shape: tuple[int, ...], name: str) -> NDArray[np.float32]:
    """Return an array of a saved state as float32, checked.

    Raises
    ------
    DataError
        If it is missing, of another shape, or not finite.
    """
    found = np.asarray(state.get(key, np.empty(0)))
    if found.shape != shape or found.dtype.kind != "f" or not np.isfinite(found).all():
        raise DataError(
            f"the saved state of the modality {name!r} is damaged",
            where=key,
            why=f"its shape is {found.shape}; {shape} of finite numbers is needed",
        )
    return found.astype(np.float32)
