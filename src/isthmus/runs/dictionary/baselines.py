"""What a dictionary is held against: the training mean, and PCA with as many numbers a sample."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isthmus.errors import RunError
from isthmus.files import written_whole
from isthmus.metrics import MomentSums, PCABaseline

__all__ = ["FILE", "Baselines"]

Array = NDArray[Any]
Blocks = Callable[[int], Iterator[Array]]

FILE = "baselines.safetensors"
_PCA_WORK = 2e11  # rows times the square of the width, for the covariance
_PCA_LEAST = 20_000
_PCA_EXACT = 1024  # widths whose covariance is formed; wider ones take a random subset of rows


@dataclass(frozen=True, eq=False)
class Baselines:
    """The training mean and the first principal components, small enough to be kept in a run."""

    mean_D: NDArray[np.float64]
    """Mean of the training rows."""
    components_PD: NDArray[np.float32]
    """Orthonormal directions by falling variance; as many as there may be need of."""

    @classmethod
    def of(cls, blocks: Blocks, width: int, dims: int, mean_rows: int, seed: int = 0) -> Baselines:
        """Learn both from training rows.

        Parameters
        ----------
        blocks
            Yields training rows a block at a time, at most as many as it is told.
        dims
            How many components.
        mean_rows
            Rows for the mean at most. PCA takes fewer where a covariance of that width would
            take long: the training's own share of variance is known well enough from them.
        """
        rows = min(mean_rows, max(_PCA_LEAST, int(_PCA_WORK / width**2)))
        pca = PCABaseline.fit(blocks(rows), min(dims, width), exact_limit=_PCA_EXACT, seed=seed)
        components = np.ascontiguousarray(pca.components, np.float32)
        if pca.samples < rows or rows == mean_rows:
            return cls(np.asarray(pca.mean, np.float64), components)
        sums = MomentSums(width)
        for block in blocks(mean_rows):
            sums.update(block)
        return cls(np.asarray(sums.mean, np.float64), components)

    def pca_error(self, x_BD: Array, dims: int) -> float:
        """Return the summed squared error of PCA with so many dimensions."""
        centred = x_BD.astype(np.float64) - self.mean_D
        rows = self.components_PD[:dims].astype(np.float64)
        return float(np.square(centred - (centred @ rows.T) @ rows).sum())

    def total(self, x_BD: Array) -> float:
        """Return the summed squares about the training mean."""
        return float(np.square(x_BD.astype(np.float64) - self.mean_D).sum())

    @property
    def dims(self) -> int:
        """Components that are kept."""
        return len(self.components_PD)

    def save(self, folder: Path) -> None:
        """Write ``baselines.safetensors``."""
        from safetensors.numpy import save_file

        held: dict[str, NDArray[Any]] = {"mean": self.mean_D, "components": self.components_PD}
        with written_whole(folder / FILE) as temporary:
            save_file(held, temporary)

    @classmethod
    def open(cls, folder: Path) -> Baselines:
        """Read what :meth:`save` wrote.

        Raises
        ------
        RunError
            If it is missing or damaged.
        """
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        path = folder / FILE
        if not path.is_file():
            raise RunError("the baselines are missing", where=str(path))
        try:
            held = load_file(path)
            mean, components = held["mean"], held["components"]
            if mean.ndim != 1 or components.ndim != 2 or components.shape[1] != len(mean):
                raise ValueError(f"shapes {mean.shape} and {components.shape}")
        except (SafetensorError, OSError, KeyError, ValueError) as error:
            raise RunError(
                "the baselines are damaged", where=str(path), why=str(error), fix="copy them again"
            ) from error
        return cls(mean, components)
