"""Dictionaries after OpenAI's sparse_autoencoder: its own, and sentence-transformers' CSR."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from isthmus.errors import DataError
from isthmus.models.foreign import folding
from isthmus.models.foreign.layout import ReadOptions, stored_note, unsupported
from isthmus.models.foreign.pickled import SUFFIXES, open_pt
from isthmus.models.foreign.record import Imported, Source
from isthmus.models.foreign.settings import Settings, peek
from isthmus.models.foreign.weights import Weights, open_safetensors

__all__ = ["OpenAI", "SentenceTransformers"]

CONFIG, MODULES = "config.json", "modules.json"
WEIGHTS, PICKLED = "model.safetensors", "pytorch_model.bin"
EPSILON = 1e-5
_STATISTICS = ("stats_last_nonzero", "latents_activation_frequency", "latents_mean_square")
_TIED = "decoder.linear.weight"


def _parts(weights: Weights, source: Source) -> Imported:
    """Return what both have; the decoder is its own (D, N), or the encoder where it is tied."""
    tied = _TIED if weights.has(_TIED) else None
    encoder = "encoder.weight" if weights.has("encoder.weight") else tied or "encoder.weight"
    latents, dim = weights.shape(encoder, 2)
    matrix = weights.take(encoder, latents, dim)
    if tied and (weights.take(tied, latents, dim) != matrix).any():
        raise DataError(
            "the decoder should be the encoder's own weights, and differs from them",
            where=f"{weights.path}, {tied}",
            fix="copy the checkpoint again",
        )
    own = weights.has("decoder.weight")
    return Imported(
        encoder_ND=matrix,
        bias_N=weights.take("latent_bias", latents),
        decoder_ND=weights.turned("decoder.weight", dim, latents) if own else matrix,
        pre_bias_D=weights.take("pre_bias", dim),
        kind="relu",
        source=replace(source, stored=weights.stored(encoder)),
        notes=stored_note(weights, encoder),
    )


@dataclass(frozen=True)
class SentenceTransformers:
    """Reads sentence-transformers' ``SparseAutoEncoder``: the module's folder or the model's."""

    name: str = "sentence-transformers"
    """The layout's name."""
    files: str = f"{CONFIG} with input_dim, hidden_dim and k, and {WEIGHTS}"
    """The files by which it is known."""

    def find(self, path: Path) -> Path | None:
        """Return the module's folder; a whole model's ``modules.json`` says which it is."""
        folder = path.parent if path.name in {CONFIG, WEIGHTS, PICKLED, MODULES} else path
        for module in _modules(folder):
            if str(module.get("type", "")).rpartition(".")[2] == "SparseAutoEncoder":
                folder = _inside(folder, module)
        ours = {"input_dim", "hidden_dim", "k"} <= peek(folder / CONFIG).keys()
        return folder if ours else None

    def read(self, place: Path, options: ReadOptions) -> Imported:
        """Read the module's folder."""
        settings = Settings.read(place / CONFIG)
        if (place / PICKLED).is_file() and not (place / WEIGHTS).is_file():
            weights = open_pt(place / PICKLED, options.limit, allow_pt=options.allow_pt).weights
        else:
            weights = open_safetensors(place / WEIGHTS, options.limit)
        weights.only("pre_bias", "latent_bias", "encoder.weight", _TIED, "stats_last_nonzero")
        model = _parts(weights, Source(self.name, "SparseAutoEncoder", place))
        settings.same("input_dim", model.dim)
        settings.same("hidden_dim", model.latents)
        model = replace(model, kind="topk", k=settings.integer("k"))
        if settings.flag("normalize", False):
            model = folding.of_sample_variance(model, EPSILON)
        before = [str(m.get("type", "")).rpartition(".")[2] for m in _before(place)]
        if not before:
            return model
        return model.noting(f"its samples are what these modules give: {', '.join(before)}")


def _modules(folder: Path) -> list[Mapping[str, Any]]:
    """Return the modules of a whole model; none where there is no such list."""
    file = folder / MODULES
    try:
        if not file.is_file() or file.stat().st_size > 1 << 20:
            return []
        listed = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return []
    return [m for m in listed if isinstance(m, dict)] if isinstance(listed, list) else []


def _inside(folder: Path, module: Mapping[str, Any]) -> Path:
    """Return a module's folder; never one outside the model's."""
    name = Path(str(module.get("path", "")))
    return folder if name.is_absolute() or ".." in name.parts else folder / name


def _before(place: Path) -> list[Mapping[str, Any]]:
    """Return the modules that stand before this one in its model."""
    listed = _modules(place.parent)
    paths = [_inside(place.parent, module) for module in listed]
    return listed[: paths.index(place)] if place in paths else []


@dataclass(frozen=True)
class OpenAI:
    """Reads OpenAI's sparse_autoencoder: a pickle of weights and the activation's name."""

    name: str = "openai"
    """The layout's name."""
    files: str = "a .pt file with pre_bias, latent_bias and encoder.weight"
    """The files by which it is known."""

    def find(self, path: Path) -> Path | None:
        """Return any file by PyTorch's suffixes: what is in it shows only when it is read."""
        return path if path.is_file() and path.suffix in SUFFIXES else None

    def read(self, place: Path, options: ReadOptions) -> Imported:
        """Read the file."""
        held = open_pt(place, options.limit, allow_pt=options.allow_pt)
        weights = held.weights
        if not weights.has("latent_bias"):
            raise unsupported(
                place,
                "this file",
                "it holds no latent_bias, so it is not OpenAI's; dictionary_learning's files need "
                f"their {CONFIG} beside them",
            )
        weights.only("pre_bias", "latent_bias", "encoder.weight", "decoder.weight", *_STATISTICS)
        activation = str(held.extras.get("activation", "ReLU"))
        model = _parts(weights, Source(self.name, activation, place))
        if activation == "ReLU":
            return model
        state = held.extras.get("activation_state_dict")
        state = state if isinstance(state, dict) else {}
        k, after = state.get("k"), state.get("postact_fn", "ReLU")
        if activation != "TopK" or after != "ReLU" or isinstance(k, bool) or not isinstance(k, int):
            raise unsupported(
                place,
                f"the activation {activation!r} with {sorted(map(str, state))}",
                "known are ReLU, and TopK with a number k and ReLU after it",
            )
        # the library normalises samples wherever the activation is TopK
        return folding.of_sample_variance(replace(model, kind="topk", k=k), EPSILON)
