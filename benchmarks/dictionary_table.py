"""Every bottleneck, baselines and peers on MiniLM embeddings: one table of what they are worth.

    python benchmarks/dictionary_table.py --threads 2         # hours; goes on where it stopped
    python benchmarks/dictionary_table.py --models topk,any-k --seeds 0 --any-k-beside
    python benchmarks/dictionary_table.py --models none --peers-weights kept/   # only the peers
    python benchmarks/dictionary_table.py --table             # print the tables from the rows

Protocol (``dictionary_data.py``): 82,903 rows for training, 10,000 held out, n = 3072, k or L0 of
32, 20 passes, three seeds, all other settings as the package has them by default; nothing is chosen
on the held-out rows, and the last weights are measured. Peers are the weights that
``dictionary_quality.py --keep FOLDER`` saved, each read as one-pass TopK.

FVU: summed squared errors on the held-out rows over their squares about the training mean, with
its 95 % bootstrap interval over rows; "refined" is that of a non-negative matching pursuit with the
same directions and k. Dead: active on no training row. Rate: share of held-out rows on which the
busiest latent is active. Texts: see ``dictionary_texts.py``; k-sparse probes tell one intent from
the rest by k' latents (balanced accuracy, chance .5). Coherence: cosines between directions.
Stability: mean cosine of directions matched between seeds (Hungarian), beside random directions of
the same mean and covariance. Recovery: see ``dictionary_recovery.py``. Baselines: the vectors
themselves, PCA with k components, k-means (one latent a sample), random training rows (read by the
pursuit), an untrained TopK dictionary.

Trained dictionaries are kept in ``.bench/dictionaries``; rows that are already in
``results/dictionary_table.jsonl`` are not made again.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dictionary_coders import (
    BASELINES,
    CACHE,
    SEEDLESS,
    Coder,
    Sizes,
    of_file,
    of_model,
    peer_files,
    trained,
)
from dictionary_data import Floats, split
from dictionary_peers import PEERS, installed
from dictionary_recovery import ORACLE, ROWS, made, recovered
from dictionary_tables import tables
from dictionary_texts import Texts, texts
from isthmus.metrics import DictionaryScores, DictionarySums, decoder_coherence, seed_stability
from isthmus.models.dictionary.presets import DICTIONARY_PRESETS

RESULTS = Path(__file__).resolve().parent / "results" / "dictionary_table.jsonl"
OWN = tuple(preset.name for preset in DICTIONARY_PRESETS)
PARTS = ("quality", "stability", "recovery")
FEWER = (4, 8, 16, 32)
"""Other k's that dictionaries are read at."""
BLOCK = 4096
# What tells one row from another.
KEY = ("part", "model", "lr", "k", "seed", "latents", "passes", "rows", "weights")
Row = dict[str, Any]


