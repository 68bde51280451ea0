"""Options that several commands take, made from the dataclasses that declare them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Annotated, Any, TypeVar, get_type_hints

import typer
from rich.markup import escape

from isthmus.cli.load_values import read_option
from isthmus.cli.settings import Setting, declared, grouped, registered

__all__ = [
    "ChosenK",
    "Debug",
    "Json",
    "Option",
    "Quiet",
    "Refine",
    "data_options",
    "dictionary_options",
    "evaluation_options",
    "help_text",
    "load_options",
    "model_options",
    "preprocess_option",
    "taking",
    "training_options",
]

_DICTIONARY = "Sparse dictionaries"
"""The panel of what only they have."""

Json = Annotated[
    bool, typer.Option("--json", metavar=" ", help="Print one JSON object instead of words.")
]
Debug = Annotated[
    bool, typer.Option("--debug", metavar=" ", help="Show the whole traceback of an error.")
]
Quiet = Annotated[
    bool,
    typer.Option(
        "--quiet", "-q", metavar=" ", help="No messages and no progress on standard error."
    ),
]

Refine = Annotated[
    bool,
    typer.Option(
        "--refine",
        metavar=" ",
        help="Refined encoding, by a matching pursuit: reconstructs better; the one-pass code is "
        "the one to compare samples by.",
        rich_help_panel=_DICTIONARY,
    ),
]
ChosenK = Annotated[
    int | None,
    typer.Option(
        "--k",
        metavar="INT",
        help="Active latents of a sample, in place of the dictionary's own number.",
        show_default=False,
        rich_help_panel=_DICTIONARY,
    ),
]

Function = TypeVar("Function", bound=Callable[..., Any])

_WIDEST = 13

_PLACES: Mapping[str, str] = MappingProxyType(
    {
        "Network": "networks",
        "Bottleneck": "bottlenecks",
        "Likelihood": "likelihoods",
        "Corruption": "models/corruption.py",
    }
)
_REGISTRIES: Mapping[str, str] = MappingProxyType({"Bottleneck": "BOTTLENECKS"})
"""The registry of a place that has several."""
RENAMED = {"seed": "split_seed"}
"""Options of loading whose name a setting of training has already."""


@dataclass(frozen=True)
class Option:
    """One option that a command hands on as text, None where it is not given."""

    name: str
    """The name under which the command gets it."""
    flag: str
    """What is typed."""
    help: str
    """What it does."""
    panel: str
    """The group in which it is shown."""
    metavar: str = "TEXT"
    """What stands for its value."""
    is_flag: bool = False
    """Whether it is switched on or off, and not given a value."""
    is_on: bool = False
    """Whether it is on unless switched off."""

    @classmethod
    def of(cls, setting: Setting) -> Option:
        """Make the option for a setting."""
        return cls(
            setting.name,
            setting.flag,
            setting.help,
            setting.panel,
            setting.metavar,
            setting.is_flag,
            setting.is_on,
        )

    def parameter(self) -> inspect.Parameter:
        """Return it as a function's parameter, as typer reads it."""
        flag, text, metavar = self.flag, self.help, self.metavar
        if self.is_on:  # only switching it off says anything
            flag, text = f"--no-{self.flag[2:]}", f"Not: {text[:1].lower()}{text[1:]}"
        if len(metavar) > _WIDEST:
            text, metavar = f"{text} One of {_one_of(metavar)}.", "NAME"
        info = typer.Option(
            flag,
            help=escape(text),
            rich_help_panel=self.panel,
            metavar=" " if self.is_flag else metavar,
            show_default=False,
        )
        kind = bool | None if self.is_flag else str | None
        return inspect.Parameter(
            self.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=None,
            annotation=Annotated[kind, info],
        )


def _one_of(metavar: str) -> str:
    return ", ".join({"FLOAT": "a number"}.get(part, part) for part in metavar.split("|"))


def taking(*options: Option) -> Callable[[Function], Function]:
    """Give a command more options; it gets those that were typed as ``**given``."""

    def decorate(function: Function) -> Function:
        own = inspect.signature(function)
        hints = get_type_hints(function, include_extras=True)
        kept = [
            p.replace(annotation=hints[p.name])
            for p in own.parameters.values()
            if p.kind is not inspect.Parameter.VAR_KEYWORD
        ]
        names = {option.name for option in options}
        on = {option.name for option in options if option.is_on}

        def command(**values: Any) -> Any:
            typed = {k: v for k in names & set(values) if (v := values.pop(k)) is not None}
            return function(**values, **{k: not v if k in on else v for k, v in typed.items()})

        added = [option.parameter() for option in options]
        signature = own.replace(parameters=[*kept, *added], return_annotation=None)
        command.__signature__ = signature  # type: ignore[attr-defined]
        command.__annotations__ = {p.name: p.annotation for p in signature.parameters.values()}
        command.__name__, command.__doc__ = function.__name__, function.__doc__
        return command  # type: ignore[return-value]

    return decorate


