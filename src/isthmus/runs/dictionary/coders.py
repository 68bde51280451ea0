"""What is measured: a dictionary of this project, or one of another library."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from isthmus.errors import ConfigError
from isthmus.models.dictionary import SparseDictionary

if TYPE_CHECKING:
    from isthmus.kernels.code import SparseCode
    from isthmus.kernels.pursuit import Pursuit
    from isthmus.metrics import Codes
    from isthmus.models.foreign import Imported

__all__ = ["SIGMOID_ACTIVE", "Coded", "Coder", "Foreign", "Own", "Refined"]

Array = NDArray[Any]

SIGMOID_ACTIVE = 0.1
"""Activation above which a latent of a code without zeros counts as active."""


@dataclass(frozen=True, eq=False)
class Coded:
    """A batch, encoded and decoded."""

    codes: Codes
    """Codes (B, N), in which what is not zero is active."""
    output_BD: Array
    """Reconstructions in the units of the data."""
    seconds: float
    """Time spent on the codes."""
    activation: float
    """Sum of all activations."""


class Coder(Protocol):
    """Something that encodes and decodes vectors."""

    @property
    def latents(self) -> int:
        """Number of latents N."""

    @property
    def decoder_ND(self) -> Array:
        """A latent's direction a row."""

    @property
    def k(self) -> int | None:
        """Active latents of a sample, where that is a setting."""

    @property
    def own(self) -> SparseDictionary | None:
        """A dictionary of this project with these weights; None where there can be none."""

    @property
    def is_dense(self) -> bool:
        """Whether the code has no zeros."""

    def coded(self, x_BD: Array) -> Coded:
        """Encode and decode a batch."""


class Own:
    """A dictionary of this project."""

    def __init__(self, model: SparseDictionary, k: int | None = None) -> None:
        self.own, self.asked = model, k
        self.latents, self.is_dense = model.latent, model.objective.always_dense
        self.k = k or model.objective.k

    @property
    def decoder_ND(self) -> Array:
        """A latent's direction a row."""
        return self.own.decoder.detach().cpu().numpy()

    def coded(self, x_BD: Array) -> Coded:
        """Encode and decode a batch."""
        start = time.perf_counter()
        codes = self.own.encode(x_BD, k=self.asked)
        spent = time.perf_counter() - start
        with torch.no_grad():
            _, undo = self.own.prepared(torch.from_numpy(x_BD))
            output = undo(torch.from_numpy(self.own.decode(codes))).numpy()
        total = float(codes.sum(dtype=np.float64))
        if self.is_dense:
            codes = np.where(codes > SIGMOID_ACTIVE, codes, np.float32(0))
        return Coded(codes, output, spent, total)


class Foreign:
    """A dictionary of another library, computed as that library does."""

    is_dense = False

    def __init__(self, imported: Imported) -> None:
        self.imported, self.latents, self.k = imported, imported.latents, imported.k

    @property
    def decoder_ND(self) -> Array:
        """A latent's direction a row."""
        return self.imported.decoder_ND

    @property
    def own(self) -> SparseDictionary | None:
        """The same weights as a dictionary of this project, where one chooses latents so."""
        from isthmus.models.foreign import to_dictionary

        try:
            return to_dictionary(self.imported)
        except ConfigError:
            return None

    def coded(self, x_BD: Array) -> Coded:
        """Encode and decode a batch; the time holds both."""
        from isthmus.models.foreign import reconstruction_of

        start = time.perf_counter()
        output, codes = reconstruction_of(self.imported, x_BD)
        spent = time.perf_counter() - start
        return Coded(codes, output, spent, float(codes.sum(dtype=np.float64)))


class Refined:
    """A dictionary encoded by a matching pursuit, prepared once for any number of batches."""

    def __init__(self, model: SparseDictionary, pursuit: Pursuit) -> None:
        from isthmus.kernels.pursuit import PursuitEncoder

        self.model = model
        decoder, pre_bias = (p.detach().cpu().numpy() for p in (model.decoder, model.pre_bias))
        self._encoder = PursuitEncoder(decoder, pre_bias, pursuit, torch.get_num_threads())

    def encode(self, x_BD: Array) -> SparseCode:
        """Encode vectors in the units of the data."""
        prepared, _ = self.model.prepared(torch.from_numpy(x_BD))
        return self._encoder.encode(prepared.numpy())

    def reconstruct(self, x_BD: Array, code: SparseCode) -> Array:
        """Decode the codes of these vectors, into the units of the data."""
        with torch.no_grad():
            _, undo = self.model.prepared(torch.from_numpy(x_BD))
            found: Array = undo(torch.from_numpy(self.model.decode(code.csr()))).numpy()
        return found
