"""What opening an index costs: 100,000 passages, in one segment and in eight with deletions.

    python benchmarks/index_opening.py
    python benchmarks/index_opening.py --passages 1000000

Made-up texts, vectors and dictionary (what is opened is as large as with real ones: 4,096
concepts, 64 of them active). Every opening is timed 30 times in this process after one that is not
counted; then the first search by concepts of a fresh opening, and a check of every file.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from isthmus.bottlenecks import TopK
from isthmus.data.corpora.documents import Document
from isthmus.models.dictionary import SparseDictionary
from isthmus.search.index.building import build_index
from isthmus.search.index.config import Indexing
from isthmus.search.index.index import Index

DIM, LATENTS, ACTIVE, WORDS, VOCABULARY = 64, 4096, 64, 25, 30_000


class Drawn:
    """Random vectors."""

    name, dim, digest, max_tokens, description = "drawn", DIM, "0" * 64, None, "random vectors"

    def token_spans(self, texts: list[str]) -> list[np.ndarray]:
        """Return one token a text."""
        return [np.array([[0, len(text)]], np.int32) for text in texts]

    def embed(self, texts: list[str], *, progress: Any = None) -> np.ndarray:
        """Return unit vectors."""
        seeds = np.random.default_rng(len(texts))
        rows = seeds.normal(size=(len(texts), DIM)).astype(np.float32)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    def embed_queries(self, texts: list[str]) -> np.ndarray:
        """Return unit vectors."""
        return self.embed(texts)

    def config(self) -> dict[str, Any]:
        """Return nothing that it could be made from again."""
        return {"kind": "drawn"}


class Made:
    """A corpus of random words, Zipf's law for their frequencies."""

    name, root, skipped = "made", "", ()

    def __init__(self, first: int, last: int) -> None:
        self.first, self.last = first, last

    def __iter__(self) -> Any:
        for number in range(self.first, self.last):
            rng = np.random.default_rng(number)
            words = (rng.zipf(1.3, WORDS) % VOCABULARY).tolist()
            yield Document(str(number), " ".join(f"w{word}" for word in words))


def opening(folder: Path) -> None:
    """Time it."""
    times = []
    for _ in range(31):
        began = time.perf_counter()
        index = Index(folder, embedder=Drawn())
        times.append(1000 * (time.perf_counter() - began))
        index.close()
    with Index(folder, embedder=Drawn()) as index:
        _ = index.dictionary
        began = time.perf_counter()
        index.search("w1 w2 w3")
        first = 1000 * (time.perf_counter() - began)
        began = time.perf_counter()
        index.verify()
        checked = time.perf_counter() - began
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    print(
        f"{len(index):>9,} passages in {len(index.segments)} segments, {size / 1e6:7.1f} MB: "
        f"opened in {np.median(times[1:]):5.1f} ms (slowest {max(times[1:]):.1f}), "
        f"first search {first:.0f} ms, all checked in {checked:.1f} s",
        flush=True,
    )


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    arguments.add_argument("--passages", type=int, default=100_000)
    count = arguments.parse_args().passages
    model = SparseDictionary(DIM, TopK(LATENTS, ACTIVE))
    config = Indexing(concepts=False, threads=1)
    with tempfile.TemporaryDirectory() as home:
        folder = Path(home) / "one"
        build_index(Made(0, count), folder, Drawn(), config, dictionary=model)
        opening(folder)
        folder, step = Path(home) / "eight", count // 8
        build_index(Made(0, step), folder, Drawn(), config, dictionary=model)
        for part in range(1, 8):  # each loses a few of the first
            build_index(Made(10 * part, (part + 1) * step), folder, Drawn(), config)
        opening(folder)


if __name__ == "__main__":
    main()
