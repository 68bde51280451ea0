"""A tar of WAV files, read in memory: nothing of it ever touches the disk."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from isthmus.data.audio.clip import Audio
from isthmus.data.audio.limits import AudioLimits
from isthmus.data.audio.reading import read_wav_bytes
from isthmus.errors import DataError, MissingDataError

__all__ = ["ArchiveLimits", "read_wav_archive"]


@dataclass(frozen=True)
class ArchiveLimits:
    """Bounds of a tar that is read."""

    members: int = 200_000
    """Most entries of any kind."""
    file_bytes: int = 64 << 20
    """Most bytes of one sound file."""
    total_bytes: int = 8 << 30
    """Most bytes of all entries together, as they announce them, unpacked."""


_ARCHIVE = ArchiveLimits()
_CLIP = AudioLimits()


def read_wav_archive(
    path: str | Path, limits: AudioLimits = _CLIP, archive: ArchiveLimits = _ARCHIVE
) -> Iterator[tuple[str, Audio]]:
    """Yield (name inside the archive, clip) of every WAV file, in the archive's order.

    Parameters
    ----------
    path
        A .tar, plain or compressed with gzip, bzip2 or xz. Entries that are not called .wav,
        and hidden ones, are passed over.
    limits
        What a clip may be.
    archive
        What the archive may be.

    Raises
    ------
    MissingDataError
        If there is no such file.
    DataError
        If it is damaged, holds a link, a device or a name that leads out of it, holds a name
        twice, is too large, holds no WAV file, or a clip in it is refused.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise MissingDataError("there is no such archive", where=str(path))
    seen: set[str] = set()
    try:
        with tarfile.open(path, "r:*") as tar:
            total = 0
            for count, member in enumerate(tar):
                total += max(member.size, 0)
                _check(member, count, total, path, archive)
                if not _is_sound(member):
                    continue
                if member.name in seen:
                    raise DataError(
                        "the archive holds a name twice", where=f"{path}: {member.name}"
                    )
                seen.add(member.name)
                handle = tar.extractfile(member)
                content = handle.read() if handle else b""
                yield member.name, read_wav_bytes(content, f"{path}: {member.name}", limits)
    except (tarfile.TarError, EOFError, OSError) as error:
        raise DataError(
            "the archive is damaged", where=str(path), why=str(error), fix="copy it again"
        ) from error
    if not seen:
        raise DataError("the archive holds no WAV file", where=str(path))


def _is_sound(member: tarfile.TarInfo) -> bool:
    name = PurePosixPath(member.name).name
    return member.isreg() and name.lower().endswith(".wav") and not name.startswith(".")


def _check(
    member: tarfile.TarInfo, count: int, total: int, path: Path, archive: ArchiveLimits
) -> None:
    """Refuse an entry that is hostile or too large."""
    where = f"{path}: {member.name[:200]}"
    if not (member.isreg() or member.isdir()):
        raise DataError(
            "the archive holds a link or a device",
            where=where,
            why="only files and folders are read",
            fix="make the archive again from plain files",
        )
    name = PurePosixPath(member.name)
    if name.is_absolute() or ".." in name.parts or "\\" in member.name:
        raise DataError("a name in the archive leads out of it", where=where)
    if count >= archive.members:
        raise DataError(f"the archive holds more than {archive.members:,} entries", where=where)
    if member.size > archive.file_bytes or total > archive.total_bytes:
        raise DataError(
            "the archive, or a file in it, is too large",
            where=where,
            why=f"at most {archive.file_bytes:,} bytes a file and {archive.total_bytes:,} in all",
        )
