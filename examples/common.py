"""What the three programs share: their options, and the data."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import isthmus as im
from isthmus.errors import MissingDataError
from isthmus.figures import Picture


@dataclass(frozen=True)
class Choices:
    """What was asked for on the command line."""

    data: im.Dataset
    epochs: int
    folder: Path

    def save(self, picture: Picture, name: str) -> None:
        """Write a picture, and the numbers that it shows beside it."""
        picture.save(self.folder, name)


def choices(about: str | None, argv: Sequence[str] | None = None) -> Choices:
    """Read the options."""
    parser = argparse.ArgumentParser(
        description=about, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", default="mnist", help="mnist, fashion-mnist, digits, or a path")
    parser.add_argument("--epochs", type=int, help="default: 10, or 100 on small data")
    parser.add_argument("--out", type=Path, default=Path("runs/examples"), help="folder of figures")
    parser.add_argument("--quick", action="store_true", help="take the small digits")
    options = parser.parse_args(argv)
    data = load("digits" if options.quick else options.data)
    # Ten passes over few samples are too few steps to learn anything.
    usual = 10 if len(data["train"]) >= 10_000 else 100
    return Choices(data, options.epochs or usual, options.out)


def load(name: str) -> im.Dataset:
    """Load the data; where MNIST can't be had, scikit-learn's small digits stand in."""
    try:
        return im.load(name)
    except MissingDataError as error:
        if name != "mnist":
            raise SystemExit(str(error)) from error
        print(f"{error}\nGoing on with 'digits', 8x8 images that come with scikit-learn.\n",
              file=sys.stderr)  # fmt: skip
        return im.load("digits")


def describe(name: str, run: im.Run) -> str:
    """Say in a line what a trained model reaches on the test images."""
    test = run.metrics["test"]
    pca = "" if test.pca_mse is None else f" (PCA {test.pca_mse:.5f})"
    neighbours = "" if test.knn_accuracy is None else f"   5-NN {100 * test.knn_accuracy:5.2f} %"
    return (
        f"{name:<22}{run.model.parameters_count:>10,} parameters"
        f"   MSE {test.mse:.5f}{pca}{neighbours}"
    )
