"""What an imported dictionary computes: codes and reconstructions, a block of rows at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from isthmus.errors import DataError
from isthmus.kernels.code import SparseCode
from isthmus.models.foreign.record import Floats, Imported, Kind

if TYPE_CHECKING:
    from scipy.sparse import csr_array

__all__ = ["reconstructed", "reconstruction_of"]

_BLOCK_VALUES = 1 << 23


def reconstruction_of(
    imported: Imported, x_BD: NDArray[Any], *, rows: int | None = None
) -> tuple[Floats, csr_array]:
    """Encode and decode samples as the library that trained the dictionary would.

    Parameters
    ----------
    imported
        The dictionary.
    x_BD
        Samples (B, D), any numbers; memory-mapped arrays are read a block at a time.
    rows
        Rows of a block; the default keeps a block's activations within 32 MiB.

    Returns
    -------
    The reconstructions (B, D), float32, and the codes (B, N), float32.

    Raises
    ------
    DataError
        If the width is not the dictionary's, or a value is NaN or infinite.
    """
    from scipy.sparse import csr_array, vstack

    blocks = list(reconstructed(imported, x_BD, rows=rows))
    if not blocks:
        return np.empty((0, imported.dim), np.float32), csr_array(
            (0, imported.latents), dtype=np.float32
        )
    codes = csr_array(vstack([codes for _, codes in blocks], format="csr"))
    return np.concatenate([x_hat for x_hat, _ in blocks]), codes


def reconstructed(
    imported: Imported, x_BD: NDArray[Any], *, rows: int | None = None
) -> Iterator[tuple[Floats, csr_array]]:
    """Yield reconstructions and codes of consecutive blocks: memory stays flat.

    Parameters, results and errors are those of :func:`reconstruction_of`.
    """
    if x_BD.ndim != 2 or x_BD.shape[1] != imported.dim:
        raise DataError(
            f"the samples have the shape {x_BD.shape}; this dictionary reads vectors of "
            f"{imported.dim} numbers",
            where=str(imported.source.path),
            fix="give the vectors that it was trained on",
        )
    step = rows or max(1, _BLOCK_VALUES // imported.latents)
    for start in range(0, len(x_BD), step):
        with np.errstate(over="ignore"):  # refused below
            block: Floats = np.asarray(x_BD[start : start + step], dtype=np.float32)
        finite = np.isfinite(block).all(axis=1)
        if not finite.all():
            raise DataError(
                "a sample holds NaN or infinite values",
                where=f"row {start + int(np.argmin(finite))}",
                fix="fill or remove such rows",
            )
        normal, mean, scale = _NORMALISERS[imported.normalise](block, imported.epsilon)
        pre: Floats = np.matmul(normal - imported.pre_bias_D, imported.encoder_ND.T)
        pre += imported.bias_N
        codes = _CHOICES[imported.kind](pre, imported).csr()
        yield (codes @ imported.decoder_ND + imported.pre_bias_D) * scale + mean, codes


def _as_they_are(x_BD: Floats, epsilon: float) -> tuple[Floats, Any, Any]:
    return x_BD, np.float32(0), np.float32(1)


def _by_layer(x_BD: Floats, epsilon: float) -> tuple[Floats, Any, Any]:
    mean = x_BD.mean(axis=1, keepdims=True)
    centred = x_BD - mean
    std = np.sqrt(np.square(centred).mean(axis=1, keepdims=True))
    return _divided(centred, std + np.float32(epsilon)), mean, std


def _by_norm(x_BD: Floats, epsilon: float) -> tuple[Floats, Any, Any]:
    norm = np.linalg.norm(x_BD, axis=1, keepdims=True)
    return _divided(x_BD, norm), np.float32(0), norm


def _divided(x_BD: Floats, by_B1: Floats) -> Floats:
    """Divide; a constant sample stays 0."""
    return np.divide(x_BD, by_B1, out=np.zeros_like(x_BD), where=by_B1 > 0)


def _above(pre_BN: Floats, imported: Imported) -> SparseCode:
    """Keep what exceeds the thresholds, and of that at most the k largest; writes on its input."""
    edge = np.float32(0) if imported.threshold_N is None else imported.threshold_N
    if imported.k is not None:
        if imported.threshold_N is not None:
            np.copyto(pre_BN, np.float32(0), where=pre_BN <= edge)
        kept = _largest(pre_BN, imported.k)
        values = np.take_along_axis(pre_BN, kept, axis=1)
        return SparseCode.fixed(kept, np.maximum(values, 0), imported.latents)
    active = pre_BN > edge
    counts = np.cumsum(active.sum(axis=1))
    rows, columns = np.nonzero(active)
    indptr = np.concatenate([[0], counts]).astype(np.int64)
    return SparseCode(indptr, columns.astype(np.int32), pre_BN[rows, columns], imported.latents)


def _by_size(pre_BN: Floats, imported: Imported) -> SparseCode:
    """Keep the k of largest magnitude, with their sign."""
    kept = _largest(np.abs(pre_BN), imported.k or 1)
    return SparseCode.fixed(kept, np.take_along_axis(pre_BN, kept, axis=1), imported.latents)


def _by_group(pre_BN: Floats, imported: Imported) -> SparseCode:
    """Keep the largest of each of k groups of neighbours, if it is positive."""
    groups = imported.k or 1
    size = imported.latents // groups
    best = pre_BN.reshape(len(pre_BN), groups, size).argmax(axis=2)
    kept = (best + size * np.arange(groups)).astype(np.int32)
    values = np.take_along_axis(pre_BN, kept, axis=1)
    return SparseCode.fixed(kept, np.maximum(values, 0), imported.latents)


def _largest(rank_BN: Floats, k: int) -> NDArray[np.int32]:
    """Return where the k largest of each row stand, (B, k), in no order."""
    found = torch.from_numpy(rank_BN).topk(k, dim=1, sorted=False).indices
    return found.numpy().astype(np.int32)


_NORMALISERS: Mapping[str, Callable[[Floats, float], tuple[Floats, Any, Any]]] = MappingProxyType(
    {"none": _as_they_are, "layer": _by_layer, "unit": _by_norm}
)
_CHOICES: Mapping[Kind, Callable[[Floats, Imported], SparseCode]] = MappingProxyType(
    {
        "relu": _above,
        "topk": _above,
        "batchtopk": _above,
        "matryoshka": _above,
        "jumprelu": _above,
        "gated": _above,
        "groupmax": _by_group,
        "abstopk": _by_size,
    }
)
