"""The hourglass: encoder, bottleneck, decoder and likelihood, chosen independently."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from os import PathLike
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from isthmus.bottlenecks import Bottleneck, Gaussian, Plain, Waist
from isthmus.data.preprocessing import Preprocessing
from isthmus.errors import ConfigError, DataError
from isthmus.likelihoods import MSE, Likelihood, Readout
from isthmus.models.corruption import Masking, Noise
from isthmus.networks import NETWORKS, Network
from isthmus.networks.base import Sizes

__all__ = ["Autoencoder", "Terms", "evaluating"]

Array = TypeVar("Array", np.ndarray, Tensor)


@dataclass(frozen=True)
class Terms:
    """The loss of a batch in its three named terms, each per sample, (B,).

    The loss is the mean over the batch of their plain sum: nothing else scales them.
    """

    distortion: Tensor
    """What the likelihood charges for the reconstruction."""
    rate: Tensor
    """What the bottleneck charges for information, in nats times its weight."""
    penalty: Tensor
    """What the bottleneck charges for anything else, times its weight."""
    logs: dict[str, Tensor] = field(default_factory=dict)
    """Unweighted batch means for the history."""

    @property
    def loss(self) -> Tensor:
        """The scalar that training minimises."""
        return (self.distortion + self.rate + self.penalty).mean()


class Autoencoder(nn.Module):
    """Any network, any bottleneck, any likelihood, any corruption.

    Parameters
    ----------
    shape
        Shape of one sample; images are (channels, height, width), vectors (width,).
    network
        A network's description, or the name of one with its defaults: "mlp", "conv",
        "linear". Not used where ``encoder`` and ``decoder`` are given.
    bottleneck
        Default ``Plain(latent=32)``.
    likelihood
        Default ``MSE()``.
    corruption
        What is done to the input while training; default nothing.
    encoder, decoder
        The user's own halves, any ``nn.Module``: (B, *shape) to (B, encoded) and (B, latent)
        to (B, *shape). They are given again when the model is loaded.
    seed
        Seed of the initial weights. The global random state is left alone.

    Raises
    ------
    ConfigError
        If the parts don't fit each other.

    Examples
    --------
    >>> from isthmus.networks import MLP
    >>> model = Autoencoder((1, 28, 28), network=MLP(hidden=(128,)))
    >>> model.parameters_count
    209968
    >>> model.encode(np.zeros((5, 1, 28, 28))).shape
    (5, 32)
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        network: Network | str = "mlp",
        bottleneck: Bottleneck | None = None,
        likelihood: Likelihood | None = None,
        corruption: Masking | Noise | None = None,
        *,
        encoder: nn.Module | None = None,
        decoder: nn.Module | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.shape = tuple(int(size) for size in shape)
        if not self.shape or min(self.shape) < 1:
            raise ConfigError(f"samples can't have the shape {self.shape}")
        if (encoder is None) != (decoder is None):
            raise ConfigError("give both encoder and decoder, or neither")
        self.network = None if encoder is not None else _named(network)
        self.bottleneck = bottleneck if bottleneck is not None else Plain()
        self.likelihood = likelihood if likelihood is not None else MSE()
        self.corruption = corruption
        self.seed = seed
        self.preprocessing = Preprocessing.identity(self.shape)
        # a generator of its own: the weights depend on the seed alone, whatever ran before
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.waist: Waist = self.bottleneck.build()
            self.readout: Readout = self.likelihood.build(self.shape)
            if encoder is not None and decoder is not None:
                self.encoder, self.decoder = encoder, decoder
                _check_halves(encoder, decoder, self.sizes)
            elif self.network is not None:
                self.encoder, self.decoder = self.network.build(self.sizes)

    @property
    def sizes(self) -> Sizes:
        """The sizes that the two halves must fit."""
        output = (self.likelihood.per_element * self.shape[0], *self.shape[1:])
        return Sizes(self.shape, self.waist.encoded, self.waist.latent, output)

    @property
    def latent(self) -> int:
        """Number of latents."""
        return self.waist.latent

    @property
    def parameters_count(self) -> int:
        """Number of trained parameters."""
        return sum(p.numel() for p in self.parameters() if p.requires_grad)

    @property
    def device(self) -> torch.device:
        """Where the model's tensors are."""
        return self.preprocessing.shift.device

    # --- what training uses: tensors in the model's own units -------------------------------

    def terms(self, x: Tensor, generator: torch.Generator | None = None) -> Terms:
        """Return the loss's terms for preprocessed samples (B, *shape)."""
        seen = x
        if self.training and self.corruption is not None:
            seen = self.corruption(x, generator)
        with contextlib.ExitStack() as stack:
            if self.waist.needs_inputs:
                stack.enter_context(torch.enable_grad())
                seen = seen.detach().requires_grad_()
            code = self.waist(
                self.encoder(seen).float(),
                generator=generator,
                inputs=seen if self.waist.needs_inputs else None,
            )
        out = self._decoder_output(code.z)
        distortion = self.readout.distortion(out, x)
        zero = distortion.new_zeros(())
        rate = zero if code.rate is None else code.rate
        if distortion.ndim == 2:
            distortion, rate = self.waist.bound(distortion, rate.expand_as(distortion))
        penalty = zero if code.penalty is None else code.penalty
        logs = dict(code.logs)
        if not self.training:
            logs["mse"] = (self.readout.mean(out) - x).square().mean()
        return Terms(distortion, rate.expand_as(distortion), penalty.expand_as(distortion), logs)

    def _decoder_output(self, z: Tensor) -> Tensor:
        """Return the decoder's raw output for codes (B, N) or (S, B, N)."""
        out: Tensor = self.decoder(z.reshape(-1, z.shape[-1])).float()
        return out.reshape(*z.shape[:-1], *out.shape[1:])

    def embed(self, x: Tensor) -> Tensor:
        """Return the deterministic codes (B, N) of preprocessed samples."""
        return self.waist.embed(self.encoder(x))

    def reconstruction(self, z: Tensor) -> Tensor:
        """Return the likelihood's mean (B, *shape) for codes, in the model's own units."""
        return self.readout.mean(self._decoder_output(z))

    # --- what users call: arrays in, arrays out; tensors in, tensors out --------------------

    def encode(self, samples: Array, batch_size: int = 1024) -> Array:
        """Return the codes (B, N) of raw samples (B, *shape).

        Codes are deterministic: for a variational model the posterior means.

        Raises
        ------
        DataError
            If the samples have another shape, or hold NaN or infinite values.
        """
        return self._mapped(samples, self.shape, batch_size, self._encode_batch)

    def decode(self, codes: Array, batch_size: int = 1024) -> Array:
        """Return the samples (B, *shape), in raw units, that codes (B, N) stand for."""
        return self._mapped(codes, (self.latent,), batch_size, self._decode_batch)

    def reconstruct(self, samples: Array, batch_size: int = 1024) -> Array:
        """Return raw samples (B, *shape) encoded and decoded again."""
        return self._mapped(
            samples, self.shape, batch_size, lambda x: self._decode_batch(self._encode_batch(x))
        )

    def sample(self, count: int, seed: int = 0) -> np.ndarray:
        """Draw raw samples (count, *shape) by decoding codes from the prior.

        Raises
        ------
        ConfigError
            If the bottleneck has no prior.
        """
        generator = torch.Generator().manual_seed(seed)
        return self.decode(self.waist.sample(count, generator).cpu().numpy())

    def _encode_batch(self, raw: Tensor) -> Tensor:
        return self.embed(self.preprocessing(raw))

    def _decode_batch(self, codes: Tensor) -> Tensor:
        return self.preprocessing.inverse(self.reconstruction(codes))

    def _mapped(
        self,
        values: Array,
        shape: tuple[int, ...],
        batch_size: int,
        function: Callable[[Tensor], Tensor],
    ) -> Array:
        given = values if isinstance(values, Tensor) else np.asarray(values)
        if isinstance(given, np.ndarray) and given.dtype.kind not in "biuf":
            raise DataError(f"samples must be real numbers, not {given.dtype}")
        if tuple(given.shape[1:]) != shape:
            raise DataError(
                f"expected an array of shape (samples, {', '.join(map(str, shape))}), "
                f"and got {tuple(given.shape)}"
            )
        starts = range(0, max(len(given), 1), batch_size)
        with evaluating(self), torch.no_grad():
            parts = [function(self._batch(given[at : at + batch_size])) for at in starts]
        result = torch.cat(parts)
        return result if isinstance(values, Tensor) else result.cpu().numpy()

    def _batch(self, part: np.ndarray | Tensor) -> Tensor:
        """Return a few samples as the model takes them; a copy of arrays, of any layout."""
        if isinstance(part, np.ndarray):
            with np.errstate(over="ignore"):  # what overflows is refused below
                part = torch.from_numpy(np.array(part, dtype=np.float32, order="C"))
        batch = part.to(self.device, torch.float32)
        if not bool(batch.isfinite().all()):
            raise DataError("the samples hold NaN or infinite values, or some beyond float32")
        return batch

    # --- in words ---------------------------------------------------------------------------

    def describe(self) -> list[str]:
        """Return what the objective amounts to, in plain sentences."""
        lines = [self.readout.describe(), *self.waist.describe()]
        if isinstance(self.bottleneck, Gaussian) and isinstance(self.likelihood, MSE):
            half = math.prod(self.shape) / 2
            effective = self.bottleneck.beta * half
            lines.append(
                f"beside a squared error averaged over elements this rate weighs as an effective "
                f"beta of {effective:g} at unit variance, or beta 1 at variance {effective:g}"
            )
        if self.corruption is not None:
            lines.append(f"while training the input is corrupted by {self.corruption}")
        return lines

    def extra_repr(self) -> str:
        """Name the parts."""
        return f"shape={self.shape}, bottleneck={self.bottleneck}, likelihood={self.likelihood}"

    # --- the Hugging Face way ---------------------------------------------------------------

    def save_pretrained(self, folder: str | PathLike[str]) -> None:
        """Write ``config.json``, ``model.safetensors`` and a model card; see ``storage``."""
        from isthmus.models import storage

        storage.save(self, folder)

    @classmethod
    def from_pretrained(cls, source: str | PathLike[str], **options: Any) -> Autoencoder:
        """Load a model from a folder or a hub repository; see ``storage.load``."""
        from isthmus.models import storage

        return storage.load(source, **options)

    def push_to_hub(self, repository: str, **options: Any) -> str:
        """Upload the model to a hub repository; see ``storage.push``."""
        from isthmus.models import storage

        return storage.push(self, repository, **options)


