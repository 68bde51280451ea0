"""Exact search over sparse codes: latency, size, opening, exactness, beside the other ways.

    python benchmarks/concept_search.py                      # all cases that are missing
    python benchmarks/concept_search.py --rows 100000 --again
    python benchmarks/concept_search.py --table              # print the table from the rows

Each case runs in a process of its own. One thread, bound to one core, unless the column says
otherwise; wall time of one call from Python, top 10. Candidates take turns in three rounds over the
same queries, of which the fastest counts, for the cores are shared: p50 and p95 are over queries.
"Plain" queries are the codes of held-out texts; "steered" ones have two of
their concepts doubled, two turned negative, and two other concepts added with a negative weight;
"all concepts" weighs every concept, either sign (a search by reconstruction).

- Isthmus: ``Postings`` opened from the disk; with 2 threads a ``Team`` that is there already.
- scipy: ``codes @ query`` (CSR, float32, the query dense) and ``argpartition``.
- dense: ``vectors @ query`` (NumPy's BLAS, 384 wide, float32) and ``argpartition``: another search,
  of the vectors themselves, for its cost only.
- faiss: ``IndexFlatIP`` over the same vectors, where faiss is installed.

"Exact" is the share of queries whose ten rows and scores are, to the last bit, those of a float64
product over the stored codes, sorted by score and row. "Kept" is the share of the ten rows that are
also found over the unrounded float32 codes. "Opening" is ``Postings.open`` with files in the page
cache; "first query" is what the first search of a fresh process costs, numba's import in it.

Codes: see ``concept_codes.py``; 1,000,000 rows are resampled.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results" / "concept_search.jsonl"
ROWS = (10_000, 100_000, 1_000_000)
SHAPES = ((3072, 32), (3072, 64), (16_384, 64))
ROUNDS, WARM = 3, 3
SLOW = {10_000: 200, 100_000: 60, 1_000_000: 12}  # queries for what is slow
Row = dict[str, Any]
Search = Callable[[Any, Any, Any], Any]  # terms, weights, vector

FRESH = """
import sys, time
import numpy as np
start = time.perf_counter()
from isthmus.search.postings import Postings
imported = time.perf_counter()
postings = Postings.open(sys.argv[1])
opened = time.perf_counter()
terms = np.flatnonzero(postings.frequency)[:32]
postings.search(terms, np.ones(len(terms)))
first = time.perf_counter()
print(imported - start, opened - imported, first - opened)
"""


def bound(threads: int) -> None:
    """Bind this process to so many cores."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, set(sorted(os.sched_getaffinity(0))[-threads:]))


def queries(case: Any, kind: str, count: int) -> list[tuple[Any, Any, Any]]:
    """Return terms, weights and vector of some queries."""
    import numpy as np

    rng = np.random.default_rng(5)
    codes, found = case.query_codes, []
    for number in range(count):
        span = slice(*codes.indptr[number : number + 2])
        terms, weights = codes.indices[span].copy(), codes.data[span].astype(np.float64)
        if kind == "steered":
            chosen = rng.permutation(len(terms))[:4]
            weights[chosen] *= [2, 2, -1, -1]
            others = np.setdiff1d(rng.integers(0, codes.shape[1], 2), terms)
            terms, weights = np.append(terms, others), np.append(weights, -0.1 + 0 * others)
        elif kind == "all concepts":
            weights = rng.standard_normal(codes.shape[1]) * weights.mean()
            terms = np.arange(codes.shape[1])
        found.append((terms, weights, case.queries[number]))
    return found


