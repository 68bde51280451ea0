"""dictionary_learning: ``config.json`` and ``ae.pt``, a pickle that is read only when asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

import numpy as np

from isthmus.errors import DataError
from isthmus.models.foreign import folding
from isthmus.models.foreign.layout import ReadOptions, stored_note, unsupported
from isthmus.models.foreign.pickled import open_pt
from isthmus.models.foreign.record import Imported, Source
from isthmus.models.foreign.settings import Settings, peek
from isthmus.models.foreign.weights import Weights

__all__ = ["DictionaryLearning"]

CONFIG, WEIGHTS = "config.json", "ae.pt"
_LINEAR = ("encoder.weight", "decoder.weight")


def _by_layers(weights: Weights, source: Source, pre_bias: str, bias: str | None) -> Imported:
    """Return a model of two ``nn.Linear``: the decoder stands as (D, N)."""
    latents, dim = weights.shape("encoder.weight", 2)
    return Imported(
        encoder_ND=weights.take("encoder.weight", latents, dim),
        bias_N=np.zeros(latents, np.float32) if bias is None else weights.take(bias, latents),
        decoder_ND=weights.turned("decoder.weight", dim, latents),
        pre_bias_D=weights.take(pre_bias, dim),
        kind="relu",
        source=source,
        notes=stored_note(weights, "encoder.weight"),
    )


def _by_matrices(weights: Weights, source: Source) -> Imported:
    """Return a model of matrices that are multiplied from the right: the encoder as (D, N)."""
    dim, latents = weights.shape("W_enc", 2)
    return Imported(
        encoder_ND=weights.turned("W_enc", dim, latents),
        bias_N=weights.take("b_enc", latents),
        decoder_ND=weights.take("W_dec", latents, dim),
        pre_bias_D=weights.take("b_dec", dim),
        kind="relu",
        source=source,
        notes=stored_note(weights, "W_enc"),
    )


def _standard(weights: Weights, source: Source, trainer: Settings) -> Imported:
    weights.only(*_LINEAR, "encoder.bias", "bias")
    return _by_layers(weights, source, "bias", "encoder.bias")


def _standard_new(weights: Weights, source: Source, trainer: Settings) -> Imported:
    weights.only(*_LINEAR, "encoder.bias", "decoder.bias")
    return folding.of_unshifted_input(_by_layers(weights, source, "decoder.bias", "encoder.bias"))


def _topk(weights: Weights, source: Source, trainer: Settings) -> Imported:
    weights.only(*_LINEAR, "encoder.bias", "b_dec", "k", "threshold")
    model = _by_layers(weights, source, "b_dec", "encoder.bias")
    return replace(model, kind="topk", k=_k(weights, trainer))


def _batchtopk(weights: Weights, source: Source, trainer: Settings) -> Imported:
    weights.only(*_LINEAR, "encoder.bias", "b_dec", "k", "threshold")
    model = _by_layers(weights, source, "b_dec", "encoder.bias")
    return _thresholded(replace(model, kind="batchtopk"), weights, trainer)


def _matryoshka(weights: Weights, source: Source, trainer: Settings) -> Imported:
    weights.only("W_enc", "b_enc", "W_dec", "b_dec", "k", "threshold", "group_sizes")
    model = replace(_by_matrices(weights, source), kind="matryoshka")
    if weights.has("group_sizes"):
        (groups,) = weights.shape("group_sizes", 1)
        ends = np.cumsum(weights.take("group_sizes", groups))
        model = replace(model, prefixes=tuple(int(end) for end in ends))
    return _thresholded(model, weights, trainer)


def _thresholded(model: Imported, weights: Weights, trainer: Settings) -> Imported:
    threshold = weights.scalar("threshold")
    model = replace(
        model,
        threshold_N=folding.non_negative(np.full(model.latents, threshold)),
        mean_k=float(_k(weights, trainer)),
    )
    if threshold >= 0:
        return model
    return model.noting(
        "the threshold was never set in training (it is below 0): every positive activation "
        "counts, as the library encodes it"
    )


def _jumprelu(weights: Weights, source: Source, trainer: Settings) -> Imported:
    weights.only("W_enc", "b_enc", "W_dec", "b_dec", "threshold")
    model = folding.of_unshifted_input(_by_matrices(weights, source))
    threshold = weights.take("threshold", model.latents)
    return replace(model, kind="jumprelu", threshold_N=folding.non_negative(threshold))


def _gated(weights: Weights, source: Source, trainer: Settings) -> Imported:
    weights.only(*_LINEAR, "decoder_bias", "r_mag", "gate_bias", "mag_bias")
    model = _by_layers(weights, source, "decoder_bias", None)
    factor = np.exp(weights.take("r_mag", model.latents))
    magnitude, gate = (weights.take(name, model.latents) for name in ("mag_bias", "gate_bias"))
    return replace(
        model,
        encoder_ND=model.encoder_ND * factor[:, None],
        bias_N=magnitude,
        kind="gated",
        threshold_N=folding.gate_threshold(factor, gate, magnitude),
    ).noting("the gate is folded into a threshold for each latent; only ties could differ")


def _k(weights: Weights, trainer: Settings) -> int:
    """Return k, which must be the same in both files, as the library demands."""
    if not weights.has("k"):
        return trainer.integer("k")
    found = int(weights.scalar("k"))
    trainer.same("k", found)
    return found


_CLASSES: Mapping[str, Callable[[Weights, Source, Settings], Imported]] = MappingProxyType(
    {
        "AutoEncoder": _standard,
        "AutoEncoderNew": _standard_new,
        "GatedAutoEncoder": _gated,
        "AutoEncoderTopK": _topk,
        "BatchTopKSAE": _batchtopk,
        "MatryoshkaBatchTopKSAE": _matryoshka,
        "JumpReluAutoEncoder": _jumprelu,
    }
)


@dataclass(frozen=True)
class DictionaryLearning:
    """Reads what its ``trainSAE`` wrote: ``ae.pt``, or a checkpoint ``checkpoints/ae_N.pt``."""

    name: str = "dictionary_learning"
    """The layout's name."""
    files: str = f"{CONFIG} and {WEIGHTS}"
    """The files by which it is known."""

    def find(self, path: Path) -> Path | None:
        """Return the file of weights, if a configuration is with it."""
        if path.name == CONFIG:
            path = path.parent
        file = path / WEIGHTS if path.is_dir() else path
        named = file.suffix == ".pt" and file.is_file()
        return file if named and _config(file) is not None else None

    def read(self, place: Path, options: ReadOptions) -> Imported:
        """Read the file and the configuration that is with it."""
        config = _config(place)
        if config is None:
            raise DataError(
                f"the configuration that says what the weights are is missing: {CONFIG}",
                where=str(place),
                fix=f"copy {CONFIG} beside the weights",
            )
        trainer = Settings.read(config).part("trainer")
        kind = trainer.text("dict_class")
        if kind not in _CLASSES:
            raise unsupported(
                config, f"the class {kind!r}", f"known are {', '.join(sorted(_CLASSES))}"
            )
        weights = open_pt(place, options.limit, allow_pt=options.allow_pt).weights
        stored = weights.types.get("encoder.weight", weights.types.get("W_enc", "float32"))
        source = Source("dictionary_learning", kind, place, stored)
        model = _CLASSES[kind](weights, source, trainer)
        trainer.same("activation_dim", model.dim)
        trainer.same("dict_size", model.latents)
        return model


def _config(file: Path) -> Path | None:
    """Return the configuration beside the weights, or above a folder of checkpoints."""
    for folder in (file.parent, file.parent.parent):
        if "trainer" in peek(folder / CONFIG):
            return folder / CONFIG
    return None
