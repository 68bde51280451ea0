"""Raw items across modalities: encode, retrieve, translate, complete, imagine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from isthmus.errors import ConfigError, DataError
from isthmus.metrics.multimodal import cosines
from isthmus.models.multimodal.codes import Codes
from isthmus.models.multimodal.mixture_use import belongs, imagine, translations
from isthmus.runs.multimodal.results import RetrievedItem, Translated

if TYPE_CHECKING:
    from isthmus.data.modalities import Adapter
    from isthmus.runs.multimodal.run import MultimodalRun

__all__ = ["completed", "encoded", "imagined", "retrieved", "score_of", "transformed", "translated"]


def transformed(run: MultimodalRun, raw: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return raw items by modality, one or a list, as the model takes them.

    A path stands for what its file holds; of pictures and sounds its name as a string does too.

    Raises
    ------
    ConfigError
        If the run never saw a modality, or none is given.
    DataError
        If an item doesn't fit its modality, or numbers of items differ.
    """
    if not raw:
        raise ConfigError("no modality is given", fix=f"the run has: {', '.join(run.adapters)}")
    found = {}
    for name, items in raw.items():
        adapter = run.adapter(name)
        rows = list(items) if isinstance(items, list | tuple) else [items]
        found[name] = adapter.transform([_opened(adapter, item) for item in rows])
    lengths = {name: len(items) for name, items in found.items()}
    if len(set(lengths.values())) > 1:
        raise DataError("the modalities' items differ in number", why=f"{lengths}")
    return found


def _opened(adapter: Adapter, item: Any) -> Any:
    """Return an item, read from its file where a file is given."""
    named = isinstance(item, str) and adapter.kind in ("image", "audio")
    return adapter.read(item) if named or isinstance(item, Path) else item


def encoded(run: MultimodalRun, raw: Mapping[str, Any]) -> Codes:
    """Return the codes of raw items; see :meth:`MultimodalRun.encode`."""
    return run.model.encode(transformed(run, raw))


def retrieved(
    run: MultimodalRun,
    raw: Mapping[str, Any],
    to: str,
    top: int,
    split: str | None = None,
    among: Sequence[Any] | None = None,
    names: Sequence[str] | None = None,
) -> list[RetrievedItem]:
    """Return the items of a modality that are nearest to one row of raw items.

    Parameters
    ----------
    split
        Of the run's data; None: all of them.
    among
        Raw items to look among, and not the run's data.
    names
        What those are called; None: their numbers.
    """
    if top < 1:
        raise ConfigError("at least one item must be asked for", where=f"top={top}")
    run.adapter(to)
    query = encoded(run, raw)
    if len(query) != 1:
        raise DataError("one item is looked up at a time", why=f"{len(query)} were given")
    if among is not None:
        if not len(among):
            raise DataError(f"there are no items of {to!r} to find", where="among")
        scores = cosines(query.shared, encoded(run, {to: list(among)}).shared)[0]
        called = list(map(str, range(len(among)))) if names is None else list(names)
        return [
            RetrievedItem(to, int(i), called[i], float(scores[i]), None) for i in _best(scores, top)
        ]
    modality = run.data[to]
    rows = np.arange(len(modality)) if split is None else modality.rows(split)
    if not len(rows):
        raise DataError(f"there are no items of {to!r} to find", where=f"split {split!r}")
    scores = cosines(query.shared, run.gallery(to, rows))[0]
    return [
        RetrievedItem(
            to,
            int(rows[i]),
            modality.name_of(int(rows[i])),
            float(scores[i]),
            run.class_name(int(modality.labels[rows[i]])),
        )
        for i in _best(scores, top)
    ]


def _best(scores: NDArray[np.float64], top: int) -> NDArray[np.int64]:
    """Return the places of the largest scores; ties keep their order."""
    return np.argsort(-scores, kind="stable")[:top]


def translated(
    run: MultimodalRun,
    raw: Mapping[str, Any],
    to: str,
    *,
    style: Any = None,
    samples: int = 0,
    seed: int = 0,
) -> Translated:
    """Return what one row of raw items becomes in a modality; see the run's ``translate``."""
    adapter = run.adapter(to)
    items = transformed(run, raw)
    if to in items:
        raise ConfigError(f"{to!r} is given and wanted", fix="give other modalities only")
    if len(next(iter(items.values()))) != 1:
        raise DataError("one item is translated at a time")
    kept = None if style is None else transformed(run, {to: style})[to]
    note = "the nearest known sentence" if adapter.kind == "sentence" else ""
    if run.mixture is None:
        out = run.model.translate(items, to, style=kept)
        generator = torch.Generator().manual_seed(seed)
        drawn = [
            run.model.translate(items, to, style=kept, sample=True, generator=generator)
            for _ in range(samples)
        ]
        rest = tuple(adapter.inverse(torch.cat(drawn))) if drawn else ()
        return Translated(adapter.inverse(out)[0], rest, {}, None, None, note)
    best = translations(run.model, run.mixture, items, to, style=kept, seed=seed)
    rest = ()
    if samples:
        more = translations(
            run.model, run.mixture, items, to, samples=samples, style=kept, seed=seed
        )
        rest = tuple(adapter.inverse(more.items[0]))
    return Translated(
        adapter.inverse(best.items[:, 0])[0],
        rest,
        _classes(run, best.weights[0], best.classes),
        max(0.0, float(best.entropy[0])),
        float(best.deviation[0]),
        note,
    )


def _classes(
    run: MultimodalRun, weights: NDArray[np.float64], classes: NDArray[np.int64]
) -> dict[str, float]:
    """Return the probability of each class: its components' weights together."""
    found: dict[str, float] = {}
    for weight, number in zip(weights, classes, strict=True):
        name = run.class_name(int(number))
        if name is not None:
            found[name] = found.get(name, 0.0) + float(weight)
    return dict(sorted(found.items(), key=lambda pair: -pair[1]))


def completed(
    run: MultimodalRun, raw: Mapping[str, Any], *, style: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return a row with what was missing filled in."""
    found = dict(raw)
    for name in run.model.names:
        if name not in raw:
            found[name] = translated(run, raw, name, style=(style or {}).get(name)).item
    return found


def imagined(run: MultimodalRun, count: int, seed: int) -> list[dict[str, Any]]:
    """Return rows of raw items drawn together."""
    if run.mixture is None:
        raise ConfigError("rows are drawn from a joint mixture, and this run has none")
    drawn = imagine(run.model, run.mixture, count, seed)
    raw = {name: run.adapter(name).inverse(items) for name, items in drawn.items()}
    return [{name: items[i] for name, items in raw.items()} for i in range(count)]


def score_of(
    run: MultimodalRun, one: Mapping[str, Any], other: Mapping[str, Any]
) -> Sequence[float]:
    """Return how much likelier rows belong together than not."""
    twice = sorted(set(one) & set(other))
    if twice:
        raise ConfigError(f"{twice[0]!r} is on both sides", fix="compare different modalities")
    left, right = transformed(run, one), transformed(run, other)
    if run.mixture is not None:
        return [float(v) for v in belongs(run.model, run.mixture, left, right)]
    pairs = cosines(run.model.encode(left).shared, run.model.encode(right).shared)
    return [float(v) for v in np.diag(pairs)]
