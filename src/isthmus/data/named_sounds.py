"""The named sets with sounds, and those of several modalities."""

from __future__ import annotations

import hashlib
import re
import tarfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from isthmus.data.entries import Entry
from isthmus.data.fetching import Checksum, RemoteFile
from isthmus.data.options import LoadOptions, Raw
from isthmus.errors import ConfigError

__all__ = ["SOUNDS", "SPOKEN_ARCHIVES", "SPOKEN_NAME", "RecordingsChecksum"]

SPOKEN_ARCHIVES = ("recordings.tar", "26eb9aa.tar.gz")
"""What the recordings may be packed in: by hand, or as the repository serves its commit."""
SPOKEN_NAME = re.compile(
    r"(?P<digit>\d)_(?P<speaker>[a-z]+)_(?P<index>\d{1,3})\.wav", re.IGNORECASE
)
"""How a recording is called."""
_RECORDINGS = "a2e8a660492f28d9eed6270b290d26cbc5c81d6077ce87d3c0ad5adf4d4ee696"
_MNIST = tuple(
    f"{part}-{what}-ubyte" for part in ("train", "t10k") for what in ("images-idx3", "labels-idx1")
)
_MOST_BYTES = 1 << 20


@dataclass(frozen=True)
class RecordingsChecksum(Checksum):
    """The checksum of the recordings in a tar, whatever lies beside them and however packed.

    The repository's archive is made anew by its server, so the checksum of the file itself may
    change; that of the recordings may not.
    """

    def of(self, path: Path) -> str:
        """Return SHA-256 over the sorted names and SHA-256 of the recordings, or ``damaged``."""
        found: dict[str, bytes] = {}
        try:
            with tarfile.open(path, "r:*") as tar:
                for member in tar:
                    name = PurePosixPath(member.name).name
                    if not member.isreg() or not SPOKEN_NAME.fullmatch(name):
                        continue
                    handle = tar.extractfile(member)
                    if handle is None or member.size > _MOST_BYTES or name in found:
                        return "damaged"
                    found[name] = hashlib.sha256(handle.read()).digest()
        except (tarfile.TarError, OSError, EOFError):
            return "damaged"
        whole = hashlib.sha256()
        for name in sorted(found):
            whole.update(name.encode() + b"\0" + found[name])
        return whole.hexdigest()


@dataclass(frozen=True)
class _Spoken(Entry):
    """The spoken digits: packed in either way, or as loose files."""

    def missing(self, folder: Path) -> list[str]:
        """Return the name of the archive unless the recordings are there."""
        if any((folder / name).is_file() for name in SPOKEN_ARCHIVES):
            return []
        loose = (folder / "recordings").is_dir() and any((folder / "recordings").glob("*.wav"))
        return [] if loose else [SPOKEN_ARCHIVES[1].removesuffix(".gz")]


@dataclass(frozen=True)
class _Trio(Entry):
    """MNIST's files, with the spoken digits in the folder beside."""

    def missing(self, folder: Path) -> list[str]:
        """Return what is missing of both."""
        spoken = _FSDD.missing(folder.parent / "fsdd")
        return [*super().missing(folder), *(f"../fsdd/{name}" for name in spoken)]


def _read_fsdd(folder: Path, options: LoadOptions) -> Raw:
    from isthmus.data.multimodal.spoken_digits import read_fsdd

    return read_fsdd(folder, options)


def _read_several(folder: Path, options: LoadOptions) -> Raw:
    """Refuse to give several modalities as samples of one shape."""
    raise ConfigError(
        "this data set has several modalities, so it is no set of samples of one shape",
        where=str(folder) if folder != Path() else "",
        fix="train a model of several modalities on it, such as --model aligned, or open it with "
        "isthmus.data.multimodal.open_multimodal",
    )


_FSDD = _Spoken(
    name="fsdd",
    title="3,000 spoken digits by 6 speakers, as log-mel images 40 x 64, 10 classes",
    licence="CC BY-SA 4.0 (Z. Jackson and others, Free Spoken Digit Dataset)",
    read=_read_fsdd,
    files=(RemoteFile(SPOKEN_ARCHIVES[1], RecordingsChecksum("sha256", _RECORDINGS)),),
    bases=("https://github.com/Jakobovski/free-spoken-digit-dataset/archive/",),
)
SOUNDS: tuple[Entry, ...] = (
    _FSDD,
    _Trio(
        name="digit-trio",
        title="handwritten digits, spoken digits and words, paired by digit (mnist and fsdd)",
        licence="CC BY-SA 3.0 and 4.0, as mnist and fsdd",
        read=_read_several,
        kind="modalities",
        folder="mnist",
        holds=_MNIST,
        by_hand="it is made of mnist and fsdd: 'isthmus data fetch mnist' and 'isthmus data fetch "
        "fsdd', or by hand",
    ),
    Entry(
        name="digits-words",
        title="digits 8 x 8, made-up sounds and words, paired by digit (comes with scikit-learn)",
        licence="CC BY 4.0 (digits: UCI, E. Alpaydin and C. Kaynak)",
        read=_read_several,
        comes_with="scikit-learn",
        kind="modalities",
    ),
)
"""Every named set with sounds."""
