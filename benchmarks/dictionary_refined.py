"""Refined encoding beside one-pass encoding, with the same TopK dictionaries.

    python benchmarks/dictionary_refined.py                # trains what is missing, then measures
    python benchmarks/dictionary_refined.py --weights kept/*-k32-*.safetensors
    python benchmarks/dictionary_refined.py --table        # print the table from the rows

The dictionaries are those of ``dictionary_table.py`` (n = 3072, 20 passes, defaults, one seed), or
given weights. "One-pass" is the trained encoder; "refit" keeps its latents and fits their
activations by least squares, without or with negative ones; "refined" is
``isthmus.kernels.pursuit.Pursuit`` with its defaults, the same two ways; "full pursuit" is plain
orthogonal matching pursuit over all directions, of either sign, on the first rows only. FVU on the
10,000 held-out rows with its 95 % bootstrap interval; nDCG@10 of codes and of reconstructions and
the CLINC150 probe as in ``dictionary_texts.py``. Samples a second: all held-out rows to a CSR
array, encodings taking turns, median over the rounds; the Gram matrix is made before the clock
starts, its seconds stand in the rows.

Rows that are already in ``results/dictionary_refined.jsonl`` are not made again.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dictionary_coders import CACHE, FILE, Coder, Sizes, of_file, of_model, trained
from dictionary_data import Floats, split
from dictionary_tables import Cell, mean, several, short
from dictionary_texts import Texts, texts
from isthmus.kernels.code import SparseCode
from isthmus.kernels.pursuit import Pursuit, PursuitEncoder
from isthmus.metrics import DictionarySums

RESULTS = Path(__file__).resolve().parent / "results" / "dictionary_refined.jsonl"
KEY = ("name", "k", "seed", "latents", "passes", "rows", "weights")
BLOCK = 4096
Row = dict[str, Any]
Encode = Callable[[Floats], Any]


def encodings(coder: Coder, threads: int) -> tuple[dict[str, Encode], float]:
    """Return all ways to encode, ready to go, and the seconds that the Gram matrix took."""
    free, held = coder.refined(threads, non_negative=False), coder.refined(threads)
    free.encode(_few(coder))  # compiles
    start = time.perf_counter()
    held.encode(_few(coder))
    took = time.perf_counter() - start

    def refit(encoder: PursuitEncoder) -> Encode:
        return lambda x: encoder.refit(x, SparseCode.of(coder.encode(x))).csr()

    return {
        "one-pass": coder.encode,
        "refit": refit(held),
        "refit, signed": refit(free),
        "refined": lambda x: held.encode(x).csr(),
        "refined, signed": lambda x: free.encode(x).csr(),
    }, took


def full(coder: Coder, threads: int) -> Encode:
    """Return orthogonal matching pursuit over all directions."""
    config = Pursuit(
        coder.k, candidates=coder.latents, stages=1, exchanges=0, non_negative=False, by_gain=False
    )
    encoder = PursuitEncoder(coder.decoder_ND, coder.pre_bias_D, config, threads)
    return lambda x: encoder.encode(x).csr()


def _few(coder: Coder) -> Floats:
    """Return samples that compile the loops."""
    return np.random.default_rng(0).standard_normal((32, coder.decoder_ND.shape[1]), np.float32)


def fvu(coder: Coder, encode: Encode, rows: Floats, middle: Floats) -> Row:
    """Return the error of one encoding."""
    sums = DictionarySums(coder.latents, middle)
    for start in range(0, len(rows), BLOCK):
        x = rows[start : start + BLOCK]
        codes = encode(x)
        sums.update(x, coder.decode(codes), codes)
    scores = sums.result()
    interval = scores.fvu_interval
    return {
        "fvu": scores.fvu,
        "fvu_low": interval.low if interval else None,
        "fvu_high": interval.high if interval else None,
        "l0": scores.firing.l0,
        "max_firing_rate": scores.firing.max_firing_rate,
        "norm_ratio": scores.norm_ratio,
        "samples": scores.samples,
    }


def speeds(
    make: Callable[[int], Coder], rows: Floats, threads: list[int], rounds: int
) -> dict[str, Row]:
    """Return samples a second of each encoding by number of threads, and the best of them."""
    found: dict[str, dict[int, list[float]]] = {}
    gram: dict[int, float] = {}
    for count in threads:
        ways, gram[count] = encodings(make(count), count)
        for round_ in range(rounds + 1):
            for name, encode in ways.items():
                start = time.perf_counter()
                encode(rows)
                took = time.perf_counter() - start
                if round_:  # the first round warms up
                    speed = len(rows) / took
                    found.setdefault(name, {}).setdefault(count, []).append(speed)
    return {
        name: {
            "samples_per_second": {str(c): round(statistics.median(v)) for c, v in own.items()},
            "best_samples_per_second": {str(c): round(max(v)) for c, v in own.items()},
            "gram_seconds": {str(c): round(gram[c], 3) for c in own} if "refined" in name else {},
        }
        for name, own in found.items()
    }


def measure(
    make: Callable[[int], Coder],
    args: argparse.Namespace,
    held: Floats,
    mean_: Floats,
    tried: Texts,
) -> list[Row]:
    """Return the rows of one dictionary."""
    threads = [int(count) for count in args.threads.split(",")]
    timed = speeds(make, held, threads, args.rounds)
    coder = make(max(threads))
    rows = []
    for name, encode in encodings(coder, max(threads))[0].items():
        face = Coder(encode, coder.decode, coder.latents)
        row = {"encoding": name} | fvu(coder, encode, held, mean_) | timed[name]
        rows.append(row | tried.measured(face))
        print(json.dumps(rows[-1]), flush=True)
    few = held[: args.full_rows]
    if len(few):
        rows.append(
            {"encoding": "full pursuit"} | fvu(coder, full(coder, max(threads)), few, mean_)
        )
    return rows


def dictionaries(
    args: argparse.Namespace, rows: Floats
) -> list[tuple[Row, Callable[[int], Coder]]]:
    """Return what tells each dictionary, and what makes it; training waits until then."""
    found: list[tuple[Row, Callable[[int], Coder]]] = []
    for path in (Path(name) for name in args.weights or ()):
        said = FILE.fullmatch(path.name)
        ks = [int(said["k"])] if said else [int(k) for k in args.k.split(",")]
        digest = hashlib.sha256(path.read_bytes()).hexdigest()[:12]
        for k in ks:
            key = {"name": said["name"] if said else path.stem, "k": k, "weights": digest}
            key |= {"lr": said["lr"], "seed": int(said["seed"])} if said else {}
            found.append((key, lambda threads, path=path, k=k: of_file(path, k, threads)))
    if args.weights:
        return found
    for k in (int(k) for k in args.k.split(",")):
        for seed in (int(seed) for seed in args.seeds.split(",")):
            most = max(int(count) for count in args.threads.split(","))
            sizes = Sizes(args.latents, k, args.passes, most, Path(args.cache))
            key = {"name": "topk", "k": k, "seed": seed, "latents": args.latents}
            key |= {"passes": args.passes, "rows": len(rows)}
            found.append(
                (
                    key,
                    lambda threads, sizes=sizes, seed=seed: of_model(
                        trained("topk", rows, sizes, seed)[0], threads
                    ),
                )
            )
    return found


def table(rows: list[Row]) -> str:
    """Return the table in Markdown."""
    counts = sorted({c for row in rows for c in row.get("samples_per_second", ())}, key=int)
    cells: dict[str, Cell] = {
        "FVU": mean("fvu", form=".4f"),
        "95 %": lambda own: f"{own[0]['fvu_low']:.4f}-{own[0]['fvu_high']:.4f}",
        "L0": short("l0", form=".1f"),
    }
    for count in counts:
        name = f"samples/s, {count} thread" + "s" * (int(count) > 1)
        cells[name] = short("samples_per_second", count, form=",.0f")
    for name, title in (("scifact", "SciFact"), ("cranfield", "Cranfield")):
        kinds = (mean("ndcg", name, kind) for kind in ("codes", "reconstructions"))
        cells[f"{title}, codes / reconstructions"] = several(*kinds)
    cells["CLINC150 probe"] = mean("probe")
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        name = f"`{row['name']}`" + (f", rate {row['lr']}" if "lr" in row else "")
        apart = name, row["k"], row.get("latents"), row.get("passes"), row["encoding"]
        groups.setdefault(apart, []).append(row)
    lines = [
        "| dictionary | k | encoding | seeds | " + " | ".join(cells) + " |",
        "|" + "---|" * (len(cells) + 4),
    ]
    for (name, k, *_, encoding), own in groups.items():
        shown = [name, str(k), encoding, str(len(own)), *(c(own) for c in cells.values())]
        lines.append("| " + " | ".join(shown) + " |")
    dense = [f"{name} {score['dense']:.3f}" for name, score in _dense(rows).items()]
    return "\n".join([*lines, *(["", "Dense vectors: " + ", ".join(dense)] if dense else [])])


def _dense(rows: list[Row]) -> Row:
    return next((row["ndcg"] for row in rows if "ndcg" in row), {})


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--k", default="32,64", help="with commas")
    parser.add_argument("--seeds", default="0", help="with commas")
    parser.add_argument("--weights", nargs="*", help="files of dictionary_quality.py --keep")
    parser.add_argument("--passes", type=int, default=20)
    parser.add_argument("--latents", type=int, default=3072)
    parser.add_argument("--threads", default="1,2", help="thread counts, with commas")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--full-rows", type=int, default=1000, help="0: no full pursuit")
    parser.add_argument("--cache", default=str(CACHE), help="folder of trained dictionaries")
    parser.add_argument("--out", default=str(RESULTS))
    parser.add_argument("--table", action="store_true", help="only print the table")
    tries = parser.add_argument_group("for a try")
    tries.add_argument("--rows", type=int, default=0, help="training rows, 0: all")
    tries.add_argument("--held", type=int, default=0, help="held-out rows, 0: all")
    tries.add_argument("--texts", type=int, default=0, help="texts of the probe, 0: all")
    return parser


def main() -> None:
    args = arguments().parse_args()
    path = Path(args.out)
    rows = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    if not args.table:
        torch.set_num_threads(max(int(count) for count in args.threads.split(",")))
        train_rows, held = split()
        train_rows, held = train_rows[: args.rows or None], held[: args.held or None]
        middle, tried = train_rows.mean(0, dtype=np.float64), texts(args.texts)
        load = round(os.getloadavg()[0], 2)
        for key, make in dictionaries(args, train_rows):
            if any(all(row.get(part) == key.get(part) for part in KEY) for row in rows):
                continue
            made = [key | row for row in measure(make, args, held, middle, tried)]
            made = [row | {"load_before": load} for row in made]
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("a") as out:
                out.write("".join(json.dumps(row) + "\n" for row in made))
            rows += made
    print(table(rows))


if __name__ == "__main__":
    main()
