"""Presets: names for useful combinations of network, bottleneck, likelihood and training."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from isthmus.bottlenecks import (
    FSQ,
    L1,
    VQ,
    BatchTopK,
    Bottleneck,
    Contractive,
    Gaussian,
    KLSparse,
    Plain,
    TopK,
)
from isthmus.configs import validated
from isthmus.errors import ConfigError
from isthmus.likelihoods import LIKELIHOODS, MSE, Bernoulli, Likelihood
from isthmus.likelihoods import Gaussian as GaussianLikelihood
from isthmus.models.autoencoder import Autoencoder
from isthmus.models.corruption import CORRUPTIONS, Masking, Noise
from isthmus.networks import MLP, NETWORKS, Conv, Linear, Network

__all__ = ["PRESETS", "Preset", "preset"]


@dataclass(frozen=True)
class Preset:
    """A combination that is known to work, and what it is for."""

    name: str
    """The name on the command line."""
    summary: str
    """What it is, in a line."""
    network: Network
    """The two halves."""
    bottleneck: Bottleneck
    """The waist."""
    likelihood: Likelihood = field(default_factory=MSE)
    """The comparison of output with input; "MSE" and "Gaussian" squash the output into [0, 1]
    where the data are known to lie there."""
    corruption: Masking | Noise | None = None
    """What is done to the input while training."""
    training: Mapping[str, Any] = field(default_factory=dict)
    """Training settings that differ from the defaults."""

    def with_settings(self, settings: Mapping[str, Any]) -> tuple[Preset, dict[str, Any]]:
        """Return this preset with its parts changed, and the settings that no part has.

        Parameters
        ----------
        settings
            Field names of the parts, such as ``latent`` or ``hidden``; and ``network``,
            ``likelihood`` and ``corruption``, which swap a whole part by name.

        Raises
        ------
        ConfigError
            If a value doesn't fit its field, or a part's name is unknown.
        """
        rest = dict(settings)
        parts: dict[str, Any] = {}
        for name, kinds in _PARTS.items():
            part = getattr(self, name)
            if name in rest:
                part = _swapped(name, rest.pop(name), kinds)
            if part is not None:
                own = {f.name for f in dataclasses.fields(part)} & set(rest)
                part = _changed(part, {key: rest.pop(key) for key in own})
            parts[name] = part
        return dataclasses.replace(self, **parts), rest

    def model(
        self,
        shape: tuple[int, ...],
        value_range: tuple[float, float] | None = None,
        seed: int = 0,
    ) -> Autoencoder:
        """Build the model for samples of ``shape``.

        Parameters
        ----------
        value_range
            (0, 1) where the model's inputs are sure to lie there: the output is then squashed
            into that range.
        """
        return Autoencoder(
            shape,
            self.network,
            self.bottleneck,
            # a linear model stays linear to its end: only so does it span PCA's subspace
            self.likelihood
            if isinstance(self.network, Linear)
            else _squashed(self.likelihood, value_range),
            self.corruption,
            seed=seed,
        )


_PARTS: dict[str, Mapping[str, type[Any]]] = {
    "network": NETWORKS,
    "bottleneck": {},
    "likelihood": LIKELIHOODS,
    "corruption": CORRUPTIONS,
}


def _changed(part: Any, settings: Mapping[str, Any]) -> Any:
    if not settings:
        return part
    kept = {f.name: getattr(part, f.name) for f in dataclasses.fields(part)}
    if {"weight", "l0", "mean_activation"} & set(settings) and isinstance(part, L1):
        # one of the three is asked for: the preset's own choice among them gives way
        kept |= {"weight": None, "l0": None, "mean_activation": None}
    return validated(type(part), kept | dict(settings))


def _swapped(part: str, name: object, kinds: Mapping[str, type[Any]]) -> Any:
    known = {kind.lower(): cls for kind, cls in kinds.items()}
    if name is None or dataclasses.is_dataclass(name):
        return name
    if str(name).lower() not in known:
        raise ConfigError(f"no {part} {name!r}", why=f"known: {', '.join(known) or 'none'}")
    return known[str(name).lower()]()


def _squashed(likelihood: Likelihood, value_range: tuple[float, float] | None) -> Likelihood:
    if value_range == (0.0, 1.0) and isinstance(likelihood, MSE | GaussianLikelihood):
        return dataclasses.replace(likelihood, output="sigmoid")
    return likelihood


_WIDE = MLP(hidden=(512, 256), activation="GELU")
# the rates that did best on MNIST among 1e-3, 2e-3 and 3e-3 (benchmarks/README.md)
_FAST = {"lr": 2e-3}
_FASTER = {"lr": 3e-3}

PRESETS: tuple[Preset, ...] = (
    Preset("dense", "fully connected, 512-256-32 with GELU", _WIDE, Plain(32), training=_FAST),
    Preset("basic", "the first notes' autoencoder, 128-32 with ReLU", MLP((128,)), Plain(32)),
    Preset("deep", "the module's autoencoder, 256-128-32 with ReLU", MLP((256, 128)), Plain(32)),
    Preset("linear", "linear both ways: spans PCA's subspace", Linear(), Plain(32)),
    Preset(
        "conv", "convolutional, 32-64 channels at stride 2 to 32", Conv(), Plain(32), training=_FAST
    ),
    Preset(
        "denoising",
        "dense, trained to undo masking of 30 % of the input",
        _WIDE,
        Plain(32),
        corruption=Masking(),
    ),
    Preset("contractive", "dense, with a sigmoid code that moves little", _WIDE, Contractive(32)),
    Preset(
        "notes-l1",
        "the first notes' sparse autoencoder, 2c-c with a sigmoid code and an L1 charge",
        MLP((64,)),
        L1(32, weight=0.001, unit="sigmoid"),
    ),
    Preset(
        "notes-kl",
        "the module's sparse autoencoder, 256-64 with a KL charge, decoding the sigmoid code",
        MLP((256,)),
        KLSparse(64, target=0.05),
        training={"weight_decay": 1e-4},
    ),
    Preset(
        "sparse-l1",
        "dense, 8 of 64 latents active by a reweighted L1 charge",
        _WIDE,
        L1(64, l0=8),
        training=_FASTER,
    ),
    Preset(
        "sparse-kl",
        "dense, 64 sigmoid latents held at a mean activation of 0.05",
        _WIDE,
        KLSparse(64, target=0.05),
        training=_FASTER | {"weight_decay": 1e-4},
    ),
    Preset(
        "topk",
        "dense, the 8 largest of 64 latents in each sample",
        _WIDE,
        TopK(64, k=8),
        training=_FASTER,
    ),
    Preset(
        "batch-topk",
        "dense, 8 of 64 latents a sample on average",
        _WIDE,
        BatchTopK(64, k=8),
        training=_FASTER,
    ),
    Preset(
        "vae",
        "variational: 400-20 with a Bernoulli likelihood",
        MLP((400,)),
        Gaussian(20),
        Bernoulli(),
    ),
    Preset(
        "beta-vae",
        "variational with beta 4: fewer latents in use",
        MLP((400,)),
        Gaussian(20, beta=4.0),
        Bernoulli(),
    ),
    Preset(
        "gaussian-vae",
        "variational for real-valued data: Gaussian likelihood of learned variance",
        MLP((400,)),
        Gaussian(20),
        GaussianLikelihood(),
    ),
    Preset(
        "iwae",
        "variational, importance-weighted bound of 5 samples",
        MLP((400,)),
        Gaussian(20, samples=5, bound="iwae"),
        Bernoulli(),
    ),
    Preset("vq", "dense, 8 entries of a codebook of 256", _WIDE, VQ(32)),
    Preset("fsq", "dense, 32 latents of 5 levels", _WIDE, FSQ(32)),
)


def preset(name: str) -> Preset:
    """Return the preset of that name.

    Raises
    ------
    ConfigError
        If there is none; the message lists them and the nearest.
    """
    import difflib

    known = {p.name: p for p in PRESETS}
    if name not in known:
        near = difflib.get_close_matches(name, known, 1)
        raise ConfigError(
            f"no preset {name!r}" + (f"; did you mean {near[0]!r}?" if near else ""),
            why=f"known: {', '.join(known)}",
        )
    return known[name]
