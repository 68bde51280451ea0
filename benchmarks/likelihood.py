"""Likelihood of variational models on binarised MNIST, by the published protocols.

    python benchmarks/likelihood.py vae-static
    python benchmarks/likelihood.py vae-dynamic
    python benchmarks/likelihood.py iwae-dynamic
    python benchmarks/likelihood.py iwae-dynamic --long     # 3,280 epochs, for whoever has the time

- ``vae-static``: 784-400-40 with ReLU, grey values binarised once (Bernoulli draws, seed 0).
- ``vae-dynamic``, ``iwae-dynamic``: Burda, Grosse and Salakhutdinov (arXiv:1509.00519),
  784-200-200-50 with tanh, Glorot weights, output biases at the logit of the training mean, bits
  drawn anew for each batch. The short protocol is 100 epochs at batch 100 with a cosine rate;
  ``--long`` is the published one: batch 20, eight stages of 3^(i-1) epochs, rates from 1e-3 to
  1e-4. ``iwae-dynamic --lead 92`` spends the first 92 of the 100 epochs at one sample, where a step
  costs a fifteenth, and the last 8 at k = 50, each part with its own cosine.

The negative log-likelihood is estimated with 5,000 importance samples on all 10,000 test images.
A run that was stopped goes on when the command is given again. Results are added to
``benchmarks/results/likelihood.jsonl``. The data set ``mnist`` is found or fetched as always.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

import isthmus as im
from isthmus.runs.training import carry_out, job_for
from isthmus.training.progress import lines_to

HERE = Path(__file__).resolve().parent
STATIC: dict[str, Any] = {"epochs": 100, "batch_size": 100, "lr": 2e-3}
SHORT: dict[str, Any] = {"epochs": 100, "batch_size": 100, "lr": 3e-3}
LONG: dict[str, Any] = {
    "epochs": 3280,
    "batch_size": 20,
    "lr": 1e-3,
    "eps": 1e-4,
    "schedule": "step",
    "step_at": tuple(e / 3280 for e in (1, 4, 13, 40, 121, 364, 1093)),
    "step_factor": 10 ** (-1 / 7),
}


def burda(samples: int, seed: int, mean: np.ndarray) -> im.Autoencoder:
    """Build Burda's one-layer model with his initial weights."""
    bound = "iwae" if samples > 1 else "elbo"
    model = im.Autoencoder(
        (1, 28, 28),
        im.MLP(hidden=(200, 200), activation="Tanh"),
        im.Gaussian(latent=50, samples=samples, bound=bound),
        im.Bernoulli(),
        seed=seed,
    )
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(seed)
        layers = [m for m in model.modules() if isinstance(m, nn.Linear)]
        for layer in layers:
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)
        layers[-1].bias.copy_(torch.logit(torch.from_numpy(mean).flatten().clamp(0.001, 0.999)))
    return model


def static(seed: int) -> im.Autoencoder:
    """Build the 784-400-40 model."""
    return im.Autoencoder(
        (1, 28, 28), im.MLP(hidden=(400,)), im.Gaussian(latent=40), im.Bernoulli(), seed=seed
    )


def trained(
    model: im.Autoencoder, data: im.Dataset, folder: Path, settings: dict[str, Any], epochs: int
) -> im.Run:
    """Train, or go on where a training was stopped."""
    job = job_for(model, data, **(settings | {"epochs": epochs}))
    fast = im.Evaluation(binarise=settings["binarise"], nll_samples=0)
    started = (folder / "checkpoints").exists()
    return carry_out(job, folder, resume=started, watch=lines_to(), figures=False, evaluation=fast)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("protocol", choices=["vae-static", "vae-dynamic", "iwae-dynamic"])
    parser.add_argument("--long", action="store_true", help="Burda's 3,280 epochs")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--lead", type=int, default=0, help="epochs at k=1 first (of all epochs)")
    parser.add_argument("--precision", default="float32", choices=["float32", "bf16"])
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--runs", type=Path, default=Path("runs/likelihood"))
    args = parser.parse_args()

    digits = im.load("mnist", validation=1000)
    usual = STATIC if args.protocol == "vae-static" else SHORT
    settings = dict(LONG if args.long else usual)
    settings |= {"seed": args.seed, "precision": args.precision, "threads": args.threads}
    settings |= {"epochs": args.epochs} if args.epochs else {}
    if args.protocol == "vae-static":
        model = static(args.seed)
        # the bits are few enough to be learned by heart: the best validation epoch is kept
        settings |= {"binarise": "static", "patience": settings["epochs"]}
    else:
        mean = digits["train"].all().mean(0).numpy() / 255
        model = burda(50 if args.protocol == "iwae-dynamic" else 1, args.seed, mean)
        settings |= {"binarise": "dynamic"}
    name = f"{args.protocol}{'-long' if args.long else ''}-e{settings['epochs']}-s{args.seed}"
    seconds = 0.0
    if args.lead:
        name += f"-lead{args.lead}"
        first = trained(
            burda(1, args.seed, mean), digits, args.runs / f"{name}-k1", settings, args.lead
        )
        seconds = sum(first.history["seconds"])
        model.load_state_dict(first.model.state_dict())
        model.preprocessing = first.model.preprocessing
        settings |= {"epochs": settings["epochs"] - args.lead, "lr": 1e-3}
    run = trained(model, digits, args.runs / name, settings, settings["epochs"])
    begun = time.perf_counter()
    options = im.Evaluation(binarise=settings["binarise"], nll_samples=5000, nll_rows=0)
    test = im.evaluate(run.model, run.dataset, options, ("test",))["test"]
    row = {
        "protocol": args.protocol + (" (long)" if args.long else ""),
        "seed": args.seed,
        "epochs": args.lead + len(run.history),
        "epochs_at_k1": args.lead,
        "precision": args.precision,
        "nll": round(test.nll or 0, 3),
        "nll_error": round(test.nll_error or 0, 4),
        "elbo": round(test.elbo or 0, 3),
        "ess_median": round(test.nll_ess or 0, 1),
        "importance_samples": test.nll_samples,
        "test_images": test.nll_rows,
        "active_units": test.active_units,
        "train_seconds": round(seconds + sum(run.history["seconds"])),
        "nll_seconds": round(time.perf_counter() - begun),
        "machine": f"{platform.machine()}, {torch.get_num_threads()} threads",
    }
    results = HERE / "results" / "likelihood.jsonl"
    results.parent.mkdir(exist_ok=True)
    with results.open("a") as file:
        file.write(json.dumps(row) + "\n")
    print(json.dumps(row, indent=2))


if __name__ == "__main__":
    main()
