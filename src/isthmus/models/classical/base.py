"""What every classical dictionary can do, and what its samples must be."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Literal, Protocol, overload

import numpy as np
from numpy.typing import NDArray

from isthmus.errors import ConfigError, DataError
from isthmus.kernels.code import SparseCode

if TYPE_CHECKING:
    from scipy.sparse import csr_array

__all__ = ["ClassicalDictionary", "Method", "as_samples", "at_least_one", "largest", "unit_decoder"]

Floats = NDArray[np.float32]
Wide = NDArray[np.float64]


class Method(Protocol):
    """A frozen description of a classical method."""

    @property
    def latent(self) -> int:
        """Number of latents N."""

    def fit(self, x: Any) -> ClassicalDictionary:
        """Learn from samples (R, D)."""


class ClassicalDictionary(ABC):
    """A fitted dictionary: reconstruction = codes @ decoder + pre_bias.

    Parameters
    ----------
    decoder
        A direction a row (N, D).
    pre_bias
        What is added to every reconstruction (D,).
    signed
        Whether codes may be negative, so that opposite directions are the same one.

    Raises
    ------
    DataError
        If the shapes do not fit or a value is not finite.
    """

    block: int = 4096
    """Samples that are encoded at once."""

    def __init__(self, decoder: Any, pre_bias: Any, *, signed: bool) -> None:
        self.decoder = as_samples(decoder, "the decoder")
        self.pre_bias = np.asarray(pre_bias, dtype=np.float32)
        self.signed = signed
        if self.pre_bias.shape != (self.dim,) or not np.isfinite(self.pre_bias).all():
            raise DataError(
                "pre_bias must hold one finite number a dimension",
                why=f"its shape is {self.pre_bias.shape}, the decoder's {self.decoder.shape}",
            )

    @property
    def dim(self) -> int:
        """Dimensions of a sample D."""
        return int(self.decoder.shape[1])

    @property
    def latent(self) -> int:
        """Number of latents N."""
        return int(self.decoder.shape[0])

    @overload
    def encode(self, x: Any, *, dense: Literal[False] = False) -> csr_array: ...
    @overload
    def encode(self, x: Any, *, dense: Literal[True]) -> Floats: ...
    def encode(self, x: Any, *, dense: bool = False) -> csr_array | Floats:
        """Return the codes of samples (B, D): a CSR array (B, N), or with ``dense`` an array.

        Each sample's code is its own, whatever else is in the batch.

        Raises
        ------
        DataError
            If the samples have another width or hold a value that is not finite.
        """
        from scipy.sparse import csr_array, vstack

        samples = as_samples(x, "the samples", self.dim)
        parts = [
            csr_array(self._encoded(samples[start : start + self.block]))
            for start in range(0, len(samples), self.block)
        ]
        empty = csr_array((0, self.latent), dtype=np.float32)
        codes = csr_array(vstack(parts, format="csr") if parts else empty).astype(np.float32)
        codes.eliminate_zeros()
        codes.sort_indices()
        return codes.toarray() if dense else codes

    @abstractmethod
    def _encoded(self, x: Floats) -> Any:
        """Return the codes (B, N) of one block, dense or sparse."""

    def decode(self, codes: Any) -> Floats:
        """Return the samples (B, D) of codes (B, N): a CSR array, a `SparseCode` or an array.

        Raises
        ------
        DataError
            If the codes have another width.
        """
        rows = codes.csr() if isinstance(codes, SparseCode) else codes
        if len(rows.shape) != 2 or rows.shape[1] != self.latent:
            raise DataError(
                "the codes do not fit the dictionary",
                why=f"their shape is {tuple(rows.shape)}, the dictionary has {self.latent} latents",
            )
        # in float64: directions that nearly cancel have long codes, whose sums are short
        return np.asarray(rows @ self.decoder.astype(np.float64) + self.pre_bias, dtype=np.float32)

    def reconstruct(self, x: Any) -> Floats:
        """Return what the code keeps of samples (B, D)."""
        return self.decode(self.encode(x))


def as_samples(x: Any, name: str, dim: int | None = None) -> Floats:
    """Return samples (R, D) as finite float32.

    Raises
    ------
    DataError
        If there are not two axes, no element, another width than ``dim``, or a value that is not
        finite (its row is named).
    """
    samples = np.asarray(x.detach().cpu() if hasattr(x, "detach") else x)
    if samples.ndim != 2 or not samples.shape[1]:
        raise DataError(f"{name} must be a matrix (rows, dimensions)", why=f"shape {samples.shape}")
    if dim is not None and samples.shape[1] != dim:
        raise DataError(
            f"{name} have another width than the dictionary",
            why=f"{samples.shape[1]} instead of {dim} dimensions",
        )
    with np.errstate(over="ignore"):  # what float32 can't hold is refused below
        found = samples.astype(np.float32, copy=False)
    wrong = np.flatnonzero(~np.isfinite(found).all(axis=1))
    if wrong.size:
        raise DataError(
            f"{name} hold values that are not finite",
            where=f"row {wrong[0]}" + (f" and {wrong.size - 1} more" if wrong.size > 1 else ""),
            fix="leave these rows out",
        )
    return found


def to_fit(x: Any, latent: int, most: int | None = None, what: str = "rows") -> Floats:
    """Return samples to learn from, enough of them for ``latent`` latents.

    Raises
    ------
    ConfigError
        If there are more latents than ``most``, by default the number of rows.
    DataError
        As `as_samples`, or if there are fewer than two rows.
    """
    samples = as_samples(x, "the samples")
    if len(samples) < 2:
        raise DataError("a dictionary needs at least two samples", why=f"{len(samples)} given")
    limit = len(samples) if most is None else most
    if latent > limit:
        raise ConfigError(
            f"{latent} latents are more than there are {what}",
            why=f"there are {limit}",
            fix="ask for fewer latents",
        )
    return samples


def at_least_one(**values: int) -> None:
    """Refuse settings below 1.

    Raises
    ------
    ConfigError
        Naming the first of them.
    """
    for name, value in values.items():
        if value < 1:
            raise ConfigError(f"{name} must be at least 1", why=f"got {value}")


def largest(codes: NDArray[Any], k: int) -> NDArray[Any]:
    """Keep the ``k`` largest magnitudes of each row (0: all), the first of equals; else 0."""
    if not k or k >= codes.shape[1]:
        return codes
    kept = np.argsort(-np.abs(codes), axis=1, kind="stable")[:, :k]
    out = np.zeros_like(codes)
    np.put_along_axis(out, kept, np.take_along_axis(codes, kept, axis=1), axis=1)
    return out


def unit_decoder(decoder: NDArray[Any]) -> tuple[Wide, Wide]:
    """Return the rows at length 1 and their lengths; a row of zeros stays, its length being 1."""
    wide = decoder.astype(np.float64)
    length = np.linalg.norm(wide, axis=1)
    length[length == 0] = 1.0
    return wide / length[:, None], length
