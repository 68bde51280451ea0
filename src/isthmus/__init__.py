"""Isthmus: train autoencoders and make their latent space usable.

Names are imported when they are first used, so that ``import isthmus`` is quick.

Examples
--------
>>> import isthmus as im
>>> digits = im.load("digits")
>>> run = im.train(im.Autoencoder(digits.shape, bottleneck=im.Plain(latent=8)), digits, epochs=1)
>>> run.model.encode(digits["test"].all()).shape[1]
8

Texts in, named concepts and explained hits out::

    index = im.index("notes/", "notes.index")
    for hit in index.search("how to bake bread", more=["cooking"]).hits:
        print(hit.score, hit.text, hit.concepts)
"""

from __future__ import annotations

from importlib import import_module
from os import PathLike
from typing import TYPE_CHECKING, Any

from isthmus._version import __version__

if TYPE_CHECKING:
    from isthmus.bottlenecks import (
        FSQ,
        L1,
        VQ,
        AnyK,
        BatchTopK,
        Contractive,
        Contrastive,
        Gated,
        Gaussian,
        JumpReLU,
        KLSparse,
        Matryoshka,
        Plain,
        TopK,
    )
    from isthmus.data import Dataset, Preprocessing, Samples, load
    from isthmus.data.corpora import open_corpus as corpus
    from isthmus.errors import IsthmusError
    from isthmus.kernels.pursuit import Pursuit
    from isthmus.likelihoods import MSE, Bernoulli, Categorical, Cosine, Laplace
    from isthmus.likelihoods import Gaussian as GaussianLikelihood
    from isthmus.models import PRESETS, Autoencoder, Masking, Noise, preset
    from isthmus.models.dictionary import SparseDictionary
    from isthmus.models.dictionary.presets import DICTIONARY_PRESETS
    from isthmus.networks import MLP, Conv, Linear
    from isthmus.runs import Evaluation, Run, evaluate, train
    from isthmus.runs.compare import Comparison, compare
    from isthmus.runs.dictionary import (
        DictionaryEvaluation,
        DictionaryRun,
        score_foreign,
        train_members,
    )
    from isthmus.runs.sweep import Sweep, sweep
    from isthmus.search.face import index
    from isthmus.search.index.index import Index
    from isthmus.training import History, Training
    from isthmus.training.dictionary import DictionaryTraining

_HOMES = {
    "isthmus.bottlenecks": (
        "FSQ",
        "L1",
        "VQ",
        "AnyK",
        "BatchTopK",
        "Contractive",
        "Contrastive",
        "Gated",
        "Gaussian",
        "JumpReLU",
        "KLSparse",
        "Matryoshka",
        "Plain",
        "TopK",
    ),
    "isthmus.data": ("Dataset", "Preprocessing", "Samples", "load"),
    "isthmus.errors": ("IsthmusError",),
    "isthmus.kernels.pursuit": ("Pursuit",),
    "isthmus.likelihoods": ("MSE", "Bernoulli", "Categorical", "Cosine", "Laplace"),
    "isthmus.models": ("PRESETS", "Autoencoder", "Masking", "Noise", "preset"),
    "isthmus.models.dictionary": ("SparseDictionary",),
    "isthmus.models.dictionary.presets": ("DICTIONARY_PRESETS",),
    "isthmus.networks": ("MLP", "Conv", "Linear"),
    "isthmus.runs": ("Evaluation", "Run", "evaluate", "train"),
    "isthmus.runs.compare": ("Comparison", "compare"),
    "isthmus.runs.dictionary": (
        "DictionaryEvaluation",
        "DictionaryRun",
        "score_foreign",
        "train_members",
    ),
    "isthmus.runs.sweep": ("Sweep", "sweep"),
    "isthmus.search.face": ("index",),
    "isthmus.search.index.index": ("Index",),
    "isthmus.training": ("History", "Training"),
    "isthmus.training.dictionary": ("DictionaryTraining",),
}
_RENAMED = {
    "GaussianLikelihood": ("isthmus.likelihoods", "Gaussian"),
    "corpus": ("isthmus.data.corpora", "open_corpus"),
}

__all__ = [
    "DICTIONARY_PRESETS",
    "FSQ",
    "L1",
    "MLP",
    "MSE",
    "PRESETS",
    "VQ",
    "AnyK",
    "Autoencoder",
    "BatchTopK",
    "Bernoulli",
    "Categorical",
    "Comparison",
    "Contractive",
    "Contrastive",
    "Conv",
    "Cosine",
    "Dataset",
    "DictionaryEvaluation",
    "DictionaryRun",
    "DictionaryTraining",
    "Evaluation",
    "Gated",
    "Gaussian",
    "GaussianLikelihood",
    "History",
    "Index",
    "IsthmusError",
    "JumpReLU",
    "KLSparse",
    "Laplace",
    "Linear",
    "Masking",
    "Matryoshka",
    "Noise",
    "Plain",
    "Preprocessing",
    "Pursuit",
    "Run",
    "Samples",
    "SparseDictionary",
    "Sweep",
    "TopK",
    "Training",
    "__version__",
    "compare",
    "corpus",
    "evaluate",
    "index",
    "load",
    "open",
    "preset",
    "score_foreign",
    "sweep",
    "train",
    "train_members",
]


def open(folder: str | PathLike[str], **options: Any) -> Run | DictionaryRun | Index:
    """Open the folder of a run or of an index.

    Parameters
    ----------
    folder
        What ``isthmus train`` or ``isthmus index`` made.
    **options
        Those of `isthmus.runs.open_run`, or of `isthmus.Index`.

    Raises
    ------
    RunError
        If it is neither, or damaged.
    """
    from pathlib import Path

    from isthmus.search.index.manifest import HEAD

    if (Path(folder) / HEAD).is_file():
        from isthmus.search.index.index import Index

        return Index(folder, **options)
    from isthmus.runs import open_run

    return open_run(folder, **options)


def __getattr__(name: str) -> Any:
    if name in _RENAMED:
        home, there = _RENAMED[name]
        return getattr(import_module(home), there)
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(home), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
