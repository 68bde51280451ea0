"""IDX files, plain or gzip-compressed, as MNIST and its relatives come."""

from __future__ import annotations

import math
import re
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isthmus.data.guards import check_size
from isthmus.data.options import SPLIT_WORDS, WHOLE, LoadOptions, Part, Raw, whole_if_alone
from isthmus.errors import DataError

__all__ = ["IdxFile", "IdxFolder", "find_idx", "read_idx"]

Array = NDArray[Any]
_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_GZIP = b"\x1f\x8b"
_IMAGES = re.compile(r"(?P<stem>.*images)[-.]idx(?P<axes>[2-4])-ubyte(\.gz)?", re.IGNORECASE)


@dataclass(frozen=True)
class _Header:
    """The first bytes of an IDX file."""

    dtype: np.dtype[Any]
    """The type of a value, big-endian."""
    shape: tuple[int, ...]
    """The number of entries along each axis."""

    @property
    def size(self) -> int:
        """Bytes of the header itself."""
        return 4 + 4 * len(self.shape)

    @property
    def data(self) -> int:
        """Bytes of data that the header announces."""
        return math.prod(self.shape) * self.dtype.itemsize


def _parse_header(start: bytes, where: str) -> _Header:
    """Read the header from the first bytes of the content."""
    if len(start) < 4 or start[:2] != b"\0\0" or start[2] not in _TYPES or not 1 <= start[3] <= 8:
        raise DataError(
            "this is not an IDX file",
            where=f"{where}, byte 0",
            why=f"an IDX file starts with 00 00, a type (08 to 0E) and the number of axes; "
            f"found {start[:4].hex(' ') or 'nothing'}"
            + (", which looks like text or a web page" if start[:1] in (b"<", b"{") else ""),
            fix="fetch the file again",
        )
    axes = start[3]
    if len(start) < 4 + 4 * axes:
        raise DataError(
            "the IDX file ends inside its header",
            where=f"{where}, byte {len(start)}",
            fix="fetch the file again",
        )
    return _Header(np.dtype(_TYPES[start[2]]), struct.unpack(f">{axes}I", start[4 : 4 + 4 * axes]))


def _check_length(header: _Header, found: int, where: str, *, more: str = "") -> None:
    """Refuse content that is shorter or longer than its header says."""
    if found == header.data:
        return
    short = found < header.data
    raise DataError(
        f"the IDX file is {'truncated' if short else 'longer than its header says'}",
        where=f"{where}, byte {header.size + min(found, header.data)}",
        why=f"the header announces {header.shape} values of {header.dtype.itemsize} bytes = "
        f"{header.data:,} bytes; {found:,}{more} follow it",
        fix="fetch the file again"
        if short
        else "check that the file is what its name says, and fetch it again",
    )


def read_idx(path: Path, limit: int) -> Array:
    """Read an IDX file; a plain one is memory-mapped.

    Parameters
    ----------
    path
        The file; gzip is recognised by content.
    limit
        Bytes that decompressed data may take.

    Returns
    -------
    numpy.ndarray
        Of the shape and type in the header; bytes are ``uint8``, others big-endian.

    Raises
    ------
    DataError
        If the file is not IDX, is truncated, is damaged, or exceeds the limit.
    """
    with path.open("rb") as handle:
        start = handle.read(36)
    if start[:2] == _GZIP:
        return _read_gzip(path, limit)
    header = _parse_header(start, str(path))
    _check_length(header, path.stat().st_size - header.size, str(path))
    if header.data == 0:
        return np.empty(header.shape, header.dtype)
    return np.memmap(path, _native_bytes(header.dtype), "r", header.size, header.shape)


