"""Sparse dictionaries: linear encoder, sparse code, linear decoder; one objective a file."""

from isthmus.models.dictionary.model import SparseDictionary
from isthmus.models.dictionary.objective import Charge, Objective

__all__ = ["Charge", "Objective", "SparseDictionary"]
