"""Vectors for the dictionary benchmarks: MiniLM sentence embeddings, or a stand-in for them.

The embeddings are found in the folder named by ``ISTHMUS_DATA``: ``embeddings/NAME.npy``, float16,
384 wide, unit norm. Protocol: ``NAMES`` in this order, 92,903 rows, permuted with numpy's
``default_rng(0)``, the last 10,000 held out.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

NAMES = ("opentriviaqa", "clinc150", "stackoverflow_titles")
HELD_OUT = 10_000


def folder() -> Path | None:
    """Return the folder of embeddings, None where there is none."""
    found = Path(os.environ.get("ISTHMUS_DATA", "")) / "embeddings"
    return found if all((found / f"{name}.npy").is_file() for name in NAMES) else None


def split() -> tuple[Floats, Floats]:
    """Return the rows for training and the rows held out, both (rows, 384)."""
    found = folder()
    if found is None:
        wanted = ", ".join(f"{name}.npy" for name in NAMES)
        raise SystemExit(f"Set ISTHMUS_DATA to a folder that holds embeddings/ with {wanted}.")
    parts = [np.load(found / f"{name}.npy", allow_pickle=False) for name in NAMES]
    rows = np.concatenate(parts).astype(np.float32)
    rows = rows[np.random.default_rng(0).permutation(len(rows))]
    return rows[:-HELD_OUT], rows[-HELD_OUT:]


def vectors(dim: int, rows: int) -> tuple[Floats, str]:
    """Return unit vectors (rows, dim) for timing, and what they are.

    Embeddings where there are any: at 384 as they are, at a multiple of it several of them side by
    side. Elsewhere sums of 40 of 4,096 random directions, and noise.
    """
    if folder() is not None and dim % 384 == 0:
        source = split()[0]
        pick = np.random.default_rng(1).permutation(len(source))[: rows * dim // 384]
        found = source[np.resize(pick, rows * dim // 384)].reshape(rows, dim)
        return found / np.linalg.norm(found, axis=1, keepdims=True), "MiniLM embeddings"
    rng = np.random.default_rng(1)
    directions = rng.standard_normal((4096, dim), dtype=np.float32)
    found = rng.standard_normal((rows, dim), dtype=np.float32)
    for row in found:
        weights = rng.exponential(size=40).astype(np.float32)
        row += weights @ directions[rng.integers(0, 4096, 40)]
    return found / np.linalg.norm(found, axis=1, keepdims=True), "synthetic mixtures"
