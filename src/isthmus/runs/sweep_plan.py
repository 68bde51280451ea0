"""What a sweep is going to do: its runs, their names and settings, fixed before the first."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from isthmus._version import __version__
from isthmus.configs import to_json
from isthmus.errors import ConfigError
from isthmus.runs.rows import HEAD, METRICS
from isthmus.runs.sweep_family import SweepFamily

__all__ = ["FORMAT", "Trial", "column", "plan_json", "shown", "trials_of"]

FORMAT = 1
_LONGEST = 80


@dataclass(frozen=True)
class Trial:
    """One run of a sweep."""

    name: str
    """Name of its folder."""
    seed: int
    """Its seed."""
    varied: Mapping[str, Any]
    """The settings that the sweep varies, as they were given."""
    settings: Mapping[str, Any]
    """All of its settings, with what was adjusted and with the seed."""
    held: str = ""
    """What was adjusted to hold something constant, in words."""
    error: str | None = None
    """Why there can be no such run; None where there can."""


def trials_of(
    family: SweepFamily,
    data: Any,
    vary: Mapping[str, Sequence[Any]],
    seeds: Sequence[int],
    settings: Mapping[str, Any],
    hold: str | None,
) -> tuple[Trial, ...]:
    """Return the runs of a grid, the last setting and then the seed moving fastest.

    A combination that can't be built (k beyond the number of latents, say) is kept with its
    error, as long as others can.

    Raises
    ------
    ConfigError
        If a setting has no value, or is given twice; or if no combination can be built.
    """
    _check(vary, seeds, settings)
    found: list[Trial] = []
    first: ConfigError | None = None
    for values in itertools.product(*vary.values()):
        varied = dict(zip(vary, values, strict=True))
        every: Mapping[str, Any] = dict(settings) | varied
        sentence, error = "", None
        try:
            if hold is not None:
                kept = family.held(hold, settings, every, data)
                _check_hold(hold, kept.adjusted, vary)
                every, sentence = kept.settings, kept.sentence
            family.check(every, data)
        except ConfigError as caught:
            first, error = first or caught, str(caught)
        for seed in seeds:
            name = _name(varied, seed)
            full = dict(every) | {"seed": seed}
            found.append(Trial(name, seed, varied, full, sentence, error))
    if first is not None and all(trial.error for trial in found):
        raise first
    return _distinct(found)


def _check(
    vary: Mapping[str, Sequence[Any]], seeds: Sequence[int], settings: Mapping[str, Any]
) -> None:
    for name, values in vary.items():
        if isinstance(values, str) or not isinstance(values, Sequence) or not values:
            raise ConfigError(
                f"{name} needs a list of values to vary over, not {values!r}",
                fix=f"give several, such as {name}=[16, 32]",
            )
    if "seed" in vary or "seed" in settings:
        raise ConfigError("the seed is no setting to vary", fix="give seeds=(0, 1, 2)")
    if not seeds or len(set(seeds)) < len(seeds):
        raise ConfigError(f"seeds must be different numbers, at least one, not {tuple(seeds)}")
    twice = sorted(set(vary) & set(settings))
    if twice:
        raise ConfigError(f"{twice[0]} is both fixed and varied", fix="leave one of them out")


def _check_hold(hold: str, adjusted: Mapping[str, Any], vary: Mapping[str, Any]) -> None:
    # hidden widths may be varied (depth) and scaled; nothing else can be both
    both = sorted(set(adjusted) & set(vary)) if hold != "parameters" else []
    if both:
        raise ConfigError(f"{both[0]} can't be varied while {hold} is held constant by it")


# --- names --------------------------------------------------------------------------------------


def shown(value: Any) -> Any:
    """Return a setting's value as a cell of a table: numbers as they are, the rest in words.

    Examples
    --------
    >>> shown((512, 256)), shown(None), shown(0.001), shown(())
    ('512-256', 'none', 0.001, 'none')
    """
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return value
    if isinstance(value, list | tuple):
        return "-".join(str(shown(item)) for item in value) or "none"
    return "none" if value is None else str(value)


def column(setting: str) -> str:
    """Return the column of a varied setting: its name, or NAME_asked where a metric is so called.

    Examples
    --------
    >>> column("latent"), column("l0")
    ('latent', 'l0_asked')
    """
    taken = setting in {*HEAD, *METRICS, "held", "error"} - {"latent", "preset"}
    return f"{setting}_asked" if taken else setting


def _name(varied: Mapping[str, Any], seed: int) -> str:
    """Return a folder's name that says what was varied."""
    parts = [f"{name}-{shown(value)}" for name, value in varied.items()]
    plain = [re.sub(r"[^A-Za-z0-9.]+", "-", part.replace("e+", "e")).strip("-.") for part in parts]
    whole = "_".join(plain)
    if len(whole) > _LONGEST:
        digest = hashlib.sha256("_".join(parts).encode()).hexdigest()[:8]
        whole = f"{whole[: _LONGEST - 9]}-{digest}"
    return f"{whole}_seed-{seed}" if whole else f"seed-{seed}"


def _distinct(trials: list[Trial]) -> tuple[Trial, ...]:
    """Give trials whose values look alike in a folder's name a number of their own."""
    counts: dict[str, int] = {}
    found = []
    for trial in trials:
        # file systems that ignore case must not see two folders as one
        key = trial.name.lower()
        counts[key] = counts.get(key, 0) + 1
        number = f".{counts[key]}" if counts[key] > 1 else ""
        name = trial.name.replace("_seed-", f"{number}_seed-") if number else trial.name
        found.append(dataclasses.replace(trial, name=name))
    return tuple(found)


# --- the plan as it is written ------------------------------------------------------------------


def plan_json(
    preset: Any,
    vary: Mapping[str, Sequence[Any]],
    seeds: Sequence[int],
    settings: Mapping[str, Any],
    hold: str | None,
    data: Mapping[str, Any],
    evaluation: Any,
) -> dict[str, Any]:
    """Return what makes this sweep this sweep, as JSON values."""
    plan = {
        "format": FORMAT,
        "isthmus": __version__,
        "data": data,
        "preset": to_json(preset),
        "vary": {name: list(values) for name, values in vary.items()},
        "seeds": list(seeds),
        "settings": dict(settings),
        "hold": hold,
        "evaluation": None if evaluation is None else to_json(evaluation),
    }
    found: dict[str, Any] = json.loads(json.dumps(plan, default=_as_json))
    return found


def _as_json(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return to_json(value)
    if isinstance(value, Mapping):
        return dict(value)
    if hasattr(value, "item"):
        return value.item()  # a NumPy number
    return str(value)
