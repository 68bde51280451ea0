"""MultiVae's models with Isthmus's networks inside, behind Isthmus's verbs.

MultiVae 1.0.3 (Senellart, Chadebec and Allassonniere, JOSS 2025) brings the objectives, the
posteriors and the way to predict, all called and nothing changed: ``forward`` for the loss,
``encode``, ``decode`` and ``predict`` for the rest. The encoders and decoders are those that
Isthmus builds for the modality, with the same initial weights where widths agree.

Settings are those of MultiVae's own examples (``examples/mvtcae/training_on_mmnist.py``, the
case study on PolyMNIST, ``examples/mmvae_plus/mmnist.py``), but for widths and the weights of the
likelihoods, which are Isthmus's: for pictures and sounds that is MultiVae's default, a text has
50 instead of 8.4. A word counts up to its end, as in Isthmus.

Importing this module needs MultiVae: ``peers-multimodal.lock`` says how.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from isthmus.data.multimodal import MultimodalData
from isthmus.likelihoods.symbols import counted
from isthmus.models.multimodal import JointMixture, Rows, modality_of, translations
from isthmus.models.multimodal.channel import Channel, sizes_of
from isthmus.models.multimodal.codes import Codes, joined
from isthmus.models.multimodal.modality import balanced
from isthmus.models.multimodal.rows import rows_from


def without_init(package: str) -> None:
    """Let a package's modules be imported without its ``__init__``.

    Those of MultiVae ask for torchvision (whose ordinary build does not load beside the CPU build
    of torch), pandas and nltk, for data sets and samplers that are not used here.
    """
    if package not in sys.modules:
        spec = importlib.util.find_spec(package)
        if spec is None:
            raise ImportError(package)
        sys.modules[package] = importlib.util.module_from_spec(spec)


for _package in ("multivae.data", "multivae.data.datasets", "multivae.models"):
    without_init(_package)

from multivae.data.datasets.base import MultimodalBaseDataset  # noqa: E402
from multivae.models.mmvaePlus import MMVAEPlus, MMVAEPlusConfig  # noqa: E402
from multivae.models.mvtcae import MVTCAE, MVTCAEConfig  # noqa: E402
from multivae.models.nn.base_architectures import BaseMultilatentEncoder  # noqa: E402
from pythae.models.base.base_utils import ModelOutput  # noqa: E402
from pythae.models.nn.base_architectures import BaseDecoder  # noqa: E402

CHUNK = 1024


@dataclass(frozen=True)
class PeerSettings:
    """How a MultiVae model is built and trained."""

    shared: int = 64
    """Width of the shared code."""
    private: int = 0
    """Width of every modality's private code; 0 for MVTCAE."""
    beta: float = 2.5
    """Weight of the divergences."""
    alpha: float = 5 / 6
    """MVTCAE's weight of foresight; the package's default of 0.1 is not the paper's."""
    likelihood: str = "laplace"
    """Of pictures and sounds: laplace or normal."""
    scale: float = 0.75
    """Its fixed scale."""
    lr: float = 1e-3
    """Learning rate."""
    amsgrad: bool = False
    """Adam's variant."""
    loop: str = "multivae"
    """"multivae": a constant rate and the last weights, as its trainer does without a scheduler;
    "isthmus": warm-up, cosine, clipping and a running average, as Isthmus trains."""

    def changed(self, settings: Mapping[str, Any]) -> PeerSettings:
        """Return these settings with some fields changed."""
        return replace(self, **settings)


PEERS = {
    "multivae-mvtcae": PeerSettings(),
    "multivae-mmvae-plus": PeerSettings(shared=32, private=32, amsgrad=True),
}
"""By name, what MultiVae's examples train with."""


class _Encoder(BaseMultilatentEncoder):
    """The encoder of a channel, its output named as MultiVae names it."""

    def __init__(self, channel: Channel, settings: PeerSettings) -> None:
        super().__init__()
        self.network, self.is_text = channel.encoder, channel.modality.is_symbols
        self.latent_dim, self.style_dim = settings.shared, settings.private

    def forward(self, x: Tensor) -> ModelOutput:
        # what follows a word's end is zeros: symbol 0, the end
        head = self.network(x.argmax(-1) if self.is_text else x).float()
        mean, log_variance = head[:, : 2 * self.latent_dim].chunk(2, 1)
        found = ModelOutput(embedding=mean, log_covariance=log_variance)
        if self.style_dim:
            style = head[:, 2 * self.latent_dim :].chunk(2, 1)
            found["style_embedding"], found["style_log_covariance"] = style
        return found


