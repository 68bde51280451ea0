"""Training sparse dictionaries: from a stream of rows, one dictionary or several at once."""

from isthmus.training.dictionary.config import DictionaryTraining
from isthmus.training.dictionary.loop import (
    FittedDictionary,
    fit_dictionaries,
    fit_dictionary,
)
from isthmus.training.dictionary.rules import batch_for, latents_for
from isthmus.training.dictionary.together import Together, joined_processes

__all__ = [
    "DictionaryTraining",
    "FittedDictionary",
    "Together",
    "batch_for",
    "fit_dictionaries",
    "fit_dictionary",
    "joined_processes",
    "latents_for",
]
