"""What a chat model says: all at once, or in pieces as it writes."""

from __future__ import annotations

import codecs
import json
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from isthmus.errors import RemoteError
from isthmus.remote.exchange import Line, as_object, blocks, body_of
from isthmus.remote.failures import excerpt, rubbish

if TYPE_CHECKING:
    import httpx2

__all__ = ["events", "read_pieces", "read_whole"]


def read_whole(line: Line, response: httpx2.Response, *, complete: bool = False) -> str:
    """Return the text of an answer that comes in one piece.

    Raises
    ------
    RemoteError
        If there is none, or if it must be ``complete`` and was cut.
    """
    url = str(response.url)
    choice = _choice(as_object(body_of(line, response), url, line.key_variable), url)
    message = choice.get("message") if choice is not None else None
    if choice is None or not isinstance(message, dict):
        raise rubbish(url, 'it has no message under "choices"')
    if complete and choice.get("finish_reason") == "length":
        raise _cut(url)
    text = message.get("content")
    if isinstance(text, str) and (text or not message.get("refusal")):
        return text
    why = excerpt(str(message.get("refusal") or ""), line.key_variable)
    raise RemoteError(
        "the model answered without any text",
        where=url,
        why=f"it refuses: {why}" if why else "",
        fix="ask in another way, or ask another model",
    )


def _choice(answer: dict[str, Any], url: str) -> dict[str, Any] | None:
    """Return the first choice; None where there is none, as in a last event with statistics."""
    choices = answer.get("choices")
    if choices is None or choices == []:
        return None
    if not isinstance(choices, list) or not isinstance(choices[0], dict):
        raise rubbish(url, 'there is no list of objects under "choices"')
    return choices[0]


def read_pieces(
    line: Line,
    response: httpx2.Response,
    *,
    on_text: Callable[[str], None],
    complete: bool = False,
) -> str:
    """Return the text of an answer that comes in pieces, each handed on when it arrives.

    A server that can't stream and answers in one piece is understood as well. Once a piece was
    handed on, a failure is final, since nothing can be taken back.

    Raises
    ------
    RemoteError
        If an event is not what it should be, reports an error, or the end is missing; if it must
        be ``complete`` and was cut.
    """
    import httpx2

    kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if kind != "text/event-stream":
        text = read_whole(line, response, complete=complete)
        on_text(text)
        return text
    url, said, over = str(response.url), list[str](), False
    try:
        for data in events(blocks(line, response)):
            if data == "[DONE]":
                over = True
                break
            piece, reason = _piece(data, line, url)
            if complete and reason == "length":
                raise _cut(url)
            over = over or reason is not None
            if piece:
                said.append(piece)
                on_text(piece)
    except httpx2.TransportError as error:
        if not said or isinstance(error, httpx2.TimeoutException):
            raise
        raise _broken_off(url, str(error)) from error
    if not over:
        raise _broken_off(url, "the stream ended without its end mark")
    return "".join(said)


def _broken_off(url: str, why: str) -> RemoteError:
    return RemoteError(
        "the answer broke off in the middle",
        where=url,
        why=why,
        fix="ask again, or look at the server's log",
    )


def _cut(url: str) -> RemoteError:
    return RemoteError(
        "the answer was cut before its end",
        where=url,
        why="the model reached the number of tokens that it was allowed",
        fix="allow more tokens, or ask for less",
    )


def _piece(data: str, line: Line, url: str) -> tuple[str, str | None]:
    """Return the text of one event, and why it is the last, if the model says that it is."""
    try:
        event = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise rubbish(url, f"an event is not JSON: {excerpt(data, line.key_variable)}") from error
    choice = _choice(as_object(event, url, line.key_variable), url)
    if choice is None:
        return "", None
    delta = choice.get("delta") or {}
    text = delta.get("content") if isinstance(delta, dict) else None
    if text is not None and not isinstance(text, str):
        raise rubbish(url, "an event holds something that is no text")
    reason = choice.get("finish_reason")
    return text or "", None if reason is None else str(reason)


def events(raw: Iterable[bytes]) -> Iterator[str]:
    r"""Go through the data of server-sent events.

    The lines of an event end in CR, LF or both; data of several lines are joined by newlines;
    comments and other fields are passed over (WHATWG HTML, section 9.2.6). An event at the end
    that no blank line closes still counts, because some servers leave it out.

    Examples
    --------
    >>> list(events([b"data: a\n\ndata", b": b\r\n: x\r\ndata: c\r\n\r\n"]))
    ['a', 'b\nc']
    """
    held: list[str] = []
    for text in _lines(raw):
        name, _, value = text.partition(":")
        if not text and held:
            yield "\n".join(held)
            held = []
        elif name == "data":
            held.append(value.removeprefix(" "))
    if held:
        yield "\n".join(held)


def _lines(raw: Iterable[bytes]) -> Iterator[str]:
    decoder = codecs.getincrementaldecoder("utf-8-sig")("replace")
    rest: list[str] = []
    carriage = False  # a CR was last: an LF that follows belongs to it
    for block in raw:
        text = decoder.decode(block)
        if carriage and text:
            text, carriage = text.removeprefix("\n"), False
        carriage = text.endswith("\r")
        parts = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
        for part in parts[:-1]:
            yield "".join([*rest, part])
            rest = []
        rest.append(parts[-1])
    last = "".join([*rest, decoder.decode(b"", final=True)])
    if last:
        yield last
