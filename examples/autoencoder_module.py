"""The module on autoencoders, from loading MNIST to the convolutional exercise (second notes).

    python examples/autoencoder_module.py                 # MNIST
    python examples/autoencoder_module.py --quick         # seconds, on small digits

Figures, and the numbers behind them, go to runs/examples, or where --out says.
"""

from __future__ import annotations

from collections.abc import Sequence

import isthmus as im
from common import choices, describe
from isthmus import figures


def main(argv: Sequence[str] | None = None) -> None:
    # 1. The data: training, validation and test images; the device is chosen by itself.
    asked = choices(__doc__, argv)
    data = asked.data
    sizes = ", ".join(f"{len(part):,} {split}" for split, part in data.splits.items())
    print(f"{data.name}: {sizes} samples of shape {data.shape}\n")
    settings = {"epochs": asked.epochs, "batch_size": 128, "lr": 1e-3, "seed": 0}
    pixels = im.MSE(output="sigmoid")  # images are scaled to [0, 1]; so is the output
    runs = {}

    # 2. A basic autoencoder, 784-256-128-32: its history, its reconstructions, its latent space.
    model = im.Autoencoder(data.shape, im.MLP((256, 128)), im.Plain(32), pixels)
    runs["basic"] = im.train(model, data, **settings)
    print(describe("basic", runs["basic"]))
    asked.save(runs["basic"].figures.loss_curves(), "1-loss")
    asked.save(runs["basic"].figures.reconstructions(10), "2-reconstructions")
    asked.save(runs["basic"].figures.latent_map(perplexity=30), "3-latent-space")

    # 3. A sparse autoencoder, 784-256-64: every latent is held at a mean activation of 0.05. The
    #    decoder reads the very code that is charged, and weight decay is part of the method.
    model = im.Autoencoder(data.shape, im.MLP((256,)), im.KLSparse(64, target=0.05), pixels)
    runs["sparse"] = im.train(model, data, weight_decay=1e-4, **settings)
    print(describe("sparse", runs["sparse"]))
    asked.save(runs["sparse"].figures.loss_curves(), "4-sparse-loss")

    # 4. Which is sparser? One measure for both, though their codes differ in width and scale.
    images = data["test"].take(2000, seed=0).all()
    codes = {name: runs[name].model.encode(images).numpy() for name in ("basic", "sparse")}
    asked.save(figures.compare_codes(codes), "5-sparsity")
    for name, code in codes.items():
        found = figures.activity(code)
        print(f"  {name}: {100 * found.near_zero:.1f} % of activations near zero, "
              f"Hoyer {found.hoyer:.2f}, mean {found.mean:.3f}")  # fmt: skip

    # 5. A variational autoencoder: new digits from the prior, and the way from one to another.
    model = im.Autoencoder(data.shape, im.MLP((400,)), im.Gaussian(20), im.Bernoulli())
    runs["variational"] = im.train(model, data, **settings)
    print(describe("variational", runs["variational"]))
    for name in ("prior_samples", "interpolations", "traversals", "kl_per_latent"):
        asked.save(getattr(runs["variational"].figures, name)(), f"6-{name.replace('_', '-')}")

    # 6. The exercise: convolutions, 1-32-64 channels at stride 2, then linear to 32.
    model = im.Autoencoder(data.shape, im.Conv(channels=(32, 64)), im.Plain(32), pixels)
    runs["convolutional"] = im.train(model, data, **settings)
    print(describe("convolutional", runs["convolutional"]))

    metrics = {name: run.metrics["test"].as_json() for name, run in runs.items()}
    asked.save(figures.comparison(metrics), "7-all-models")
    print(f"\nfigures in {asked.folder}")


if __name__ == "__main__":
    main()
