"""What the demonstration trains, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["BUDGET", "DATA", "MEMBERS", "Member"]

DATA = "digits"
BUDGET = 8
"""Numbers that describe an image: latents of a dense code, active latents of a sparse one."""


@dataclass(frozen=True)
class Member:
    """One model of the demonstration."""

    name: str
    """Name of its run."""
    preset: str
    """The preset that it starts from."""
    words: str
    """What it shows, for the report."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """What differs from the preset: sizes that fit images of 8 x 8."""

    @property
    def asked(self) -> tuple[str, float] | None:
        """The metric that was to reach a value, and the value; None where nothing was asked."""
        for setting, metric in _ASKED.items():
            if setting in self.settings:
                return metric, float(self.settings[setting])
        return None


_ASKED: Mapping[str, str] = {"l0": "l0", "k": "l0", "target": "mean_activation"}
"""Settings that ask for a value of a metric."""


_SMALL: Mapping[str, Any] = {"hidden": (256, 128), "batch_size": 64, "lr": 3e-3}

MEMBERS: tuple[Member, ...] = (
    Member(
        "dense",
        "dense",
        "Fully connected, 64-256-128-8: the plain autoencoder. Its codes are as short as those "
        "of PCA, but bent: the error should be well below PCA's.",
        {**_SMALL, "latent": BUDGET, "epochs": 100},
    ),
    Member(
        "conv",
        "conv",
        "Convolutional, two stages of stride 2. It knows that neighbouring pixels belong "
        "together, and gets by with fewer weights.",
        {"activation": "GELU", "latent": BUDGET, "epochs": 60, "batch_size": 64, "lr": 3e-3},
    ),
    Member(
        "sparse-l1",
        "sparse-l1",
        "64 latents with an L1 charge on what the decoder reads, its weight adjusted until about "
        "8 are active in an image. Which ones are active differs from image to image.",
        # more or longer, and it learns the few training images by heart
        {
            **_SMALL,
            "hidden": (128,),
            "weight_decay": 0.01,
            "latent": 64,
            "l0": float(BUDGET),
            "epochs": 60,
        },
    ),
    Member(
        "sparse-kl",
        "sparse-kl",
        "64 sigmoid latents, each held at a mean activation of 0.05 by a KL divergence. The "
        "decoder reads that same code, so that the charge changes what is decoded.",
        {**_SMALL, "latent": 64, "target": 0.05, "weight": 0.003, "epochs": 150},
    ),
    Member(
        "topk",
        "topk",
        "64 latents, of which each image keeps the 8 largest, exactly.",
        {**_SMALL, "latent": 64, "k": BUDGET, "epochs": 100},
    ),
    Member(
        "vae",
        "gaussian-vae",
        "Variational: codes are distributions, held near a standard normal prior, so that new "
        "digits can be drawn. Pixels are grey, so its likelihood is a Gaussian whose variance is "
        "learned, and its NLL a density: it may be below zero.",
        {"hidden": (256,), "latent": BUDGET, "epochs": 150, "batch_size": 64, "lr": 3e-3},
    ),
)
