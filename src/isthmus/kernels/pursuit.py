"""Refined encoding: k-sparse codes of low error by pursuit among screened candidates.

The encoder of a sparse dictionary is one matrix product, and the largest part of its error comes
from there: with the same decoder, orthogonal matching pursuit leaves a little over half of it.
A full pursuit looks at every atom for every pick; here all atoms are looked at a few times only.
Each time the best-correlated become candidates, and the pursuit goes on among these.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from isthmus.errors import ConfigError, DataError
from isthmus.kernels.code import SparseCode
from isthmus.kernels.team import Team

if TYPE_CHECKING:
    from isthmus.kernels.pursuit_rows import Picks
    from isthmus.kernels.pursuit_space import Atoms, Scratch

__all__ = ["Pursuit", "PursuitEncoder"]

Array = NDArray[Any]
_BLOCK_BYTES = 4 << 20  # of correlations at a time
_BLOCK_ROWS = 256
_SHORT = 1e-12  # atoms shorter than this share of the longest are as good as absent


@dataclass(frozen=True)
class Pursuit:
    """How refined codes are found: orthogonal matching pursuit in stages, then exchanges.

    A stage takes the atoms that correlate best with what is left of the sample as candidates,
    picks its share of k among them one by one, and fits all coefficients by least squares after
    every pick. An exchange takes out the smallest coefficients of a full code and picks again.

    Sources: Pati et al., "Orthogonal matching pursuit", 1993; Chen, Billings and Luo,
    "Orthogonal least squares methods", 1989 (picks by gain); Rubinstein et al., "Batch
    orthogonal matching pursuit", 2008 (work on the Gram matrix); Nguyen et al., "Non-negative
    orthogonal greedy algorithms", 2019; Jain et al., "Orthogonal matching pursuit with
    replacement", arXiv:1106.2774 (exchanges).
    """

    k: int = 32
    """Active latents of a sample at most."""
    candidates: int = 192
    """Atoms that a stage chooses from, never fewer than k; the number of latents for all."""
    stages: int = 2
    """Screenings that the k picks are shared between."""
    exchanges: int = 1
    """Times that the smallest coefficients of a full code are taken out and replaced."""
    exchanged: float = 0.25
    """Share of a full code's picks that an exchange takes out."""
    non_negative: bool = True
    """Pick positively correlated atoms only and keep coefficients from falling below 0."""
    by_gain: bool = True
    """Pick the atom that lowers the error most, not the one that correlates best with it."""
    tolerance: float = 0.0
    """A sample gets no more picks once its squared error, as a share of its squared length
    about the pre-bias, is at most this (signs aside; below 1e-6 float32 can't tell)."""
    gram_bytes: int = 2 << 30
    """Memory that the dictionary's Gram matrix (2 bytes a pair of latents) may take; where it
    would take more, inner products are computed when needed, several times slower."""

    def __post_init__(self) -> None:
        counts = {"k": self.k, "candidates": self.candidates, "stages": self.stages}
        for name, value in counts.items():
            if value < 1:
                raise ConfigError(f"{name} must be at least 1, not {value}")
        if self.exchanges < 0 or self.gram_bytes < 0:
            raise ConfigError("exchanges and gram_bytes must not be negative")
        if not 0 < self.exchanged < 1:
            raise ConfigError(f"exchanged must lie between 0 and 1, not {self.exchanged}")
        if not 0 <= self.tolerance < 1:
            raise ConfigError(f"tolerance must be at least 0 and below 1, not {self.tolerance}")

    def plan(self) -> Iterator[tuple[float, float]]:
        """Yield each stage's share of the picks by its end, and what is then taken out again."""
        for stage in range(1, self.stages):
            yield stage / self.stages, 0.0
        for _ in range(self.exchanges):
            yield 1.0, self.exchanged
        yield 1.0, 0.0


