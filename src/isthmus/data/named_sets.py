"""The named data sets: what they are, where they are found, and how they are fetched."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from isthmus.data.digits import read_digits
from isthmus.data.entries import Entry
from isthmus.data.fetching import Checksum, Progress, RemoteFile, fetch_file
from isthmus.data.named_sounds import SOUNDS
from isthmus.data.named_texts import CORPORA
from isthmus.data.named_vectors import VECTORS
from isthmus.data.options import LoadOptions, Raw
from isthmus.data.places import Place, is_offline, places
from isthmus.data.read_idx import IdxFolder
from isthmus.data.unpacking import unpack_beir
from isthmus.errors import ConfigError, MissingDataError

__all__ = [
    "CATALOGUE",
    "Entry",
    "Named",
    "catalogue",
    "entry_called",
    "fetch",
    "folder_of",
    "read_named",
    "vectors_called",
]


@dataclass(frozen=True)
class Named:
    """A line of the listing."""

    name: str
    """What the set is called."""
    title: str
    """What it holds."""
    licence: str
    """Under what terms it is given."""
    where: str | None
    """The folder where it was found, or the package that brings it; None: it is not here."""
    kind: str = "samples"
    """``samples``, ``vectors`` or ``corpus``."""
    fetched: bool = True
    """Whether it can be fetched."""


def _read_idx_set(folder: Path, options: LoadOptions) -> Raw:
    return IdxFolder().read(folder, options)


def _four_files(digests: tuple[str, str, str, str], *, unpacked: bool) -> tuple[RemoteFile, ...]:
    """Return MNIST's four files with their MD5s: train images, labels, test images, labels."""
    names = ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1")
    return tuple(
        RemoteFile(f"{name}-ubyte.gz", Checksum("md5", digest, unpacked))
        for name, digest in zip(names, digests, strict=True)
    )


CATALOGUE: tuple[Entry, ...] = (
    Entry(
        name="digits",
        title="1,797 handwritten digits, 8 x 8 grey, 10 classes (comes with scikit-learn)",
        licence="CC BY 4.0 (UCI, E. Alpaydin and C. Kaynak)",
        read=read_digits,
        comes_with="scikit-learn",
    ),
    Entry(
        name="mnist",
        title="70,000 handwritten digits, 28 x 28 grey, 10 classes",
        licence="CC BY-SA 3.0 (Y. LeCun, C. Cortes and C. Burges)",
        read=_read_idx_set,
        files=_four_files(
            (
                "6bbc9ace898e44ae57da46a324031adb",
                "a25bea736e30d166cdddb491f175f624",
                "2646ac647ad5339dbf082846283269ea",
                "27ae3e4e09519cfbb04c329615203637",
            ),
            unpacked=True,
        ),
        bases=(
            "https://ossci-datasets.s3.amazonaws.com/mnist/",
            "https://storage.googleapis.com/cvdf-datasets/mnist/",
        ),
    ),
    Entry(
        name="fashion-mnist",
        title="70,000 pictures of clothes, 28 x 28 grey, 10 classes",
        licence="MIT (Zalando SE)",
        read=_read_idx_set,
        files=_four_files(
            (
                "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
                "25c81989df183df01b3e8a0aad5dffbe",
                "bef4ecab320f06d8554ea6380940ec79",
                "bb300cfdad3c16e7a12a480ee83cd310",
            ),
            unpacked=False,
        ),
        bases=("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",),
    ),
    *SOUNDS,
    *VECTORS,
    *CORPORA,
)
"""Every named set; add one here and `load`, `data list` and `data fetch` know it."""


def entry_called(name: str, entries: tuple[Entry, ...] = CATALOGUE) -> Entry:
    """Return the entry of that name.

    Raises
    ------
    ConfigError
        If there is none.
    """
    for entry in entries:
        if entry.name == name:
            return entry
    raise ConfigError(
        f"there is no named data set {name!r}",
        fix=f"choose one of: {', '.join(entry.name for entry in entries)}",
    )


def _found(entry: Entry) -> Place | None:
    """Return the first place that holds every file of the set."""
    for place in _places(entry):
        if place.folder is not None and place.folder.is_dir() and not entry.missing(place.folder):
            return place
    return None


def _places(entry: Entry) -> tuple[Place, Place]:
    return places(entry.folder or entry.name)


def catalogue(entries: tuple[Entry, ...] = CATALOGUE) -> tuple[Named, ...]:
    """List the named sets and where each was found; nothing is read or fetched."""
    listing = []
    for entry in entries:
        place = None if entry.comes_with else _found(entry)
        where = entry.comes_with or (str(place.folder) if place else None)
        fetched = bool(entry.bases)
        listing.append(Named(entry.name, entry.title, entry.licence, where, entry.kind, fetched))
    return tuple(listing)