class Results:
    """The rows so far, on disk."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def rows(self) -> list[Row]:
        """Return all of them."""
        return (
            [json.loads(line) for line in self.path.read_text().splitlines()]
            if self.path.exists()
            else []
        )

    def has(self, key: Row) -> bool:
        """Say whether a row is there."""
        return any(all(row.get(name) == key.get(name) for name in KEY) for row in self.rows())

    def add(self, key: Row, found: Row) -> None:
        """Append a row and print it."""
        line = json.dumps(key | found)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a") as out:
            out.write(line + "\n")
        print(line, flush=True)


def scored(
    coder: Coder, rows: Floats, mean: Floats, resamples: int, k: int = 0
) -> DictionaryScores:
    """Return the scores of one-pass codes, encoded with another ``k`` where one is given."""
    sums = DictionarySums(coder.latents, mean)
    for start in range(0, len(rows), BLOCK):
        x = rows[start : start + BLOCK]
        codes = coder.encode_at(x, k) if k and coder.encode_at else coder.encode(x)
        sums.update(x, coder.decode(codes), coder.fired(codes))
    return sums.result(resamples=resamples)


def refined(coder: Coder, rows: Floats, mean: Floats, threads: int) -> Row:
    """Return the FVU of refined encoding."""
    if not coder.k:
        return {}
    encoder, sums = coder.refined(threads), DictionarySums(coder.latents, mean)
    decoder, pre_bias = coder.decoder_ND, coder.pre_bias_D
    for start in range(0, len(rows), BLOCK):
        x = rows[start : start + BLOCK]
        codes = encoder.encode(x).csr()
        sums.update(x, codes @ decoder + pre_bias, codes)
    scores = sums.result(resamples=100)
    return {"fvu_refined": scores.fvu, "l0_refined": scores.firing.l0}


def quality(coder: Coder, train_rows: Floats, held: Floats, tried: Texts, threads: int) -> Row:
    """Return everything that is measured of one coder by itself."""
    mean = train_rows.mean(0, dtype=np.float64)
    own, scores = scored(coder, train_rows, mean, 100), scored(coder, held, mean, 1000)
    firing, interval = scores.firing, scores.fvu_interval
    found: Row = {
        "fvu": scores.fvu,
        "fvu_low": interval.low if interval else None,
        "fvu_high": interval.high if interval else None,
        "fvu_train": own.fvu,
        "cosine": scores.cosine,
        "norm_ratio": scores.norm_ratio,
        "l0": firing.l0,
        "dead": own.firing.dead_fraction,
        "dead_held_out": firing.dead_fraction,
        "dense_10": firing.dense_10,
        "max_firing_rate": firing.max_firing_rate,
        "hoyer": firing.hoyer,
    }
    found |= refined(coder, held, mean, threads)
    if coder.encode_at:
        ks = [k for k in FEWER if k <= coder.latents]
        found["fvu_at"] = {str(k): scored(coder, held, mean, 100, k).fvu for k in ks}
    if coder.decoder_ND is not None:
        near = decoder_coherence(coder.decoder_ND)
        found |= {
            "coherence_max": near.max,
            "coherence_mean": near.mean,
            "coherence_random": near.random_mean,
            "near_pairs": near.high_share,
            "nearest_mean": float(np.nanmean(near.nearest)),
        }
    return found | tried.measured(coder)


def stability(decoders: list[Floats]) -> Row:
    """Return how alike the dictionaries of several seeds are."""
    found = seed_stability(decoders)
    return {
        "stability": found.mean,
        "stability_low": found.interval.low,
        "stability_high": found.interval.high,
        "stability_chance": found.chance,
        "stability_shares": {str(key): share for key, share in found.shares.items()},
        "mmcs": found.mmcs,
        "mmcs_chance": found.chance_mmcs,
    }


class Bench:
    """The rows to be made."""

    def __init__(self, args: argparse.Namespace, results: Results) -> None:
        self.args, self.results = args, results
        self.threads: int = args.threads
        self.seeds = [int(seed) for seed in args.seeds.split(",")]
        train_rows, held = split()
        self.rows, self.held = train_rows[: args.rows or None], held[: args.held or None]
        self.sizes = Sizes(args.latents, args.k, args.passes, args.threads, Path(args.cache))
        self._texts: Texts | None = None

    @property
    def tried(self) -> Texts:
        """What codes are tried on, read when first needed."""
        self._texts = self._texts or texts(self.args.texts)
        return self._texts

    def key(self, part: str, model: str, seed: Any, sizes: Sizes, rows: int) -> Row:
        """Return what tells a row of a model that is made here."""
        names = ("latents", "passes")
        rest = {name: getattr(sizes, name) for name in names}
        return {"part": part, "model": model, "k": sizes.k, "seed": seed, "rows": rows} | rest

    def coder(self, model: str, sizes: Sizes, seed: int) -> tuple[Coder, Row]:
        """Make a baseline, or train a dictionary."""
        if model in BASELINES:
            start = time.perf_counter()
            made_ = BASELINES[model](self.rows, sizes, seed)
            return made_, {"seconds": round(time.perf_counter() - start, 1)}
        found, known = trained(model, self.rows, sizes, seed)
        return of_model(found, self.threads), known

    def measure(self, model: str, seeds: list[int], sizes: Sizes) -> None:
        """Make the rows of one model at one k."""
        for seed in seeds if "quality" in self.args.parts else ():
            key = self.key("quality", model, seed, sizes, len(self.rows))
            if not self.results.has(key):
                coder, known = self.coder(model, sizes, seed)
                self.results.add(key, known | self.quality(coder))
        if "stability" in self.args.parts and len(seeds) > 1:
            key = self.key("stability", model, seeds, sizes, len(self.rows))
            if not self.results.has(key):
                decoders = [self.coder(model, sizes, seed)[0].decoder_ND for seed in seeds]
                self.results.add(key, stability([d for d in decoders if d is not None]))

    def quality(self, coder: Coder) -> Row:
        """Measure one coder."""
        start = time.perf_counter()
        found = quality(coder, self.rows, self.held, self.tried, self.threads)
        return found | {"measured_in": round(time.perf_counter() - start, 1)}

    def peers(self) -> None:
        """Make the rows of saved weights."""
        groups: dict[tuple[str, str, int], dict[int, tuple[Path, str]]] = {}
        for path, said in peer_files(self.args.peers_weights):
            digest = hashlib.sha256(path.read_bytes()).hexdigest()[:12]
            group = groups.setdefault((said["name"], said["lr"], int(said["k"])), {})
            if int(said["seed"]) in self.seeds:
                group[int(said["seed"])] = path, digest
        for (name, lr, k), files in groups.items():
            head = {"model": name, "lr": lr, "k": k, "rows": len(self.rows)}
            for seed, (path, digest) in files.items():
                key = head | {"part": "quality", "seed": seed, "weights": digest}
                if "quality" in self.args.parts and not self.results.has(key):
                    self.results.add(key, self.quality(of_file(path, k, self.threads)))
            key = head | {"part": "stability", "seed": list(files)}
            key["weights"] = "-".join(digest for _, digest in files.values())
            if "stability" in self.args.parts and len(files) > 1 and not self.results.has(key):
                coders = [of_file(path, k, self.threads) for path, _ in files.values()]
                self.results.add(key, stability([c.decoder_ND for c in coders]))

    def recovery(self, models: list[str]) -> None:
        """Make the rows of the synthetic set."""
        rows = self.args.recovery_rows
        truth = made(rows)
        for model, seeds in [(name, seeds_of(name, self.seeds)) for name in models]:
            for seed in seeds:
                key = self.key("recovery", model, seed, self.sizes, rows)
                key |= {"latents": None, "k": None}
                if not self.results.has(key):
                    self.results.add(key, recovered(model, truth, self.sizes, seed))


def seeds_of(model: str, seeds: list[int]) -> list[int]:
    """Return the seeds that make a difference."""
    return seeds[:1] if model in (*SEEDLESS, ORACLE) else seeds


def plan(models: list[str], sizes: Sizes, beside: bool) -> Iterator[tuple[str, Sizes]]:
    """Yield what is to be trained and measured."""
    for model in models:
        yield model, sizes
    for k in FEWER if beside else ():
        if k < sizes.k:
            yield "topk", replace(sizes, k=k)


def arguments() -> argparse.ArgumentParser:
    known = ",".join((*BASELINES, *OWN))
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--models", default=known, help=f"of {known}; or none")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--passes", type=int, default=20)
    parser.add_argument("--latents", type=int, default=3072)
    parser.add_argument("--k", type=int, default=32, help="active latents, or their mean")
    parser.add_argument("--parts", default=",".join(PARTS), help="with commas")
    parser.add_argument("--any-k-beside", action="store_true", help="TopK at smaller k, too")
    parser.add_argument("--peers-weights", help="folder of dictionary_quality.py --keep")
    parser.add_argument("--recovery-peers", default=None, help="default: all installed")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--cache", default=str(CACHE), help="folder of trained dictionaries")
    parser.add_argument("--out", default=str(RESULTS))
    parser.add_argument("--table", action="store_true", help="only print the tables")
    tries = parser.add_argument_group("for a try")
    tries.add_argument("--rows", type=int, default=0, help="training rows, 0: all")
    tries.add_argument("--held", type=int, default=0, help="held-out rows, 0: all")
    tries.add_argument("--texts", type=int, default=0, help="texts of the probes, 0: all")
    tries.add_argument("--recovery-rows", type=int, default=ROWS)
    return parser


def main() -> None:
    args = arguments().parse_args()
    args.parts = args.parts.split(",")
    results = Results(Path(args.out))
    if not args.table:
        torch.set_num_threads(args.threads)
        models = [] if args.models == "none" else args.models.split(",")
        if unknown := sorted({*models} - {*BASELINES, *OWN}):
            raise SystemExit(
                f"There is no {unknown[0]}; there are {', '.join((*BASELINES, *OWN))}."
            )
        bench = Bench(args, results)
        for model, sizes in plan(models, bench.sizes, args.any_k_beside):
            bench.measure(model, seeds_of(model, bench.seeds), sizes)
        bench.peers()
        if "recovery" in args.parts:
            asked = PEERS if args.recovery_peers is None else args.recovery_peers.split(",")
            rivals = [name for name in asked if name and not name.startswith("isthmus")]
            shown = [name for name in models if name not in SEEDLESS]
            bench.recovery([ORACLE, *shown, *installed(rivals, quiet=True)])
    print(tables(results.rows()))


if __name__ == "__main__":
    main()
