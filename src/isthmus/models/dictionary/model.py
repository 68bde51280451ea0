"""The sparse dictionary: x is about pre_bias + codes @ decoder, with few active latents."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from isthmus.bottlenecks import Bottleneck
from isthmus.errors import ConfigError, DataError
from isthmus.kernels.code import SparseCode
from isthmus.kernels.rules import Weights
from isthmus.models.dictionary.objective import chosen_k, fixed_k
from isthmus.models.dictionary.registry import objective_for

if TYPE_CHECKING:
    from scipy.sparse import csr_array

    from isthmus.kernels.cpu import CPUKernels
    from isthmus.kernels.pursuit import Pursuit

__all__ = ["Normalise", "SparseDictionary"]

Array = NDArray[Any]
Normalise = Literal["none", "layer", "unit"]
_ROWS = 8192


class SparseDictionary(nn.Module):
    """Linear encoder, sparse code, linear decoder.

    With inputs x (B, D), encoder and decoder rows (N, D), bias (N,) and pre-bias c (D,):

        pre = (x - c) @ encoder.T + bias,    codes = bottleneck(pre),    x_hat = codes @ decoder + c

    Row j of the decoder is latent j's direction: the j-th column of what is called the
    dictionary. Source: Bricken et al., "Towards monosemanticity", 2023; Gao et al.,
    arXiv:2406.04093.

    Parameters
    ----------
    dim
        Width D of the inputs.
    bottleneck
        Which latents are active and what that costs; its ``latent`` is the number N of latents.
    normalise
        What is done to each sample alone: nothing; "layer": zero mean and unit variance over its
        coordinates; "unit": unit norm. ``reconstruct`` undoes it.
    seed
        Seed of the directions at the start.

    Raises
    ------
    ConfigError
        If the width is not positive, or the bottleneck is none of a dictionary's.

    Examples
    --------
    >>> from isthmus.bottlenecks import TopK
    >>> model = SparseDictionary(16, TopK(latent=64, k=4))
    >>> codes = model.encode(np.random.default_rng(0).standard_normal((10, 16)))
    >>> codes.shape, codes.nnz
    ((10, 64), 40)
    >>> model.decode(codes).shape
    (10, 16)
    """

    def __init__(
        self,
        dim: int,
        bottleneck: Bottleneck,
        *,
        normalise: Normalise = "none",
        seed: int = 0,
    ) -> None:
        super().__init__()
        if dim < 1:
            raise ConfigError(f"the width of the inputs must be at least 1, not {dim}")
        if normalise not in ("none", "layer", "unit"):
            raise ConfigError(f"normalise must be none, layer or unit, not {normalise!r}")
        self.dim, self.bottleneck, self.normalise, self.seed = dim, bottleneck, normalise, seed
        self.latent = bottleneck.latent
        self.objective = objective_for(bottleneck)
        generator = torch.Generator().manual_seed(seed)
        rows = torch.randn(self.latent, dim, generator=generator)
        rows /= rows.norm(dim=1, keepdim=True)
        self.encoder = nn.Parameter(rows.clone())
        self.bias = nn.Parameter(torch.zeros(self.latent))
        self.decoder = nn.Parameter(rows)
        self.pre_bias = nn.Parameter(torch.zeros(dim))

    # --- what the objectives and the training work with -------------------------------------

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.pre_bias.device

    def preactivations(self, x_BD: Tensor) -> Tensor:
        """Return ``(x - pre_bias) @ encoder.T + bias``, (B, N)."""
        return nn.functional.linear(x_BD - self.pre_bias, self.encoder, self.bias)

    def decoded(self, codes_BN: Tensor) -> Tensor:
        """Return ``codes @ decoder + pre_bias``, (B, D)."""
        return codes_BN @ self.decoder + self.pre_bias

    def forward(self, x_BD: Tensor) -> Tensor:
        """Return the reconstruction (B, D), differentiable: all that modules around it need."""
        x, undo = self.prepared(x_BD)
        return undo(self.decoded(self.objective.encoded(self, x)))

    def prepared(self, x_BD: Tensor) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
        """Normalise each sample, and return what undoes it."""
        if self.normalise == "none":
            return x_BD, lambda y: y
        mean = x_BD.mean(1, keepdim=True) if self.normalise == "layer" else torch.zeros(())
        mean = mean.to(x_BD)
        centred = x_BD - mean
        size = (
            centred.square().mean(1, keepdim=True).sqrt()
            if self.normalise == "layer"
            else centred.norm(dim=1, keepdim=True)
        ).clamp_min(1e-8)
        return centred / size, lambda y: y * size + mean

    def weights(self) -> Weights:
        """Return the weights as arrays: on the CPU they share the parameters' memory."""
        parts = (self.encoder, self.bias, self.decoder, self.pre_bias)
        return Weights(*(p.data.cpu().numpy() for p in parts))

    @torch.no_grad()
    def rescale(self, factor: float) -> None:
        """Follow the inputs into units ``factor`` times as large, exactly.

        What the dictionary makes of ``factor * x`` is then ``factor`` times what it made of ``x``.
        Codes follow, too, and decoder rows keep their norms; but for sigmoid codes, which have no
        unit.
        """
        self.objective.rescale(factor)
        self.pre_bias.mul_(factor)
        if self.objective.unit_decoder:
            self.bias.mul_(factor)
        else:
            self.encoder.div_(factor)
            self.decoder.mul_(factor)

    # --- arrays in, arrays out; tensors in, tensors out ---------------------------------------

    def encode(
        self,
        x: Array | Tensor,
        *,
        k: int | None = None,
        refine: Pursuit | None = None,
        dense: bool = False,
        threads: int | None = None,
    ) -> Any:
        """Encode samples.

        Parameters
        ----------
        x
            Samples (B, D).
        k
            Active latents a sample, in place of the bottleneck's own number (TopK, BatchTopK,
            Matryoshka, any-k and contrastive dictionaries), or of that of ``refine``.
        refine
            Settings of refined encoding (:class:`~isthmus.kernels.pursuit.Pursuit`): a matching
            pursuit among candidates picks and fits the activations. Reconstructs much better;
            the one-pass code is the better one to compare samples by.
        dense
            Whether zeros are written out.
        threads
            CPU threads; by default as many as torch uses.

        Returns
        -------
        scipy.sparse.csr_array or torch sparse CSR tensor
            Codes (B, N), float32, of the kind that was given; an array or tensor where
            ``dense``.

        Raises
        ------
        DataError
            If the samples have another width, or hold NaN or infinite values.
        ConfigError
            If ``k`` doesn't fit.
        """
        given = x
        values = self._checked(x)
        if self.objective.always_dense and refine is None:
            fixed_k(type(self.bottleneck).__name__, k)
            return self._dense_codes(values, given)
        code = self._encoded(values, k, refine, threads)
        if isinstance(given, Tensor):
            return _as_tensor(code, dense).to(given.device)
        return code.dense() if dense else code.csr()

    def decode(self, codes: csr_array | Array | Tensor) -> Any:
        """Decode codes (B, N), sparse or dense, to samples (B, D) of the same kind.

        What ``normalise`` took from each sample is not in the codes: see :meth:`reconstruct`.

        Raises
        ------
        DataError
            If the codes have another width.
        """
        codes = codes if hasattr(codes, "shape") else np.asarray(codes)
        if len(codes.shape) != 2 or codes.shape[1] != self.latent:
            raise DataError(
                f"codes of shape {tuple(codes.shape)} don't fit a dictionary of {self.latent} "
                "latents"
            )
        with torch.no_grad():
            if isinstance(codes, Tensor):
                return self._decoded_tensor(codes)
            weights = self.weights()
            dense: Array = np.asarray(codes @ weights.decoder_ND, np.float32) + weights.pre_bias_D
            return dense

    def reconstruct(
        self,
        x: Array | Tensor,
        *,
        k: int | None = None,
        refine: Pursuit | None = None,
        threads: int | None = None,
    ) -> Any:
        """Encode and decode, undoing what ``normalise`` does; see :meth:`encode`."""
        codes = self.encode(x, k=k, refine=refine, threads=threads)
        with torch.no_grad():
            values = x if isinstance(x, Tensor) else torch.from_numpy(self._checked(x))
            _, undo = self.prepared(values.detach().float().cpu())
            out = self.decode(codes)
            back = undo(torch.as_tensor(out).cpu())
        return back.to(x.device) if isinstance(x, Tensor) else back.numpy()

    def _checked(self, x: Array | Tensor) -> Array:
        """Return samples as float32 rows, refusing what can't be encoded."""
        # not every type of torch's is one of NumPy's: bfloat16 is none
        values = x.detach().cpu().float().numpy() if isinstance(x, Tensor) else np.asarray(x)
        if values.ndim != 2 or values.shape[1] != self.dim:
            raise DataError(
                f"samples of shape {values.shape} don't fit a dictionary of width {self.dim}",
                fix=f"give rows of {self.dim} numbers",
            )
        if values.dtype.kind not in "fiub":
            raise DataError(f"samples must be numbers, not {values.dtype}")
        with np.errstate(over="ignore"):  # too large for float32 is infinite, and refused below
            values = np.ascontiguousarray(values, np.float32)
        for start in range(0, len(values), _ROWS):
            part = values[start : start + _ROWS]
            if not np.isfinite(part).all():
                row, column = np.argwhere(~np.isfinite(part))[0]
                raise DataError(
                    f"row {start + row}, column {column} is {part[row, column]}",
                    fix="remove such rows",
                )
        return values

    def _encoded(
        self, values: Array, k: int | None, refine: Pursuit | None, threads: int | None
    ) -> SparseCode:
        weights = self.weights()
        kernels = _kernels(threads)
        try:
            parts = []
            encoder, own_k = None, None
            if refine is not None:
                own_k = None if k is None else chosen_k(k, refine.k, self.latent)
                from isthmus.kernels.pursuit import PursuitEncoder

                encoder = PursuitEncoder(
                    weights.decoder_ND, weights.pre_bias_D, refine, kernels.team.threads
                )
            for start in range(0, max(1, len(values)), _ROWS):
                x = self._prepared_array(values[start : start + _ROWS])
                if encoder is not None:
                    parts.append(encoder.encode(x, k_B=own_k))
                    continue
                code = kernels.select(x - weights.pre_bias_D, weights, self.objective.inference(k))
                parts.append(self.objective.values(code, weights))
            return joined(parts)
        finally:
            kernels.close()

    def _prepared_array(self, values: Array) -> Array:
        if self.normalise == "none":
            return values
        return self.prepared(torch.from_numpy(values))[0].numpy()

    @torch.no_grad()
    def _dense_codes(self, values: Array, given: Array | Tensor) -> Any:
        x, _ = self.prepared(torch.from_numpy(values).to(self.device))
        codes = self.objective.encoded(self, x)
        return codes if isinstance(given, Tensor) else codes.cpu().numpy()

    def _decoded_tensor(self, codes: Tensor) -> Tensor:
        decoder = self.decoder.to(codes.device)
        # torch has no product of sparse CSR with dense on every device; the sum is the same
        flat = codes.to_dense() if codes.layout is torch.sparse_csr else codes
        return flat @ decoder + self.pre_bias.to(codes.device)

    def describe(self) -> list[str]:
        """Return what the settings amount to, in plain sentences."""
        kind = type(self.bottleneck).__name__
        head = f"sparse dictionary of {self.latent} latents over {self.dim} dimensions ({kind})"
        return [head, *self.objective.describe()]

    # --- saving the Hugging Face way ----------------------------------------------------------

    def save_pretrained(self, folder: str | os.PathLike[str]) -> None:
        """Write ``config.json``, ``model.safetensors`` and a model card into ``folder``."""
        from isthmus.models.dictionary import storage

        storage.save(self, folder)

    def push_to_hub(
        self, repository: str, *, private: bool = False, token: str | None = None
    ) -> str:
        """Upload to a hub repository "owner/name", made where it does not exist.

        Parameters
        ----------
        token
            Default: what ``huggingface_hub`` finds (``HF_TOKEN`` or its login); never written.

        Returns
        -------
        str
            The repository's address.
        """
        from isthmus.models.storage import push

        return push(self, repository, private=private, token=token)

    @classmethod
    def from_pretrained(cls, source: str | os.PathLike[str], **options: Any) -> SparseDictionary:
        """Load from a folder, or from a hub repository "owner/name".

        Raises
        ------
        RunError
            If a file is missing, damaged, or of a newer format.
        """
        from isthmus.models.dictionary import storage

        return storage.load(source, **options)


def joined(parts: list[SparseCode]) -> SparseCode:
    """Put codes of several batches one under the other."""
    if len(parts) == 1:
        return parts[0]
    counts = np.concatenate([np.diff(p.indptr) for p in parts])
    return SparseCode(
        np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        np.concatenate([p.indices for p in parts]),
        np.concatenate([p.values for p in parts]),
        parts[0].latents,
    )


def _kernels(threads: int | None) -> CPUKernels:
    from isthmus.kernels.cpu import CPUKernels

    return CPUKernels(threads or torch.get_num_threads())


def _as_tensor(code: SparseCode, dense: bool) -> Tensor:
    if dense:
        return torch.from_numpy(code.dense())
    csr = code.csr()
    with warnings.catch_warnings():  # that torch's support is young is nothing to tell a user
        warnings.filterwarnings("ignore", "Sparse CSR tensor support", UserWarning)
        return torch.sparse_csr_tensor(
            torch.from_numpy(csr.indptr.astype(np.int64)),
            torch.from_numpy(csr.indices.astype(np.int64)),
            torch.from_numpy(csr.data),
            size=csr.shape,
            check_invariants=False,
        )
