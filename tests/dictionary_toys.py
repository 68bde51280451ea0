"""Small data and dictionaries that the tests of dictionaries share."""

import numpy as np
import torch

from isthmus.data.streams import VectorStream, open_vectors
from isthmus.kernels.cpu import CPUKernels
from isthmus.models.dictionary import SparseDictionary
from isthmus.training.dictionary import (
    DictionaryTraining,
    Together,
    fit_dictionaries,
    fit_dictionary,
)
from isthmus.training.dictionary.member import Member
from isthmus.training.dictionary.start import started

# the recipe as published: none of what keeps dictionaries from over-fitting
EXACT = {"threads": 1, "noise": 0.0, "max_rate": 1.0, "encoder_decay": 0.0}


def mixtures(rows=600, dim=12, directions=24, active=3, seed=0, offset=0.2):
    """Sparse mixtures of random directions about an offset: what a dictionary should recover."""
    draws = np.random.default_rng(seed)
    atoms = draws.normal(size=(directions, dim))
    atoms /= np.linalg.norm(atoms, axis=1, keepdims=True)
    codes = (draws.random((rows, directions)) < active / directions) * draws.uniform(
        0.5, 1.5, (rows, directions)
    )
    noise = 0.01 * draws.normal(size=(rows, dim))
    return (codes @ atoms + offset + noise).astype(np.float32)


def stream(rows_RD, batch_size=64, seed=0, **settings):
    return VectorStream(
        open_vectors(rows_RD), batch_size, seed, **({"held_out": 0.1, "prefetch": 0} | settings)
    )


def fitted(bottleneck, rows_RD, *, batch_size=64, seed=0, normalise="none", given=None, **settings):
    """Train a dictionary; returns it with what the training left."""
    model = SparseDictionary(rows_RD.shape[1], bottleneck, normalise=normalise, seed=seed)
    config = DictionaryTraining(**({"epochs": 4, "threads": 1} | settings))
    left = fit_dictionary(model, stream(rows_RD, batch_size), config, **(given or {}))
    return model, left


def fitted_all(models, rows_RD, config, batch_size=64, **given):
    return fit_dictionaries(models, stream(rows_RD, batch_size), config, **given)


def member(model, rows_RD, kernels=None, *, unit=False, together=None, **settings):
    """A dictionary ready to step, started as a training starts it; ``unit`` keeps its weights."""
    config = DictionaryTraining(**({"lr": 0.01, "batch_size": len(rows_RD)} | EXACT | settings))
    scale = 1.0 if unit else started(model, rows_RD, model.seed)
    mean = rows_RD.mean(0)
    kernels = kernels or CPUKernels(1)
    return Member(model, config, scale, mean, kernels, together or Together())


def fvu(rows_RD, output_RD):
    x, y = np.asarray(rows_RD, np.float64), np.asarray(output_RD, np.float64)
    return float(np.square(x - y).sum() / np.square(x - x.mean(0)).sum())


def filled(model, **values):
    """Give parameters and buffers by name."""
    with torch.no_grad():
        held = dict(model.named_parameters()) | dict(model.named_buffers())
        for name, value in values.items():
            held[name.replace("__", ".")].copy_(torch.as_tensor(value))
    return model


def plain(dim, bottleneck, **values):
    """A dictionary of as many latents as dimensions whose encoder and decoder change nothing."""
    model = SparseDictionary(dim, bottleneck)
    same = torch.eye(dim)
    return filled(model, encoder=same, decoder=same, **values)


def state_of(model):
    """The bytes of every weight and buffer."""
    return {name: value.numpy().tobytes() for name, value in model.state_dict().items()}