def fetch(
    name: str,
    progress: Progress | None = None,
    *,
    entries: tuple[Entry, ...] = CATALOGUE,
    timeout: float = 30.0,
) -> Path:
    """Fetch a named set into the user's cache, unless it is complete in one of its places.

    Parameters
    ----------
    name
        The set.
    progress
        Called with (file name, bytes here, bytes in all or None) as bytes arrive.
    entries
        The catalogue to look in.
    timeout
        Seconds without any byte after which an address is given up.

    Returns
    -------
    pathlib.Path
        The folder that holds the files.

    Raises
    ------
    ConfigError
        If the name is unknown, or the set has nothing to fetch.
    MissingDataError
        If it can't be fetched, ``ISTHMUS_OFFLINE`` forbids it, or no address served a file.
    DataError
        If a file arrived with the wrong checksum.
    """
    entry = entry_called(name, entries)
    if entry.comes_with:
        raise ConfigError(f"{name} comes with {entry.comes_with}; there is nothing to fetch")
    place = _found(entry)
    if place is not None and place.folder is not None:
        return place.folder
    own, cache = _places(entry)
    folder = cache.folder or Path()
    lacking = entry.missing(folder)
    if not entry.bases:
        target = own.folder or Path("$ISTHMUS_DATA") / (entry.folder or entry.name)
        raise MissingDataError(
            f"{name} can't be fetched: no official address serves it in this form",
            fix=f"{entry.by_hand}; put {', '.join(lacking)} into {target}",
        )
    if lacking and is_offline():
        raise MissingDataError(
            f"{name} may not be fetched", why="ISTHMUS_OFFLINE is set", fix="unset ISTHMUS_OFFLINE"
        )
    for file in entry.files:
        if file.name.removesuffix(".gz") in lacking:
            fetch_file(file, entry.bases, folder, progress=progress, timeout=timeout)
    if entry.archive is not None and lacking:
        packed = fetch_file(entry.archive, entry.bases, folder, progress=progress, timeout=timeout)
        unpack_beir(packed, entry.name, folder)
        packed.unlink()
    return folder


def folder_of(entry: Entry, progress: Progress | None = None) -> Path:
    """Return the folder that holds a set, fetched if it must be.

    Raises
    ------
    MissingDataError
        If it is in none of the places and can't be fetched; says what was tried.
    """
    place = _found(entry)
    if place is not None and place.folder is not None:
        return place.folder
    try:
        return fetch(entry.name, progress, entries=(entry,))
    except MissingDataError as error:
        raise _missing(entry, error) from error


def vectors_called(name: str, entries: tuple[Entry, ...] = CATALOGUE) -> Path | None:
    """Return the file of a named set of vectors; None: no set of vectors is called so.

    Raises
    ------
    MissingDataError
        If it is not here; says where it was looked for.
    """
    for entry in entries:
        if entry.kind == "vectors" and entry.name == name:
            return folder_of(entry) / entry.files[0].name
    return None


def read_named(entry: Entry, options: LoadOptions, progress: Progress | None = None) -> Raw:
    """Find a named set, fetch it if it must be, and read it.

    Raises
    ------
    ConfigError
        If it is a corpus, which is no set of samples.
    MissingDataError
        If it is in none of the places and can't be fetched; says what was tried.
    """
    if entry.read is None:
        raise ConfigError(
            f"{entry.name} is a corpus of texts, not a set of samples",
            fix=f"index it with 'isthmus index {entry.name}', or go through its texts with "
            f"isthmus.corpus({entry.name!r})",
        )
    if entry.comes_with:
        return replace(entry.read(Path(), options), name=entry.name)
    folder = folder_of(entry, progress)
    raw = entry.read(folder, options)
    return replace(raw, name=entry.name, source=f"{entry.name} in {folder}")


def _missing(entry: Entry, error: MissingDataError) -> MissingDataError:
    """Say which of the three places were tried, and what to do."""
    tried = []
    for place in _places(entry):
        if place.folder is None:
            tried.append(f"{place.title}: {place.why_not}")
        elif not place.folder.is_dir():
            tried.append(f"{place.title}: there is no folder {place.folder}")
        else:
            lacking = ", ".join(entry.missing(place.folder))
            tried.append(f"{place.title}: {place.folder} lacks {lacking}")
    tried.append(f"fetching: {error.why or error.what} {f'({error.where})' if error.where else ''}")
    own = _places(entry)[0].folder or Path("$ISTHMUS_DATA") / (entry.folder or entry.name)
    names = ", ".join([*(file.name for file in entry.files), *entry.holds])
    by_fetching = (
        f"run 'isthmus data fetch {entry.name}' on a machine with a connection, or put "
        f"{names} into {own}"
    )
    return MissingDataError(
        f"the data set {entry.name} is not here",
        where="\n         ".join(line.strip() for line in tried),
        fix=by_fetching if entry.bases else error.fix,
    )
