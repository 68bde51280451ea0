"""Modalities described once: adapters that turn raw items into tensors, and tensors back."""

from isthmus.data.modalities.audio import AudioAdapter
from isthmus.data.modalities.base import Adapter
from isthmus.data.modalities.image import ImageAdapter
from isthmus.data.modalities.registry import ADAPTERS, adapter_from
from isthmus.data.modalities.sentence import SentenceAdapter
from isthmus.data.modalities.text import TextAdapter
from isthmus.data.modalities.vector import VectorAdapter

__all__ = [
    "ADAPTERS",
    "Adapter",
    "AudioAdapter",
    "ImageAdapter",
    "SentenceAdapter",
    "TextAdapter",
    "VectorAdapter",
    "adapter_from",
]
