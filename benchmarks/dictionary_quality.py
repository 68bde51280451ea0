"""Quality of TopK dictionaries on MiniLM embeddings: Isthmus and every peer that is installed.

    python benchmarks/dictionary_quality.py --threads 2            # hours; goes on where it stopped
    python benchmarks/dictionary_quality.py --peers sparsify --k 32 --seeds 0
    python benchmarks/dictionary_quality.py --table                # print the table from the rows

Protocol (``dictionary_data.py``): 82,903 rows for training, 10,000 held out, n = 3072, batch 1024,
20 passes (1,600 steps; what is left of a pass is dropped), one-pass TopK encoder with the k of the
training. Each peer is trained with its own defaults, and with the best of ``--rates`` (100 steps of
warm-up, decay over the last half where the library can): the rates are tried with the first seed,
the best by FVU on the held-out rows, which favours the peers, gets the others. Isthmus runs with
its defaults.

FVU: summed squared errors on the held-out rows over their squares about the training mean, float64;
its 95 % interval from 1,000 resamples of the rows. Dead: never active on the training rows. Rate:
the share of the held-out rows on which the most frequent latent is active. Codes are recomputed
from the weights in the same way for all. Rows that are already in
``results/dictionary_quality.jsonl`` are not done again; ``--keep`` saves the weights.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dictionary_data import split
from dictionary_face import Peer, Task, Weights
from dictionary_peers import PEERS, installed

RESULTS = Path(__file__).resolve().parent / "results" / "dictionary_quality.jsonl"
BATCH = 1024
# Sign descent wants other rates than Adam: its default for 3,072 latents is 1.2e-2.
SCALE = {"sparsify-signum": 5.0}
# What tells one row from another.
KEY = ("name", "k", "lr", "seed", "latents", "passes", "rows")
Row = dict[str, Any]


def done(path: Path) -> list[Row]:
    """Return the rows so far."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def train(peer: Peer, rows: Tensor, passes: int, seed: int) -> float:
    """Train for whole batches of seeded passes; return the seconds of the steps alone."""
    order = np.random.default_rng(seed)
    seconds = 0.0
    for _ in range(passes):
        shuffled = rows[torch.from_numpy(order.permutation(len(rows)))]
        whole = len(rows) // BATCH * BATCH
        start = time.perf_counter()
        for batch in shuffled[:whole].split(BATCH):
            peer.step(batch)
        seconds += time.perf_counter() - start
    return seconds