def candidates(case: Any, postings: Any) -> dict[str, Search]:
    """Return every way to search."""
    import numpy as np

    codes, vectors = case.codes, case.passages

    def best(scores: Any) -> Any:
        top = np.argpartition(scores, len(scores) - 10)[-10:]
        return top[np.lexsort((top, -scores[top]))]

    def product(terms: Any, weights: Any, _: Any) -> Any:
        query = np.zeros(codes.shape[1], np.float32)
        query[terms] = weights
        return best(codes @ query)

    ways: dict[str, Search] = {
        "isthmus": lambda terms, weights, _: postings.search(terms, weights),
        "scipy": product,
        "dense": lambda _, __, vector: best(vectors @ vector),
    }
    try:
        import faiss
    except ImportError:
        return ways
    faiss.omp_set_num_threads(1)
    index = faiss.IndexFlatIP(vectors.shape[1])
    index.add(vectors)
    ways["faiss"] = lambda _, __, vector: index.search(vector[None], 10)
    return ways


def timed(ways: dict[str, Search], asked: list[Any], slow: int) -> dict[str, Row]:
    """Return microseconds of each way; rounds in turn, the fastest time of each query."""
    import numpy as np

    taken: dict[str, list[list[float]]] = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, search in ways.items():
            seconds = []
            for query in asked if name == "isthmus" else asked[: slow + WARM]:
                start = time.perf_counter()
                search(*query)
                seconds.append(time.perf_counter() - start)
            taken[name].append(seconds[WARM:])
    found = {}
    for name, rounds in taken.items():
        best = np.min(rounds, 0) * 1e6
        p50, p95 = np.percentile(best, [50, 95])
        found[name] = {"p50": round(p50, 1), "p95": round(p95, 1), "queries": len(best)}
    return found


def exactness(case: Any, postings: Any, asked: list[Any]) -> Row:
    """Hold hits against float64 products over stored and over unrounded codes."""
    import numpy as np

    exact, kept = [], []
    stored, given = (each.astype(np.float64) for each in (postings.codes(), case.codes))
    for terms, weights, _ in asked:
        rows, scores = postings.search(terms, weights)
        query = np.zeros(postings.terms)
        query[terms] = weights
        for codes, into in ((stored, exact), (given, kept)):
            wanted = codes @ query
            top = np.lexsort((np.arange(len(wanted)), -wanted))[: len(rows)]
            if into is exact:
                into.append(bool((top == rows).all() and (wanted[top] == scores).all()))
            else:
                into.append(len(np.intersect1d(top, rows)) / len(rows))
    return {"exact": float(np.mean(exact)), "kept": float(np.mean(kept)), "checked": len(asked)}


def opening(folder: Path) -> Row:
    """Return seconds of opening, here and in fresh processes."""
    import statistics

    from isthmus.search.postings import Postings

    seconds = []
    for _ in range(21):
        start = time.perf_counter()
        Postings.open(folder)
        seconds.append(time.perf_counter() - start)
    fresh = []
    for _ in range(3):
        done = subprocess.run(
            [sys.executable, "-c", FRESH, str(folder)], capture_output=True, text=True, check=True
        )
        fresh.append([float(part) for part in done.stdout.split()])
    imported, opened, first = (statistics.median(each) for each in zip(*fresh, strict=True))
    return {
        "open_ms": round(statistics.median(seconds) * 1e3, 2),
        "fresh_import_ms": round(imported * 1e3, 1),
        "fresh_open_ms": round(opened * 1e3, 2),
        "fresh_first_ms": round(first * 1e3, 1),
    }


def measured(rows: int, latents: int, k: int) -> Row:
    """Measure one case."""
    from threadpoolctl import threadpool_limits

    from concept_codes import case
    from isthmus.kernels.team import Team
    from isthmus.search.postings import write_postings

    held = case(rows, latents, k)
    bound(1)
    with tempfile.TemporaryDirectory() as place, threadpool_limits(1):
        folder = Path(place) / "postings"
        write_postings(Path(place) / "small", held.codes[:100])  # compiles
        start = time.perf_counter()
        postings = write_postings(folder, held.codes)
        built = time.perf_counter() - start
        size = sum(file.stat().st_size for file in folder.iterdir())
        row: Row = {"rows": rows, "latents": latents, "k": k, "data": held.what}
        row |= {"bytes": size, "bytes_a_row": size / rows, "share": size / held.passages.nbytes}
        row |= {"build_s": round(built, 2), "block": postings.layout.block} | opening(folder)
        ways, slow = candidates(held, postings), SLOW[rows]
        row["plain"] = timed(ways, queries(held, "plain", 300 + WARM), slow)
        signed = {name: ways[name] for name in ("isthmus", "scipy")}
        row["steered"] = timed(signed, queries(held, "steered", 300 + WARM), slow)
        row["all concepts"] = timed(signed, queries(held, "all concepts", slow + WARM), slow)
        checked = min(slow, 50)
        mixed = [
            *queries(held, "plain", checked),
            *queries(held, "steered", checked),
            *queries(held, "all concepts", 3),
        ]
        row |= exactness(held, postings, mixed)
        with Team(2) as team:
            os.sched_setaffinity(0, range(os.cpu_count() or 1))
            two = {"isthmus": lambda t, w, _: postings.search(t, w, threads=team)}
            row["two threads"] = timed(two, queries(held, "plain", 300 + WARM), slow)
    return row


