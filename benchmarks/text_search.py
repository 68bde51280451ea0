"""How well an index finds what was judged relevant: every collection, every way, several seeds.

    ISTHMUS_DATA=... python benchmarks/text_search.py                 # goes on where it was
    ISTHMUS_DATA=... python benchmarks/text_search.py --collections scifact --seeds 0 1 2
    python benchmarks/text_search.py --table

Indexes each collection with the default settings (MiniLM; documents cut at 254 tokens; the
dictionary trained on the collection's own passages, which is what changes with the seed) and
scores the test queries with ``isthmus.search.judging.judge``. Documents are ranked by their best
passage. Vectors are kept in a cache, so that only the first run embeds.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from isthmus.data.corpora import open_corpus, read_judgements
from isthmus.data.places import cache_folder
from isthmus.search.embedders import EmbedderOptions, cached, open_embedder
from isthmus.search.index.building import build_index
from isthmus.search.index.config import Indexing
from isthmus.search.index.index import Index
from isthmus.search.index.training import DictionarySettings
from isthmus.search.judging import judge

OUT = Path(__file__).resolve().parent / "results" / "text_search.jsonl"
COLLECTIONS = ("scifact", "cranfield", "xquad-en")


def measured(name: str, seed: int, threads: int) -> dict[str, Any]:
    """Index one collection with one seed, and judge it."""
    embedder = cached(
        open_embedder("minilm", EmbedderOptions(threads=threads)), cache_folder() / "vectors"
    )
    config = Indexing(dictionary=DictionarySettings(seed=seed), concepts=False, threads=threads)
    with tempfile.TemporaryDirectory() as folder:
        built = build_index(open_corpus(name), Path(folder) / "index", embedder, config)
        began = time.monotonic()
        with Index(built.folder) as index:
            found = judge(index, read_judgements(name))
        return {
            "collection": name,
            "seed": seed,
            "documents": built.manifest.documents,
            "passages": built.manifest.passages,
            "queries": found.queries,
            "dictionary": dict(built.manifest.dictionary),
            "seconds": dict(built.seconds) | {"judging": round(time.monotonic() - began, 1)},
            "metrics": {way: ranking.json() for way, ranking in found.rankings.items()},
        }


def rows() -> list[dict[str, Any]]:
    """Return what was measured so far."""
    if not OUT.exists():
        return []
    return [json.loads(line) for line in OUT.read_text(encoding="utf-8").splitlines()]


def table() -> None:
    """Print means over seeds, with the largest distance of a seed from them."""
    found = rows()
    print("| collection | way | nDCG@10 | recall@100 | MRR@10 | ms a query | MB | seeds |")
    print("|---|---|---|---|---|---|---|---|")
    for name in dict.fromkeys(row["collection"] for row in found):
        mine = [row for row in found if row["collection"] == name]
        for way in mine[0]["metrics"]:
            cells = [row["metrics"][way] for row in mine]
            scores = [cell["ndcg@10"] for cell in cells]
            spread = max(abs(s - statistics.mean(scores)) for s in scores)
            said = f"{statistics.mean(scores):.3f}" + (f" ± {spread:.3f}" if spread else "")
            others = [
                f"{statistics.mean(c[key] for c in cells):.3f}" for key in ("recall@100", "mrr@10")
            ]
            cost = statistics.median(c["milliseconds"] for c in cells)
            size = cells[0]["bytes"] / 1e6
            tail = f"{cost:.2f} | {size:.1f} | {len(mine)} |"
            print(f"| {name} | {way} | {said} | {' | '.join(others)} | {tail}")


def main() -> None:
    """Measure what is missing, or print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--collections", nargs="+", default=COLLECTIONS)
    parser.add_argument("--seeds", nargs="+", type=int, default=(0, 1, 2))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--table", action="store_true")
    given = parser.parse_args()
    if given.table:
        table()
        return
    torch.set_num_threads(given.threads)
    done = {(row["collection"], row["seed"]) for row in rows()}
    for seed in given.seeds:
        for name in given.collections:
            if (name, seed) in done:
                continue
            row = measured(name, seed, given.threads)
            with OUT.open("a", encoding="utf-8") as log:
                log.write(json.dumps(row) + "\n")
            scores = {way: round(m["ndcg@10"], 4) for way, m in row["metrics"].items()}
            print(name, seed, scores, flush=True)


if __name__ == "__main__":
    main()
