"""Between the neutral record and this project's own dictionary."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from isthmus.bottlenecks import L1, BatchTopK, Bottleneck, JumpReLU, Matryoshka, TopK
from isthmus.errors import ConfigError
from isthmus.models.foreign import folding
from isthmus.models.foreign.record import Floats, Imported, Kind, Source

if TYPE_CHECKING:
    from isthmus.models.dictionary import SparseDictionary

__all__ = ["from_dictionary", "to_dictionary"]

# a threshold is kept as its logarithm, which 0 has none of
_SMALLEST = float(np.finfo(np.float32).tiny)


def to_dictionary(imported: Imported) -> SparseDictionary:
    """Return a dictionary of this project with the imported weights, to encode, search or train on.

    A gated encoder becomes a ``JumpReLU`` with its thresholds (see ``Imported``). The epsilon of
    ``layer`` is left out: divided by the standard deviation alone, codes differ by its share.

    Raises
    ------
    ConfigError
        If latents are chosen as no bottleneck here does; ``reconstruction_of`` scores those.
    """
    from isthmus.models.dictionary import SparseDictionary

    both = imported.threshold_N is not None and imported.k is not None
    if imported.kind not in _BOTTLENECKS or both:
        raise ConfigError(
            f"no bottleneck chooses latents as this {imported.kind} of "
            f"{imported.source.library} does",
            where=str(imported.source.path),
            fix="score it with reconstruction_of, which does as that library does",
        )
    bottleneck = _BOTTLENECKS[imported.kind](imported)
    model = SparseDictionary(imported.dim, bottleneck, normalise=imported.normalise)
    with torch.no_grad():
        model.encoder.copy_(torch.from_numpy(imported.encoder_ND))
        model.bias.copy_(torch.from_numpy(imported.bias_N))
        model.decoder.copy_(torch.from_numpy(imported.decoder_ND))
        model.pre_bias.copy_(torch.from_numpy(imported.pre_bias_D))
        if imported.threshold_N is not None:
            _set_threshold(model.objective, imported.threshold_N)
    return model.eval()


def _set_threshold(objective: Any, threshold_N: Floats) -> None:
    if hasattr(objective, "log_threshold"):
        objective.log_threshold.copy_(torch.from_numpy(threshold_N).clamp_min(_SMALLEST).log())
    else:
        objective.threshold.fill_(float(threshold_N[0]))


def _aimed_at(imported: Imported) -> int:
    """Return the k that BatchTopK was trained for; it does not matter for encoding."""
    return max(1, min(imported.latents, round(imported.mean_k or 1)))


def _batchtopk(imported: Imported) -> Bottleneck:
    return BatchTopK(imported.latents, k=_aimed_at(imported))


def _matryoshka(imported: Imported) -> Bottleneck:
    ends = imported.prefixes if imported.prefixes[-1:] == (imported.latents,) else ()
    return Matryoshka(imported.latents, k=_aimed_at(imported), prefixes=ends)


_BOTTLENECKS: Mapping[Kind, Callable[[Imported], Bottleneck]] = MappingProxyType(
    {
        "relu": lambda imported: L1(imported.latents, unit="relu"),
        "topk": lambda imported: TopK(imported.latents, k=imported.k or 1),
        "batchtopk": _batchtopk,
        "matryoshka": _matryoshka,
        "jumprelu": lambda imported: JumpReLU(imported.latents),
        "gated": lambda imported: JumpReLU(imported.latents),
    }
)
_KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        "L1": "relu",
        "TopK": "topk",
        "AnyK": "topk",
        "Contrastive": "topk",
        "BatchTopK": "batchtopk",
        "Matryoshka": "matryoshka",
        "JumpReLU": "jumprelu",
        "Gated": "gated",
    }
)


def from_dictionary(model: SparseDictionary, path: str = "") -> Imported:
    """Return a dictionary of this project as a neutral record: to export it, or to score it.

    Parameters
    ----------
    path
        Where it was opened from, for messages.

    Raises
    ------
    ConfigError
        If its code is not linear with a sparse choice (``KLSparse``).
    """
    config: Any = model.bottleneck
    name = type(config).__name__
    if name not in _KINDS:
        raise ConfigError(
            f"a dictionary with the bottleneck {name} has no counterpart in other libraries",
            fix="train a TopK, BatchTopK, JumpReLU, Gated or L1 dictionary to export",
        )
    kind: Kind = _KINDS[name]
    objective: Any = model.objective
    encoder, bias = _array(model.encoder), _array(model.bias)
    edge = getattr(objective.inference(), "threshold_N", None)
    if kind == "gated":
        gain, size = _array(objective.log_gain.exp()), _array(objective.magnitude_bias)
        edge = folding.gate_threshold(gain, bias, size)
        encoder, bias = encoder * gain[:, None], size
    return Imported(
        encoder_ND=encoder,
        bias_N=bias,
        decoder_ND=_array(model.decoder),
        pre_bias_D=_array(model.pre_bias),
        kind=kind,
        source=Source("isthmus", name, Path(path)),
        k=config.k if kind == "topk" else None,
        mean_k=float(config.k) if kind in {"batchtopk", "matryoshka"} else None,
        threshold_N=None if edge is None or kind == "relu" else folding.non_negative(edge),
        prefixes=tuple(getattr(config, "ends", ())) if kind == "matryoshka" else (),
        normalise=model.normalise,
    )


def _array(value: Tensor) -> Floats:
    return np.ascontiguousarray(value.detach().cpu().numpy(), dtype=np.float32)
