"""One request and its answer over HTTP: time limits, retries, and a limit on size."""

from __future__ import annotations

import contextlib
import email.utils
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import KW_ONLY, dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from isthmus.errors import ConfigError, RemoteError
from isthmus.remote.address import checked_address, headers_of, is_this_machine
from isthmus.remote.failures import away, excerpt, refused, rubbish, too_slow

if TYPE_CHECKING:
    import httpx2

__all__ = ["Line", "as_object", "blocks", "body_of", "exchange", "opened"]

T = TypeVar("T")
_AGAIN = frozenset({429, 500, 502, 503, 504, 529})


@dataclass(frozen=True, eq=False)
class Line:
    """How to reach an endpoint, and how patient to be with it."""

    base_url: str
    """Where it is: http or https, for most up to and with ``/v1``."""
    _: KW_ONLY
    key_variable: str = "ISTHMUS_API_KEY"
    """Environment variable that holds the key; where it is not set, none is sent."""
    timeout: float = 60.0
    """Seconds without any byte of an answer after which the endpoint is given up."""
    connect_timeout: float = 5.0
    """Seconds that connecting may take."""
    longest: float = 600.0
    """Seconds that one answer may take in all."""
    retries: int = 3
    """How many times more a request is sent when the endpoint is away or overloaded."""
    backoff: float = 0.5
    """Seconds before the first retry, about; doubled for each further one."""
    longest_wait: float = 30.0
    """Seconds to wait at most before a retry; a server that asks for more is given up."""
    most_bytes: int = 256 << 20
    """Bytes that an answer may have at most."""
    generator: np.random.Generator | None = field(default=None, repr=False)
    """Draws the jitter of the waiting times; None: a fresh one, only waiting depends on it."""
    sleep: Callable[[float], None] = field(default=time.sleep, repr=False)
    """Waits a number of seconds."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "base_url", checked_address(self.base_url))
        positive = (self.timeout, self.connect_timeout, self.longest, self.most_bytes)
        if not all(value > 0 for value in positive):
            raise ConfigError("timeouts and limits must be positive", where=self.base_url)
        if self.retries < 0 or self.backoff < 0 or self.longest_wait < 0:
            raise ConfigError("retries and waiting times can't be negative", where=self.base_url)


@contextlib.contextmanager
def opened(line: Line, timeout: float | None = None) -> Iterator[httpx2.Client]:
    """Yield an HTTP client for one endpoint; it follows no redirects.

    Proxies are taken from the environment, except on the way to this very machine. ``timeout``
    stands in for that of the line.
    """
    import httpx2

    here = is_this_machine(line.base_url)
    unsealed = line.base_url.startswith("http:") and here  # no certificates to be read then
    with httpx2.Client(
        headers=headers_of(line.key_variable),
        timeout=httpx2.Timeout(timeout or line.timeout, connect=line.connect_timeout),
        follow_redirects=False,
        trust_env=not here,
        verify=not unsealed,
    ) as client:
        yield client


def exchange(
    line: Line,
    client: httpx2.Client,
    path: str,
    content: dict[str, Any] | None,
    read: Callable[[httpx2.Response], T],
) -> T:
    """Send a request until it is answered, and return what ``read`` makes of the answer.

    Parameters
    ----------
    line
        The endpoint, with its limits.
    client
        From `opened`.
    path
        Added to the base address, with its slash.
    content
        Sent as JSON by POST; None: a GET.
    read
        Reads a successful answer. Where it lets an error of the connection through, the request
        is sent again.

    Raises
    ------
    RemoteError
        If the endpoint is away, too slow, refuses, redirects, or what ``read`` raises.
    """
    url = line.base_url + path
    generator = line.generator or np.random.default_rng()
    for attempt in range(line.retries + 1):
        try:
            return _once(line, client, url, content, read)
        except _Again as again:
            if attempt == line.retries:
                raise again.error from again.__cause__
            if again.wait > line.longest_wait:
                raise RemoteError(
                    again.error.what,
                    where=url,
                    why=f"it asks to be left alone for {again.wait:.0f} seconds",
                    fix="try again after that",
                ) from again.__cause__
            wait = line.backoff * 2**attempt * (0.5 + generator.random())
            line.sleep(min(max(wait, again.wait), line.longest_wait))
    raise away(line.base_url, RuntimeError("it was never asked"))  # pragma: no cover


class _Again(Exception):
    """A failure that may pass: what to say if it does not, and how long the server asks for."""

    def __init__(self, error: RemoteError, wait: float = 0.0) -> None:
        super().__init__(error.what)
        self.error, self.wait = error, wait


def _once(
    line: Line,
    client: httpx2.Client,
    url: str,
    content: dict[str, Any] | None,
    read: Callable[[httpx2.Response], T],
) -> T:
    """Send the request once; a failure that may pass is raised as `_Again`."""
    import httpx2

    method = "GET" if content is None else "POST"
    body = None if content is None else json.dumps(content, allow_nan=False).encode()
    headers = {} if body is None else {"Content-Type": "application/json"}
    try:
        with client.stream(method, url, content=body, headers=headers) as response:
            if not response.is_success:
                raise _unsuccessful(line, url, response)
            return read(response)
    except httpx2.ConnectTimeout as error:
        raise _Again(away(line.base_url, error)) from error
    except httpx2.TimeoutException as error:
        seconds = client.timeout.read or line.timeout
        raise too_slow(url, seconds) from error
    except httpx2.ConnectError as error:
        raise _Again(away(line.base_url, error)) from error
    except (httpx2.NetworkError, httpx2.RemoteProtocolError, httpx2.ProxyError) as error:
        why = f"the connection broke off ({str(error) or type(error).__name__})"
        raise _Again(rubbish(url, why, "try again, or look at the server's log")) from error
    except httpx2.DecodingError as error:
        raise rubbish(url, f"its compression is damaged ({error})") from error
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        raise RemoteError("the request could not be sent", where=url, why=str(error)) from error


def _unsuccessful(line: Line, url: str, response: httpx2.Response) -> Exception:
    """Return the error for an answer that is a redirect or a failure."""
    if response.is_redirect or response.status_code == 304:
        target = excerpt(response.headers.get("Location", "nowhere"), line.key_variable)
        return RemoteError(
            "the endpoint redirects elsewhere, which is not followed",
            where=url,
            why=f"it points to {target}",
            fix="if that is the place that is meant, give its address",
        )
    status = response.status_code
    said = _start_of(response)
    error = refused(url, status, said, line.key_variable)
    return _Again(error, _asked_wait(response)) if status in _AGAIN else error


def _start_of(response: httpx2.Response, most: int = 1 << 16) -> str:
    """Read the start of a failure's body and leave the rest."""
    import httpx2

    kept = bytearray()
    with contextlib.suppress(httpx2.HTTPError):
        for block in response.iter_bytes():
            kept += block
            if len(kept) >= most:
                break
    text = bytes(kept[:most]).decode("utf-8", "replace")
    try:
        value = json.loads(text)
    except ValueError:
        return text
    said = value.get("error", value.get("detail", value)) if isinstance(value, dict) else value
    said = said.get("message", said) if isinstance(said, dict) else said
    return said if isinstance(said, str) else json.dumps(said)


