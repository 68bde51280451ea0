"""Unpack the wanted files of a fetched .zip, and nothing else."""

from __future__ import annotations

import re
import shutil
import zipfile
import zlib
from pathlib import Path

from isthmus.data.guards import gigabytes
from isthmus.errors import DataError, RunError, in_a_line
from isthmus.files import written_whole

__all__ = ["unpack_beir"]

_WANTED = re.compile(r"corpus\.jsonl|queries\.jsonl|qrels/[A-Za-z0-9_-]+\.tsv")
_MOST = 1 << 30


def unpack_beir(archive: Path, name: str, folder: Path) -> None:
    """Unpack a collection in BEIR's layout into ``folder``; other members are left where they are.

    Parameters
    ----------
    archive
        A .zip with a folder called ``name`` in it.
    name
        The collection.
    folder
        Where its files go, each written whole or not at all; corpus.jsonl comes last.

    Raises
    ------
    DataError
        If the archive is damaged or a member is larger than 1 GiB.
    RunError
        If a file can't be written.
    """
    try:
        with zipfile.ZipFile(archive) as packed:
            wanted = [
                (item, item.filename.removeprefix(f"{name}/"))
                for item in packed.infolist()
                if _WANTED.fullmatch(item.filename.removeprefix(f"{name}/"))
            ]
            for item, inside in sorted(wanted, key=lambda pair: pair[1] == "corpus.jsonl"):
                _unpack(packed, item, folder / inside)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise DataError(
            "the archive is damaged", where=str(archive), why=in_a_line(error), fix="fetch it again"
        ) from error


def _unpack(packed: zipfile.ZipFile, item: zipfile.ZipInfo, target: Path) -> None:
    # zipfile stops at the size that a member announces, so that it can't be more
    if item.file_size > _MOST:
        raise DataError(
            f"{item.filename} unpacks to {gigabytes(item.file_size)}",
            where=str(packed.filename),
            why=f"at most {gigabytes(_MOST)} were expected",
        )
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(
            "what was fetched could not be unpacked",
            where=str(target.parent),
            why=error.strerror or str(error),
            fix="choose another cache with ISTHMUS_HOME",
        ) from error
    with (
        written_whole(target) as temporary,
        packed.open(item) as source,
        temporary.open("wb") as out,
    ):
        shutil.copyfileobj(source, out, 1 << 18)
