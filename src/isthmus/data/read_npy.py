"""NumPy's files: .npy mapped from the disk, .npz mapped where it is stored uncompressed."""

from __future__ import annotations

import io
import lzma
import math
import struct
import tokenize
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from isthmus.data.guards import check_size, gigabytes
from isthmus.data.keys import chosen_keys
from isthmus.data.layout import check_real
from isthmus.data.options import WHOLE, LoadOptions, Part, Raw
from isthmus.errors import DataError, in_a_line

__all__ = ["Npy", "Npz", "map_npy"]

Array = NDArray[Any]
_MAGIC = b"\x93NUMPY"
_MOST_HEADER = 1 << 16
_MOST_MEMBERS = 256
_MOST_RATIO, _RATIO_FREE = 300, 1 << 28
_BAD_HEADER = (
    ValueError,
    SyntaxError,
    TypeError,
    RecursionError,
    MemoryError,
    EOFError,
    tokenize.TokenError,
)
_BROKEN = (
    zipfile.BadZipFile,
    zipfile.LargeZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    EOFError,
    RuntimeError,
    OSError,
)
_LABEL_ENDINGS = ("_labels", "-labels", ".labels")


@dataclass(frozen=True)
class _Header:
    """What a .npy header says."""

    shape: tuple[int, ...]
    """Entries along each axis."""
    fortran: bool
    """Whether the first axis runs fastest."""
    dtype: np.dtype[Any]
    """The type of a value."""
    offset: int
    """Bytes before the data."""

    @property
    def data(self) -> int:
        """Bytes of data that the header announces, as an exact Python number."""
        return math.prod(self.shape) * self.dtype.itemsize


def _read_header(handle: IO[bytes], where: str) -> _Header:
    """Read and check a .npy header; no more than the start of the file is read."""
    handle = io.BytesIO(handle.read(_MOST_HEADER))
    try:
        version = npy.read_magic(handle)
        readers = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
        if version not in readers:
            raise ValueError(f"format version {version[0]}.{version[1]} holds records, not numbers")
        shape, fortran, dtype = readers[version](handle)
    except _BAD_HEADER as error:
        raise DataError(
            "the .npy header is damaged",
            where=where,
            why=in_a_line(error),
            fix="write the file again with numpy.save",
        ) from error
    check_real(dtype, where)
    if any(side < 0 for side in shape):
        raise DataError("the .npy header is damaged", where=where, why=f"it says shape {shape}")
    return _Header(shape, fortran, dtype, handle.tell())


def _check_length(header: _Header, held: int, where: str) -> None:
    """Refuse a file whose data are not as long as its header says."""
    if held == header.data:
        return
    short = held < header.data
    raise DataError(
        f"the .npy data are {'shorter' if short else 'longer'} than the header says",
        where=f"{where}, byte {header.offset + min(held, header.data)}",
        why=f"the header announces {header.shape} of {header.dtype} = "
        f"{gigabytes(header.data)} ({header.data:,} bytes); {held:,} bytes follow it",
        fix="the file was cut short; copy it again" if short else "write it again with numpy.save",
    )


def _mapped(path: Path, header: _Header, offset: int) -> Array:
    """Map the data from the disk; only pages that are read take memory."""
    if header.data == 0:
        return np.empty(header.shape, header.dtype)
    order: Any = "F" if header.fortran else "C"
    return np.memmap(path, header.dtype, "r", offset, header.shape, order)


def map_npy(path: Path) -> Array:
    """Memory-map a .npy file after its header was held against the size of the file.

    Raises
    ------
    DataError
        If the header is damaged, announces more or less than there is, or objects.
    """
    with path.open("rb") as handle:
        header = _read_header(handle, str(path))
    _check_length(header, path.stat().st_size - header.offset, str(path))
    return _mapped(path, header, header.offset)


class Npy:
    """A .npy file; labels in a file of the same name with ``_labels`` at its end."""

    name = "a .npy file"
    settings: frozenset[str] = frozenset()

    def accepts(self, source: object) -> bool:
        """Say whether ``source`` is a .npy file by name."""
        return isinstance(source, Path) and source.suffix.lower() == ".npy" and source.is_file()

    def read(self, source: Path, options: LoadOptions) -> Raw:
        """Map the file, and read its labels where they lie beside it."""
        beside = (source.with_name(f"{source.stem}{end}.npy") for end in _LABEL_ENDINGS)
        labels_path = next((path for path in beside if path.is_file()), None)
        labels = None if labels_path is None else np.array(map_npy(labels_path))
        notes = () if labels_path is None else (f"Labels from {labels_path.name}.",)
        part = Part(map_npy(source), labels, str(source))
        return Raw(source.stem, f"file {source}", {WHOLE: part}, notes=notes)


