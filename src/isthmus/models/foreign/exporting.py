"""Writing a dictionary so that SAELens and sentence-transformers load it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isthmus._version import __version__
from isthmus.errors import ConfigError, RunError
from isthmus.files import write_json, written_whole
from isthmus.models.foreign import folding
from isthmus.models.foreign.record import Imported, Kind

__all__ = ["Exported", "export_saelens", "export_sentence_transformers"]

_ARCHITECTURES: Mapping[Kind, str] = MappingProxyType(
    {
        "relu": "standard",
        "topk": "topk",
        "abstopk": "abstopk",
        "batchtopk": "jumprelu",
        "matryoshka": "jumprelu",
        "jumprelu": "jumprelu",
        "gated": "jumprelu",
    }
)
_SAELENS_FORMAT = "6.0.0"
_LAYER_EPSILON = 1e-5


@dataclass(frozen=True)
class Exported:
    """What was written."""

    folder: Path
    """Where."""
    notes: tuple[str, ...]
    """What the other library will compute differently, in sentences; empty: nothing."""


def export_saelens(model: Imported, folder: str | PathLike[str]) -> Exported:
    """Write ``cfg.json`` and ``sae_weights.safetensors`` for ``SAE.load_from_disk`` (sae-lens 6).

    Dictionaries with a threshold (BatchTopK, Matryoshka, JumpReLU, gated) become ``jumprelu``,
    as SAELens itself saves them.

    Raises
    ------
    ConfigError
        If SAELens has no architecture that chooses latents so.
    RunError
        If the folder is not empty, or can't be written.
    """
    if model.kind not in _ARCHITECTURES or (model.threshold_N is not None and model.k is not None):
        raise ConfigError(
            f"SAELens has no architecture that chooses latents by {_choice(model)}",
            where=str(model.source.path),
            fix="train a TopK, BatchTopK, JumpReLU or L1 dictionary to export",
        )
    place = _empty_folder(folder)
    theirs, notes = _sample_variance(model)
    way = {"none": "none", "layer": "layer_norm", "unit": "constant_norm_rescale"}
    if model.normalise == "unit":
        theirs = folding.of_scaled_input(theirs, 1 / math.sqrt(model.dim))
    architecture = _ARCHITECTURES[model.kind]
    tensors = {
        "W_enc": theirs.encoder_ND.T,
        "W_dec": theirs.decoder_ND,
        "b_enc": theirs.bias_N,
        "b_dec": theirs.pre_bias_D,
    }
    extra: dict[str, Any] = {}
    if architecture == "jumprelu":
        edge = theirs.threshold_N
        tensors["threshold"] = np.zeros_like(theirs.bias_N) if edge is None else edge
    if architecture in {"topk", "abstopk"}:
        extra = {"k": theirs.k, "rescale_acts_by_decoder_norm": False}
    _write_tensors(place / "sae_weights.safetensors", tensors)
    write_json(
        place / "cfg.json",
        {
            "architecture": architecture,
            "d_in": model.dim,
            "d_sae": model.latents,
            "dtype": "float32",
            "device": "cpu",
            "apply_b_dec_to_input": True,
            "normalize_activations": way[model.normalise],
            "reshape_activations": "none",
            **extra,
            "metadata": {
                "sae_lens_version": _SAELENS_FORMAT,
                "sae_lens_training_version": None,
                "trained_with": f"isthmus {__version__}"
                if model.source.library == "isthmus"
                else model.source.library,
            },
        },
    )
    return Exported(place, notes)


def export_sentence_transformers(
    model: Imported, folder: str | PathLike[str], *, k: int | None = None
) -> Exported:
    """Write a folder that sentence-transformers' ``SparseAutoEncoder.load`` reads.

    Its codes are this dictionary's. Its decoder is always the transposed encoder, so that what
    *it* decodes differs where the dictionary is not tied; it decodes in training only.

    Parameters
    ----------
    model
        The dictionary: one that keeps the k largest, or rectifies (k is then all latents).
    k
        Latents that a sample keeps there; by default as here. Needed for a dictionary with a
        threshold, which that module can't apply: its codes then differ, and the notes say so.

    Raises
    ------
    ConfigError
        If latents are chosen by a threshold and no ``k`` is given, or by sign or group.
    RunError
        If the folder is not empty, or can't be written.
    """
    if model.kind in {"abstopk", "groupmax"}:
        raise ConfigError(
            f"sentence-transformers can't choose latents by {_choice(model)}",
            fix="train a TopK dictionary to export",
        )
    if model.threshold_N is not None and k is None:
        raise ConfigError(
            f"sentence-transformers keeps the k largest, and can't choose by {_choice(model)}",
            fix="say k=...: about the dictionary's mean number of active latents",
        )
    kept = k or model.k or model.latents
    if not 1 <= kept <= model.latents:
        raise ConfigError(f"k = {kept} does not fit {model.latents} latents")
    place = _empty_folder(folder)
    theirs, notes = _sample_variance(model)
    if model.normalise == "unit":
        notes += ("put a Normalize module before it: this dictionary reads samples of norm 1",)
    if model.threshold_N is not None:
        notes += (f"the {kept} largest are kept there, here what exceeds a threshold",)
    if not np.array_equal(theirs.encoder_ND, theirs.decoder_ND):
        notes += ("it decodes by the transposed encoder; decode its codes with this dictionary",)
    _write_tensors(
        place / "model.safetensors",
        {
            "encoder.weight": theirs.encoder_ND,
            "latent_bias": theirs.bias_N,
            "pre_bias": theirs.pre_bias_D,
            "stats_last_nonzero": np.zeros(model.latents, np.int64),
        },
    )
    config = {
        "input_dim": model.dim,
        "hidden_dim": model.latents,
        "k": kept,
        "k_aux": min(512, model.latents),
        "normalize": model.normalise == "layer",
        "dead_threshold": 30,
    }
    write_json(place / "config.json", config)
    return Exported(place, notes)


def _choice(model: Imported) -> str:
    """Say how latents are chosen, for messages."""
    words = {"groupmax": "the largest of each group", "abstopk": "magnitude, with a sign"}
    if model.kind in words:
        return words[model.kind]
    return "a threshold" if model.k is None else "a threshold and a largest number at once"


def _sample_variance(model: Imported) -> tuple[Imported, tuple[str, ...]]:
    """Turn ``layer`` into what both libraries do: divide by the sample's std + 1e-5."""
    if model.normalise != "layer":
        return model, ()
    factor = math.sqrt((model.dim - 1) / model.dim)
    theirs = replace(folding.of_scaled_input(model, 1 / factor), epsilon=model.epsilon / factor)
    if math.isclose(theirs.epsilon, _LAYER_EPSILON, rel_tol=1e-6):
        return theirs, ()
    return theirs, (
        f"samples are divided by their standard deviation plus {_LAYER_EPSILON:g} there, "
        f"plus {theirs.epsilon:g} here: codes differ by a share of about "
        f"{abs(_LAYER_EPSILON - theirs.epsilon):.2g} over that deviation",
    )


def _empty_folder(folder: str | PathLike[str]) -> Path:
    """Make the folder; refuse one that holds something, whose files would be mixed up."""
    place = Path(folder)
    try:
        place.mkdir(parents=True, exist_ok=True)
        held = next(place.iterdir(), None)
    except OSError as error:
        raise RunError(
            "the folder can't be made", where=str(place), why=error.strerror or str(error)
        ) from error
    if held is not None:
        raise RunError(
            "the folder to export to is not empty",
            where=str(held),
            fix="give a new folder",
        )
    return place


def _write_tensors(path: Path, tensors: Mapping[str, NDArray[Any]]) -> None:
    from safetensors.numpy import save_file

    whole = {name: np.ascontiguousarray(values) for name, values in tensors.items()}
    with written_whole(path) as temporary:
        save_file(whole, temporary, metadata={"format": "pt"})
