"""The exact inverted index of sparse codes, generic over terms: concepts or words."""

from isthmus.search.postings.postings import Postings, write_postings
from isthmus.search.postings.values import rounded
from isthmus.search.postings.weighting import BM25, Saturation, idf

__all__ = ["BM25", "Postings", "Saturation", "idf", "rounded", "write_postings"]