class _Decoder(BaseDecoder):
    """The decoder of a channel: means of pictures and sounds, logits (B, T, S) of texts."""

    def __init__(self, channel: Channel) -> None:
        super().__init__()
        self.network, self.readout = channel.decoder, channel.readout
        self.modality = channel.modality

    def forward(self, z: Tensor) -> ModelOutput:
        out = self.network(z).float()
        if self.modality.is_symbols:
            symbols = self.modality.likelihood.per_element
            logits = out.reshape(len(z), symbols, -1).transpose(1, 2)
            return ModelOutput(reconstruction=logits)
        return ModelOutput(reconstruction=self.readout.mean(out))


class MultiVaePeer:
    """A MultiVae model as ``isthmus.runs.multimodal.subject.Measurable`` wants it.

    Parameters
    ----------
    name
        A name of ``PEERS``.
    data
        What it is for.
    settings
        How it is built.
    seed
        Of the weights, as Isthmus draws them.
    """

    def __init__(self, name: str, data: MultimodalData, settings: PeerSettings, seed: int) -> None:
        self.settings = settings
        given = [modality_of(data[n].adapter) for n in data.names]
        self.modalities = {m.name: m for m in given}
        latent = settings.shared + settings.private
        self.channels = {
            m.name: Channel(m, sizes_of(m, 2 * latent, latent), seed=seed) for m in given
        }
        plain = {"n_modalities": len(given), "latent_dim": settings.shared, "beta": settings.beta}
        plain |= {
            "input_dims": {m.name: m.shape for m in given},
            "uses_likelihood_rescaling": True,
            "rescale_factors": balanced(given),
            "decoders_dist": {
                m.name: "categorical" if m.is_symbols else settings.likelihood for m in given
            },
            "decoder_dist_params": {
                m.name: {"scale": settings.scale} for m in given if not m.is_symbols
            },
        }
        encoders = {n: _Encoder(c, settings) for n, c in self.channels.items()}
        decoders = {n: _Decoder(c) for n, c in self.channels.items()}
        if name == "multivae-mvtcae":
            self.model: Any = MVTCAE(
                MVTCAEConfig(**plain, alpha=settings.alpha), encoders, decoders
            )
        else:
            # its example's: one sample, Laplace codes, the plain bound
            plain |= {"K": 1, "modalities_specific_dim": settings.private, "loss": "iwae_looser"}
            self.model = MMVAEPlus(MMVAEPlusConfig(**plain), encoders, decoders)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the modalities."""
        return tuple(self.modalities)

    def channel(self, name: str) -> Channel:
        """Return a modality's networks."""
        return self.channels[name]

    def output(self, rows: Rows) -> ModelOutput:
        """Return MultiVae's forward pass over a batch in which nothing is missing."""
        return self.model(self._inputs(rows.items))

    def _inputs(self, items: Mapping[str, Tensor]) -> MultimodalBaseDataset:
        return MultimodalBaseDataset(data={n: self._shown(n, x) for n, x in items.items()})

    def _shown(self, name: str, x: Tensor) -> Tensor:
        """Return items as MultiVae reads them: a text as one-hot symbols, zeros after its end."""
        modality = self.modalities[name]
        if not modality.is_symbols:
            return x
        return F.one_hot(x, modality.likelihood.per_element).float() * counted(x).unsqueeze(-1)

    def _items(self, name: str, out: Tensor) -> Tensor:
        return out.argmax(-1) if self.modalities[name].is_symbols else out

    @torch.no_grad()
    def encode(
        self, items: Mapping[str, Tensor], mask: Mapping[str, Tensor] | None = None
    ) -> Codes:
        """Return codes by MultiVae's ``encode`` with means; rows of one pattern go together.

        It tells neither variances nor shares: log-variances are 0 and shares even.
        """
        parts = self.modalities.items()
        symbols = frozenset(n for n, m in parts if m.is_symbols)
        shapes = {n: m.shape for n, m in parts}
        rows = rows_from(items, mask, shapes, symbols, torch.device("cpu"))
        self.model.eval()
        starts = torch.arange(len(rows)).split(CHUNK)
        return joined([self._codes(rows.take(index)) for index in starts])

    def _codes(self, rows: Rows) -> Codes:
        count, width = len(rows), self.settings.shared
        shared = torch.zeros(count, width)
        each = {name: torch.zeros(count, width) for name in self.names}
        private = {n: torch.zeros(count, self.settings.private) for n in self.names}
        there = torch.stack([rows.mask[name] for name in self.names], 1)
        for pattern in there.unique(dim=0):
            given = [n for n, held in zip(self.names, pattern.tolist(), strict=True) if held]
            if not given:
                continue
            index = (there == pattern).all(1).nonzero()[:, 0]
            inputs = self._inputs({n: rows.items[n][index] for n in given})
            found = self.model.encode(inputs, given, return_mean=True)
            shared[index] = found.z
            for name in given:
                alone = self.model.encode(inputs, [name], return_mean=True) if given[1:] else found
                each[name][index] = alone.z
                if self.settings.private:
                    private[name][index] = found.modalities_z[name]
        share = there.float() / there.sum(1, keepdim=True).clamp_min(1)
        weight = dict(zip(self.names, share.T, strict=True))
        own = private if self.settings.private else {}
        return Codes(shared, torch.zeros_like(shared), own, each, weight, dict(rows.mask))

    def decode(
        self, shared: Tensor, private: Mapping[str, Tensor] | None, to: list[str]
    ) -> dict[str, Tensor]:
        """Return items for codes by MultiVae's ``decode``; private codes default to the prior's."""
        found = {}
        for name in to:
            own = (private or {}).get(name)
            if own is None:
                own = torch.zeros(len(shared), self.settings.private)
            pairs = zip(shared.split(CHUNK), own.split(CHUNK), strict=True)
            found[name] = torch.cat([self._decoded(name, z, w) for z, w in pairs])
        return found

    def _decoded(self, name: str, z: Tensor, w: Tensor) -> Tensor:
        code = ModelOutput(z=z, one_latent_space=not self.settings.private, modalities_z={name: w})
        return self._items(name, self.model.decode(code, [name])[name])

    @torch.no_grad()
    def translate(
        self,
        items: Mapping[str, Tensor],
        to: str,
        *,
        style: Tensor | None,
        sample: bool,
        generator: torch.Generator | None,
    ) -> Tensor:
        """Return items by MultiVae's ``predict``; with a style, its private code is decoded."""
        self.model.eval()
        if style is not None and self.settings.private:
            codes = self.encode(items)
            own = self.encode({to: style}).private[to].expand(len(codes), -1)
            return self.decode(codes.shared, {to: own}, [to])[to]
        parts = []
        with torch.random.fork_rng(devices=[]):
            seed = seed_of(generator)
            torch.manual_seed(seed)
            # MMVAE+ draws the modality that a batch's codes come from out of numpy's global state
            np.random.seed(seed)  # noqa: NPY002
            for index in torch.arange(len(next(iter(items.values())))).split(CHUNK):
                inputs = self._inputs({n: x[index] for n, x in items.items()})
                out = self.model.predict(inputs, list(items), to, return_mean=not sample)
                parts.append(self._items(to, out[to]))
        return torch.cat(parts)


class WithMixture:
    """A peer that translates by Isthmus's joint mixture of its codes.

    Parameters
    ----------
    peer
        The model.
    mixture
        Fitted to its codes.
    """

    def __init__(self, peer: MultiVaePeer, mixture: JointMixture) -> None:
        self.peer, self.mixture = peer, mixture
        self.names, self.encode, self.decode = peer.names, peer.encode, peer.decode

    def translate(
        self,
        items: Mapping[str, Tensor],
        to: str,
        *,
        style: Tensor | None,
        sample: bool,
        generator: torch.Generator | None,
    ) -> Tensor:
        """Return items for draws from the mixture's conditional, or for its likeliest mean."""
        seed = seed_of(generator)
        found: Any = translations(
            self.peer, self.mixture, items, to, samples=int(sample), style=style, seed=seed
        )
        return found.items[:, 0]


def seed_of(generator: torch.Generator | None) -> int:
    """Return a seed drawn from a generator; 0 where there is none."""
    return 0 if generator is None else int(torch.randint(2**31 - 1, (), generator=generator))
