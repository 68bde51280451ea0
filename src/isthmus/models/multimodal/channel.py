"""The part of a model that belongs to one modality alone."""

from __future__ import annotations

import zlib

import torch
from torch import Tensor, nn

from isthmus.errors import ConfigError
from isthmus.likelihoods.symbols import SymbolsReadout
from isthmus.models.autoencoder import evaluating
from isthmus.models.multimodal.modality import Modality
from isthmus.networks.base import Halves, Sizes

__all__ = ["Channel", "sizes_of"]


def sizes_of(modality: Modality, encoded: int, latent: int) -> Sizes:
    """Return the sizes that the modality's halves must fit."""
    first, *rest = modality.shape
    output = (modality.likelihood.per_element * first, *rest)
    return Sizes(modality.shape, encoded, latent, output)


class Channel(nn.Module):
    """A modality's encoder, decoder and readout; what is missing is never run through them.

    Parameters
    ----------
    modality
        The description.
    sizes
        What the encoder emits and the decoder reads.
    halves
        The user's own, where the description names no network.
    seed
        Seed of the weights; with the modality's name it decides them, whatever modalities stand
        beside it.
    """

    def __init__(
        self, modality: Modality, sizes: Sizes, halves: Halves | None = None, seed: int = 0
    ) -> None:
        super().__init__()
        self.modality, self.sizes = modality, sizes
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed((seed * 1_000_003 + zlib.crc32(modality.name.encode())) % (1 << 63))
            self.readout = modality.likelihood.build(modality.shape)
            built = halves if modality.network is None else modality.network.build(sizes)
        if built is None or (halves is not None and modality.network is not None):
            raise ConfigError(
                f"the modality {modality.name!r} needs either a network or halves of its own"
            )
        self.encoder, self.decoder = built
        if modality.network is None:
            self._check()

    @property
    def kind(self) -> torch.dtype:
        """Type of the items."""
        return torch.int64 if self.modality.is_symbols else torch.float32

    def encode(self, x: Tensor, there: Tensor) -> Tensor:
        """Return the encoder's output (B, encoded) of the rows that are there, 0 elsewhere."""
        if bool(there.all()) and len(there):
            return self._encoded(x)
        out = torch.zeros(len(there), self.sizes.encoded, device=there.device)
        if not bool(there.any()):
            return out
        return out.index_put((there.nonzero()[:, 0],), self._encoded(x[there]))

    def _encoded(self, x: Tensor) -> Tensor:
        out: Tensor = self.encoder(x).float()
        return out

    def decode(self, code: Tensor) -> Tensor:
        """Return the decoder's raw output for codes (B, latent)."""
        out: Tensor = self.decoder(code).float()
        return out

    def distortion(self, code: Tensor, x: Tensor, there: Tensor) -> Tensor:
        """Return the negative log-likelihood in nats, (B,), of items that are there, 0 elsewhere.

        Only rows that are there are decoded.
        """
        if bool(there.all()) and len(there):
            return self.readout.distortion(self.decode(code), x)
        out = torch.zeros(len(there), device=there.device)
        if not bool(there.any()):
            return out
        cost = self.readout.distortion(self.decode(code[there]), x[there])
        return out.index_put((there.nonzero()[:, 0],), cost)

    def decoded(self, code: Tensor) -> Tensor:
        """Return items (B, *shape) for codes: means, or the most likely symbols."""
        out = self.decode(code)
        if isinstance(self.readout, SymbolsReadout):
            return self.readout.symbols(out)
        return self.readout.mean(out)

    def expected(self, code: Tensor) -> Tensor:
        """Return what the decoder expects, flat: values, or probabilities of symbols, (B, K)."""
        return self.readout.mean(self.decode(code)).flatten(1)

    def comparable(self, x: Tensor) -> Tensor:
        """Return items as :meth:`expected` returns them, (B, K), float."""
        if isinstance(self.readout, SymbolsReadout):
            x = self.readout.one_hot(x)
        return x.flatten(1).float()

    def counted(self, x: Tensor) -> Tensor:
        """Return 1 where an element of :meth:`comparable` has a likelihood, (B, K); else 0.

        What follows a text's end is padding: no loss is paid there, so nothing is learned.
        """
        if isinstance(self.readout, SymbolsReadout):
            return self.readout.counted(x).flatten(1)
        return torch.ones_like(self.comparable(x))

    def _check(self) -> None:
        """Run the user's own halves once, and say which shape is off and how to mend it."""
        sizes, name = self.sizes, self.modality.name
        with evaluating(self), torch.no_grad():
            got = tuple(self.encoder(torch.zeros(2, *sizes.shape, dtype=self.kind)).shape)
            if got != (2, sizes.encoded):
                raise ConfigError(
                    f"the encoder of {name!r} gives {got}, and the model reads "
                    f"{(2, sizes.encoded)}",
                    fix=f"end it in nn.Flatten() and nn.Linear(..., {sizes.encoded})",
                )
            out = tuple(self.decoder(torch.zeros(2, sizes.latent)).shape)
            if out != (2, *sizes.output):
                raise ConfigError(
                    f"the decoder of {name!r} turns (2, {sizes.latent}) into {out}, and the "
                    f"likelihood reads {(2, *sizes.output)}",
                    fix="end it in nn.Unflatten to that shape",
                )
