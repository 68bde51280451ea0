"""The header of a WAV file, held against the size of the file before anything is read.

Layout: Microsoft and IBM, Multimedia Programming Interface and Data Specifications 1.0 (1991);
WAVE_FORMAT_EXTENSIBLE: Microsoft, Multiple Channel Audio Data and WAVE Files (2007).
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import BinaryIO

from isthmus.errors import DataError

__all__ = ["WavHeader", "read_header"]

_PCM, _FLOAT, _EXTENSIBLE = 1, 3, 0xFFFE
_GUID_TAIL = bytes.fromhex("000000001000800000aa00389b71")
_MOST_CHUNKS = 1_000
_ENCODINGS: Mapping[int, str] = MappingProxyType(
    {
        0x0002: "Microsoft ADPCM",
        0x0006: "A-law",
        0x0007: "mu-law",
        0x0011: "IMA ADPCM",
        0x0031: "GSM 6.10",
        0x0050: "MPEG audio",
        0x0055: "MP3",
        0x00FF: "AAC",
        0x0161: "Windows Media Audio",
        0x2000: "AC-3",
        0xF1AC: "FLAC",
    }
)
_OTHERS: Mapping[bytes, str] = MappingProxyType(
    {
        b"RIFX": "a big-endian RIFX file",
        b"RF64": "an RF64 file, made for more than 4 GiB",
        b"fLaC": "a FLAC file",
        b"OggS": "an Ogg file",
        b"ID3\x03": "an MP3 file",
        b"ID3\x04": "an MP3 file",
        b"FORM": "an AIFF file",
    }
)
_AGAIN = "copy it again, or convert it once more with a program that knows its length"


@dataclass(frozen=True)
class WavHeader:
    """What the header says, after it was found to be true."""

    rate: int
    """Samples a second."""
    channels: int
    """Channels; a frame holds one sample of each."""
    bits: int
    """Bits a sample: 8, 16, 24 or 32 for whole numbers, 32 or 64 for floats."""
    is_float: bool
    """Whether samples are IEEE floats."""
    start: int
    """The byte at which samples begin."""
    frames: int
    """How many frames there are."""


def read_header(handle: BinaryIO, size: int, where: str) -> WavHeader:
    """Read and check the header; samples are not touched.

    Parameters
    ----------
    handle
        The file, open at its start.
    size
        Bytes in the file.
    where
        Its name, for messages.

    Raises
    ------
    DataError
        If it is no WAV file, if a length in it disagrees with the file, or if the encoding is
        not PCM of 8, 16, 24 or 32 bits or IEEE float.
    """
    start = handle.read(12)
    if len(start) < 12 or start[:4] != b"RIFF" or start[8:] != b"WAVE":
        raise _no_wav(start, where)
    _check_length(struct.unpack("<I", start[4:8])[0], size, where)
    form: tuple[int, int, int, int, int] | None = None
    place = 12
    for _ in range(_MOST_CHUNKS):
        head = handle.read(8)
        if len(head) < 8:
            break
        name, length = struct.unpack("<4sI", head)
        place += 8
        if length > size - place:
            raise DataError(
                "the WAV file's header lies about its length",
                where=f"{where}, byte {place - 4}",
                why=f"the part {name.decode('ascii', 'replace').strip()!r} announces {length:,} "
                f"bytes and {size - place:,} follow",
                fix=_AGAIN,
            )
        if name == b"fmt ":
            form = _format(handle.read(min(length, 64)), where)
        if name == b"data":
            if form is None:
                raise DataError("the WAV file has no format before its samples", where=where)
            return _header(form, place, length, where)
        place += length + length % 2
        handle.seek(place)
    raise DataError("the WAV file holds no samples (no part called data)", where=where, fix=_AGAIN)


def _no_wav(start: bytes, where: str) -> DataError:
    """Say what a file is instead of WAV, as far as its first bytes tell."""
    if not start:
        return DataError("the sound file is empty", where=where, fix="copy it again")
    known = _OTHERS.get(start[:4])
    return DataError(
        "this is not a WAV file",
        where=f"{where}, byte 0",
        why=f"it looks like {known}" if known else f"it starts with {start[:4].hex(' ')}",
        fix="convert it to WAV, 16 bits",
    )


def _check_length(announced: int, size: int, where: str) -> None:
    """Refuse a file whose size is not what its first line says; a pad byte may be missing."""
    if abs(announced + 8 - size) <= 1:
        return
    piped = announced in (0, 0x7FFFFFFF, 0xFFFFFFFF) or announced >= 0xFFFFFF00
    raise DataError(
        "the WAV file's header lies about its length",
        where=f"{where}, byte 4",
        why=f"it announces {announced + 8:,} bytes and the file has {size:,}"
        + ("; programs that write to a pipe do so" if piped else ""),
        fix=_AGAIN,
    )


def _format(body: bytes, where: str) -> tuple[int, int, int, int, int]:
    """Return encoding, channels, rate, bytes a frame, bits a sample."""
    if len(body) < 16:
        raise DataError("the WAV file's format is cut short", where=where, fix=_AGAIN)
    code, channels, rate, _, block, bits = struct.unpack("<HHIIHH", body[:16])
    if code == _EXTENSIBLE:
        if len(body) < 40 or body[26:40] != _GUID_TAIL:
            raise DataError("the WAV file's encoding is not known", where=where)
        code = struct.unpack("<H", body[24:26])[0]
    return code, channels, rate, block, bits


def _header(form: tuple[int, int, int, int, int], place: int, length: int, where: str) -> WavHeader:
    """Check that the format is one that is read, and that the parts of it agree."""
    code, channels, rate, block, bits = form
    allowed = {_PCM: (8, 16, 24, 32), _FLOAT: (32, 64)}
    if bits not in allowed.get(code, ()):
        words = {_PCM: f"PCM of {bits} bits", _FLOAT: f"floats of {bits} bits"}
        raise DataError(
            f"the encoding is {words.get(code) or _ENCODINGS.get(code, f'number {code:#06x}')}",
            where=where,
            why="read are PCM of 8, 16, 24 or 32 bits and floats of 32 or 64 bits",
            fix="convert it to WAV, 16 bits",
        )
    if not channels or block != channels * bits // 8 or length % block:
        raise DataError(
            "the WAV file's header contradicts itself",
            where=where,
            why=f"{channels} channels of {bits} bits, {block} bytes a frame, {length:,} bytes of "
            "samples",
            fix=_AGAIN,
        )
    return WavHeader(rate, channels, bits, code == _FLOAT, place, length // block)
