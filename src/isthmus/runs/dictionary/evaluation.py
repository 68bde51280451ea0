"""From a dictionary and vectors to the numbers of ``metrics.json``."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isthmus.metrics import (
    Coherence,
    DictionaryScores,
    DictionarySums,
    decoder_coherence,
    verdict,
)
from isthmus.runs.dictionary.baselines import Baselines
from isthmus.runs.dictionary.coders import SIGMOID_ACTIVE, Coder, Refined
from isthmus.runs.dictionary.metrics import DictionaryEvaluation, DictionaryMetrics
from isthmus.runs.dictionary.splits import Parts

__all__ = ["baselines_of", "evaluate_parts", "measure"]

Array = NDArray[Any]

_LEAST_DIMS = 64
_KEPT = 10_000  # samples whose own errors the bootstrap draws from: a second for a thousand draws
_WARM = 32  # rows that are encoded first, so that compiling is not timed


def baselines_of(parts: Parts, coder: Coder, l0: float, options: DictionaryEvaluation) -> Baselines:
    """Learn the training mean and as many principal components as the codes may have numbers.

    Parameters
    ----------
    l0
        About how many latents are active.
    """
    width = parts.vectors.dim
    dims = coder.latents if coder.is_dense else max(_LEAST_DIMS, 2 * math.ceil(l0))
    return Baselines.of(
        lambda most: parts.blocks("train", most), width, dims, options.mean_rows, options.seed
    )


def evaluate_parts(
    coder: Coder,
    parts: Parts,
    baselines: Baselines,
    options: DictionaryEvaluation | None = None,
    splits: Iterable[str] | None = None,
) -> dict[str, DictionaryMetrics]:
    """Measure a dictionary on the splits that it was trained, validated and tested on.

    Parameters
    ----------
    parts
        As a single process sees them.
    splits
        Names of splits; default all that have rows.
    """
    options = options or DictionaryEvaluation()
    coherence = _coherence(coder)
    found = {}
    for split in splits or parts.rows:
        rows = min(parts.rows[split], options.train_rows if split == "train" else 1 << 62)
        # bound now, not when the loop has moved on
        blocks = _blocks_of(parts, split, options.train_rows)
        refine = options.refined_rows if split == "test" else 0
        found[split] = measure(
            coder, blocks, rows, baselines, coherence=coherence, refine=refine, seed=options.seed
        )
    return found


def _blocks_of(parts: Parts, split: str, most: int) -> Callable[[], Iterator[Array]]:
    return lambda: parts.blocks(split, most)


def measure(
    coder: Coder,
    blocks: Callable[[], Iterator[Array]],
    rows: int,
    baselines: Baselines,
    *,
    coherence: Coherence | None = None,
    refine: int = 0,
    seed: int = 0,
) -> DictionaryMetrics:
    """Measure a dictionary on rows that come a block at a time.

    Parameters
    ----------
    blocks
        Starts a pass over the rows.
    rows
        About how many there are.
    coherence
        That of the decoder, where it is known already.
    refine
        Rows, evenly spread, for refined encoding; 0 for none.
    """
    sums = DictionarySums(coder.latents, baselines.mean_D, keep=_KEPT, seed=seed)
    spent = activation = 0.0
    kept: list[Array] = []
    step = max(1, math.ceil(rows / refine)) if refine else 0
    seen, is_warm = 0, False
    for block in blocks():
        if not is_warm and len(block):
            coder.coded(block[:_WARM])
            is_warm = True
        coded = coder.coded(block)
        sums.update(block, coded.output_BD, coded.codes)
        spent += coded.seconds
        activation += coded.activation
        if step:
            kept.append(block[-seen % step :: step].copy())
        seen += len(block)
    scores = sums.result()
    found = _plain(scores, coder, activation) | _near(coherence or _coherence(coder))
    found["samples_per_second"] = scores.samples / max(spent, 1e-9)
    found |= _beside_pca(scores, coder, blocks(), baselines)
    if kept:
        found |= _refined(coder, np.concatenate(kept), scores.firing.l0, baselines)
    return DictionaryMetrics(**found)


def _plain(scores: DictionaryScores, coder: Coder, activation: float) -> dict[str, Any]:
    firing, interval = scores.firing, scores.fvu_interval
    model = coder.own if coder.is_dense else None
    return {
        "samples": scores.samples,
        "mse": scores.mse,
        "fvu": scores.fvu,
        "fvu_low": None if interval is None else interval.low,
        "fvu_high": None if interval is None else interval.high,
        "explained_variance": scores.explained_variance,
        "cosine": scores.cosine,
        "cosine_of_mean": scores.cosine_of_mean,
        "norm_ratio": scores.norm_ratio,
        "l0": firing.l0,
        "l0_quantiles": firing.l0_quantiles,
        "silent_fraction": firing.silent_fraction,
        "active_above": SIGMOID_ACTIVE if coder.is_dense else 0.0,
        "mean_activation": activation / (scores.samples * coder.latents),
        "target_activation": getattr(getattr(model, "bottleneck", None), "target", None),
        "dead_fraction": firing.dead_fraction,
        "dense_10": firing.dense_10,
        "dense_25": firing.dense_25,
        "max_firing_rate": firing.max_firing_rate,
        "hoyer": firing.hoyer,
        "firing_rate": _floats(firing.firing_rate),
        "mean_activation_per_latent": _floats(firing.mean_activation_per_latent),
    }


def _coherence(coder: Coder) -> Coherence | None:
    decoder = coder.decoder_ND
    alive = int((np.abs(decoder).max(1) > 0).sum())
    return decoder_coherence(decoder) if alive > 1 else None


def _near(found: Coherence | None) -> dict[str, Any]:
    if found is None:
        return {}
    return {
        "coherence_max": found.max,
        "coherence_mean": found.mean,
        "near_pairs": found.high_share,
    }


def _beside_pca(
    scores: DictionaryScores, coder: Coder, blocks: Iterator[Array], baselines: Baselines
) -> dict[str, Any]:
    """Return PCA's error with as many dimensions as the code has numbers, and who is better."""
    width = len(baselines.mean_D)
    dims = coder.latents if coder.is_dense else max(1, round(scores.firing.l0))
    if dims >= width or dims > baselines.dims:
        return {}  # with a dimension for every element PCA loses nothing
    error = total = 0.0
    rows = 0
    for block in blocks:
        error += baselines.pca_error(block, dims)
        total += baselines.total(block)
        rows += len(block)
    mse = error / max(1, rows * width)
    return {
        "pca_mse": mse,
        "pca_fvu": error / total if total else None,
        "pca_dims": dims,
        "verdict": verdict(scores.mse, mse).sentence,
    }


def _refined(coder: Coder, x_BD: Array, l0: float, baselines: Baselines) -> Mapping[str, Any]:
    """Return what a matching pursuit makes of the same dictionary at the same sparsity."""
    from isthmus.kernels.pursuit import Pursuit

    model = coder.own
    if model is None or coder.is_dense:
        return {}
    k = max(1, min(coder.k or round(l0), coder.latents))
    refined = Refined(model, Pursuit(k=k))
    refined.encode(x_BD[:_WARM])
    start = time.perf_counter()
    code = refined.encode(x_BD)
    spent = time.perf_counter() - start
    output = refined.reconstruct(x_BD, code)
    error = float(np.square(output.astype(np.float64) - x_BD).sum())
    total = baselines.total(x_BD)
    return {
        "fvu_refined": error / total if total else None,
        "l0_refined": float((code.values != 0).sum()) / len(x_BD),
        "refined_k": k,
        "refined_samples": len(x_BD),
        "refined_samples_per_second": len(x_BD) / max(spent, 1e-9),
    }


def _floats(values: Array) -> tuple[float, ...]:
    return tuple(round(float(value), 8) for value in values)