def help_text(first: str, second: str, text: str) -> str:
    """Return a command's help: two examples, then what it does."""
    lines = "\n".join(f"  [cyan]{escape(line)}[/cyan]" for line in (first, second))
    return f"Examples:\n\n[not dim]{lines}[/not dim]\n\n[not dim]{escape(text)}[/not dim]"


def model_options() -> tuple[Option, ...]:
    """Return the options of training and of every part of a model."""
    training = declared("Training", "training/config.py", "Training")
    parts = {
        panel: declared(panel, place, *registered(place, _REGISTRIES.get(panel, "")))
        for panel, place in _PLACES.items()
    }
    fields = (*training, *(field for own in parts.values() for field in own))
    swaps = [_swap(panel) for panel in _PLACES if panel != "Bottleneck"]
    settings = [Option.of(setting) for setting in grouped(fields)]
    order = ["Training", *_PLACES]
    return tuple(sorted([*swaps, *settings], key=lambda option: order.index(option.panel)))


def training_options() -> tuple[Option, ...]:
    """Return :func:`model_options`, where the help says what differs for a sparse dictionary."""
    own = {setting.name: setting for setting in _dictionary_settings()}
    usual = {s.name: s for s in grouped(declared("Training", "training/config.py", "Training"))}
    found = []
    for option in model_options():
        here, there = usual.get(option.name), own.get(option.name)
        if here is not None and there is not None and _differs(here, there):
            option = replace(option, help=f"{option.help} Sparse dictionaries: {there.help}")
        found.append(option)
    return tuple(found)


def _differs(one: Setting, other: Setting) -> bool:
    """Say whether two settings of one name have other defaults, or take other values."""
    return (one.fields[0].default, one.metavar) != (other.fields[0].default, other.metavar)


def dictionary_options() -> tuple[Option, ...]:
    """Return the options that only a sparse dictionary has."""
    # a warm start needs a dictionary to start from, which only Python can give
    taken = {option.name for option in model_options()} | {"drop_bad", "warm"}
    bottlenecks = declared(
        _DICTIONARY, "bottlenecks", *registered("bottlenecks", "DICTIONARY_BOTTLENECKS")
    )
    settings = (*_dictionary_settings(), *grouped(bottlenecks))
    return (
        Option("latents", "--latents", "Another name of --latent.", _DICTIONARY, "INT"),
        Option(
            "normalise",
            "--normalise",
            "What is done to each vector, and undone in its reconstruction: nothing, zero mean "
            "and unit variance over its values (layer), or unit norm.",
            _DICTIONARY,
            "none|layer|unit",
        ),
        *(Option.of(setting) for setting in settings if setting.name not in taken),
    )


def _dictionary_settings() -> tuple[Setting, ...]:
    return grouped(declared(_DICTIONARY, "training/dictionary/config.py", "DictionaryTraining"))


def _swap(panel: str) -> Option:
    """Return the option that exchanges a whole part of the model."""
    part = panel.lower()
    names = [name.lower() for name in registered(_PLACES[panel])]
    names += ["none"] if panel == "Corruption" else []
    text = f"Another {part} than the preset's: {', '.join(names)}."
    return Option(part, f"--{part}", text, panel, "NAME")


def data_options(*, splits: bool = True) -> tuple[Option, ...]:
    """Return the options of loading data.

    Parameters
    ----------
    splits
        Whether those that decide the splits are among them.
    """
    left_out = {"limit", "name"} | (set() if splits else {"validation", "test", "seed"})
    metavars = {"resize": "SIDE|HxW", "range": "LOW,HIGH", "label_column": "NAME|INT"}
    metavars |= {
        "validation": "FLOAT|INT",
        "test": "FLOAT|INT",
        "colour": "grey|rgb",
        "header": "yes|no",
    }
    found = []
    for setting in grouped(declared("Data", "data/options.py", "LoadOptions")):
        if setting.name in left_out:
            continue
        name = RENAMED.get(setting.name, setting.name)
        option = Option.of(replace(setting, name=name))
        found.append(replace(option, metavar=metavars.get(setting.name, option.metavar)))
    return tuple(found)


def load_options(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return what was typed of :func:`data_options` as arguments of ``isthmus.load``.

    Raises
    ------
    ConfigError
        If a value can't be read.
    """
    back = {new: old for old, new in RENAMED.items()}
    known = {option.name for option in data_options()}
    return {
        back.get(name, name): read_option(name, value)
        for name, value in given.items()
        if name in known
    }


def evaluation_options(*names: str) -> tuple[Option, ...]:
    """Return the options of measuring, by name; of a dictionary's too."""
    fields = (
        *declared("Evaluation", "runs/evaluation.py", "Evaluation"),
        *declared("Evaluation", "runs/dictionary/metrics.py", "DictionaryEvaluation"),
    )
    return tuple(Option.of(setting) for setting in grouped(fields) if setting.name in names)


def preprocess_option() -> Option:
    """Return the option that chooses how raw values are scaled."""
    return Option(
        "preprocess",
        "--preprocess",
        "How raw values are scaled, as learned on the training split: auto (unit for images, "
        "standardise for tables, centre for vectors), unit, standardise, centre or none.",
        "Data",
        "METHOD",
    )
