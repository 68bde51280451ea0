"""Concepts for other programs: Embedding Atlas' features, and feature records of Neuronpedia's."""

from __future__ import annotations

import json
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from isthmus.concepts.concept import Concept
from isthmus.concepts.table import Concepts
from isthmus.errors import ConfigError, DataError
from isthmus.files import write_text, written_whole
from isthmus.metrics.sparse_codes import Codes, as_csr

__all__ = ["export_atlas", "export_features"]


def export_atlas(
    path: str | PathLike[str],
    concepts: Concepts,
    codes: Codes,
    texts: Sequence[str],
    *,
    ids: Sequence[str] | None = None,
    unnamed: bool = False,
    most: int = 16,
) -> int:
    """Write a Parquet file for Embedding Atlas: ``embedding-atlas FILE --features features``.

    Its columns: ``id``, ``text``, ``features`` (the labels of the passage's concepts, the
    strongest first) and ``activations`` (how strong each is).

    Parameters
    ----------
    codes, texts, ids
        Codes (P, N), texts and ids of the passages; ids None: their numbers.
    unnamed
        Whether concepts without a name are listed as "#12"; hidden and dead ones never are.
    most
        Concepts a passage at most.

    Returns
    -------
    int
        Rows written.

    Raises
    ------
    ConfigError
        If ``most`` is below 1.
    DataError
        If codes, texts, ids and concepts do not fit together.
    MissingDataError
        If pyarrow is not installed.
    RunError
        If the file can't be written.
    """
    if most < 1:
        raise ConfigError("at least one concept a passage must be written", why=f"most={most}")
    rows = as_csr(codes, "the codes", len(concepts))
    if len(texts) != rows.shape[0] or (ids is not None and len(ids) != rows.shape[0]):
        raise DataError(
            "there must be a text and an id for every row of the codes",
            why=f"{len(texts)} texts, {rows.shape[0]} rows",
        )
    arrow, parquet = _arrow()
    shown = np.array([(c.name is not None or unnamed) and not c.hidden for c in concepts])
    labels = [concept.label for concept in concepts]
    features: list[list[str]] = []
    activations: list[list[float]] = []
    for start, stop in zip(rows.indptr[:-1], rows.indptr[1:], strict=True):
        latents, values = rows.indices[start:stop], rows.data[start:stop]
        kept = shown[latents] & (values > 0)
        latents, values = latents[kept], values[kept]
        order = np.lexsort((latents, -values))[:most]
        features.append([labels[j] for j in latents[order].tolist()])
        activations.append(values[order].tolist())
    names = list(map(str, range(rows.shape[0]))) if ids is None else list(ids)
    table = arrow.table(
        {
            "id": arrow.array(names, arrow.string()),
            "text": arrow.array(list(texts), arrow.string()),
            "features": arrow.array(features, arrow.list_(arrow.string())),
            "activations": arrow.array(activations, arrow.list_(arrow.float32())),
        }
    )
    with written_whole(Path(path)) as temporary:
        parquet.write_table(table, temporary)
    return len(names)


def export_features(
    path: str | PathLike[str],
    concepts: Concepts,
    texts: Sequence[str] | None = None,
    *,
    model: str = "embedding",
    layer: str = "isthmus",
) -> int:
    """Write a line of JSON a living concept with the field names of Neuronpedia's features.

    Where that has tokens, these have whole passages, one token each; ``pos_str`` and
    ``pos_values`` hold the words that set a concept apart. Hidden concepts are left out.

    Returns
    -------
    int
        Lines written.

    Raises
    ------
    RunError
        If the file can't be written.
    """
    shown = [concept for concept in concepts if not concept.dead and not concept.hidden]
    lines = [
        json.dumps(_feature(concept, texts, model, layer), allow_nan=False, ensure_ascii=False)
        for concept in shown
    ]
    write_text(Path(path), "".join(line + "\n" for line in lines))
    return len(lines)


def _feature(
    concept: Concept, texts: Sequence[str] | None, model: str, layer: str
) -> dict[str, Any]:
    known = concept.statistics
    bins, place = len(known.histogram), {"modelId": model, "layer": layer}
    index = str(concept.id)
    said = [] if concept.name is None else [_explanation(concept, place | {"index": index})]
    examples = (*concept.top, *concept.middle, *concept.low) if texts is not None else ()
    return place | {
        "index": index,
        "maxActApprox": known.max,
        "frac_nonzero": known.rate,
        "freq_hist_data_bar_values": [known.max * (b + 0.5) / bins for b in range(bins)],
        "freq_hist_data_bar_heights": list(known.histogram),
        "pos_str": [word.text for word in concept.words],
        "pos_values": [word.weight for word in concept.words],
        "topkCosSimIndices": [other.id for other in concept.near],
        "topkCosSimValues": [other.cosine for other in concept.near],
        "correlated_features_indices": [other.id for other in concept.near],
        "correlated_features_pearson": [other.correlation for other in concept.near],
        "explanations": said,
        "activations": [
            {
                "tokens": [texts[example.row] if texts is not None else ""],
                "values": [example.activation],
                "maxValue": example.activation,
            }
            for example in examples
        ],
    }


def _explanation(concept: Concept, place: dict[str, str]) -> dict[str, Any]:
    score = concept.score
    return place | {
        "description": concept.name,
        "explanationModelName": concept.origin,
        "typeName": "isthmus-held-out-average-precision",
        "scores": [] if score is None else [{"value": score.precision}],
    }


def _arrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        from isthmus.errors import MissingDataError

        raise MissingDataError(
            "Parquet needs pyarrow", fix="pip install 'isthmus[parquet]'"
        ) from error
    return pyarrow, pyarrow.parquet
