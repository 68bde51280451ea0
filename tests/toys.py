"""Small data sets and helpers that several tests share."""

import functools

import numpy as np
import torch
from sklearn.datasets import load_digits

from isthmus.data.dataset import Dataset
from isthmus.data.preprocessing import Preprocessing
from isthmus.models import Autoencoder


@functools.cache
def digits() -> Dataset:
    """scikit-learn's digits in fixed splits: 1437, 180 and 180 images (1, 8, 8) from 0 to 16."""
    bunch = load_digits()
    order = np.random.default_rng(0).permutation(len(bunch.images))
    images = bunch.images.astype(np.uint8)[order][:, None]
    labels = bunch.target.astype(np.int64)[order]
    cuts = {"train": slice(0, 1437), "validation": slice(1437, 1617), "test": slice(1617, None)}
    splits = {name: (images[cut], labels[cut]) for name, cut in cuts.items()}
    return Dataset.from_arrays(name="digits", range=(0.0, 16.0), **splits)


def vectors(count: int = 96, width: int = 6, seed: int = 0, validation: int = 0) -> Dataset:
    """Correlated normal vectors, as they are."""
    draws = np.random.default_rng(seed)
    mix = draws.normal(size=(width, width)) / width**0.5
    values = (draws.normal(size=(count + validation, width)) @ mix).astype(np.float32)
    held = values[count:] if validation else None
    return Dataset.from_arrays(values[:count], validation=held, name="vectors")


def fitted_to(model: Autoencoder, data: Dataset) -> Autoencoder:
    """Give the model its preprocessing, as learned on the training split."""
    model.preprocessing = Preprocessing.fit(data["train"], data.kind, range=data.range)
    return model


def same_state(one: torch.nn.Module, other: torch.nn.Module) -> bool:
    """Whether two models hold the same bytes."""
    a, b = one.state_dict(), other.state_dict()
    return a.keys() == b.keys() and all(
        a[k].dtype == b[k].dtype and a[k].numpy().tobytes() == b[k].numpy().tobytes() for k in a
    )
