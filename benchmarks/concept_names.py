"""Names of concepts made without a language model: how well they find their own passages.

    python benchmarks/concept_names.py                 # trains, names and measures; about 2 minutes
    python benchmarks/concept_names.py --show 40       # also prints names with their top passages
    python benchmarks/concept_names.py --table         # print the table from the rows

TopK dictionaries (k = 32, defaults) of MiniLM embeddings, each trained on what it is named on.
"texts": CLINC150, OpenTriviaQA and the Stack Overflow titles, 92,903 short texts; n = 3072, 6
passes. "scifact": 5,183 abstracts; n = 512 and 1024, 20 passes. Names are made on one half of the
passages; on the other half each ranks all passages by BM25 over its words, and the average
precision is that of finding the passages on which its concept has at least half its full
activation (ties in expectation). "Shuffled": the names of other concepts that fire about as often;
"chance": a ranking by lot. "Lost": the same with codes and passages put together by lot, where
nothing should be named. Seconds: everything after encoding (statistics, relations, words, names,
scores) and, apart from it, counting the words; one thread, compiled beforehand.

Rows that are already in ``results/concept_names.jsonl`` are not made again.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import isthmus as im
from isthmus.bottlenecks import TopK
from isthmus.concepts import Concepts, Passages, describe

RESULTS = Path(__file__).resolve().parent / "results" / "concept_names.jsonl"
OPEN = ("clinc150", "opentriviaqa", "stackoverflow_titles")
PLANS = (("texts", 3072, 6), ("scifact", 512, 20), ("scifact", 1024, 20))
"""Data, latents and passes."""
K = 32
KEY = ("data", "latents", "seed")
FIGURES = (
    "concepts",
    "share",
    "precision",
    "named_precision",
    "shuffled",
    "chance",
    "lost_named",
    "seconds",
)
Floats = NDArray[np.float32]
Row = dict[str, Any]


@dataclass(frozen=True, eq=False)
class Given:
    """What is named."""

    texts: list[str]
    """The passages."""
    vectors: Floats
    """Their embeddings (P, D)."""


def given(name: str) -> Given:
    """Read texts and embeddings of a set."""
    home = Path(os.environ["ISTHMUS_DATA"])
    folder = home / "embeddings"
    if name == "texts":
        vectors = np.concatenate([np.load(folder / f"{part}.npy") for part in OPEN])
        texts: list[str] = []
        for part in OPEN:
            with gzip.open(home / "text-topics" / f"{part}.jsonl.gz", "rt", encoding="utf-8") as f:
                texts += [json.loads(line)["text"] for line in f]
        return Given(texts, vectors.astype(np.float32))
    with (home / name / "corpus.jsonl").open(encoding="utf-8") as f:
        records = [json.loads(line) for line in f]
    vectors = np.load(folder / name / "corpus.npy")
    texts = [f"{record['title']} {record['text']}" for record in records]
    return Given(texts, vectors.astype(np.float32))


def measure(
    name: str, latents: int, passes: int, threads: int, seed: int
) -> tuple[Row, Concepts, list[str]]:
    """Train, name and score one dictionary."""
    tried = given(name)
    model = im.SparseDictionary(tried.vectors.shape[1], TopK(latent=latents, k=K), seed=seed)
    run = im.train(model, tried.vectors, epochs=passes, seed=seed, threads=threads, figures=False)
    codes = run.model.encode(tried.vectors, threads=threads)
    start = time.perf_counter()
    passages = Passages.of(tried.texts)
    counting = time.perf_counter() - start
    decoder, taken = run.model.weights().decoder_ND, []
    for _ in range(2):  # the first compiles
        start = time.perf_counter()
        concepts = describe(codes, passages, decoder=decoder)
        taken.append(time.perf_counter() - start)
    lost = describe(codes[np.random.default_rng(seed).permutation(codes.shape[0])], passages)
    row = {"data": name, "latents": latents, "k": K, "passes": passes, "seed": seed}
    row |= {"passages": len(tried.texts), "counting_seconds": counting, "seconds": taken[-1]}
    row |= {"lost_named": lost.report.named if lost.report else None}
    return row | scores(concepts), concepts, tried.texts


def scores(concepts: Concepts) -> Row:
    """Return the figures of a report."""
    report = concepts.report
    if report is None or report.precision is None or report.difference is None:
        raise SystemExit("no name could be scored")
    return {
        "concepts": report.concepts,
        "scored": report.scored,
        "named": report.named,
        "share": report.share,
        "precision": report.precision.value,
        "precision_interval": [report.precision.low, report.precision.high],
        "difference_interval": [report.difference.low, report.difference.high],
        "shuffled": report.shuffled,
        "chance": report.chance,
        "named_precision": report.named_precision,
        "held": report.held,
        "margin": report.margin,
        "parts": float(np.mean([c.name.count("·") + 1 for c in concepts if c.name])),
    }


def shown(concepts: Concepts, texts: list[str], many: int) -> str:
    """Return some concepts, drawn by lot, with their strongest passages."""
    lines = []
    alive = [concept for concept in concepts if not concept.dead]
    for at in np.random.default_rng(0).permutation(len(alive))[:many].tolist():
        concept = alive[at]
        score = f"{concept.score.precision:.2f}" if concept.score else "-"
        name = concept.name or f"unnamed ({concept.proposed})"
        lines.append(f"#{concept.id} {name}  {score}")
        lines += [
            f"      {' '.join(texts[example.row].split())[:90]}" for example in concept.top[:3]
        ]
    return "\n".join(lines)


def table(rows: list[Row]) -> str:
    """Return the table in Markdown."""
    head = (
        "| passages | concepts | named | average precision of names | 95 % | of those named "
        "| shuffled names | chance | named when lost | s |"
    )
    lines = [head, "|---" * head.count(" | ") + "|---|"]
    for name, latents, _ in PLANS:
        own = [row for row in rows if (row["data"], row["latents"]) == (name, latents)]
        if not own:
            continue
        mean = {key: float(np.mean([row[key] for row in own])) for key in FIGURES}
        low, high = own[0]["precision_interval"]
        lines.append(
            f"| {name}, {own[0]['passages']:,} | {mean['concepts']:,.0f} | {mean['share']:.0%} "
            f"| {mean['precision']:.3f} | {low:.3f}-{high:.3f} | {mean['named_precision']:.3f} "
            f"| {mean['shuffled']:.4f} | {mean['chance']:.4f} | {mean['lost_named']:.0f} "
            f"| {mean['seconds']:.1f} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Measure what is missing, or print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--sets", default="texts,scifact", help="of texts and scifact")
    parser.add_argument("--seeds", default="0", help="seeds, with commas between")
    parser.add_argument("--threads", type=int, default=1, help="threads of training")
    parser.add_argument("--show", type=int, default=0, help="names to print, drawn by lot")
    parser.add_argument("--again", action="store_true", help="measure what is there, too")
    parser.add_argument("--table", action="store_true", help="print the table and stop")
    args = parser.parse_args()
    rows = [json.loads(line) for line in RESULTS.open()] if RESULTS.exists() else []
    if args.table:
        print(table(rows))
        return
    for name, latents, passes in PLANS:
        for seed in map(int, args.seeds.split(",")) if name in args.sets.split(",") else ():
            key = (name, latents, seed)
            there = [row for row in rows if tuple(row[part] for part in KEY) == key]
            if there and not args.again and not args.show:
                continue
            row, concepts, texts = measure(name, latents, passes, args.threads, seed)
            print(json.dumps(row), flush=True)
            if args.show:
                print(shown(concepts, texts, args.show), flush=True)
            rows = [other for other in rows if other not in there] + [row]
            RESULTS.parent.mkdir(exist_ok=True)
            RESULTS.write_text("".join(json.dumps(row) + "\n" for row in rows))


if __name__ == "__main__":
    main()
