"""Addresses of endpoints, and the keys that open them."""

from __future__ import annotations

import ipaddress
import os
from urllib.parse import SplitResult, urlsplit

from isthmus.errors import ConfigError

__all__ = ["checked_address", "headers_of", "is_this_machine", "without_key"]


def checked_address(base_url: str) -> str:
    """Return an endpoint's base address without a slash at the end.

    Raises
    ------
    ConfigError
        If it is not http or https, has no host, or carries a name, a password, a query or a
        fragment. What the address says before an "@" is not repeated.

    Examples
    --------
    >>> checked_address("http://127.0.0.1:8080/v1/")
    'http://127.0.0.1:8080/v1'
    """
    fix = "write it like http://127.0.0.1:8080/v1"
    try:
        parts = urlsplit(base_url.strip())
        _ = parts.port
    except ValueError as error:
        raise ConfigError("the endpoint's address can't be read", fix=fix) from error
    if "@" in parts.netloc:
        raise ConfigError(
            "the endpoint's address carries a name or a password",
            where=f"...@{parts.hostname}",
            why="it would be written into configurations and messages",
            fix="put the key into an environment variable and name that with key_variable",
        )
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigError("the endpoint's address is not http or https", where=base_url, fix=fix)
    if parts.query or parts.fragment:
        raise ConfigError(
            "the endpoint's address has a query or a fragment",
            where=f"{parts.scheme}://{parts.netloc}{parts.path}?...",
            fix=fix,
        )
    return _joined(parts)


def _joined(parts: SplitResult) -> str:
    return f"{parts.scheme}://{parts.netloc}{parts.path}".rstrip("/")


def is_this_machine(address: str) -> bool:
    """Say whether an address leads to this very machine, where no proxy has a place.

    Examples
    --------
    >>> is_this_machine("http://localhost:11434/v1"), is_this_machine("https://example.org/v1")
    (True, False)
    """
    host = urlsplit(address).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def headers_of(key_variable: str) -> dict[str, str]:
    """Return the headers of a request; with a key only where the environment holds one.

    Raises
    ------
    ConfigError
        If what the variable holds can't be a key; it is not repeated.
    """
    headers = {"User-Agent": "isthmus"}
    key = os.environ.get(key_variable, "").strip() if key_variable else ""
    if key:
        if not (key.isascii() and key.isprintable()) or " " in key:
            raise ConfigError(
                f"what the environment variable {key_variable} holds can't be a key",
                why="a key is one word of printable ASCII characters",
                fix=f"set {key_variable} again, or unset it where no key is needed",
            )
        headers["Authorization"] = f"Bearer {key}"
    return headers


def without_key(text: str, key_variable: str) -> str:
    """Return ``text`` with the key, should a server have repeated it, taken out."""
    key = os.environ.get(key_variable, "").strip() if key_variable else ""
    return text.replace(key, f"[{key_variable}]") if key else text
