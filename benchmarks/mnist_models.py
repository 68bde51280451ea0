"""Every preset on MNIST: error, PCA ratio, 5-NN, sparsity, likelihood, over three seeds.

    python benchmarks/mnist_models.py                      # all of it, hours on two cores
    python benchmarks/mnist_models.py --only dense --seeds 0
    python benchmarks/mnist_models.py --table               # print the table from the results

Each training is one process with ``--threads`` threads; runs that are already in
``benchmarks/results/mnist_models.jsonl`` are not done again. Pixels in [0, 1]; 58,000 training
images, 2,000 for validation, the official 10,000 for test, which nothing was chosen on; 5-NN on the
codes of the training images. Steps run in bf16 unless ``--precision float32`` says otherwise: on
processors with bf16 arithmetic that is nearly twice as fast, and no worse here.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import isthmus as im

RESULTS = Path(__file__).resolve().parent / "results" / "mnist_models.jsonl"
LOAD = {"validation": 2000}

# name: preset, settings. The first block has targets; the others show every preset.
ENTRIES: dict[str, tuple[str, dict[str, Any]]] = {
    "dense": ("dense", {"epochs": 30}),
    "dense-64": ("dense", {"epochs": 30, "latent": 64}),
    "sparse-kl": ("sparse-kl", {"epochs": 15}),
    "topk": ("topk", {"epochs": 15}),
    "sparse-l1": ("sparse-l1", {"epochs": 15}),
    "conv": ("conv", {"epochs": 15}),
    "batch-topk": ("batch-topk", {"epochs": 10}),
    "linear": ("linear", {"epochs": 10}),
    "basic": ("basic", {"epochs": 10}),
    "deep": ("deep", {"epochs": 10}),
    "denoising": ("denoising", {"epochs": 10}),
    "contractive": ("contractive", {"epochs": 10}),
    "notes-l1": ("notes-l1", {"epochs": 10}),
    "notes-kl": ("notes-kl", {"epochs": 10}),
    "vae": ("vae", {"epochs": 10, "binarise": "dynamic"}),
    "beta-vae": ("beta-vae", {"epochs": 10, "binarise": "dynamic"}),
    "gaussian-vae": ("gaussian-vae", {"epochs": 10}),
    "iwae": ("iwae", {"epochs": 10, "binarise": "dynamic"}),
    "vq": ("vq", {"epochs": 10}),
    "fsq": ("fsq", {"epochs": 10}),
}
KEPT = (
    *("mse", "pca_mse", "knn_accuracy", "pca_knn_accuracy", "l0", "mean_activation"),
    *("dead_fraction", "max_firing_rate", "hoyer", "nll", "nll_error", "nll_ess"),
    *("nll_protocol", "elbo", "active_units"),
)


def done() -> list[dict[str, Any]]:
    """Return the rows so far."""
    return (
        [json.loads(line) for line in RESULTS.read_text().splitlines()] if RESULTS.exists() else []
    )


def measure(name: str, seed: int, threads: int, precision: str) -> dict[str, Any]:
    """Train and measure one entry with one seed."""
    preset, settings = ENTRIES[name]
    start = time.perf_counter()
    run = im.train(
        preset,
        "mnist",
        load_options=LOAD,
        seed=seed,
        threads=threads,
        precision=precision,
        **settings,
    )
    test = run.metrics["test"].as_json()
    per_latent = run.metrics["train"].mean_activation_per_latent or ()
    target = run.metrics["test"].target_activation
    worst = max((abs(a / target - 1) for a in per_latent), default=None) if target else None
    return {
        "name": name,
        "seed": seed,
        "precision": precision,
        "epochs": len(run.history),
        "parameters": run.model.parameters_count,
        "train_seconds": round(sum(run.history["seconds"]), 1),
        "all_seconds": round(time.perf_counter() - start, 1),
        "threads": threads,
        "worst_latent_deviation": worst,
    } | {key: test[key] for key in KEPT if key in test}


def cell(rows: list[dict[str, Any]], key: str, form: str, scale: float = 1.0) -> str:
    """Return mean and range over seeds."""
    values = [scale * row[key] for row in rows if row.get(key) is not None]
    if not values:
        return ""
    mean = format(statistics.fmean(values), form)
    spread = f" ± {format(statistics.stdev(values), form)}" if len(values) > 1 else ""
    return mean + spread


def table(rows: list[dict[str, Any]]) -> str:
    """Return the table in Markdown; ± is one standard deviation over seeds."""
    lines = [
        "| model | seeds | epochs | test MSE | / PCA | 5-NN % | L0 | mean | dead % | NLL | s |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name, precision in itertools.product(ENTRIES, ("bf16", "float32")):
        own = [row for row in rows if (row["name"], row["precision"]) == (name, precision)]
        if not own:
            continue
        for row in own:
            row["ratio"] = row["mse"] / row["pca_mse"]
        cells: list[str] = [
            f"`{name}`" + (", float32" if precision == "float32" else ""),
            str(len(own)),
            str(own[0]["epochs"]),
            cell(own, "mse", ".5f"),
            cell(own, "ratio", ".2f"),
            cell(own, "knn_accuracy", ".2f", 100),
            cell(own, "l0", ".2f"),
            cell(own, "mean_activation", ".3f"),
            cell(own, "dead_fraction", ".0f", 100),
            cell(own, "nll", ".1f"),
            cell(own, "train_seconds", ".0f"),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", help="names of entries, with commas")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--precision", default="bf16", choices=["bf16", "float32"])
    parser.add_argument("--table", action="store_true", help="only print the table")
    args = parser.parse_args()
    names = args.only.split(",") if args.only else list(ENTRIES)
    for seed in [] if args.table else [int(s) for s in args.seeds.split(",")]:
        for name in names:
            wanted = (name, seed, args.precision)
            if any((row["name"], row["seed"], row["precision"]) == wanted for row in done()):
                continue
            row: Mapping[str, Any] = measure(name, seed, args.threads, args.precision)
            RESULTS.parent.mkdir(exist_ok=True)
            with RESULTS.open("a") as file:
                file.write(json.dumps(row) + "\n")
            print(json.dumps(row), flush=True)
    print(table(done()))


if __name__ == "__main__":
    main()
