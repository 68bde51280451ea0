"""What is said when an endpoint is away, too slow, unwilling, or talks rubbish."""

from __future__ import annotations

import re

from isthmus.errors import RemoteError, in_a_line
from isthmus.remote.address import is_this_machine, without_key

__all__ = ["away", "excerpt", "refused", "rubbish", "too_slow"]

_MEANING = {
    400: "it does not accept what was asked",
    401: "it wants a key, or another one",
    403: "the key may not do this",
    404: "it knows no such address or model",
    413: "the request is too large for it",
    422: "it does not accept what was asked",
    429: "it has had too many requests",
    501: "it can't do this",
    503: "it is overloaded or still loading",
}


def away(address: str, error: BaseException) -> RemoteError:
    """Return the error for an endpoint that can't be reached."""
    start = "start the server (llama.cpp, Ollama, vLLM, ...), or give the address where it listens"
    check = "check the address and the connection"
    return RemoteError(
        f"nothing answers at {address}",
        why=in_a_line(error),
        fix=start if is_this_machine(address) else check,
    )


def too_slow(url: str, seconds: float, what: str = "said nothing for") -> RemoteError:
    """Return the error for an endpoint that does not answer in time."""
    return RemoteError(
        f"the endpoint {what} {seconds:g} seconds",
        where=url,
        fix="give it a longer timeout or less to do, or look at what it is doing",
    )


def refused(url: str, status: int, body: str, key_variable: str) -> RemoteError:
    """Return the error for an answer with an HTTP status that is no success."""
    meaning = _MEANING.get(status, "it failed" if status >= 500 else "it refused")
    said = excerpt(body, key_variable)
    fixes = {
        401: f"put the key into the environment variable {key_variable}",
        403: f"check the key in the environment variable {key_variable}",
        404: "check the address (most end in /v1) and the model's name",
        429: "wait, or ask for less at a time",
    }
    fix = fixes.get(status, "try again later, or look at the server's log" if status >= 500 else "")
    return RemoteError(
        f"the endpoint answered {status}: {meaning}",
        where=url,
        why=f"it says: {said}" if said else "",
        fix=fix,
    )


def rubbish(url: str, why: str, fix: str = "") -> RemoteError:
    """Return the error for an answer that is not what the interface promises."""
    return RemoteError(
        "the endpoint's answer can't be used",
        where=url,
        why=why,
        fix=fix or "check that an OpenAI-compatible server with this model listens there",
    )


def excerpt(body: str, key_variable: str, most: int = 300) -> str:
    r"""Return the readable start of what a server said: one line, no controls, no key.

    Of an HTML page only the title is kept.

    Examples
    --------
    >>> excerpt("<html><title>502 Bad\nGateway</title>...", "")
    'an HTML page, "502 Bad Gateway"'
    """
    text = without_key(body[: 20 * most], key_variable)
    if re.match(r"\s*(<!doctype html|<html)", text, re.IGNORECASE):
        title = re.search(r"<title>(.*?)</title>", text, re.IGNORECASE | re.DOTALL)
        named = " ".join(title[1].split()) if title else ""
        return f'an HTML page, "{_printable(named)[:most]}"' if named else "an HTML page"
    text = _printable(" ".join(text.split()))
    return text if len(text) <= most else f"{text[:most]}..."


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in text)
