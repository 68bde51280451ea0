"""Models: the autoencoder, its presets, saving and loading."""

from isthmus.models.autoencoder import Autoencoder, Terms
from isthmus.models.corruption import CORRUPTIONS, Masking, Noise
from isthmus.models.presets import PRESETS, Preset, preset

__all__ = [
    "CORRUPTIONS",
    "PRESETS",
    "Autoencoder",
    "Masking",
    "Noise",
    "Preset",
    "Terms",
    "preset",
]
