"""Options that name an endpoint of a language model: nothing is sent without an address."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from isthmus.errors import ConfigError

if TYPE_CHECKING:
    from isthmus.remote import Endpoint as Line

__all__ = ["Endpoint", "KeyVariable", "Model", "Timeout", "Writer", "connected"]

_PANEL = "Endpoint"

Endpoint = Annotated[
    str | None,
    typer.Option(
        "--endpoint",
        metavar="URL",
        help="An OpenAI-compatible address, as http://127.0.0.1:8080/v1; texts are sent there.",
        show_default=False,
        rich_help_panel=_PANEL,
    ),
]
Model = Annotated[
    str | None,
    typer.Option(
        "--model",
        metavar="NAME",
        help="The model's name there.",
        show_default=False,
        rich_help_panel=_PANEL,
    ),
]
KeyVariable = Annotated[
    str,
    typer.Option(
        "--key-variable",
        metavar="NAME",
        help="Environment variable that holds the key, if there is one.",
        rich_help_panel=_PANEL,
    ),
]
Timeout = Annotated[
    float,
    typer.Option(
        "--timeout",
        metavar="SECONDS",
        help="Seconds without any byte after which the endpoint is given up.",
        rich_help_panel=_PANEL,
    ),
]


@dataclass(frozen=True)
class Writer:
    """A model at an endpoint."""

    endpoint: Line
    """Where it is."""
    model: str
    """Its name there."""


def connected(
    endpoint: str | None, model: str | None, key_variable: str, timeout: float
) -> Writer | None:
    """Return the model that was named; None: none was. Nothing is sent yet.

    Raises
    ------
    ConfigError
        If only one of address and model is given, or the address can't be.
    """
    if endpoint is None and model is None:
        return None
    if endpoint is None:
        raise ConfigError(
            "--model needs --endpoint",
            why="texts are sent to no address that was not given",
            fix="add --endpoint http://HOST:PORT/v1",
        )
    if model is None:
        raise ConfigError("--endpoint needs --model", fix="add --model NAME")
    from isthmus.remote import Endpoint as Opened

    return Writer(Opened(endpoint, key_variable=key_variable, timeout=timeout), model)
