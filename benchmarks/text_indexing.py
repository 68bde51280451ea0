"""What indexing costs after embedding, and what a search costs then, on 100,000 real passages.

    ISTHMUS_DATA=... python benchmarks/text_indexing.py
    ISTHMUS_DATA=... python benchmarks/text_indexing.py --passages 20000 --threads 1

The short texts of four corpora with their ready-made MiniLM vectors (which stand for the
embedding, so that only what comes after it is timed): reading, dictionary, codes and postings,
words, concepts with their names. Then the index is opened and searched in each way with 200 of
its own titles as queries, one thread, median and 95 % quantile; the vectors of the queries are
ready, too.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from isthmus.data.corpora import open_corpus
from isthmus.search.embedders.ready import ReadyVectors
from isthmus.search.index.building import build_index
from isthmus.search.index.config import Indexing
from isthmus.search.index.index import Index
from isthmus.search.steering import Steering

OUT = Path(__file__).resolve().parent / "results" / "text_indexing.jsonl"
NAMES = ("opentriviaqa", "wikipedia_movies", "clinc150", "stackoverflow_titles")
WAYS = ("concepts", "reconstruction", "dense", "words", "hybrid")


def texts_and_vectors(count: int) -> tuple[list[dict[str, Any]], np.ndarray]:
    """Return passages and their vectors, mixed."""
    home = Path(os.environ["ISTHMUS_DATA"])
    texts, vectors = [], []
    for name in NAMES:
        found = list(open_corpus(name))
        table = np.load(home / "embeddings" / f"{name}.npy", allow_pickle=False)
        if len(found) != len(table):
            raise SystemExit(f"{name}: {len(found)} texts, {len(table)} vectors")
        texts += [
            {"id": f"{name}/{d.id}", "title": d.title, "text": d.text, "corpus": name}
            for d in found
        ]
        vectors.append(table)
    order = np.random.default_rng(0).permutation(len(texts))[:count]
    return [texts[i] for i in order], np.concatenate(vectors)[order]


def timed(index: Index, vectors: np.ndarray, way: str, steering: Steering | None) -> list[float]:
    """Return the milliseconds of each query, after embedding."""
    times = []
    for vector in vectors:
        query, _ = index.query_of("", vector, steering)
        began = time.perf_counter()
        index.ranking(query, way).search(10, ())
        times.append(1000 * (time.perf_counter() - began))
    return times


def folder_bytes(folder: Path) -> dict[str, int]:
    """Return the sizes of an index' parts."""
    sizes: dict[str, int] = {}
    for path in folder.rglob("*"):
        if path.is_file():
            part = path.relative_to(folder).parts
            name = part[2] if part[0] == "segments" else part[0]
            sizes[name] = sizes.get(name, 0) + path.stat().st_size
    return sizes


def measured(count: int, threads: int) -> dict[str, Any]:
    """Index, open, search."""
    texts, vectors = texts_and_vectors(count)
    with tempfile.TemporaryDirectory() as place:
        np.save(Path(place) / "vectors.npy", vectors)
        began = time.monotonic()
        built = build_index(
            open_corpus(texts),
            Path(place) / "index",
            ReadyVectors(Path(place) / "vectors.npy"),
            Indexing(threads=threads),
        )
        total = time.monotonic() - began
        began = time.perf_counter()
        index = Index(built.folder)
        opened = 1000 * (time.perf_counter() - began)
        queries = vectors[np.random.default_rng(1).permutation(count)[:200]].astype(np.float32)
        _ = index.decoder
        latency = {}
        for way in WAYS:
            timed(index, queries[:5], way, None)
            times = timed(index, queries, way, None)
            latency[way] = [float(np.median(times)), float(np.quantile(times, 0.95))]
        steering = Steering({1: 1.0, 2: -1.0})
        times = timed(index, queries, "concepts", steering)
        latency["concepts, steered"] = [float(np.median(times)), float(np.quantile(times, 0.95))]
        report = index.concepts.report
        return {
            "passages": count,
            "threads": threads,
            "seconds": dict(built.seconds) | {"in all": round(total, 1)},
            "dictionary": dict(built.manifest.dictionary["training"]),
            "latents": index.latents,
            "named": None if report is None else [report.named, report.scored],
            "open_ms": opened,
            "latency_ms": latency,
            "bytes": folder_bytes(built.folder),
            "concept_index_share": sum(s.concepts.bytes for s in index.segments)
            / (4 * vectors.shape[1] * count),
            "peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        }


def main() -> None:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--passages", type=int, default=100_000)
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    row = measured(given.passages, given.threads)
    print(json.dumps(row, indent=1))
    with OUT.open("a", encoding="utf-8") as log:
        log.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main()
