"""Speed of embedding, side by side: sentence-transformers' own ``encode``, and Isthmus.

    python benchmarks/embedding_speed.py                        # 2,000 abstracts, 2,000 titles
    python benchmarks/embedding_speed.py --texts 200 --threads 2 --clock wall

The same MiniLM weights, the abstracts and titles of SciFact (BEIR layout, from the folder that
ISTHMUS_DATA names, or ``--corpus FILE``), in turns of 250 texts so that what else the machine does
falls on all of them. ``cached`` is Isthmus with vectors kept on disk as they are made, none of them
known before: what indexing does. With one thread (default) the process' own seconds are counted,
which come close to those of a quiet machine. The last column is the least cosine to
sentence-transformers' float32 vectors.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

TURN = 250
CLOCKS: dict[str, Callable[[], float]] = {"wall": time.perf_counter, "cpu": time.process_time}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--texts", type=int, default=2000)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--clock", choices=CLOCKS)
    parser.add_argument("--corpus", type=Path)
    return parser.parse_args()


def corpus(path: Path | None, count: int) -> dict[str, list[str]]:
    home = os.environ.get("ISTHMUS_DATA", "")
    path = path or Path(home) / "scifact" / "corpus.jsonl"
    if not path.is_file():
        sys.exit(f"{path}: no such file; set ISTHMUS_DATA, or give --corpus FILE.jsonl")
    with path.open(encoding="utf-8") as lines:
        read = [json.loads(line) for line, _ in zip(lines, range(count), strict=False)]
    return {
        "abstracts": [f"{item['title']} {item['text']}" for item in read],
        "titles": [item["title"] for item in read],
    }


def main() -> None:
    chosen = arguments()
    os.environ |= {"OMP_NUM_THREADS": str(chosen.threads), "HF_HUB_OFFLINE": "1"}
    os.environ["RAYON_NUM_THREADS"] = str(chosen.threads)
    import numpy as np
    import torch

    from isthmus.search.embedders import EmbedderOptions, cached, open_embedder
    from isthmus.search.embedders.folders import minilm_folder
    from isthmus.search.embedders.loading import loaded

    torch.set_num_threads(chosen.threads)
    clock = CLOCKS[chosen.clock or ("cpu" if chosen.threads == 1 else "wall")]
    theirs = loaded(minilm_folder(), torch.device("cpu"))
    best = open_embedder("minilm", EmbedderOptions(device="cpu"))
    exact = open_embedder("minilm", EmbedderOptions(precision="float32", device="cpu"))
    with tempfile.TemporaryDirectory() as folder:
        ways = {
            "sentence-transformers": lambda texts: theirs.encode(texts, show_progress_bar=False),
            "isthmus float32": exact.embed,
            "isthmus": best.embed,
            "isthmus cached": cached(best, Path(folder)).embed,
        }
        for way in ways.values():
            way(["warm", "up"])
        print(best.description)
        for name, texts in corpus(chosen.corpus, chosen.texts).items():
            seconds = dict.fromkeys(ways, 0.0)
            alike = dict.fromkeys(ways, 1.0)
            for first in range(0, len(texts), TURN):
                reference = None
                for label, way in ways.items():
                    began = clock()
                    made = np.asarray(way(texts[first : first + TURN]), dtype=np.float64)
                    seconds[label] += clock() - began
                    reference = made if reference is None else reference
                    norms = np.linalg.norm(made, axis=1) * np.linalg.norm(reference, axis=1)
                    cosine = ((made * reference).sum(axis=1) / norms).min()
                    alike[label] = min(alike[label], float(cosine))
            own = len(texts) / seconds["sentence-transformers"]
            for label in ways:
                rate = len(texts) / seconds[label]
                print(
                    f"{name:10} {label:22} {rate:8.1f} texts/s  "
                    f"{rate / own:5.2f} x its own  cosine {alike[label]:.6f}"
                )


if __name__ == "__main__":
    main()
