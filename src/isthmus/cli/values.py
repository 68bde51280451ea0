"""From what was typed to a preset with its settings, each read as its field's type says."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from isthmus.configs import validated
from isthmus.errors import ConfigError
from isthmus.models.presets import Preset, preset
from isthmus.runs.evaluation import Evaluation
from isthmus.training import Training

__all__ = ["chosen", "evaluation", "kind_of", "read_as", "split_settings", "split_values"]

PARTS = ("network", "bottleneck", "likelihood", "corruption")
SWAPS = ("network", "likelihood", "corruption")
EVALUATED = {"nll_samples", "nll_rows"}


def chosen(base: Preset | str, given: Mapping[str, Any]) -> tuple[Preset, dict[str, Any]]:
    """Return a preset with its parts exchanged as asked, and the settings as values.

    Parameters
    ----------
    base
        A preset or its name.
    given
        What was typed, by the names of the settings.

    Raises
    ------
    ConfigError
        If the preset or a part's name is unknown.
    """
    found = preset(base) if isinstance(base, str) else base
    swaps = {name: given[name] for name in SWAPS if name in given}
    if str(swaps.get("corruption", "")).lower() == "none":
        swaps["corruption"] = None
    found, _ = found.with_settings(swaps)
    rest = {name: value for name, value in given.items() if name not in SWAPS}
    return found, {name: read_as(kind_of(found, name), value) for name, value in rest.items()}


def kind_of(base: Preset, name: str) -> str:
    """Return the type of a setting of this preset, as written; empty if it has none such."""
    parts = [part for part in (getattr(base, part) for part in PARTS) if part is not None]
    for owner in (*parts, Training):
        for field in dataclasses.fields(owner):
            if field.name == name:
                return str(field.type)
    return ""


def read_as(kind: str, value: Any) -> Any:
    """Turn what was typed into what the field's own check can read.

    Examples
    --------
    >>> read_as("tuple[int, ...]", "256,128"), read_as("float | None", "none"), read_as("int", "8")
    (('256', '128'), None, '8')
    """
    if not isinstance(value, str):
        return value
    if "None" in kind and value.lower() == "none":
        return None
    if kind.startswith("tuple"):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


def split_settings(text: str) -> tuple[str, str]:
    """Cut ``name=values``, the name with or without dashes."""
    name, _, values = text.partition("=")
    return name.strip().removeprefix("--").replace("-", "_"), values


def split_values(kind: str, text: str) -> Sequence[Any]:
    """Return the values of ``v1,v2``; those that are lists themselves are joined by dashes.

    Examples
    --------
    >>> split_values("int", "16,32"), split_values("tuple[int, ...]", "512-256,256")
    (['16', '32'], [('512', '256'), ('256',)])
    """
    listed = kind.startswith("tuple")
    return [
        read_as(kind, part.strip().replace("-", ",") if listed else part.strip())
        for part in text.split(",")
        if part.strip()
    ]


def evaluation(given: Mapping[str, Any], binarise: str) -> Evaluation:
    """Return how to measure: what was typed, and the binarisation of the training.

    Raises
    ------
    ConfigError
        If a value can't be read.
    """
    names = {field.name for field in dataclasses.fields(Evaluation)} - {"binarise"}
    typed = {name: value for name, value in given.items() if name in names & EVALUATED}
    found = validated(Evaluation, typed | {"binarise": binarise})
    if min(found.nll_samples, found.nll_rows) < 0:
        raise ConfigError("--nll-samples and --nll-rows can't be negative")
    return found
