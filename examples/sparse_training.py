"""Sparse training: an L1 charge of several strengths, then a target that is met (first notes, 4-5).

    python examples/sparse_training.py                    # MNIST
    python examples/sparse_training.py --quick            # seconds, on small digits

Figures, and the numbers behind them, go to runs/examples, or where --out says.
"""

from __future__ import annotations

from collections.abc import Sequence

import isthmus as im
from common import choices
from isthmus import figures

CODE = 32
TARGET = 0.05


def report(name: str, run: im.Run) -> str:
    """Say what each part of the loss came to, and how active the code is."""
    last = run.history.rows[-1]
    return (
        f"{name:<12}{last['train_loss']:>10.5f} = {last['train_distortion']:.5f} "
        f"+ {last['train_penalty']:<8.2g}{run.metrics['test'].mean_activation:>12.4f}"
    )


def main(argv: Sequence[str] | None = None) -> None:
    asked = choices(__doc__, argv)
    runs = {}
    print(f"{'':<12}      loss = reconstruction + penalty   mean activation (wanted: {TARGET})")

    # Encoder to twice the code's width, ReLU, then a sigmoid code that the decoder reads; the
    # strength multiplies the sum of the code's activations.
    for strength in (0.0001, 0.001, 0.1, 1.0):
        waist = im.L1(CODE, weight=strength, unit="sigmoid")
        model = im.Autoencoder(asked.data.shape, im.MLP((2 * CODE,)), waist)
        name = f"L1 {strength:g}"
        runs[name] = im.train(model, asked.data, epochs=asked.epochs, seed=0)
        print(report(name, runs[name]))

    # No strength aims at a mean activation: a weak charge leaves it far above, a strong one
    # switches them off for good. A KL charge has a target, and in time moves each latent there.
    model = im.Autoencoder(asked.data.shape, im.MLP((2 * CODE,)), im.KLSparse(CODE, target=TARGET))
    runs["KL"] = im.train(model, asked.data, epochs=asked.epochs, weight_decay=1e-4, seed=0)
    print(report("KL", runs["KL"]))

    histories = {name: run.history.as_columns() for name, run in runs.items()}
    asked.save(
        figures.history_overlay(histories, column="validation_distortion"), "reconstruction-losses"
    )
    images = asked.data["test"].take(2000, seed=0).all()
    codes = {name: run.model.encode(images).numpy() for name, run in runs.items()}
    shown = {name: codes[name] for name in ("L1 0.001", "L1 0.1", "KL")}
    asked.save(figures.compare_codes(shown), "codes")
    asked.save(runs["KL"].figures.loss_curves(), "kl-losses")
    print(f"\nfigures in {asked.folder}")


if __name__ == "__main__":
    main()
