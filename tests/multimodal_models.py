"""Small multimodal models and rows for tests."""

import torch

from isthmus.likelihoods import Gaussian
from isthmus.likelihoods.symbols import Symbols
from isthmus.models.multimodal import MULTIMODAL_PRESETS, Modality, MultimodalAutoencoder, Rows
from isthmus.networks import MLP
from isthmus.networks.char_conv import CharConv

NAMES = tuple(preset.name for preset in MULTIMODAL_PRESETS)
SHAPES = {"a": (5,), "b": (3,), "c": (4,)}


def modality(name, shape, private=2):
    return Modality(name, shape, MLP((6,)), Gaussian(0.5), private=private)


def described():
    return [
        modality("a", (5,)),
        modality("b", (3,), private=3),
        Modality("c", (4,), CharConv(width=4), Symbols(6), private=0),
    ]


def small(preset, modalities=None, seed=0):
    import dataclasses

    from isthmus.models.multimodal import multimodal_preset

    objective = dataclasses.replace(multimodal_preset(preset).objective, shared=4)
    return MultimodalAutoencoder(modalities or described(), objective, seed=seed)


def items(count, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return {
        "a": torch.randn(count, 5, generator=generator),
        "b": torch.randn(count, 3, generator=generator),
        "c": torch.randint(0, 6, (count, 4), generator=generator),
    }


def rows(count, missing=(), labels=None, seed=0):
    """Rows with modalities missing where told: {(row, name), ...}."""
    found = items(count, seed)
    mask = {name: torch.ones(count, dtype=torch.bool) for name in found}
    for row, name in missing:
        mask[name][row] = False
    known = torch.arange(count) % 3 if labels is None else torch.tensor(labels)
    return Rows(found, mask, known)
