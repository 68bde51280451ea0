"""The classical ways to write vectors as codes, behind the face of the sparse dictionary.

Each is a frozen description whose ``fit`` returns a fitted dictionary with ``encode``, ``decode``
and ``reconstruct``: the baselines that a trained dictionary is held against.
"""

from collections.abc import Mapping
from types import MappingProxyType

from isthmus.models.classical.base import ClassicalDictionary, Method
from isthmus.models.classical.ica import ICA
from isthmus.models.classical.kmeans import KMeans, KMeansDictionary
from isthmus.models.classical.nmf import NMF, NonnegativeDictionary
from isthmus.models.classical.pca import PCA, LinearDictionary
from isthmus.models.classical.pursuit import Pursuit, PursuitDictionary
from isthmus.models.classical.semi_nmf import SemiNMF

CLASSICAL: Mapping[str, type[Method]] = MappingProxyType(
    {
        "pca": PCA,
        "ica": ICA,
        "nmf": NMF,
        "semi-nmf": SemiNMF,
        "k-means": KMeans,
        "pursuit": Pursuit,
    }
)
"""The methods by name."""

__all__ = [
    "CLASSICAL",
    "ICA",
    "NMF",
    "PCA",
    "ClassicalDictionary",
    "KMeans",
    "KMeansDictionary",
    "LinearDictionary",
    "Method",
    "NonnegativeDictionary",
    "Pursuit",
    "PursuitDictionary",
    "SemiNMF",
]
