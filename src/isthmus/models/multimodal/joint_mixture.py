"""A mixture of normals over the codes of all modalities side by side, with closed conditionals."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from isthmus.errors import ConfigError, DataError, RunError
from isthmus.files import written_whole
from isthmus.models.multimodal.mixture_parts import (
    Blocks,
    Conditional,
    Masks,
    Values,
    drawn,
    factor_of,
    gain_of,
    log_sum,
    patterns,
    table_of,
)

__all__ = ["Conditional", "JointMixture"]

LOG_2PI = math.log(2 * math.pi)
FORMAT = 1


class JointMixture:
    """``p(x) = sum_k pi_k N(x; mu_k, Sigma_k)`` over named blocks of coordinates.

    Blocks are the codes of modalities, such as ``image/shared`` and ``audio/private``. Any of
    them may be missing: what is there has a density, what is missing a conditional
    ``N(mu_M + Sigma_MO Sigma_OO^-1 (x_O - mu_O), Sigma_MM - Sigma_MO Sigma_OO^-1 Sigma_OM)`` under
    each component, whose weight is its responsibility for what is there. Joint samples,
    translations, completion and a score of what belongs together follow without more training.

    Parameters
    ----------
    widths
        Coordinates of each block, in order.
    weights, means, covariances
        (K,), (K, D) and (K, D, D).
    labels
        Class of each component, (K,), int64; -1: none.

    Source: Ghahramani and Jordan, "Supervised learning from incomplete data via an EM
    approach", NIPS 1993.
    """

    def __init__(
        self,
        widths: Mapping[str, int],
        weights: Values,
        means: Values,
        covariances: Values,
        labels: NDArray[np.int64] | None = None,
    ) -> None:
        k, d = means.shape
        fits = weights.shape == (k,) and covariances.shape == (k, d, d)
        if not fits or sum(widths.values()) != d:
            raise DataError(
                "the mixture's arrays don't fit each other",
                why=f"{weights.shape}, {means.shape}, {covariances.shape}, {sum(widths.values())}",
            )
        self.widths = dict(widths)
        self.weights, self.means, self.covariances = weights, means, covariances
        self.labels = np.full(k, -1, np.int64) if labels is None else labels
        ends = np.cumsum(list(self.widths.values()))
        self.places = {
            name: slice(int(end) - width, int(end))
            for (name, width), end in zip(self.widths.items(), ends, strict=True)
        }

    # --- densities ------------------------------------------------------------------------------

    def log_density(self, given: Blocks, mask: Masks | None = None) -> Values:
        """Return log p of what is there, (n,); 0 for a row with nothing.

        Parameters
        ----------
        given
            Blocks (n, d_b); those left out are missing in every row.
        mask
            By block, (n,): whether a row has it; default: all.
        """
        return log_sum(self._log_joint(*self._table(given, mask)))

    def responsibilities(self, given: Blocks, mask: Masks | None = None) -> Values:
        """Return the probability of each component given what is there, (n, K)."""
        logs = self._log_joint(*self._table(given, mask))
        found: Values = np.exp(logs - log_sum(logs)[:, None])
        return found

    def belongs(self, one: Blocks, other: Blocks) -> Values:
        """Return ``log p(a, b) - log p(a) - log p(b)`` of rows, (n,): above 0 they belong together.

        Raises
        ------
        ConfigError
            If a block is on both sides.
        """
        twice = sorted(set(one) & set(other))
        if twice:
            raise ConfigError(f"the block {twice[0]!r} is on both sides")
        together = self.log_density({**one, **other})
        return together - self.log_density(one) - self.log_density(other)

    # --- what is missing ------------------------------------------------------------------------

    def conditional(self, given: Blocks, wanted: Sequence[str] | None = None) -> Conditional:
        """Return the distribution of some blocks given others, all rows having the same.

        Parameters
        ----------
        given
            Blocks (n, d_b); none at all with one row gives the marginal.
        wanted
            Blocks; default: all that are not given.
        """
        wanted = [n for n in self.widths if n not in given] if wanted is None else list(wanted)
        self._known([*given, *wanted])
        x, there = self._table(given, None)
        seen = np.flatnonzero(there[0])
        want = np.concatenate([np.arange(self.means.shape[1])[self.places[n]] for n in wanted])
        means, covariances = self._conditionals(x[:, seen], seen, want)
        widths = [self.widths[n] for n in wanted]
        ends = np.cumsum(widths)
        places = {
            n: slice(int(e) - w, int(e)) for n, w, e in zip(wanted, widths, ends, strict=True)
        }
        return Conditional(self.responsibilities(given), means, covariances, places)

    def _conditionals(
        self, x: Values, seen: NDArray[np.int64], want: NDArray[np.int64]
    ) -> tuple[Values, Values]:
        """Return conditional means (n, K, d) and covariances (K, d, d) of every component."""
        k = len(self.weights)
        means = np.empty((len(x), k, len(want)))
        covariances = np.empty((k, len(want), len(want)))
        for i in range(k):
            gain, covariance = gain_of(self.covariances[i], seen, want)
            means[:, i] = self.means[i, want] + (x - self.means[i, seen]) @ gain.T
            covariances[i] = covariance
        return means, covariances

    def complete(self, given: Blocks, mask: Masks) -> dict[str, Values]:
        """Return every block (n, d_b), what is missing filled by its conditional mean."""
        x, there = self._table(given, mask)
        filled = x.copy()
        for rows, seen in patterns(there):
            want = np.flatnonzero(~there[rows[0]])
            if not len(want):
                continue
            means, _ = self._conditionals(x[np.ix_(rows, seen)], seen, want)
            logs = self._log_joint(x[rows], there[rows])
            weights = np.exp(logs - log_sum(logs)[:, None])
            filled[np.ix_(rows, want)] = np.einsum("nk,nkd->nd", weights, means)
        return {name: filled[:, place] for name, place in self.places.items()}

    def sample(self, count: int, generator: np.random.Generator) -> dict[str, Values]:
        """Draw ``count`` joint rows: every block, (count, d_b)."""
        return self.draw(drawn(self.weights[None], count, generator)[0], generator)

    def draw(self, picks: NDArray[np.int64], generator: np.random.Generator) -> dict[str, Values]:
        """Draw joint rows of given components, (n,): every block, (n, d_b)."""
        noise = generator.standard_normal((len(picks), self.means.shape[1]))
        out = np.empty_like(noise)
        for component in np.unique(picks):
            rows = picks == component
            out[rows] = (
                self.means[component] + noise[rows] @ factor_of(self.covariances[component]).T
            )
        return {name: out[:, place] for name, place in self.places.items()}

    # --- files ----------------------------------------------------------------------------------

    def save(self, path: str | PathLike[str]) -> None:
        """Write the mixture as safetensors, whole or not at all."""
        from safetensors.numpy import save_file

        arrays = {
            "weights": self.weights,
            "means": self.means,
            "covariances": self.covariances,
            "labels": self.labels,
        }
        note = {"format": FORMAT, "blocks": list(self.widths.items())}
        arrays = {name: np.ascontiguousarray(value) for name, value in arrays.items()}
        with written_whole(Path(path)) as temporary:
            save_file(arrays, temporary, metadata={"mixture": json.dumps(note)})

    @classmethod
    def open(cls, path: str | PathLike[str]) -> JointMixture:
        """Read a mixture.

        Raises
        ------
        RunError
            If the file is missing, damaged, or of a newer format.
        """
        from safetensors import SafetensorError, safe_open

        where = str(path)
        if not Path(path).is_file():
            raise RunError("the joint mixture is missing", where=where)
        try:
            with safe_open(path, framework="numpy") as file:
                note = json.loads(file.metadata()["mixture"])
                arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            if note["format"] != FORMAT:
                raise RunError("the joint mixture is of another format", where=where)
            widths = {str(name): int(width) for name, width in note["blocks"]}
            names = ("weights", "means", "covariances")
            parts = [arrays[name].astype(np.float64) for name in names]
            labels = arrays["labels"].astype(np.int64)
            if not all(np.isfinite(part).all() for part in parts) or len(labels) != len(parts[0]):
                raise ValueError("values are missing or not finite")
            return cls(widths, parts[0], parts[1], parts[2], labels)
        except (SafetensorError, KeyError, TypeError, ValueError, IndexError) as error:
            raise RunError("the joint mixture is damaged", where=where, why=str(error)) from error

    # --- inside ---------------------------------------------------------------------------------

    def _known(self, names: Sequence[str]) -> None:
        unknown = sorted(set(names) - set(self.widths))
        if unknown:
            raise ConfigError(
                f"the mixture has no block {unknown[0]!r}", fix=f"it has: {', '.join(self.widths)}"
            )

    def _table(self, given: Blocks, mask: Masks | None) -> tuple[Values, NDArray[np.bool_]]:
        """Return all coordinates (n, D), zeros where missing, and which are there."""
        self._known(list(given))
        return table_of(self.widths, given, mask)

    def _log_joint(self, x: Values, there: NDArray[np.bool_]) -> Values:
        """Return log pi_k + log N_k of what is there, (n, K)."""
        out = np.empty((len(x), len(self.weights)))
        for rows, seen in patterns(there):
            out[rows] = np.log(self.weights) + self._log_normals(x[np.ix_(rows, seen)], seen)
        return out

    def _log_normals(self, x: Values, seen: NDArray[np.int64]) -> Values:
        from scipy.linalg import solve_triangular

        out = np.zeros((len(x), len(self.weights)))
        for i in range(len(self.weights) if len(seen) else 0):
            factor = factor_of(self.covariances[i][np.ix_(seen, seen)])
            white = solve_triangular(factor, (x - self.means[i, seen]).T, lower=True)
            half = np.log(np.diag(factor)).sum()
            out[:, i] = -0.5 * (white**2).sum(0) - half - 0.5 * len(seen) * LOG_2PI
        return out
