"""The vectors that a dictionary is applied to, and how its codes are asked for."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from isthmus.errors import ConfigError

if TYPE_CHECKING:
    from isthmus.data.streams import VectorSource
    from isthmus.kernels.pursuit import Pursuit
    from isthmus.runs.dictionary import DictionaryRun

__all__ = ["is_own", "refinement", "sources_for"]


def is_own(run: DictionaryRun, data: str) -> bool:
    """Say whether data are what the run was trained on."""
    path = Path(data).expanduser()
    return (str(path.resolve()) if path.exists() else data) == run.origin.source


def sources_for(
    run: DictionaryRun,
    data: str,
    options: Mapping[str, Any],
    split: str | None,
    *,
    lenient: bool = False,
) -> list[VectorSource]:
    """Open vectors for a dictionary: one split, or all rows in the order in which they are stored.

    Of the run's own data the splits are those of its training.

    Parameters
    ----------
    lenient
        Take all rows where the data have no such split.

    Raises
    ------
    ConfigError
        If the vectors have another width, or there is no such split.
    """
    from isthmus.runs.dictionary.vectors import opened_for

    if split is not None and is_own(run, data) and not options:
        return [run.parts.source(split)]
    before = dict(run.origin.options) if is_own(run, data) else {}
    vectors = opened_for(data, before | dict(options), run.model.dim)
    if split is None:
        return list(vectors.whole())
    parts = {"train": vectors.train, "validation": vectors.validation, "test": vectors.test}
    found = {name: part for name, part in parts.items() if part is not None}
    if split in found and vectors.own_splits:
        return [found[split]]
    if lenient:
        return list(vectors.whole())
    names = ", ".join(found) if vectors.own_splits else "none"
    raise ConfigError(f"these data have no split {split!r}", why=f"they have: {names}")


def refinement(run: DictionaryRun, k: int | None) -> Pursuit:
    """Return the settings of refined encoding, at the dictionary's own sparsity or at ``k``.

    Raises
    ------
    ConfigError
        If the code is dense, or there is no telling how many latents should be active.
    """
    from isthmus.kernels.pursuit import Pursuit

    model = run.model
    if model.objective.always_dense:
        raise ConfigError(
            "a dense code can't be refined", fix="leave --refine off, or train another bottleneck"
        )
    measured = [found.l0 for found in run.metrics.values() if found.l0]
    wanted = k or model.objective.k or (round(measured[-1]) if measured else None)
    if not wanted:
        raise ConfigError("refined encoding needs a number of active latents", fix="add --k 32")
    return Pursuit(k=max(1, min(wanted, model.latent)))
