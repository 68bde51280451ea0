"""A basic autoencoder, and the experiments with it (first notes, parts 1 and 2).

    python examples/basic_autoencoder.py                  # MNIST
    python examples/basic_autoencoder.py --quick          # seconds, on small digits

Figures, and the numbers behind them, go to runs/examples, or where --out says.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

import isthmus as im
from common import choices, describe
from isthmus import figures

# The notes' training: batches of 64, Adam at 0.001 throughout.
SETTINGS = {"batch_size": 64, "lr": 1e-3, "schedule": "constant", "seed": 0}


def main(argv: Sequence[str] | None = None) -> None:
    asked = choices(__doc__, argv)

    # 1. 784-128-32 on random vectors, as in the notes: the loss of every epoch, and it falls.
    vectors = np.random.default_rng(0).random((1000, 784), dtype=np.float32)
    model = im.Autoencoder((784,), im.MLP(hidden=(128,)), im.Plain(latent=32))
    run = im.train(model, vectors, epochs=10, **SETTINGS)
    print("random vectors, 784-128-32")
    for row in run.history:
        print(f"  epoch {row['epoch']:2.0f}   loss {row['train_loss']:.5f}")
    print("  It falls, though noise has little to learn from. Now real images.\n")

    # 2. The same autoencoder on images, and what changes with depth, activation and code size.
    networks = {
        "128-32": (im.MLP((128,)), 32),
        "256-128-32": (im.MLP((256, 128)), 32),
        "512-256-32": (im.MLP((512, 256)), 32),
        "128-32 Tanh": (im.MLP((128,), activation="Tanh"), 32),
        "128-2": (im.MLP((128,)), 2),
        "128-16": (im.MLP((128,)), 16),
        "128-64": (im.MLP((128,)), 64),
    }
    runs = {}
    for name, (network, latent) in networks.items():
        model = im.Autoencoder(asked.data.shape, network, im.Plain(latent))
        runs[name] = im.train(model, asked.data, epochs=asked.epochs, **SETTINGS)
        print(describe(name, runs[name]))

    histories = {name: run.history.as_columns() for name, run in runs.items()}
    asked.save(figures.history_overlay(histories), "losses")
    metrics = {name: run.metrics["test"].as_json() for name, run in runs.items()}
    asked.save(figures.comparison(metrics, ["mse", "pca_ratio", "knn_accuracy"]), "experiments")
    for name in ("128-32", "128-2"):
        asked.save(runs[name].figures.reconstructions(), f"reconstructions-{name}")
    print(f"\nfigures in {asked.folder}")


if __name__ == "__main__":
    main()
