"""`load`: from a name, a path or an array to a data set with splits."""

from __future__ import annotations

import difflib
from pathlib import Path

from isthmus.data.assemble import assemble
from isthmus.data.dataset import Dataset
from isthmus.data.fetching import Progress
from isthmus.data.named_sets import CATALOGUE, entry_called, read_named
from isthmus.data.options import LoadOptions, Raw, Reader, default_limit
from isthmus.data.read_csv import Csv
from isthmus.data.read_idx import IdxFile, IdxFolder
from isthmus.data.read_images import ImageFolder
from isthmus.data.read_memory import Memory
from isthmus.data.read_npy import Npy, Npz
from isthmus.data.read_parquet import Parquet
from isthmus.data.read_safetensors import Safetensors
from isthmus.errors import ConfigError, DataError, MissingDataError

__all__ = ["READERS", "NamedSet", "load"]

_ALWAYS = frozenset({"validation", "test", "seed", "limit", "drop_bad_rows", "range", "name"})


class NamedSet:
    """A set of the catalogue, by name."""

    name = "a named data set"
    settings: frozenset[str] = frozenset()

    def __init__(self, progress: Progress | None = None) -> None:
        self.progress = progress

    def accepts(self, source: object) -> bool:
        """Say whether ``source`` is a name in the catalogue."""
        return isinstance(source, str) and any(entry.name == source for entry in CATALOGUE)

    def read(self, source: str, options: LoadOptions) -> Raw:
        """Find or fetch the set, and read it."""
        return read_named(entry_called(source), options, self.progress)


READERS: tuple[Reader, ...] = (
    Memory(),
    IdxFolder(),
    IdxFile(),
    Npy(),
    Npz(),
    Safetensors(),
    Csv(),
    Parquet(),
    ImageFolder(),
)
"""Every kind of source but names, in the order in which they are asked; add a reader here."""


def load(
    source: object,
    *,
    resize: int | tuple[int, int] | None = None,
    colour: str | None = None,
    label_column: str | int | None = None,
    header: bool | None = None,
    key: str | None = None,
    validation: float | None = None,
    test: float | None = None,
    seed: int = 0,
    limit: int | None = None,
    drop_bad_rows: bool = False,
    range: tuple[float, float] | None = None,
    name: str | None = None,
    progress: Progress | None = None,
    readers: tuple[Reader, ...] = READERS,
) -> Dataset:
    """Load data of any kind that Isthmus reads, checked and split.

    Parameters
    ----------
    source
        A name of the catalogue (``digits``, ``mnist``, ...); a path to a folder of images or of
        IDX files, or to an IDX, .npy, .npz, .safetensors, .csv or .parquet file; an array or
        tensor of shape (N, values), (N, H, W), (N, H, W, C) or (N, C, H, W); a pair
        (samples, labels); a map-style torch Dataset; a dict of these by split; or a
        :class:`Dataset`, which is returned as it is.
    resize
        Side, or (height, width), that image files are resized to. None: sizes must agree.
    colour
        ``grey`` or ``rgb`` for image files; None: as they are.
    label_column
        The column of a table that holds labels, by name or position. None: no labels.
    header
        Whether the first line of a CSV file names the columns. None: detected.
    key
        The array to take from an .npz or .safetensors file. None: by the usual names.
    validation
        Share or number of samples for validation. None: 0.1; with an official test split 5 % of
        the training split, at most 5,000.
    test
        Share or number of samples for test, where the source has no test split. None: 0.1.
    seed
        Seed of the splits.
    limit
        Bytes that the data may take in memory; memory-mapped files are exempt. None:
        ``ISTHMUS_LIMIT``, or 8 GiB.
    drop_bad_rows
        Leave out samples with NaN or infinite values (their number is noted) instead of refusing.
    range
        Nominal smallest and largest raw value. None: decided from the type and the source.
    name
        The name shown in tables. None: from the source.
    progress
        Called with (file, bytes here, bytes in all or None) when a named set is fetched.
    readers
        The kinds of source that are known.

    Returns
    -------
    Dataset
        With the splits ``train``, ``validation`` and ``test``, which never overlap.

    Raises
    ------
    MissingDataError
        If there is no such set, file or folder.
    DataError
        If the data are broken, hostile, too large or of an unknown kind.
    ConfigError
        If a choice makes no sense for this kind of source.
    """
    side = (resize, resize) if isinstance(resize, int) else resize
    options = LoadOptions(
        side,
        colour,
        label_column,
        header,
        key,
        validation,
        test,
        seed,
        default_limit() if limit is None else limit,
        drop_bad_rows,
        range,
        name,
    )
    if isinstance(source, Dataset):
        _check_choices(options, "a data set that is loaded already", frozenset())
        return source
    reader, found = _reader(source, (NamedSet(progress), *readers))
    _check_choices(options, reader.name, reader.settings | _ALWAYS)
    return assemble(reader.read(found, options), options)


def _reader(source: object, readers: tuple[Reader, ...]) -> tuple[Reader, object]:
    """Return the first reader that takes the source, and the source as it takes it."""
    named = readers[0]
    if named.accepts(source):
        return named, source
    found = Path(source).expanduser() if isinstance(source, str) else source
    for reader in readers[1:]:
        if reader.accepts(found):
            return reader, found
    if not isinstance(found, Path):
        raise DataError(
            f"a {type(source).__name__} can't be read as data",
            fix="give a name, a path, an array, a tensor, a map-style torch Dataset, or a dict of "
            "these by split",
        )
    if not found.exists():
        names = [entry.name for entry in CATALOGUE]
        close = difflib.get_close_matches(str(source), names, 1)
        raise MissingDataError(
            f"there is no data set, file or folder called {str(source)!r}",
            where=str(Path.cwd()),
            fix=(f"did you mean {close[0]!r}? " if close else "")
            + f"named sets are: {', '.join(names)}",
        )
    kinds = ", ".join(reader.name for reader in readers[1:])
    raise DataError(
        "this kind of file or folder is not known, or the folder is empty",
        where=str(found),
        why=f"known are: {kinds}",
        fix="rename it if its ending is wrong, or convert it, for example to .npy",
    )


def _check_choices(options: LoadOptions, title: str, allowed: frozenset[str]) -> None:
    """Refuse a choice that would be ignored."""
    ignored = sorted(options.chosen() - allowed)
    if ignored:
        raise ConfigError(f"{', '.join(ignored)} can't be chosen for {title}", fix="leave it out")
