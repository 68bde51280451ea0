"""latent-sae (enjalot): ``cfg.json`` with ``sae_type``, and ``sae.safetensors``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

import numpy as np

from isthmus.models.foreign import folding
from isthmus.models.foreign.layout import ReadOptions, unsupported
from isthmus.models.foreign.record import Imported, Source
from isthmus.models.foreign.settings import Settings, peek
from isthmus.models.foreign.sparsify import CONFIG, WEIGHTS, linear_parts
from isthmus.models.foreign.weights import Weights, open_safetensors

__all__ = ["LatentSAE"]

_BASE = ("encoder.weight", "encoder.bias", "W_dec", "b_dec", "input_mean")
_REFUSED = MappingProxyType(
    {
        "gated": "it ranks gates and multiplies by their sigmoid, with a second encoder: not the "
        "published gated model",
        "lista": "its encoder lets latents inhibit each other through the decoder",
        "cosine": "its scores depend on the sample's norm to a power",
    }
)


def _topk(model: Imported, settings: Settings, weights: Weights) -> Imported:
    weights.only(*_BASE)
    return model


def _batchtopk(model: Imported, settings: Settings, weights: Weights) -> Imported:
    """Keep what reaches the threshold, and of that at most k: so this library encodes."""
    weights.only(*_BASE, "batchtopk_threshold")
    threshold = np.full(model.latents, weights.scalar("batchtopk_threshold"))
    return replace(
        model,
        kind="batchtopk",
        threshold_N=folding.reaching(threshold),
        mean_k=float(model.k or 0),
    ).noting(f"outside training latent-sae keeps at most {model.k} latents beside the threshold")


def _abstopk(model: Imported, settings: Settings, weights: Weights) -> Imported:
    weights.only(*_BASE)
    return replace(model, kind="abstopk")


def _jumprelu(model: Imported, settings: Settings, weights: Weights) -> Imported:
    """Keep what exceeds the thresholds, up to a limit: 4 k in versions without a setting for it."""
    weights.only(*_BASE, "log_threshold")
    threshold = np.exp(weights.wide("log_threshold", model.latents))
    most = settings.integer("jumprelu_max_active", 4 * (model.k or 0))
    model = replace(model, kind="jumprelu", k=None, threshold_N=folding.non_negative(threshold))
    if most >= model.latents:
        return model
    return replace(model, k=most).noting(
        f"latent-sae keeps at most {most} latents beside the thresholds"
    )


def _matryoshka(model: Imported, settings: Settings, weights: Weights) -> Imported:
    """Keep the k of the largest level: so this library encodes, BatchTopK or not."""
    weights.only(*_BASE, "batchtopk_threshold")
    sizes = _listed(settings, "matryoshka_sizes")
    return replace(
        model, k=_listed(settings, "matryoshka_ks")[-1], kind="topk", prefixes=sizes
    ).noting("a Matryoshka dictionary, encoded by the TopK of its largest level")


def _listed(settings: Settings, name: str) -> tuple[int, ...]:
    parts = [part.strip() for part in settings.text(name).split(",") if part.strip()]
    if not parts or not all(part.isdecimal() and len(part) < 12 for part in parts):
        raise settings.wrong(name, "whole numbers with commas between")
    return tuple(int(part) for part in parts)


_FINISHERS: Mapping[str, Callable[[Imported, Settings, Weights], Imported]] = MappingProxyType(
    {
        "topk": _topk,
        "abstopk": _abstopk,
        "batchtopk": _batchtopk,
        "jumprelu": _jumprelu,
        "matryoshka": _matryoshka,
    }
)


@dataclass(frozen=True)
class LatentSAE:
    """Reads what ``Sae.save_to_disk`` wrote since it knows several types."""

    name: str = "latent-sae"
    """The layout's name."""
    files: str = f"{CONFIG} with sae_type, and {WEIGHTS}"
    """The files by which it is known."""

    def find(self, path: Path) -> Path | None:
        """Return the folder that holds the two files."""
        folder = path.parent if path.name in {WEIGHTS, CONFIG} else path
        ours = (folder / WEIGHTS).is_file() and "sae_type" in peek(folder / CONFIG)
        return folder if ours else None

    def read(self, place: Path, options: ReadOptions) -> Imported:
        """Read the folder."""
        settings = Settings.read(place / CONFIG)
        kind = settings.text("sae_type", "topk").lower().removeprefix("saetype.")
        if kind not in _FINISHERS:
            why = _REFUSED.get(kind, f"known are {', '.join(sorted(_FINISHERS))}")
            raise unsupported(settings.path, f"the type {kind!r} of latent-sae", why)
        if settings.flag("use_skip", False):
            raise unsupported(
                settings.path,
                "a model with 'use_skip'",
                "it adds a dense linear map of its input to the reconstruction",
            )
        weights = open_safetensors(place / WEIGHTS, options.limit)
        model = linear_parts(
            settings, weights, Source("latent-sae", kind, place), "topk", settings.integer("k")
        )
        return _FINISHERS[kind](_centred(model, settings, weights), settings, weights)


def _centred(model: Imported, settings: Settings, weights: Weights) -> Imported:
    """Fold a mean that is taken from the samples and given back: it joins the pre-bias."""
    if not settings.flag("mean_center", False):
        return model
    mean = weights.wide("input_mean", model.dim)
    return replace(model, pre_bias_D=(model.pre_bias_D + mean).astype(np.float32))
