"""The program `isthmus`: which commands there are, and what becomes of their errors.

Only the command that is asked for is imported: `isthmus --help` needs neither torch nor numpy.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from types import MappingProxyType
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from isthmus._version import __version__
from isthmus.cli.failures import report

__all__ = ["COMMANDS", "program", "run"]

COMMANDS: Mapping[str, str] = MappingProxyType(
    {
        "demo": "Train and compare six autoencoders on digits, offline, in minutes.",
        "index": "Make texts searchable: passages, vectors, named concepts.",
        "search": "Search an index, with reasons; turn concepts up and down.",
        "ask": "Answer a question with checked quotations from an index.",
        "concepts": "List, show, name, edit and compare concepts.",
        "data": "List, fetch and describe data sets.",
        "models": "List the presets that --model takes, with their settings.",
        "train": "Train a model; metrics, history and figures land in the run's folder.",
        "evaluate": "Measure a trained model, or an index on judged queries.",
        "compare": "Put several runs into one table and one figure.",
        "sweep": "Train a grid of settings and seeds; table and trade-off figure.",
        "encode": "Write the codes of data into a file.",
        "reconstruct": "Write data encoded and decoded again, with each sample's error.",
        "retrieve": "Find the items of a modality that match one of another.",
        "translate": "Say an item of one modality in another: PNG, WAV, text.",
        "add-modality": "Join a new modality to the space of a trained run.",
        "export": "Write a sparse dictionary for SAELens or sentence-transformers.",
    }
)
"""Every command with its line in the listing; its module is `isthmus.cli.NAME_command`."""


class _Later(TyperCommand):
    """Stands for a command in the listing, until it is run."""

    def load(self) -> Any:
        """Import the command's module and return the real command."""
        name = str(self.name).replace("-", "_")
        module = import_module(f"isthmus.cli.{name}_command")
        command = typer.main.get_command(module.app)
        command.name = self.name
        return command


class _Group(TyperGroup):
    """A group that loads the command that is run, and no other."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name, command, rest = super().resolve_command(ctx, args)
        return name, command.load() if isinstance(command, _Later) else command, rest


def program() -> Any:
    """Return the command line as one command object."""
    app = typer.Typer(
        name="isthmus",
        cls=_Group,
        add_completion=False,
        rich_markup_mode="rich",
        no_args_is_help=False,
        invoke_without_command=True,
        help="Train autoencoders and make their latent space usable.\n\n"
        "New here? Type [bold]isthmus demo[/bold]. "
        "Help on a command: [bold]isthmus COMMAND --help[/bold].",
    )
    app.callback()(_root)
    group = typer.main.get_command(app)
    for name, line in COMMANDS.items():
        group.commands[name] = _Later(name, help=line, rich_markup_mode="rich")  # type: ignore[attr-defined]
    return group


def _root(
    ctx: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", metavar=" ", help="Print the version and leave.")
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", metavar=" ", help="Show the whole traceback of an error.")
    ] = False,
) -> None:
    if version:
        typer.echo(f"isthmus {__version__}")
        raise typer.Exit
    if ctx.invoked_subcommand is None:
        typer.echo(ctx.get_help())
        raise typer.Exit


def run(arguments: Sequence[str]) -> int:
    """Run a command line and return its exit code: 0, 1 failed, 2 wrong use, 130 interrupted.

    Parameters
    ----------
    arguments
        The words after the program's name.
    """
    given = list(arguments)
    known = given[: given.index("--")] if "--" in given else given
    try:
        with program().make_context("isthmus", given) as context:
            context.command.invoke(context)
        sys.stdout.flush()
    except typer.Exit as leaving:
        return leaving.exit_code
    except BrokenPipeError:
        return _nobody_reads()
    except (Exception, KeyboardInterrupt) as error:
        with contextlib.suppress(BrokenPipeError):
            return report(error, as_json="--json" in known, debug="--debug" in known)
        return _nobody_reads()
    return 0


def _nobody_reads() -> int:
    """Whoever read the output has gone, as `head` does: leave quietly."""
    with contextlib.suppress(OSError, ValueError):
        # what is left in the buffer goes nowhere when the interpreter flushes it at the end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 1