class Npz:
    """A .npz file with arrays named as Keras and others name them."""

    name = "a .npz file"
    settings = frozenset({"key"})

    def accepts(self, source: object) -> bool:
        """Say whether ``source`` is a .npz file by name."""
        return isinstance(source, Path) and source.suffix.lower() == ".npz" and source.is_file()

    def read(self, source: Path, options: LoadOptions) -> Raw:
        """Check every member before any is read; then read those that are needed."""
        try:
            with zipfile.ZipFile(source) as archive:
                members = _checked_members(archive, source, options.limit)
                headers = {}
                for name, info in members.items():
                    with archive.open(info) as handle:
                        headers[name] = _read_header(handle, f"{source}, {name}")
                    held = info.file_size - headers[name].offset
                    _check_length(headers[name], held, f"{source}, {name}")
                shapes = {name: header.shape for name, header in headers.items()}
                keys = chosen_keys(shapes, options.key, str(source))
                parts = {}
                for split, (key, label_key) in keys.items():
                    values = _member(archive, source, members[key], headers[key])
                    labels = None
                    if label_key is not None:
                        header = headers[label_key]
                        labels = _member(archive, source, members[label_key], header)
                    parts[split] = Part(values, labels, f"{source}, {key}")
        except _BROKEN as error:
            raise _damaged(source, error) from error
        notes = [f"Read {', '.join(key for key, _ in keys.values())}."] if len(shapes) > 1 else []
        return Raw(source.stem, f"file {source}", parts, notes=tuple(notes))


def _damaged(source: Path, error: Exception) -> DataError:
    return DataError(
        "the .npz file is damaged",
        where=str(source),
        why=str(error) or type(error).__name__,
        fix="copy it again, or write it again with numpy.savez",
    )


def _checked_members(
    archive: zipfile.ZipFile, source: Path, limit: int
) -> dict[str, zipfile.ZipInfo]:
    """Return the arrays of the archive by name, after looking at the directory alone."""
    infos = archive.infolist()
    names = [info.filename.removesuffix(".npy") for info in infos]
    if len(infos) > _MOST_MEMBERS or len(set(names)) < len(names):
        raise DataError(
            "the .npz file has too many members, or two of one name",
            where=str(source),
            why=f"{len(infos):,} members; at most {_MOST_MEMBERS} are read",
        )
    strange = [info.filename for info in infos if not info.filename.endswith(".npy")]
    if strange:
        raise DataError(
            "the .npz file holds members that are not arrays",
            where=f"{source}, {strange[0]!r}",
            fix="write it again with numpy.savez",
        )
    unpacked = sum(info.file_size for info in infos if info.compress_type != zipfile.ZIP_STORED)
    packed = sum(info.compress_size for info in infos if info.compress_type != zipfile.ZIP_STORED)
    check_size(unpacked, limit, where=str(source), what="the decompressed file")
    if unpacked > _RATIO_FREE and unpacked > _MOST_RATIO * packed:
        raise DataError(
            "the .npz file is compressed suspiciously well",
            where=str(source),
            why=f"{gigabytes(packed)} would become {gigabytes(unpacked)}; real data shrink less "
            f"than {_MOST_RATIO}-fold",
            fix="if it is what you want, unpack it and load the .npy files",
        )
    return dict(zip(names, infos, strict=True))


def _member(
    archive: zipfile.ZipFile, source: Path, info: zipfile.ZipInfo, header: _Header
) -> Array:
    """Map a member that is stored as it is; decompress any other."""
    if info.compress_type == zipfile.ZIP_STORED and not info.flag_bits & 0x1:
        start = _data_start(source, info)
        if start + info.file_size <= source.stat().st_size:
            return _mapped(source, header, start + header.offset)
    with archive.open(info) as handle:
        handle.read(header.offset)
        content = handle.read(header.data)
        rest = handle.read(1)  # reaching the end makes zipfile check the CRC
    if len(content) != header.data or rest:
        raise zipfile.BadZipFile(f"{info.filename} is shorter than its directory entry says")
    order: Any = "F" if header.fortran else "C"
    return np.frombuffer(content, header.dtype).reshape(header.shape, order=order)


def _data_start(source: Path, info: zipfile.ZipInfo) -> int:
    """Return the byte at which a member's content begins, from its local header."""
    with source.open("rb") as handle:
        handle.seek(info.header_offset)
        local = handle.read(30)
    if len(local) < 30 or local[:4] != b"PK\x03\x04":
        raise zipfile.BadZipFile(f"{info.filename} has no local header")
    name_length, extra_length = struct.unpack("<HH", local[26:30])
    return info.header_offset + 30 + int(name_length) + int(extra_length)
