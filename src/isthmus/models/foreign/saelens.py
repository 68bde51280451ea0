"""SAELens: ``cfg.json`` and ``sae_weights.safetensors`` (sae-lens 3 to 6)."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

import numpy as np

from isthmus.errors import DataError
from isthmus.models.foreign import folding
from isthmus.models.foreign.layout import ReadOptions, stored_note, unsupported
from isthmus.models.foreign.record import Imported, Kind, Source
from isthmus.models.foreign.settings import Settings
from isthmus.models.foreign.weights import Weights, open_safetensors

__all__ = ["SAELens"]

CONFIG, WEIGHTS = "cfg.json", "sae_weights.safetensors"
SCALER, WHITENING = "activation_scaler.json", "activation_whitening.safetensors"
LAYER_EPSILON = 1e-5
_BASE = ("W_enc", "W_dec", "b_dec", "scaling_factor")


@dataclass(frozen=True)
class _Parts:
    """What a builder works from."""

    settings: Settings
    """The configuration."""
    weights: Weights
    """The arrays."""
    base: Imported
    """Encoder, decoder and pre-bias; the rest is not set yet."""

    def vector(self, name: str) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
        """Return an array of one number for each latent."""
        return self.weights.take(name, self.base.latents)


def _relu(parts: _Parts) -> Imported:
    parts.weights.only(*_BASE, "b_enc")
    return replace(parts.base, bias_N=parts.vector("b_enc"))


def _topk(parts: _Parts) -> Imported:
    parts.weights.only(*_BASE, "b_enc")
    return _norms_folded(
        replace(parts.base, bias_N=parts.vector("b_enc"), kind=_topk_kind(parts), k=_k(parts)),
        _ranked_by_norm(parts.settings, parts.base),
    )


def _topk_kind(parts: _Parts) -> Kind:
    return "abstopk" if parts.base.source.architecture == "abstopk" else "topk"


def _k(parts: _Parts) -> int:
    old = parts.settings.part("activation_fn_kwargs")
    return (old if old.has("k") else parts.settings).integer("k")


def _jumprelu(parts: _Parts) -> Imported:
    parts.weights.only(*_BASE, "b_enc", "threshold", "log_threshold")
    if parts.weights.has("log_threshold") and not parts.weights.has("threshold"):
        threshold = np.exp(parts.vector("log_threshold").astype(np.float64))
    else:
        threshold = parts.vector("threshold").astype(np.float64)
    return replace(
        parts.base,
        bias_N=parts.vector("b_enc"),
        kind="jumprelu",
        threshold_N=folding.non_negative(threshold),
    )


def _batchtopk(parts: _Parts) -> Imported:
    """Read a checkpoint of training; the finished model is saved as a ``jumprelu``."""
    parts.weights.only(*_BASE, "b_enc", "topk_threshold")
    folded = _norms_folded(
        replace(parts.base, bias_N=parts.vector("b_enc")),
        _ranked_by_norm(parts.settings, parts.base),
    )
    # the threshold is of activations as they are ranked: after the norms are folded
    threshold = np.full(folded.latents, parts.weights.scalar("topk_threshold"))
    prefixes = parts.settings.integers("matryoshka_widths")
    nested = parts.base.source.architecture.startswith("matryoshka")
    return replace(
        folded,
        kind="matryoshka" if nested else "batchtopk",
        threshold_N=folding.non_negative(threshold),
        mean_k=parts.settings.number("k", 100.0),
        prefixes=prefixes if nested else (),
    )


def _gated(parts: _Parts) -> Imported:
    parts.weights.only(*_BASE, "b_gate", "b_mag", "r_mag")
    factor = np.exp(parts.vector("r_mag"))
    magnitude = parts.vector("b_mag")
    return replace(
        parts.base,
        encoder_ND=parts.base.encoder_ND * factor[:, None],
        bias_N=magnitude,
        kind="gated",
        threshold_N=folding.gate_threshold(factor, parts.vector("b_gate"), magnitude),
    ).noting("the gate is folded into a threshold for each latent; only ties could differ")


_BUILDERS: Mapping[str, Callable[[_Parts], Imported]] = MappingProxyType(
    {
        "standard": _relu,
        "topk": _topk,
        "abstopk": _topk,
        "jumprelu": _jumprelu,
        "batchtopk": _batchtopk,
        "matryoshka_batchtopk": _batchtopk,
        "gated": _gated,
    }
)
_NORMALISE_NAMES = {True: "expected_average_only_in", False: "none", None: "none"}


@dataclass(frozen=True)
class SAELens:
    """Reads what ``SAE.save_model`` wrote, checkpoints of training included."""

    name: str = "saelens"
    """The layout's name."""
    files: str = f"{CONFIG} and {WEIGHTS}"
    """The files by which it is known."""

    def find(self, path: Path) -> Path | None:
        """Return the folder that holds the two files."""
        folder = path.parent if path.name in {WEIGHTS, CONFIG} else path
        return folder if (folder / WEIGHTS).is_file() else None

    def read(self, place: Path, options: ReadOptions) -> Imported:
        """Read the folder: weights, choice of latents, then what is done to the samples."""
        settings = Settings.read(place / CONFIG)
        architecture = _architecture(settings)
        weights = open_safetensors(place / WEIGHTS, options.limit)
        base = _base(settings, weights, Source("SAELens", architecture, place))
        model = _BUILDERS[architecture](_Parts(settings, weights, base))
        model = _finetuned(model, settings, weights)
        if not settings.flag("apply_b_dec_to_input", True):
            model = folding.of_unshifted_input(model)
        return _normalised(model, settings, place, options)