COLUMNS: dict[str, Callable[[Row], str]] = {
    "passages": lambda row: f"{row['rows']:,}",
    "n, k": lambda row: f"{row['latents']:,}, {row['k']}",
    "p50 / p95": lambda row: _pair(row["plain"]["isthmus"]),
    "steered": lambda row: _pair(row["steered"]["isthmus"]),
    "2 threads": lambda row: _pair(row["two threads"]["isthmus"]),
    "all concepts": lambda row: _pair(row["all concepts"]["isthmus"]),
    "scipy": lambda row: _beside(row, "scipy"),
    "dense": lambda row: _beside(row, "dense"),
    "faiss": lambda row: _beside(row, "faiss"),
    "size": lambda row: f"{row['bytes'] / 1e6:.1f} MB, {row['share']:.1%}",
    "opening ms": lambda row: f"{row['open_ms']:.1f}",
    "first query ms": lambda row: f"{row['fresh_first_ms']:.0f}",
    "exact": lambda row: f"{row['exact']:.0%}",
    "kept": lambda row: f"{row['kept']:.1%}",
}


def _pair(times: Row) -> str:
    return f"{times['p50']:,.0f} / {times['p95']:,.0f}"


def _beside(row: Row, name: str) -> str:
    """Say how long another way takes, and how many times as long as Isthmus."""
    if name not in row["plain"]:
        return ""
    other, own = row["plain"][name]["p50"], row["plain"]["isthmus"]["p50"]
    return f"{other:,.0f} ({other / own:.1f}x)"


def table(rows: list[Row]) -> str:
    """Return the table in Markdown; microseconds where nothing else is said."""
    ordered = sorted(rows, key=lambda row: (row["rows"], row["latents"], row["k"]))
    lines = [" | ".join(COLUMNS), "|".join("---" for _ in COLUMNS)]
    lines += [" | ".join(cell(row) for cell in COLUMNS.values()) for row in ordered]
    return "\n".join(f"| {line} |" if "---" not in line else f"|{line}|" for line in lines)


def kept() -> list[Row]:
    """Return the rows that were measured."""
    lines = RESULTS.read_text().splitlines() if RESULTS.exists() else []
    return [json.loads(line) for line in lines]


def main() -> None:
    """Run what is missing, or print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rows", type=int, nargs="*", default=ROWS)
    parser.add_argument("--again", action="store_true", help="measure what is there already, too")
    parser.add_argument("--table", action="store_true", help="only print the table")
    parser.add_argument("--one", type=int, nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        print(json.dumps(measured(*args.one)))
        return
    for rows in () if args.table else args.rows:
        for latents, k in SHAPES:
            alike = (rows, latents, k)
            others = [row for row in kept() if (row["rows"], row["latents"], row["k"]) != alike]
            if len(others) < len(kept()) and not args.again:
                continue
            command = [sys.executable, __file__, "--one", *map(str, alike)]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
            lines = [json.dumps(row) for row in (*others, json.loads(done.stdout))]
            RESULTS.write_text("\n".join(lines) + "\n")
    print(table(kept()))


if __name__ == "__main__":
    main()
