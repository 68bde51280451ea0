"""From a preset and settings to a changed preset and a training, with one message for typos."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

from isthmus.configs import validated
from isthmus.errors import ConfigError
from isthmus.models.presets import Preset
from isthmus.training import Training

__all__ = ["applied", "threads_held"]


def applied(preset: Preset, settings: Mapping[str, Any]) -> tuple[Preset, Training]:
    """Share settings out among the preset's parts and the training.

    Parameters
    ----------
    preset
        Where to start from, with its own choices for the training.
    settings
        Field names of the preset's parts or of :class:`~isthmus.training.Training`.

    Raises
    ------
    ConfigError
        If nothing has such a setting, or a value doesn't fit.
    """
    changed, rest = preset.with_settings(settings)
    known = [field.name for field in dataclasses.fields(Training)]
    unknown = sorted(set(rest) - set(known))
    if unknown:
        parts = (changed.network, changed.bottleneck, changed.likelihood, changed.corruption)
        own = [f.name for p in parts if p is not None for f in dataclasses.fields(p)]  # type: ignore[arg-type]
        raise ConfigError(
            f"the preset {preset.name!r} has no setting {unknown[0]!r}",
            why=f"its own: {', '.join(dict.fromkeys(own))}; of training: {', '.join(known)}",
        )
    return changed, validated(Training, dict(changed.training) | rest)


@contextlib.contextmanager
def threads_held(count: int) -> Iterator[None]:
    """Use so many threads in torch and in NumPy's linear algebra; 0 leaves them as they are."""
    import torch
    from threadpoolctl import threadpool_limits

    if not count:
        yield
        return
    before = torch.get_num_threads()
    with threadpool_limits(count):
        torch.set_num_threads(count)
        try:
            yield
        finally:
            torch.set_num_threads(before)