def _architecture(settings: Settings) -> str:
    """Return the architecture; before version 6 it could stand in the activation's name."""
    name = settings.text("architecture", "standard")
    activation = settings.text("activation_fn", settings.text("activation_fn_str", "relu"))
    if activation == "topk":
        name = "topk"
    elif activation != "relu":
        raise unsupported(
            settings.path, f"an SAE with the activation {activation!r}", "only relu and topk are"
        )
    if name not in _BUILDERS:
        raise unsupported(
            settings.path,
            f"the architecture {name!r}",
            f"known are {', '.join(sorted(_BUILDERS))}",
        )
    return name


def _base(settings: Settings, weights: Weights, source: Source) -> Imported:
    dim, latents = weights.shape("W_enc", 2)
    settings.same("d_in", dim)
    settings.same("d_sae", latents)
    notes = list(stored_note(weights, "W_enc"))
    if settings.text("reshape_activations", "none") != "none":
        notes.append("SAELens joins the heads of an attention layer; give samples already joined")
    return Imported(
        encoder_ND=weights.turned("W_enc", dim, latents),
        bias_N=np.zeros(latents, np.float32),
        decoder_ND=weights.take("W_dec", latents, dim),
        pre_bias_D=weights.take("b_dec", dim),
        kind="relu",
        source=replace(source, stored=weights.stored("W_enc")),
        notes=tuple(notes),
    )


def _ranked_by_norm(settings: Settings, model: Imported) -> bool:
    """Say whether activations count times the norms of the decoder's rows."""
    trained = "batchtopk" in model.source.architecture
    return settings.flag("rescale_acts_by_decoder_norm", trained)


def _norms_folded(model: Imported, asked: bool) -> Imported:
    if not asked:
        return model
    norms = np.sqrt(np.einsum("nd,nd->n", model.decoder_ND, model.decoder_ND, dtype=np.float64))
    if not norms.all():
        raise DataError(
            "the activations are scaled by the decoder's norms, and one of them is 0",
            where=str(model.source.path),
            why=f"latent {int(np.argmin(norms))}",
            fix="copy the checkpoint again",
        )
    return folding.with_scaled_latents(model, norms)


def _finetuned(model: Imported, settings: Settings, weights: Weights) -> Imported:
    """Fold the factors that versions 3 to 5 applied to activations when decoding."""
    if not weights.has("scaling_factor"):
        return model
    factor = weights.take("scaling_factor", model.latents)
    if np.allclose(factor, 1):
        return model
    if not settings.flag("finetuning_scaling_factor", False):
        raise settings.wrong("finetuning_scaling_factor", "true: the weights hold such factors")
    return replace(model, decoder_ND=model.decoder_ND * factor[:, None]).noting(
        "the fine-tuned factors of the activations are folded into the decoder"
    )


def _normalised(model: Imported, settings: Settings, place: Path, options: ReadOptions) -> Imported:
    value = settings.values.get("normalize_activations")
    plain = value is None or isinstance(value, bool)
    way = _NORMALISE_NAMES[value] if plain else settings.text("normalize_activations")
    if way not in _NORMALISERS:
        raise unsupported(
            settings.path,
            f"an SAE that normalises its input by {way!r}",
            f"known are {', '.join(sorted(_NORMALISERS))}",
        )
    return _NORMALISERS[way](model, settings, place, options)


def _as_it_is(model: Imported, settings: Settings, place: Path, options: ReadOptions) -> Imported:
    return model


def _by_layer(model: Imported, settings: Settings, place: Path, options: ReadOptions) -> Imported:
    """Fold the sample variance (D - 1) that SAELens divides by into the population's (D)."""
    return folding.of_sample_variance(model, LAYER_EPSILON)


def _by_norm(model: Imported, settings: Settings, place: Path, options: ReadOptions) -> Imported:
    """Fold the norm sqrt(D) that SAELens gives each sample into the norm 1."""
    return replace(folding.of_scaled_input(model, math.sqrt(model.dim)), normalise="unit")


def _by_average(model: Imported, settings: Settings, place: Path, options: ReadOptions) -> Imported:
    """Fold the scale of the data where a checkpoint of training holds it."""
    if (place / SCALER).is_file():
        scaler = Settings.read(place / SCALER)
        if scaler.has("scaling_factor"):
            factor = scaler.number("scaling_factor")
            if factor <= 0:
                raise scaler.wrong("scaling_factor", "above 0")
            model = folding.of_scaled_input(model, factor)
            if not _ranked_by_norm(settings, model):
                return model
            # the rows keep the norm 1 that they were given: activations in the data's units
            return folding.with_scaled_latents(model, np.full(model.latents, 1 / factor))
    return model.noting(
        "SAELens scaled the data of training by one number, which these files don't hold; "
        "nothing is applied, as SAELens does when it loads them"
    )


def _by_covariance(
    model: Imported, settings: Settings, place: Path, options: ReadOptions
) -> Imported:
    """Fold the whitening of the data where a checkpoint of training holds it."""
    if not (place / WHITENING).is_file():
        return model.noting(
            "SAELens whitened the data of training by a matrix that these files don't hold; "
            "nothing is applied, as SAELens does when it loads them"
        )
    held = open_safetensors(place / WHITENING, options.limit)
    square = model.dim, model.dim
    return folding.of_whitened_input(
        model,
        held.wide("mean", model.dim),
        held.wide("matrix", *square),
        held.wide("inverse_matrix", *square),
    )


_Normaliser = Callable[[Imported, Settings, Path, ReadOptions], Imported]
_NORMALISERS: Mapping[str, _Normaliser] = MappingProxyType(
    {
        "none": _as_it_is,
        "layer_norm": _by_layer,
        "constant_norm_rescale": _by_norm,
        "expected_average_only_in": _by_average,
        "covariance_whitening": _by_covariance,
    }
)
