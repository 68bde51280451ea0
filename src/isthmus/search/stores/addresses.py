"""Addresses of servers: secrets in them are refused, and never shown."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from isthmus.errors import ConfigError, RemoteError

if TYPE_CHECKING:
    from psycopg import Connection
    from qdrant_client import QdrantClient

__all__ = ["only_in_memory", "postgres_connection", "qdrant_client_of", "shown_address"]

_LOCAL = {"localhost", "127.0.0.1", "::1"}
_SECRETS = ("password", "sslpassword")


def shown_address(url: str) -> str:
    """Return an address as it may be shown; one that holds a secret is refused."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host = None
    if host is None or parts.scheme not in ("http", "https"):
        raise ConfigError("this is no address of a server", fix="write https://host:6333")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ConfigError(
            "the address of the server must hold no user, password or key",
            where=f"{parts.scheme}://...{host}",
            fix="put the key into the environment variable named by key_variable",
        )
    return url


def qdrant_client_of(url: str, key_variable: str, timeout: float) -> QdrantClient:
    """Return a client of the server; it has not been asked anything yet."""
    from qdrant_client import QdrantClient

    key = os.environ.get(key_variable) or None
    parts = urlsplit(url)
    if key and parts.scheme != "https" and parts.hostname not in _LOCAL:
        raise ConfigError(
            "a key is sent over https only",
            where=url,
            why=f"{key_variable} is set, and the address begins with http",
        )
    return QdrantClient(
        url=url, api_key=key, timeout=max(1, round(timeout)), check_compatibility=False
    )


def only_in_memory(client: QdrantClient) -> QdrantClient:
    """Refuse the client's local mode on disk, which runs the pickles that it finds there."""
    if client.init_options.get("path") is not None:
        raise ConfigError(
            "Qdrant's local mode on disk is not used",
            why="it keeps pickles, and opening a folder of them may run anything",
            fix="start a server, or keep an index folder with the embedded store",
        )
    return client


def postgres_connection(address: str, timeout: float) -> Connection[Any]:
    """Connect; an address that holds a password is refused, and never shown."""
    import psycopg
    from psycopg.conninfo import conninfo_to_dict

    if not timeout > 0:
        raise ConfigError("timeout must be positive", where=f"timeout={timeout}")
    try:
        parts = conninfo_to_dict(address)
    except psycopg.Error:  # what it says may quote a password
        raise ConfigError(
            "the address of the database could not be read",
            fix="write postgresql://user@host/database",
        ) from None
    if any(parts.get(secret) for secret in _SECRETS):
        raise ConfigError(
            "the address of the database holds a password",
            why="it would end up in histories, logs and error messages",
            fix="put it into PGPASSWORD or ~/.pgpass, and leave it out of the address",
        )
    try:
        return psycopg.connect(address, autocommit=True, connect_timeout=max(2, round(timeout)))
    except psycopg.Error as error:
        raise RemoteError(
            "PostgreSQL could not be reached",
            where=f"{parts.get('host', 'this machine')}, database {parts.get('dbname', '')}",
            why=str(error)[:300],
            fix="look whether the server runs; the password comes from PGPASSWORD or ~/.pgpass",
        ) from None