@contextlib.contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Put a model in evaluation mode for a while."""
    was = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was)


def _named(network: Network | str) -> Network:
    if not isinstance(network, str):
        return network
    known = {name.lower(): cls for name, cls in NETWORKS.items()}
    if network.lower() not in known:
        raise ConfigError(f"no network {network!r}", why=f"known: {', '.join(sorted(known))}")
    return known[network.lower()]()


def _check_halves(encoder: nn.Module, decoder: nn.Module, sizes: Sizes) -> None:
    """Run both halves once on zeros, and say which shape is off and how to mend it."""
    with evaluating(encoder), evaluating(decoder), torch.no_grad():
        got = tuple(encoder(torch.zeros(2, *sizes.shape)).shape)
        if got != (2, sizes.encoded):
            raise ConfigError(
                f"the encoder turns (2, {', '.join(map(str, sizes.shape))}) into {got}, and the "
                f"bottleneck reads (2, {sizes.encoded})",
                fix=f"end the encoder in nn.Flatten() and nn.Linear(..., {sizes.encoded})",
            )
        out = tuple(decoder(torch.zeros(2, sizes.latent)).shape)
        if out != (2, *sizes.output):
            raise ConfigError(
                f"the decoder turns (2, {sizes.latent}) into {out}, and the likelihood reads "
                f"{(2, *sizes.output)}",
                fix="end the decoder in nn.Unflatten to that shape",
            )
