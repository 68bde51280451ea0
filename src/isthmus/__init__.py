"""Isthmus: train autoencoders and make their latent space usable."""

from isthmus._version import __version__

__all__ = ["__version__"]
