"""JSON lines: an object a line, a document an object."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from isthmus.data.corpora.bytes_in import decoded_line, lines, opened, too_large
from isthmus.data.corpora.choices import Choices, Found
from isthmus.data.corpora.documents import Skipped
from isthmus.data.corpora.fields import document_of
from isthmus.errors import DataError, in_a_line

__all__ = ["objects", "read_json_lines"]


def read_json_lines(path: Path, source: str, choices: Choices) -> Iterator[Found]:
    """Yield a document for each line that holds an object with a text."""
    for row, record in objects(path, choices):
        if isinstance(record, str):
            yield Skipped(source, record, row)
        else:
            yield document_of(record, source, row, choices)


def objects(path: Path, choices: Choices) -> Iterator[tuple[int, dict[str, Any] | str]]:
    """Yield (row from 1, object) of every line but empty ones; a text says why there is none.

    Raises
    ------
    DataError, OSError, EOFError, zlib.error
        If the file can't be read any further.
    """
    with opened(path, choices.unpacked) as handle:
        for row, line in lines(handle, choices.largest, choices.encoding):
            if line is None:
                yield row, f"the line is longer than {too_large_line(choices.largest)}"
            elif line.strip():
                yield row, _object(line, choices.encoding)


def too_large_line(largest: int) -> str:
    """Say how long a line may be."""
    return too_large(0, largest).partition("more than ")[2]


def _object(line: bytes, encoding: str | None) -> dict[str, Any] | str:
    try:
        value = json.loads(decoded_line(line.rstrip(b"\r\n"), encoding))
    except DataError as error:
        return error.what
    except json.JSONDecodeError as error:
        return f"not JSON: {error.msg} at character {error.pos + 1:,}"
    except (ValueError, RecursionError) as error:
        return f"not JSON: {in_a_line(error)}"
    return value if isinstance(value, dict) else f"not a JSON object but a {type(value).__name__}"
