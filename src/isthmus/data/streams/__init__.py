"""Streams of vectors for training: any size, shuffled by seed, memory flat.

``open_vectors`` turns arrays, files, folders of shards and splits into a ``VectorSource``;
``VectorStream`` makes shuffled batches of one, ``checked`` looks at it first.
"""

from isthmus.data.streams.facts import VectorFacts, checked
from isthmus.data.streams.opening import open_vectors
from isthmus.data.streams.shards import Shards
from isthmus.data.streams.source import VectorSource
from isthmus.data.streams.stream import VectorStream

__all__ = ["Shards", "VectorFacts", "VectorSource", "VectorStream", "checked", "open_vectors"]
