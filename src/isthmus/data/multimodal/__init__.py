"""Data sets of several modalities: items, splits, pair tables, and what may be missing."""

from isthmus.data.multimodal.dataset import Batch, ModalityData, MultimodalData
from isthmus.data.multimodal.missing import with_few_pairs, with_missing
from isthmus.data.multimodal.opening import NAMED, open_multimodal
from isthmus.data.multimodal.pairs_file import read_pairs

__all__ = [
    "NAMED",
    "Batch",
    "ModalityData",
    "MultimodalData",
    "open_multimodal",
    "read_pairs",
    "with_few_pairs",
    "with_missing",
]
