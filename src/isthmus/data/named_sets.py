"""The named data sets: what they are, where they are found, and how they are fetched."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from isthmus.data.digits import read_digits
from isthmus.data.fetching import Checksum, Progress, RemoteFile, fetch_file
from isthmus.data.options import LoadOptions, Raw
from isthmus.data.places import Place, is_offline, places
from isthmus.data.read_idx import IdxFolder, find_idx
from isthmus.errors import ConfigError, MissingDataError

__all__ = ["CATALOGUE", "Entry", "Named", "catalogue", "entry_called", "fetch", "read_named"]


@dataclass(frozen=True)
class Entry:
    """A named data set."""

    name: str
    """What it is called."""
    title: str
    """What it holds, in one line."""
    licence: str
    """Under what terms it is given."""
    read: Callable[[Path, LoadOptions], Raw]
    """Reads the set from the folder that holds its files."""
    files: tuple[RemoteFile, ...] = ()
    """The files that make it up; none: it comes with an installed package."""
    bases: tuple[str, ...] = ()
    """Official addresses of the files, each ending in a slash, tried in order."""

    def missing(self, folder: Path) -> list[str]:
        """Return the names of files that ``folder`` lacks; plain counts for gzip-compressed."""
        wanted = [file.name.removesuffix(".gz") for file in self.files]
        return [name for name in wanted if find_idx(folder, name) is None]


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
    """The folder where it was found, or ``scikit-learn``; None: it has to be fetched."""


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
    for place in places(entry.name):
        if place.folder is not None and place.folder.is_dir() and not entry.missing(place.folder):
            return place
    return None


def catalogue(entries: tuple[Entry, ...] = CATALOGUE) -> tuple[Named, ...]:
    """List the named sets and where each was found; nothing is read or fetched."""
    listing = []
    for entry in entries:
        place = _found(entry) if entry.files else None
        where = "scikit-learn" if not entry.files else str(place.folder) if place else None
        listing.append(Named(entry.name, entry.title, entry.licence, where))
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
        If ``ISTHMUS_OFFLINE`` forbids it, or no address served a file.
    DataError
        If a file arrived with the wrong checksum.
    """
    entry = entry_called(name, entries)
    if not entry.files:
        raise ConfigError(f"{name} comes with scikit-learn; there is nothing to fetch")
    place = _found(entry)
    if place is not None and place.folder is not None:
        return place.folder
    _, cache = places(name)
    folder = cache.folder or Path()
    lacking = entry.missing(folder)
    if lacking and is_offline():
        raise MissingDataError(
            f"{name} may not be fetched", why="ISTHMUS_OFFLINE is set", fix="unset ISTHMUS_OFFLINE"
        )
    for file in entry.files:
        if file.name.removesuffix(".gz") in lacking:
            fetch_file(file, entry.bases, folder, progress=progress, timeout=timeout)
    return folder


def read_named(entry: Entry, options: LoadOptions, progress: Progress | None = None) -> Raw:
    """Find a named set, fetch it if it must be, and read it.

    Raises
    ------
    MissingDataError
        If it is in none of the places and can't be fetched; says what was tried.
    """
    if not entry.files:
        return replace(entry.read(Path(), options), name=entry.name)
    place = _found(entry)
    if place is None:
        try:
            folder = fetch(entry.name, progress, entries=(entry,))
        except MissingDataError as error:
            raise _missing(entry, error) from error
    else:
        folder = place.folder or Path()
    raw = entry.read(folder, options)
    return replace(raw, name=entry.name, source=f"{entry.name} in {folder}")


def _missing(entry: Entry, error: MissingDataError) -> MissingDataError:
    """Say which of the three places were tried, and what to do."""
    tried = []
    for place in places(entry.name):
        if place.folder is None:
            tried.append(f"{place.title}: {place.why_not}")
        elif not place.folder.is_dir():
            tried.append(f"{place.title}: there is no folder {place.folder}")
        else:
            lacking = ", ".join(entry.missing(place.folder))
            tried.append(f"{place.title}: {place.folder} lacks {lacking}")
    tried.append(f"fetching: {error.why or error.what} {f'({error.where})' if error.where else ''}")
    own = places(entry.name)[0].folder or Path("$ISTHMUS_DATA") / entry.name
    names = ", ".join(file.name for file in entry.files)
    return MissingDataError(
        f"the data set {entry.name} is not here",
        where="\n         ".join(line.strip() for line in tried),
        fix=f"run 'isthmus data fetch {entry.name}' on a machine with a connection, or put "
        f"{names} into {own}",
    )
