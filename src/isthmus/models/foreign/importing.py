"""Finding out whose checkpoint this is, and reading it."""

from __future__ import annotations

from os import PathLike
from pathlib import Path

import numpy as np

from isthmus.data.options import default_limit
from isthmus.errors import ConfigError, DataError, MissingDataError
from isthmus.models.foreign.dictionary_learning import DictionaryLearning
from isthmus.models.foreign.latent_sae import LatentSAE
from isthmus.models.foreign.layout import Layout, ReadOptions
from isthmus.models.foreign.pickled import SUFFIXES
from isthmus.models.foreign.record import Imported
from isthmus.models.foreign.saelens import SAELens
from isthmus.models.foreign.settings import Settings, peek
from isthmus.models.foreign.sparsify import Sparsify
from isthmus.models.foreign.tied import OpenAI, SentenceTransformers

__all__ = ["LAYOUTS", "detect", "read"]

LAYOUTS: tuple[Layout, ...] = (
    SAELens(),
    LatentSAE(),
    Sparsify(),
    DictionaryLearning(),
    SentenceTransformers(),
    OpenAI(),
)
"""The layouts that are known, the most particular first."""


def detect(path: str | PathLike[str]) -> Layout | None:
    """Say whose layout a folder or file has, from names and configurations alone.

    No weights are read, and no pickle is opened: a ``.pt`` file that nothing else explains is
    taken for OpenAI's until it is read.

    Returns
    -------
    The layout, or None where it is none of :data:`LAYOUTS`.
    """
    place = Path(path)
    return next((layout for layout in LAYOUTS if layout.find(place) is not None), None)


def read(
    path: str | PathLike[str],
    *,
    layout: str | Layout | None = None,
    allow_pt: bool = False,
    limit: int | None = None,
) -> Imported:
    """Read the checkpoint of another library.

    Parameters
    ----------
    path
        The folder of the checkpoint, or a file in it; nothing is fetched.
    layout
        Whose it is, by name or as one of :data:`LAYOUTS`; None: found out by :func:`detect`.
    allow_pt
        Whether PyTorch's pickles may be read, with ``weights_only=True``.
    limit
        Bytes that the weights may take in memory as float32. Default: ``ISTHMUS_LIMIT``, 8 GiB.

    Raises
    ------
    MissingDataError
        If the folder or one of its files is not there.
    DataError
        If the checkpoint is damaged or hostile, of an unknown layout or architecture, or a
        pickle that was not asked for.
    ConfigError
        If ``layout`` is unknown.
    """
    place = Path(path)
    if not place.exists():
        raise MissingDataError(
            "there is no such checkpoint", where=str(place), fix="give its folder or its file"
        )
    chosen = _named(layout) if isinstance(layout, str) else layout or detect(place)
    found = None if chosen is None else chosen.find(place)
    if chosen is None or found is None:
        raise _unknown(place, chosen)
    options = ReadOptions(default_limit() if limit is None else limit, allow_pt)
    # what overflows is refused by the record, which takes finite numbers only
    with np.errstate(all="ignore"):
        return chosen.read(found, options)


def _named(name: str) -> Layout:
    for layout in LAYOUTS:
        if layout.name == name:
            return layout
    known = ", ".join(layout.name for layout in LAYOUTS)
    raise ConfigError(f"unknown layout {name!r}", fix=f"choose one of {known}")


def _unknown(place: Path, asked: Layout | None) -> DataError:
    """Say why a path is nothing that can be read, and what could be."""
    if asked is not None:
        return DataError(
            f"this is no checkpoint of {asked.name}",
            where=str(place),
            why=f"that has {asked.files}",
            fix="leave the layout out to have it found",
        )
    if place.is_file():
        return _known_layouts(place, "the file is none of theirs")
    config = place / "config.json"
    if "isthmus" in peek(config):
        return DataError(
            "this is a model of isthmus, not of another library",
            where=str(place),
            fix="open it with isthmus.open (a run) or from_pretrained (a model)",
        )
    for name in ("config.json", "cfg.json"):
        if (place / name).is_file():
            try:
                Settings.read(place / name)
            except DataError as error:
                return error
    inside = [child.name for child in sorted(place.iterdir())[:1000] if detect(child)]
    folders = [name for name in inside if (place / name).is_dir()]
    if folders:
        return DataError(
            "this folder holds several checkpoints",
            where=str(place),
            why=f"in {', '.join(folders[:8])}{' ...' if len(folders) > 8 else ''}",
            fix=f"choose one: {place / folders[0]}",
        )
    pickles = [name for name in inside if Path(name).suffix in SUFFIXES]
    if pickles:
        return DataError(
            "the folder holds PyTorch files without a configuration that explains them",
            where=str(place),
            why=f"{', '.join(pickles[:8])}",
            fix=f"add dictionary_learning's config.json, or name the file: {place / pickles[0]}",
        )
    names = ", ".join(child.name for child in sorted(place.iterdir())[:8])
    return _known_layouts(place, f"it holds {names}" if names else "it is empty")


def _known_layouts(place: Path, why: str) -> DataError:
    known = "; ".join(f"{layout.name}: {layout.files}" for layout in LAYOUTS)
    return DataError(
        "no layout of another library is known that looks like this",
        where=str(place),
        why=why,
        fix=f"known are {known}",
    )