class PursuitEncoder:
    """Finds refined codes with one dictionary.

    The Gram matrix is made at the first use, with N x N x D multiply-adds. Any number of threads
    gives the same bytes; the same row in another batch may differ by rounding.

    Parameters
    ----------
    decoder_ND
        A latent's direction a row, of any length; rows of zeros are never picked.
    pre_bias_D
        What is taken off each sample first.
    config
        How to search.
    threads
        Threads that share the rows of a batch.

    Raises
    ------
    ConfigError
        If k is larger than the number of latents, or there is less than one thread.
    DataError
        If shapes do not fit together or a value is not finite.

    Examples
    --------
    >>> encoder = PursuitEncoder(np.eye(4), np.zeros(4), Pursuit(k=2))
    >>> encoder.encode(np.array([[3.0, 0.0, 1.0, 2.0]])).dense()
    array([[3., 0., 0., 2.]], dtype=float32)
    """

    def __init__(
        self, decoder_ND: Array, pre_bias_D: Array, config: Pursuit, threads: int = 1
    ) -> None:
        decoder = _matrix(decoder_ND, "the decoder")
        self.pre_bias_D = np.asarray(pre_bias_D, dtype=np.float64).reshape(-1)
        if self.pre_bias_D.shape != (decoder.shape[1],) or not np.isfinite(self.pre_bias_D).all():
            raise DataError(
                "the pre-bias must be finite numbers, as many as the decoder has columns",
                where=f"pre-bias {self.pre_bias_D.shape}, decoder {decoder.shape}",
            )
        if config.k > len(decoder):
            raise ConfigError(f"k = {config.k} is larger than the number of latents")
        if threads < 1:
            raise ConfigError(f"threads must be at least 1, not {threads}")
        self.config, self.threads = config, threads
        lengths = np.linalg.norm(decoder.astype(np.float64), axis=1)
        short = lengths <= _SHORT * lengths.max(initial=0.0)
        self._scale_N = np.where(short, 0.0, 1 / np.where(short, 1.0, lengths))
        self._rows_ND = np.ascontiguousarray(decoder * self._scale_N[:, None], dtype=np.float32)
        self._gram: Array | None = None

    @property
    def latents(self) -> int:
        """Number of latents N."""
        return len(self._rows_ND)

    def encode(
        self, x_BD: Array, *, k_B: Array | int | None = None, scores_BN: Array | None = None
    ) -> SparseCode:
        """Return refined codes of samples (B, D).

        Parameters
        ----------
        k_B
            Active latents at most, of each sample or of all; by default the configuration's.
        scores_BN
            Ranks that candidates are chosen by instead of their correlation with what is left,
            such as an encoder's pre-activations; minus infinity keeps a latent out.

        Returns
        -------
        SparseCode
            Each sample's latents in the order of their picks, none twice; zeros left out.

        Raises
        ------
        ConfigError
            If a k is below 0 or above the number of latents.
        DataError
            If shapes do not fit together, or a value is not finite or too large for float32.
        """
        from isthmus.kernels.pursuit_rows import Rules, stage_rows

        x, lengths = self._samples(x_BD)
        scores = None if scores_BN is None else self._scores(scores_BN, len(x))
        picks = self._picks(len(x), k_B)
        width = picks.support_BK.shape[1]
        if width == 0:
            return self._code(picks, lengths)
        config, atoms = self.config, self._atoms()
        candidates = max(config.candidates, width)
        rules = Rules(config.non_negative, config.by_gain, np.float32(config.tolerance))
        stages = list(config.plan())

        def work(part: slice, w: Scratch, alpha_BN: Array) -> None:
            mine = type(picks)(*(field[part] for field in picks))
            left = x[part].copy()
            for number, (share, exchanged) in enumerate(stages, 1):
                alpha = np.matmul(left, self._rows_ND.T, out=alpha_BN[: len(left)])
                ranks = alpha if scores is None else scores[part]
                stage_rows(
                    w, atoms, rules, mine, x[part], left, alpha, ranks, scores is not None,
                    candidates, share, exchanged, number == len(stages),
                )  # fmt: skip

        self._share(len(x), width, candidates, work)
        return self._code(picks, lengths)

    def refit(self, x_BD: Array, code: SparseCode) -> SparseCode:
        """Return codes with the same supports and the best coefficients on them.

        Much cheaper than :meth:`encode`, and much less is won. With ``non_negative``, latents
        whose best coefficient is zero are left out.

        Raises
        ------
        DataError
            As for :meth:`encode`, or if a support names a latent twice or one that is not there.
        """
        from isthmus.kernels.pursuit_rows import refit_rows
        from isthmus.kernels.pursuit_space import Atoms

        x, lengths = self._samples(x_BD)
        if len(code) != len(x) or code.latents != self.latents:
            raise DataError(
                "the code must have a row a sample and the dictionary's latents",
                where=f"code ({len(code)}, {code.latents}), samples {x.shape}",
            )
        indices, sizes = code.indices, np.diff(code.indptr)
        twice = len(np.unique(code.rows * self.latents + indices)) < len(indices)
        if twice or not ((indices >= 0) & (indices < self.latents)).all():
            raise DataError("a support must name latents of the dictionary, none twice")
        picks = self._picks(len(x), sizes)
        inside = np.arange(picks.support_BK.shape[1]) < sizes[:, None]
        picks.support_BK[inside] = indices
        picks.sizes_B[:] = sizes
        atoms = Atoms(self._rows_ND, np.empty((0, 0), np.int16))

        def work(part: slice, w: Scratch, _: Array) -> None:
            mine = type(picks)(*(field[part] for field in picks))
            refit_rows(w, atoms, self.config.non_negative, mine, x[part])

        self._share(len(x), picks.support_BK.shape[1], 1, work)
        return self._code(picks, lengths)

    def _samples(self, x_BD: Array) -> tuple[Array, Array]:
        """Return samples about the pre-bias with unit length, and their lengths (B,)."""
        x = _matrix(x_BD, "samples")
        if x.shape[1] != len(self.pre_bias_D):
            raise DataError(
                f"samples must have {len(self.pre_bias_D)} columns", where=f"they have {x.shape}"
            )
        unit = np.empty(x.shape, np.float32)
        lengths = np.empty(len(x))
        for first in range(0, len(x), _BLOCK_ROWS):  # float64 for a block at a time only
            part = slice(first, first + _BLOCK_ROWS)
            centred = x[part] - self.pre_bias_D
            lengths[part] = np.sqrt(np.einsum("bd,bd->b", centred, centred))
            unit[part] = centred / np.where(lengths[part] > 0, lengths[part], 1.0)[:, None]
        if not (lengths <= np.finfo(np.float32).max).all():
            raise DataError(
                "a sample is too large for float32", where=f"row {int(np.argmax(lengths))}"
            )
        return unit, lengths

    def _scores(self, scores_BN: Array, rows: int) -> Array:
        scores = np.asarray(scores_BN)
        if scores.shape != (rows, self.latents):
            raise DataError(f"scores must be ({rows}, {self.latents})", where=f"{scores.shape}")
        if np.isnan(scores).any() or np.isposinf(scores).any():
            raise DataError("scores must be finite, or minus infinity")
        with np.errstate(over="ignore"):  # what float32 can't hold is infinite, and ranks as such
            return np.array(scores, dtype=np.float32, order="C")

    def _picks(self, rows: int, k_B: Array | int | None) -> Picks:
        """Return empty codes with room for each sample's k."""
        from isthmus.kernels.pursuit_rows import Picks

        limits = np.broadcast_to(np.asarray(self.config.k if k_B is None else k_B), rows)
        if limits.dtype.kind not in "iu" or not ((limits >= 0) & (limits <= self.latents)).all():
            raise ConfigError(f"every k must be a whole number from 0 to {self.latents}")
        width = int(limits.max(initial=0))
        return Picks(
            np.zeros((rows, width), np.uint32),
            np.zeros((rows, width), np.float32),
            np.zeros(rows, np.int64),
            limits.astype(np.int64),
        )

    def _atoms(self) -> Atoms:
        """Return the dictionary with its Gram matrix, if that is small enough."""
        from isthmus.kernels.pursuit_space import GRAM_STEP, Atoms

        size = self.latents
        if self._gram is None and 2 * size * size <= self.config.gram_bytes:
            gram = np.empty((size, size), np.int16)

            def fill(first: int) -> None:
                inner = self._rows_ND[first : first + _BLOCK_ROWS] @ self._rows_ND.T
                np.rint(inner / GRAM_STEP, out=inner)
                gram[first : first + _BLOCK_ROWS] = np.clip(inner, -32767, 32767)

            with Team(self.threads) as team, team.at_work():
                team.map(fill, range(0, size, _BLOCK_ROWS))
            self._gram = gram
        return Atoms(
            self._rows_ND, np.empty((0, 0), np.int16) if self._gram is None else self._gram
        )

    def _share(
        self, rows: int, width: int, candidates: int, work: Callable[[slice, Scratch, Array], None]
    ) -> None:
        """Do blocks of rows, whose size does not depend on the number of threads."""
        from isthmus.kernels.pursuit_space import scratch

        size = max(16, min(_BLOCK_ROWS, _BLOCK_BYTES // (4 * self.latents)))
        spaces: SimpleQueue[tuple[Scratch, Array]] = SimpleQueue()
        blocks = [slice(first, min(first + size, rows)) for first in range(0, rows, size)]
        for _ in range(min(self.threads, len(blocks))):
            alpha = np.empty((min(size, rows), self.latents), np.float32)
            spaces.put((scratch(self.latents, self._rows_ND.shape[1], width, candidates), alpha))

        def one(block: slice) -> None:
            space = spaces.get()
            try:
                work(block, *space)
            finally:
                spaces.put(space)

        with Team(self.threads) as team, team.at_work():
            team.map(one, blocks)

    def _code(self, picks: Picks, lengths: Array) -> SparseCode:
        """Return the code in the samples' and the atoms' own lengths."""
        wide = picks.coefs_BK * lengths[:, None] * self._scale_N[picks.support_BK]
        if np.abs(wide).max(initial=0.0) > np.finfo(np.float32).max:
            raise DataError(
                "activations are too large for float32", why="samples so long, latents so short"
            )
        values = wide.astype(np.float32)
        inside = np.arange(values.shape[1]) < picks.sizes_B[:, None]
        inside &= values != 0
        indptr = np.concatenate([[0], np.cumsum(inside.sum(axis=1))])
        indices = picks.support_BK[inside].astype(np.int32)
        return SparseCode(indptr.astype(np.int64), indices, values[inside], self.latents)


def _matrix(values: Any, name: str) -> Array:
    """Return finite numbers (rows, columns)."""
    matrix = np.asarray(values)
    if matrix.ndim != 2 or matrix.dtype.kind not in "fiu":
        raise DataError(f"{name} must be a matrix of numbers", where=f"shape {matrix.shape}")
    good = np.isfinite(matrix).all(axis=1)
    if not good.all():
        raise DataError(f"{name} must be finite", where=f"row {int(np.argmin(good))}")
    return matrix
