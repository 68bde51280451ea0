"""The named sets of vectors: sentence embeddings of the named corpora."""

from __future__ import annotations

from pathlib import Path

from isthmus.data.entries import Entry
from isthmus.data.fetching import Checksum, RemoteFile
from isthmus.data.options import LoadOptions, Raw
from isthmus.data.read_npy import Npy

__all__ = ["VECTORS"]


def _embeddings(texts: str, rows: str, licence: str, place: str, sha256: str) -> Entry:
    folder, _, name = place.rpartition("/")

    def read(here: Path, options: LoadOptions) -> Raw:
        return Npy().read(here / name, options)

    return Entry(
        f"embeddings/{texts}",
        f"{rows} sentence embeddings of {texts}, all-MiniLM-L6-v2, 384 values, float16",
        licence,
        read,
        (RemoteFile(name, Checksum("sha256", sha256)),),
        kind="vectors",
        folder=folder,
        by_hand=f"they are computed: embed the texts of {texts} with all-MiniLM-L6-v2, normalise "
        "the rows, and save them with numpy.save",
    )


VECTORS: tuple[Entry, ...] = (
    _embeddings(
        "clinc150",
        "23,700",
        "CC BY 3.0",
        "embeddings/clinc150.npy",
        "f5861bb5e4452955f1f81652433f0f85b66ac719b37074374f7b0fe6577e0855",
    ),
    _embeddings(
        "opentriviaqa",
        "49,203",
        "CC BY-SA 4.0",
        "embeddings/opentriviaqa.npy",
        "f3bb7227371bbd76a584fa1f0e502385b327c74d78db0abd5b8edfdd23954bf5",
    ),
    _embeddings(
        "stackoverflow_titles",
        "20,000",
        "CC BY-SA",
        "embeddings/stackoverflow_titles.npy",
        "b8a3eee9b57fd750029c72dc615d374402abd80d56c5f13a74e5ed5df47fe16a",
    ),
    _embeddings(
        "wikipedia_movies",
        "34,263",
        "CC BY-SA",
        "embeddings/wikipedia_movies.npy",
        "6aeffc84f8328cac46aa80faa97c107c035c920bd8dc7a165d34e05231ba8c46",
    ),
    _embeddings(
        "scifact",
        "5,183",
        "CC BY 4.0, ODC-By 1.0",
        "embeddings/scifact/corpus.npy",
        "d21712e08b58c28ad0bc69c9ea116ed919ff808e8bddbc9fe8e3bee8ff5e78f5",
    ),
    _embeddings(
        "cranfield",
        "1,400",
        "none stated; research",
        "embeddings/cranfield/corpus.npy",
        "bfb4c0bc252b46db1cab6b18a69ffee2a120758753488dc2ab3457bcace5d547",
    ),
)
"""Every named set of vectors; a row for each text, in the order of the corpus."""