def _native_bytes(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Drop the byte order that single bytes do not have."""
    return dtype.newbyteorder("=") if dtype.itemsize == 1 else dtype


def _read_gzip(path: Path, limit: int) -> Array:
    """Decompress no more than the header announces and the limit allows."""
    packed = path.read_bytes()
    stream = zlib.decompressobj(wbits=31)
    where = f"{path} (decompressed)"
    try:
        start = stream.decompress(packed, 4)
        if len(start) == 4 and start[:2] == b"\0\0":
            start += stream.decompress(stream.unconsumed_tail, 4 * start[3]) if start[3] else b""
        header = _parse_header(start, where)
        check_size(header.data, limit, where=str(path))
        content = stream.decompress(stream.unconsumed_tail, header.data + 1)
    except zlib.error as error:
        raise DataError(
            "the gzip file is damaged", where=str(path), why=str(error), fix="fetch the file again"
        ) from error
    more = " or more" if len(content) > header.data else ""
    _check_length(header, len(content), where, more=more)
    if not stream.eof:
        raise DataError(
            "the gzip file is truncated",
            where=f"{path}, byte {len(packed)}",
            why="its checksum at the end is missing",
            fix="fetch the file again",
        )
    return np.frombuffer(content, _native_bytes(header.dtype)).reshape(header.shape)


def find_idx(folder: Path, stem: str) -> Path | None:
    """Return ``stem`` or ``stem.gz`` in ``folder``, whichever is there, or None."""
    candidates = (folder / stem, folder / f"{stem}.gz")
    return next((path for path in candidates if path.is_file()), None)


def _labels_beside(path: Path, axes: str) -> Path | None:
    """Return the labels file that belongs to an images file, found by its name."""
    plain = path.name.removesuffix(".gz")
    head, found, tail = plain.rpartition("images")
    if not found:
        return None
    return find_idx(path.parent, f"{head}labels{tail.replace(f'idx{axes}', 'idx1')}")


def read_pair(images: Path, labels: Path | None, limit: int) -> Part:
    """Read images with their labels, and check that each file is what its name says."""
    values = read_idx(images, limit)
    if values.ndim < 2:
        raise DataError(
            "this IDX file holds one number a sample: labels, not samples",
            where=str(images),
            why=f"its shape is {values.shape}",
            fix="give the images file, or the folder that holds both",
        )
    if labels is None:
        return Part(values, None, str(images))
    numbers = read_idx(labels, limit)
    if numbers.ndim != 1:
        raise DataError(
            "the labels file does not hold labels",
            where=str(labels),
            why=f"its shape is {numbers.shape}; one number a sample was expected",
            fix="check that the files have not been swapped",
        )
    if len(numbers) != len(values):
        raise DataError(
            "labels and samples differ in number",
            where=str(labels),
            why=f"{len(numbers):,} labels for {len(values):,} samples in {images.name}",
            fix="fetch both files again",
        )
    return Part(values, numbers, str(images))


class IdxFile:
    """One IDX file of samples; its labels are found beside it by name."""

    name = "an IDX file"
    settings: frozenset[str] = frozenset()

    def accepts(self, source: object) -> bool:
        """Say whether ``source`` is a file named like IDX, or that starts like it."""
        if not isinstance(source, Path) or not source.is_file():
            return False
        if re.search(r"(idx\d?|ubyte)(\.gz)?$", source.name, re.IGNORECASE):
            return True
        with source.open("rb") as handle:
            start = handle.read(4)
        return len(start) == 4 and start[:2] == b"\0\0" and start[2] in _TYPES and start[3] > 0

    def read(self, source: Path, options: LoadOptions) -> Raw:
        """Read the file, and its labels where they lie beside it."""
        match = re.search(r"idx(\d)", source.name)
        labels = _labels_beside(source, match.group(1) if match else "3")
        part = read_pair(source, labels, options.limit)
        return Raw(source.name.removesuffix(".gz"), f"IDX file {source}", {WHOLE: part})


class IdxFolder:
    """A folder with MNIST's four files, or some of them."""

    name = "a folder of IDX files"
    settings: frozenset[str] = frozenset()

    def accepts(self, source: object) -> bool:
        """Say whether ``source`` is a folder that holds images in IDX files."""
        return (
            isinstance(source, Path)
            and source.is_dir()
            and any(_IMAGES.fullmatch(path.name) for path in source.iterdir())
        )

    def read(self, source: Path, options: LoadOptions) -> Raw:
        """Read each images file as the split that its name says."""
        parts: dict[str, Part] = {}
        for path in sorted(source.iterdir()):
            match = _IMAGES.fullmatch(path.name)
            if not match:
                continue
            words = re.split(r"[-_. ]+", match["stem"].lower())
            split = next((SPLIT_WORDS[word] for word in words if word in SPLIT_WORDS), WHOLE)
            if split in parts:
                if parts[split].where == str(path.with_suffix("")):
                    continue  # the same file, plain and compressed
                raise DataError(
                    "two IDX files claim to be the same split",
                    where=f"{path} and {parts[split].where}",
                    fix="give one of the files, not the folder",
                )
            labels = _labels_beside(path, match["axes"])
            parts[split] = read_pair(path, labels, options.limit)
        parts = whole_if_alone(parts)
        if len(parts) > 1 and "train" not in parts:
            raise DataError(
                "the folder holds no training images",
                where=str(source),
                why=f"found: {', '.join(Path(part.where).name for part in parts.values())}",
                fix="name them train-images-idx3-ubyte and t10k-images-idx3-ubyte",
            )
        return Raw(source.name, f"IDX files in {source}", parts)
