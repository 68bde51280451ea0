"""From what was typed to a preset with its settings, each read as its field's type says."""

from __future__ import annotations

import contextlib
import dataclasses
import re
from collections.abc import Mapping, Sequence
from typing import Any

from isthmus.configs import validated
from isthmus.errors import ConfigError
from isthmus.models.dictionary.presets import DictionaryPreset, dictionary_preset
from isthmus.models.presets import Preset, preset
from isthmus.runs.dictionary.metrics import DictionaryEvaluation
from isthmus.runs.evaluation import Evaluation
from isthmus.training import Training
from isthmus.training.dictionary import DictionaryTraining

__all__ = [
    "chosen",
    "dictionary_evaluation",
    "dictionary_settings",
    "evaluation",
    "kind_of",
    "members_of",
    "read_as",
    "split_settings",
    "split_values",
]

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
    given = {"latent" if name == "latents" else name: value for name, value in given.items()}
    swaps = {name: given[name] for name in SWAPS if name in given}
    if str(swaps.get("corruption", "")).lower() == "none":
        swaps["corruption"] = None
    found, _ = found.with_settings(swaps)
    rest = {name: value for name, value in given.items() if name not in SWAPS}
    return found, {name: read_as(kind_of(found, name), value) for name, value in rest.items()}


def kind_of(base: Preset | DictionaryPreset, name: str) -> str:
    """Return the type of a setting of this preset, as written; empty if it has none such."""
    parts = [p for p in (getattr(base, part, None) for part in PARTS) if p is not None]
    training = DictionaryTraining if isinstance(base, DictionaryPreset) else Training
    for owner in (*parts, training):
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

    Numbers are numbers, so that tables and figures can order them; what can't be read as one is
    left for the setting's own check.

    Examples
    --------
    >>> split_values("int", "16,32"), split_values("tuple[int, ...]", "512-256,256")
    ([16, 32], [('512', '256'), ('256',)])
    >>> split_values("float | None", "1e-3,none,x"), split_values("str", "1,2")
    ([0.001, None, 'x'], ['1', '2'])
    """
    listed = kind.startswith("tuple")
    return [
        _number(kind, read_as(kind, part.strip().replace("-", ",") if listed else part.strip()))
        for part in text.split(",")
        if part.strip()
    ]


def _number(kind: str, value: Any) -> Any:
    """Turn text into a number where that is what the setting takes."""
    words = set(re.findall(r"\w+", kind))
    for name, number in (("int", int), ("float", float)):
        if isinstance(value, str) and name in words:
            with contextlib.suppress(ValueError):
                value = number(value)
    return value


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


def dictionary_settings(base: object, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return what was typed for a sparse dictionary as values.

    Parameters
    ----------
    base
        The preset; or a dictionary, which has only a training to be set.
    """
    if isinstance(base, DictionaryPreset):
        return {name: read_as(kind_of(base, name), value) for name, value in given.items()}
    kinds = {field.name: str(field.type) for field in dataclasses.fields(DictionaryTraining)}
    return {name: read_as(kinds.get(name, ""), value) for name, value in given.items()}


def dictionary_evaluation(given: Mapping[str, Any]) -> DictionaryEvaluation:
    """Return how to measure a dictionary.

    Raises
    ------
    ConfigError
        If a value can't be read, or an option is one for variational models.
    """
    for name in ("nll_samples", "nll_rows"):
        if name in given:
            flag = "--" + name.replace("_", "-")
            raise ConfigError(f"{flag} means nothing for a sparse dictionary", fix="leave it out")
    names = {field.name for field in dataclasses.fields(DictionaryEvaluation)}
    return validated(DictionaryEvaluation, {k: v for k, v in given.items() if k in names})


def members_of(text: str, model: str) -> dict[str, tuple[DictionaryPreset, dict[str, Any]]]:
    """Read ``PRESET:NAME=VALUE,NAME=VALUE;...``, where a part may leave the preset out.

    A value that is a list itself is joined by dashes. Each member is called by what was typed of
    it, such as ``topk_k-32``.

    Raises
    ------
    ConfigError
        If a part can't be read, or comes twice.

    Examples
    --------
    >>> list(members_of("topk:k=32; batch-topk; k=64,latents=512", "topk"))
    ['topk_k-32', 'batch-topk', 'topk_k-64_latents-512']
    """
    found: dict[str, tuple[DictionaryPreset, dict[str, Any]]] = {}
    for part in (piece.strip() for piece in text.split(";")):
        if not part:
            continue
        head, colon, tail = part.partition(":")
        if not colon and "=" in part:
            head, tail = model, part
        base = dictionary_preset(head.strip())
        own: dict[str, Any] = {}
        for piece in (word.strip() for word in tail.split(",") if word.strip()):
            name, value = split_settings(piece)
            if not name or not value or name in own:
                raise ConfigError(
                    f"--members can't be read at {piece!r}",
                    fix='give presets with settings: --members "topk:k=32;batch-topk:k=32"',
                )
            kind = kind_of(base, "latent" if name == "latents" else name)
            own[name] = read_as(kind, value.replace("-", ",") if kind[:5] == "tuple" else value)
        words = "".join(f"_{key}-{piece}" for key, piece in _typed(tail))
        called = re.sub(r"[^A-Za-z0-9._-]+", "-", base.name + words)
        if called in found:
            raise ConfigError(f"--members names the same dictionary twice: {part!r}")
        found[called] = (base, own)
    if not found:
        raise ConfigError("--members names no dictionary", fix='give --members "k=32;k=64"')
    return found


def _typed(text: str) -> list[tuple[str, str]]:
    return [split_settings(word.strip()) for word in text.split(",") if word.strip()]