def coded(weights: Weights, rows: Tensor, k: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return each row's squared error in float64, each latent's firings, and L0 by row."""
    errors, active = [], []
    fired = torch.zeros(len(weights.bias_N), dtype=torch.long)
    for batch in rows.split(BATCH):
        pre_BN = (batch - weights.pre_bias_D) @ weights.encoder_ND.T + weights.bias_N
        values, indices = pre_BN.relu().topk(k)
        codes_BN = torch.zeros_like(pre_BN).scatter(1, indices, values)
        gap = (codes_BN @ weights.decoder_ND + weights.pre_bias_D).double() - batch.double()
        errors.append(gap.square().sum(1))
        fired += (codes_BN > 0).sum(0)
        active.append((codes_BN > 0).sum(1))
    return torch.cat(errors).numpy(), fired.numpy(), torch.cat(active).numpy()


@torch.no_grad()
def measured(weights: Weights, train_rows: Tensor, held: Tensor, k: int) -> Row:
    """Return what is kept of one dictionary."""
    mean = train_rows.double().mean(0)
    squares = (held.double() - mean).square().sum(1).numpy()
    errors, fired, active = coded(weights, held, k)
    own_errors, own_fired, _ = coded(weights, train_rows, k)
    own_squares = float((train_rows.double() - mean).square().sum())
    counts = np.random.default_rng(0).multinomial(
        len(held), np.full(len(held), 1 / len(held)), 1000
    )
    low, high = np.quantile((counts @ errors) / (counts @ squares), (0.025, 0.975))
    return {
        "fvu": float(errors.sum() / squares.sum()),
        "fvu_low": float(low),
        "fvu_high": float(high),
        "fvu_train": float(own_errors.sum() / own_squares),
        "l0": float(active.mean()),
        "dead": float((own_fired == 0).mean()),
        "dead_held_out": float((fired == 0).mean()),
        "max_firing_rate": float(fired.max() / len(held)),
    }


class Bench:
    """The rows to be made, one at a time."""

    def __init__(self, args: argparse.Namespace) -> None:
        train_rows, held = split()
        self.args = args
        self.rows = torch.from_numpy(train_rows[: args.rows or None])
        self.held = torch.from_numpy(held)
        self.path = Path(args.out)

    def row(self, name: str, k: int, seed: int, lr: float | None) -> Row:
        """Return the row for one training; train if there is none yet."""
        args = self.args
        key = (name, k, lr, seed, args.latents, args.passes, len(self.rows))
        for found in done(self.path):
            if tuple(found[part] for part in KEY) == key:
                return found
        steps = len(self.rows) // BATCH * args.passes
        given = {} if lr is None else {"lr": lr, "warmup": min(100, steps // 10), "decay": 0.5}
        task = Task(self.rows.shape[1], args.latents, k, BATCH, steps, seed=seed, **given)
        peer = PEERS[name][1](task, self.rows)
        seconds = train(peer, self.rows, args.passes, seed)
        weights = peer.weights()
        found = dict(zip(KEY, key, strict=True)) | measured(weights, self.rows, self.held, k)
        found |= {"seconds": round(seconds, 1), "threads": torch.get_num_threads()}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a") as out:
            out.write(json.dumps(found) + "\n")
        if args.keep:
            keep(weights, Path(args.keep) / f"{name}-k{k}-lr{lr or 'default'}-seed{seed}")
        print(json.dumps(found), flush=True)
        return found

    def peer(self, name: str, k: int, seeds: list[int], rates: list[float]) -> None:
        """Make all rows of one peer at one k."""
        for seed in seeds:
            self.row(name, k, seed, None)
        if not rates or name.startswith("isthmus"):
            return
        tried = [round(rate * SCALE.get(name, 1.0), 12) for rate in rates]
        best = min(tried, key=lambda lr: self.row(name, k, seeds[0], lr)["fvu"])
        for seed in seeds[1:]:
            self.row(name, k, seed, best)


def keep(weights: Weights, path: Path) -> None:
    """Save the weights under the names that ``SparseDictionary`` uses."""
    from safetensors.torch import save_file

    path.parent.mkdir(parents=True, exist_ok=True)
    names = ("encoder", "bias", "decoder", "pre_bias")
    tensors = {name: tensor.contiguous() for name, tensor in zip(names, weights, strict=True)}
    save_file(tensors, path.with_name(path.name + ".safetensors"))


def cell(rows: list[Row], key: str, form: str, scale: float = 1.0) -> str:
    """Return mean and standard deviation over seeds."""
    values = [scale * row[key] for row in rows]
    spread = f" ± {format(statistics.stdev(values), form)}" if len(values) > 1 else ""
    return format(statistics.fmean(values), form) + spread


def table(rows: list[Row]) -> str:
    """Return the table in Markdown; ± is one standard deviation over seeds."""
    lines = [
        "| trainer | k | rate | seeds | FVU | 95 % | FVU, training | dead % | largest rate | s |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault((row["k"], row["name"], row["lr"] or 0.0, row["passes"]), []).append(row)
    for (k, name, lr, _), own in sorted(groups.items()):
        first = own[0]
        cells = [
            *(f"`{name}`", str(k), f"{lr:g}" if lr else "default", str(len(own))),
            cell(own, "fvu", ".4f"),
            f"{first['fvu_low']:.4f}-{first['fvu_high']:.4f}",
            cell(own, "fvu_train", ".4f"),
            cell(own, "dead", ".1f", 100),
            cell(own, "max_firing_rate", ".2f"),
            cell(own, "seconds", ".0f"),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--peers", default=",".join(PEERS), help="names, with commas")
    parser.add_argument("--k", default="32,64")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--rates", default="1e-3,2e-3,5e-3,1e-2", help="empty: defaults only")
    parser.add_argument("--latents", type=int, default=3072)
    parser.add_argument("--passes", type=int, default=20)
    parser.add_argument("--rows", type=int, default=0, help="training rows, 0: all; for a try")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--keep", help="folder for the weights")
    parser.add_argument("--out", default=str(RESULTS))
    parser.add_argument("--table", action="store_true")
    args = parser.parse_args()
    if not args.table:
        torch.set_num_threads(args.threads)
        bench = Bench(args)
        seeds = [int(seed) for seed in args.seeds.split(",")]
        rates = [float(rate) for rate in args.rates.split(",") if rate]
        for k in (int(k) for k in args.k.split(",")):
            for name in installed(args.peers.split(",")):
                bench.peer(name, k, seeds, rates)
    print(table(done(Path(args.out))))


if __name__ == "__main__":
    main()
