"""A dictionary that another library trained, in this project's convention."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from isthmus.errors import DataError

__all__ = ["Floats", "Imported", "Kind", "Normalise", "Source"]

Floats = NDArray[np.float32]
Kind = Literal[
    "relu", "topk", "batchtopk", "matryoshka", "jumprelu", "gated", "groupmax", "abstopk"
]
Normalise = Literal["none", "layer", "unit"]


@dataclass(frozen=True)
class Source:
    """Where a dictionary came from."""

    library: str
    """The library whose layout the files have."""
    architecture: str
    """What that library calls the model."""
    path: Path
    """The folder or file that was read."""
    stored: str = "float32"
    """The type of the weights on the disk."""


@dataclass(frozen=True, eq=False)
class Imported:
    """A linear encoder, a sparse choice and a linear decoder, whoever trained them.

    With n the sample as ``normalise`` leaves it, pre-activations are
    ``(n - pre_bias_D) @ encoder_ND.T + bias_N``; ``kind``, ``threshold_N`` and ``k`` say which
    of them make the code; the reconstruction is ``codes @ decoder_ND + pre_bias_D`` with the
    normalisation undone. What a library does differently (an input that is not shifted, norms
    of the decoder, a gate, a scale of the data) is folded into these numbers exactly, in
    float64 where vectors are concerned; what is not exact stands in ``notes``.

    A published gated encoder has the same weights for gate and magnitude up to a factor exp(r)
    for each latent, so that it is a threshold: w.x + g > 0 where
    exp(r) w.x + m > m - exp(r) g (Rajamanoharan et al., arXiv:2404.16014, appendix).

    Raises
    ------
    DataError
        If shapes disagree, a value is NaN or infinite, or ``k`` does not fit.
    """

    encoder_ND: Floats
    """Row j reads latent j, (N, D)."""
    bias_N: Floats
    """Added to the pre-activations, (N,)."""
    decoder_ND: Floats
    """Row j is the direction that latent j writes, (N, D); of any norm."""
    pre_bias_D: Floats
    """Taken from the normalised sample, added to the reconstruction, (D,)."""
    kind: Kind
    """How latents are chosen."""
    source: Source
    """Where it came from."""
    k: int | None = None
    """Most latents that a sample keeps; ``groupmax``: the number of groups; None: no limit."""
    threshold_N: Floats | None = None
    """A latent is active where its pre-activation exceeds this, (N,), not below 0; None: 0."""
    mean_k: float | None = None
    """Latents a sample that training aimed at on average, where that was a setting."""
    prefixes: tuple[int, ...] = ()
    """Sizes of the nested dictionaries of a ``matryoshka``, smallest first."""
    normalise: Normalise = "none"
    """What is done to each sample: ``layer``: mean 0 and population variance 1 over D;
    ``unit``: norm 1."""
    epsilon: float = 0.0
    """Added to the standard deviation that ``layer`` divides by (not where it is undone)."""
    notes: tuple[str, ...] = field(default=())
    """What could not be carried over exactly, or what a reader should know, in sentences."""

    def __post_init__(self) -> None:
        if self.encoder_ND.ndim != 2 or 0 in self.encoder_ND.shape:
            raise self._refused(f"the encoder has the shape {self.encoder_ND.shape}")
        latents, dim = self.encoder_ND.shape
        self._check("encoder", self.encoder_ND, (latents, dim))
        self._check("bias", self.bias_N, (latents,))
        self._check("decoder", self.decoder_ND, (latents, dim))
        self._check("pre-bias", self.pre_bias_D, (dim,))
        if self.threshold_N is not None:
            self._check("threshold", self.threshold_N, (latents,))
            if self.threshold_N.min() < 0:
                raise self._refused("a threshold is below 0")
        if self.kind in {"topk", "groupmax", "abstopk"} and self.k is None:
            raise self._refused(f"{self.kind} needs k")
        if self.k is not None and not 1 <= self.k <= latents:
            raise self._refused(f"k = {self.k} does not fit {latents} latents")
        if self.kind == "groupmax" and latents % (self.k or 1):
            raise self._refused(f"{latents} latents can't be cut into {self.k} equal groups")
        if self.normalise == "layer" and dim < 2:
            raise self._refused("layer normalisation needs at least two dimensions")

    def _check(self, name: str, values: NDArray[Any], shape: tuple[int, ...]) -> None:
        if values.shape != shape:
            raise self._refused(f"the {name} has the shape {values.shape}, not {shape}")
        if values.dtype != np.float32:
            raise self._refused(f"the {name} is of type {values.dtype}, not float32")
        if not np.isfinite(values).all():
            raise self._refused(f"the {name} holds NaN or infinite values")

    def _refused(self, why: str) -> DataError:
        return DataError(
            "the imported dictionary can't be used",
            where=str(self.source.path),
            why=why,
            fix="copy the checkpoint again; if that does not help, it was saved damaged",
        )

    @property
    def latents(self) -> int:
        """Number of latents N."""
        return int(self.encoder_ND.shape[0])

    @property
    def dim(self) -> int:
        """Width of a sample D."""
        return int(self.encoder_ND.shape[1])

    def noting(self, *sentences: str) -> Imported:
        """Return a copy with more notes."""
        return replace(self, notes=(*self.notes, *sentences))
