"""A modality, described once: its shape, its network, its likelihood, its weight."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from isthmus.configs import by_name, from_json
from isthmus.errors import ConfigError
from isthmus.likelihoods import LIKELIHOODS, Cosine, Gaussian, Likelihood
from isthmus.likelihoods.symbols import Symbols
from isthmus.networks import MLP, NETWORKS, Network
from isthmus.networks.char_conv import CharConv
from isthmus.networks.conv_norm import ConvNorm

if TYPE_CHECKING:
    from isthmus.data.modalities.base import Adapter

__all__ = [
    "MODALITY_LIKELIHOODS",
    "MODALITY_NETWORKS",
    "Modality",
    "balanced",
    "modality_from",
    "modality_of",
]

MODALITY_NETWORKS: dict[str, type[Network]] = NETWORKS | by_name(ConvNorm, CharConv)
MODALITY_LIKELIHOODS: dict[str, type[Likelihood]] = LIKELIHOODS | by_name(Symbols)
_MARKS = frozenset("./+>")
"""What stands between names: in keys of weights, in directions, in paths."""
MOST = 50.0
"""Largest weight that balancing gives: a text of few characters is never worth a whole picture."""


@dataclass(frozen=True)
class Modality:
    """One modality of a model."""

    name: str
    """What it is called, in commands and tables."""
    shape: tuple[int, ...]
    """Shape of one transformed item: (1, 28, 28), (1, 40, 64), (length,) of symbols, (size,)."""
    network: Network | None = None
    """Its two halves; None: the user's own modules, given to the model."""
    likelihood: Likelihood = field(default_factory=lambda: Gaussian("optimal"))
    """How its output is held against its items."""
    weight: float = 1.0
    """What its likelihood is multiplied with, on top of the balance between modalities."""
    private: int = 16
    """Width of its own code (style, voice), in models that have such."""

    def __post_init__(self) -> None:
        if not self.name or _MARKS & set(self.name) or self.name != self.name.strip():
            raise ConfigError(f"a modality can't be called {self.name!r}", fix="use a plain word")
        object.__setattr__(self, "shape", tuple(int(size) for size in self.shape))
        if not self.shape or min(self.shape) < 1:
            raise ConfigError(f"items of {self.name!r} can't have the shape {self.shape}")
        if self.weight < 0 or not math.isfinite(self.weight) or self.private < 0:
            raise ConfigError(
                "weight and private can't be negative",
                where=f"{self.name}: weight={self.weight}, private={self.private}",
            )

    @property
    def terms(self) -> int:
        """Number of loss terms of an item: values, or characters."""
        return math.prod(self.shape)

    @property
    def is_symbols(self) -> bool:
        """Whether items are whole numbers, symbols of a text."""
        return isinstance(self.likelihood, Symbols)


def balanced(modalities: Sequence[Modality]) -> dict[str, float]:
    """Return what each modality's likelihood, in nats an item, is multiplied with.

    ``lambda_m = weight_m min(D_max / D_m, 50)``: a modality of few values is not drowned by one
    of many. ``D`` counts loss terms, characters and never characters times alphabet.

    Sources: Shi et al., arXiv:1911.03393; MultiVae's default.

    Examples
    --------
    >>> image, sound = Modality("image", (1, 28, 28)), Modality("audio", (1, 40, 64))
    >>> {k: round(v, 2) for k, v in balanced([image, sound, Modality("text", (8,))]).items()}
    {'image': 3.27, 'audio': 1.0, 'text': 50.0}
    """
    most = max(m.terms for m in modalities)
    return {m.name: m.weight * min(most / m.terms, MOST) for m in modalities}


def modality_of(adapter: Adapter, **settings: Any) -> Modality:
    """Return what suits the items of an adapter, with some fields changed.

    Pictures and sounds get convolutions and a normal likelihood of optimal variance, texts
    convolutions over characters, vectors and sentences fully connected halves.

    Parameters
    ----------
    adapter
        The fitted adapter.
    settings
        Fields of :class:`Modality` that are to be others.
    """
    maker = _KINDS.get(adapter.kind)
    if maker is None:
        raise ConfigError(
            f"no network is known for items of kind {adapter.kind!r}",
            fix="describe them: Modality(name, shape, network, likelihood)",
        )
    network, likelihood, private = maker(adapter)
    values: dict[str, Any] = {"network": network, "likelihood": likelihood, "private": private}
    return Modality(adapter.name, tuple(adapter.shape), **(values | settings))


def _image(adapter: Any) -> tuple[Network, Likelihood, int]:
    if min(adapter.shape[1:]) < 8:
        return MLP((256, 128)), Gaussian("optimal", "sigmoid"), 16
    return ConvNorm((16, 32, 64), (64, 32)), Gaussian("optimal", "sigmoid"), 16


def _audio(adapter: Any) -> tuple[Network, Likelihood, int]:
    # a mean over time: what was said does not depend on when
    network = ConvNorm((16, 32, 64, 128), (64, 32, 16), pool="mean")
    return network, Gaussian("optimal"), 32


def _text(adapter: Any) -> tuple[Network, Likelihood, int]:
    # a word of its own window has no style; a template does
    return CharConv(), Symbols(adapter.symbols), 0 if adapter.shape[0] <= 8 else 8


def _vector(adapter: Any) -> tuple[Network, Likelihood, int]:
    return MLP((256, 256), "GELU"), Gaussian("optimal"), 16


def _sentence(adapter: Any) -> tuple[Network, Likelihood, int]:
    return MLP((256, 256), "GELU"), Cosine(), 16


_KINDS = {
    "image": _image,
    "audio": _audio,
    "text": _text,
    "vector": _vector,
    "sentence": _sentence,
}


def modality_from(config: Mapping[str, Any]) -> Modality:
    """Build a modality from what ``to_json`` wrote.

    Raises
    ------
    ConfigError
        If a part is unknown or has a setting that doesn't fit.
    """
    network = config["network"]
    return Modality(
        str(config["name"]),
        tuple(int(size) for size in config["shape"]),
        None if network is None else from_json(network, MODALITY_NETWORKS),
        from_json(config["likelihood"], MODALITY_LIKELIHOODS),
        float(config["weight"]),
        int(config["private"]),
    )
