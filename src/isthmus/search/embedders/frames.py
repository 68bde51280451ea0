"""Messages through a pipe: a kind, a length, and so many bytes."""

from __future__ import annotations

import struct
from typing import IO

__all__ = ["DONE", "FAILED", "receive", "send"]

DONE, FAILED = b"d", b"f"
_HEADER = struct.Struct("<cQ")


def send(pipe: IO[bytes] | None, content: bytes, kind: bytes = DONE) -> None:
    """Write a message.

    Raises
    ------
    OSError
        If nobody reads any more.
    """
    if pipe is None:
        raise BrokenPipeError("there is no pipe")
    pipe.write(_HEADER.pack(kind, len(content)))
    pipe.write(content)
    pipe.flush()


def receive(pipe: IO[bytes] | None) -> tuple[bytes, bytes]:
    """Read a message: its kind and its content.

    Raises
    ------
    EOFError
        If the pipe ends before the message does.

    Examples
    --------
    >>> import io
    >>> pipe = io.BytesIO()
    >>> send(pipe, b"texts")
    >>> receive(io.BytesIO(pipe.getvalue()))
    (b'd', b'texts')
    """
    if pipe is None:
        raise EOFError
    kind, length = _HEADER.unpack(_exactly(pipe, _HEADER.size))
    return kind, _exactly(pipe, length)


def _exactly(pipe: IO[bytes], length: int) -> bytes:
    content = pipe.read(length)
    if len(content) < length:
        raise EOFError
    return content