def _asked_wait(response: httpx2.Response) -> float:
    """Return the seconds that Retry-After asks for; 0 where it does not, or makes no sense."""
    asked = response.headers.get("Retry-After", "").strip()
    try:
        seconds = float(asked)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(asked).timestamp() - time.time()
        except (ValueError, TypeError, IndexError):
            return 0.0
    return seconds if 0 < seconds < float("inf") else 0.0


def blocks(line: Line, response: httpx2.Response) -> Iterator[bytes]:
    """Go through an answer's bytes, as long as they are not too many and do not take too long.

    Raises
    ------
    RemoteError
        If there are more than ``most_bytes``, or they took more than ``longest`` seconds.
    """
    url, end, size = str(response.url), time.monotonic() + line.longest, 0
    for block in response.iter_bytes():
        size += len(block)
        if size > line.most_bytes:
            raise rubbish(url, f"it is longer than {line.most_bytes:,} bytes")
        if time.monotonic() > end:
            raise too_slow(url, line.longest, "was not done after")
        yield block


def body_of(line: Line, response: httpx2.Response) -> Any:
    """Read an answer's whole body as JSON.

    Raises
    ------
    RemoteError
        If it is too long, takes too long, or is not JSON.
    """
    raw = b"".join(blocks(line, response))
    url = str(response.url)
    try:
        return json.loads(raw)
    except (ValueError, RecursionError) as error:
        said = excerpt(raw[:4096].decode("utf-8", "replace"), line.key_variable)
        shown = f"it is not JSON but: {said}" if said else "it is empty"
        raise rubbish(url, shown) from error


def as_object(value: Any, url: str, key_variable: str) -> dict[str, Any]:
    """Return an answer that is a JSON object and reports no error.

    Raises
    ------
    RemoteError
        If it is something else.
    """
    if not isinstance(value, dict):
        raise rubbish(url, f"a JSON object was expected, not {type(value).__name__}")
    if value.get("error"):
        said = value["error"]
        said = said.get("message", said) if isinstance(said, dict) else said
        raise RemoteError(
            "the endpoint reports an error", where=url, why=excerpt(str(said), key_variable)
        )
    return value
