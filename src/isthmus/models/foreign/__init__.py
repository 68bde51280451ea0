"""Dictionaries of other libraries: read as they are, scored as they are, written for them.

``read`` takes the folder of a checkpoint of SAELens, sparsify, latent-sae, dictionary_learning,
sentence-transformers or OpenAI's sparse_autoencoder and returns an ``Imported``: the weights in
this project's convention, every difference folded in. ``reconstruction_of`` computes what that
library would; ``export_saelens`` and ``export_sentence_transformers`` go the other way.
"""

from isthmus.models.foreign.dictionaries import from_dictionary, to_dictionary
from isthmus.models.foreign.exporting import (
    Exported,
    export_saelens,
    export_sentence_transformers,
)
from isthmus.models.foreign.importing import LAYOUTS, detect, read
from isthmus.models.foreign.layout import Layout
from isthmus.models.foreign.record import Imported, Source
from isthmus.models.foreign.scoring import reconstructed, reconstruction_of

__all__ = [
    "LAYOUTS",
    "Exported",
    "Imported",
    "Layout",
    "Source",
    "detect",
    "export_saelens",
    "export_sentence_transformers",
    "from_dictionary",
    "read",
    "reconstructed",
    "reconstruction_of",
    "to_dictionary",
]
