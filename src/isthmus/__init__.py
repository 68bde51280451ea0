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

Pictures, sounds and words in one space::

    run = im.train("aligned", im.multimodal("digit-trio"))
    run.translate("text", "seven", "image").item
    run.retrieve("text", "seven", "audio", top=5)
"""

from __future__ import annotations

from importlib import import_module
from os import PathLike
from typing import TYPE_CHECKING, Any, overload

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
    from isthmus.data.multimodal import MultimodalData
    from isthmus.data.multimodal import open_multimodal as multimodal
    from isthmus.errors import IsthmusError
    from isthmus.kernels.pursuit import Pursuit
    from isthmus.likelihoods import MSE, Bernoulli, Categorical, Cosine, Laplace
    from isthmus.likelihoods import Gaussian as GaussianLikelihood
    from isthmus.models import PRESETS, Autoencoder, Masking, Noise, Preset, preset
    from isthmus.models.dictionary import SparseDictionary
    from isthmus.models.dictionary.presets import DICTIONARY_PRESETS, DictionaryPreset
    from isthmus.models.multimodal import (
        MULTIMODAL_PRESETS,
        JointMixture,
        Modality,
        MultimodalAutoencoder,
    )
    from isthmus.models.multimodal.presets import MultimodalPreset
    from isthmus.networks import MLP, Conv, Linear
    from isthmus.runs import Evaluation, Run, evaluate
    from isthmus.runs.compare import Comparison, compare
    from isthmus.runs.dictionary import (
        DictionaryEvaluation,
        DictionaryRun,
        score_foreign,
        train_members,
    )
    from isthmus.runs.multimodal import (
        MultimodalEvaluation,
        MultimodalRun,
        compare_multimodal,
        train_multimodal,
    )
    from isthmus.runs.sweep import Sweep, sweep
    from isthmus.search.face import index
    from isthmus.search.index.index import Index
    from isthmus.training import History, Training
    from isthmus.training.dictionary import DictionaryTraining
    from isthmus.training.multimodal import MultimodalTraining

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
    "isthmus.data.multimodal": ("MultimodalData",),
    "isthmus.errors": ("IsthmusError",),
    "isthmus.kernels.pursuit": ("Pursuit",),
    "isthmus.likelihoods": ("MSE", "Bernoulli", "Categorical", "Cosine", "Laplace"),
    "isthmus.models": ("PRESETS", "Autoencoder", "Masking", "Noise", "preset"),
    "isthmus.models.dictionary": ("SparseDictionary",),
    "isthmus.models.dictionary.presets": ("DICTIONARY_PRESETS",),
    "isthmus.models.multimodal": (
        "MULTIMODAL_PRESETS",
        "JointMixture",
        "Modality",
        "MultimodalAutoencoder",
    ),
    "isthmus.networks": ("MLP", "Conv", "Linear"),
    "isthmus.runs": ("Evaluation", "Run", "evaluate"),
    "isthmus.runs.compare": ("Comparison", "compare"),
    "isthmus.runs.dictionary": (
        "DictionaryEvaluation",
        "DictionaryRun",
        "score_foreign",
        "train_members",
    ),
    "isthmus.runs.multimodal": (
        "MultimodalEvaluation",
        "MultimodalRun",
        "compare_multimodal",
        "train_multimodal",
    ),
    "isthmus.runs.sweep": ("Sweep", "sweep"),
    "isthmus.search.face": ("index",),
    "isthmus.search.index.index": ("Index",),
    "isthmus.training": ("History", "Training"),
    "isthmus.training.dictionary": ("DictionaryTraining",),
    "isthmus.training.multimodal": ("MultimodalTraining",),
}
_RENAMED = {
    "GaussianLikelihood": ("isthmus.likelihoods", "Gaussian"),
    "corpus": ("isthmus.data.corpora", "open_corpus"),
    "multimodal": ("isthmus.data.multimodal", "open_multimodal"),
}

__all__ = [
    "DICTIONARY_PRESETS",
    "FSQ",
    "L1",
    "MLP",
    "MSE",
    "MULTIMODAL_PRESETS",
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
    "JointMixture",
    "JumpReLU",
    "KLSparse",
    "Laplace",
    "Linear",
    "Masking",
    "Matryoshka",
    "Modality",
    "MultimodalAutoencoder",
    "MultimodalData",
    "MultimodalEvaluation",
    "MultimodalRun",
    "MultimodalTraining",
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
    "compare_multimodal",
    "corpus",
    "evaluate",
    "index",
    "load",
    "multimodal",
    "open",
    "preset",
    "score_foreign",
    "sweep",
    "train",
    "train_members",
    "train_multimodal",
]


def open(
    folder: str | PathLike[str], **options: Any
) -> Run | DictionaryRun | MultimodalRun | Index:
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


@overload
def train(model: Autoencoder | Preset, data: object, **options: Any) -> Run: ...
@overload
def train(
    model: SparseDictionary | DictionaryPreset, data: object, **options: Any
) -> DictionaryRun: ...
@overload
def train(
    model: MultimodalAutoencoder | MultimodalPreset, data: Any, **options: Any
) -> MultimodalRun: ...
@overload
def train(model: str, data: object, **options: Any) -> Any: ...
def train(model: Any, data: Any, **options: Any) -> Run | DictionaryRun | MultimodalRun:
    """Train a model, measure it, and return the run.

    Parameters
    ----------
    model
        A model (trained in place), a preset, or a preset's name. A model of several modalities,
        its preset (``aligned`` ...), or data of several modalities mean `train_multimodal`.
    data
        A named set, a path, an array, a torch Dataset, or what `isthmus.load` or
        `isthmus.multimodal` returned.
    **options
        Those of `isthmus.runs.train`, or of `isthmus.train_multimodal`: ``out``, ``resume``,
        ``progress``, ``figures``, ``load_options``, ``evaluation``, and every setting by its
        name.

    Raises
    ------
    ConfigError, DataError, MissingDataError
        If settings or data are at fault.
    RunError
        If the folder is taken, or can't be resumed.
    DivergedError
        If the loss becomes infinite or not a number.
    """
    from isthmus.data.multimodal import MultimodalData
    from isthmus.models.multimodal import MULTIMODAL_PRESETS, MultimodalAutoencoder
    from isthmus.models.multimodal.presets import MultimodalPreset

    named = isinstance(model, str) and any(found.name == model for found in MULTIMODAL_PRESETS)
    several = isinstance(model, MultimodalAutoencoder | MultimodalPreset)
    if named or several or isinstance(data, MultimodalData):
        from isthmus.runs.multimodal import train_multimodal

        return train_multimodal(model, data, **options)
    from isthmus.runs.training import train as train_one

    one: Run | DictionaryRun = train_one(model, data, **options)
    return one


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
