"""Checkpoints of other libraries on the command line: measured as they are."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from isthmus.cli.options import load_options
from isthmus.errors import ConfigError

if TYPE_CHECKING:
    from isthmus.cli.screen import Screen

__all__ = ["is_foreign", "score"]


def is_foreign(path: Path) -> bool:
    """Say whether a path is the checkpoint of another library, and no run of isthmus."""
    from isthmus.files import read_json
    from isthmus.models.foreign import detect

    if not path.exists():
        return False
    try:
        ours = "isthmus" in read_json(path / "config.json") or (path / "members.json").is_file()
    except OSError:  # none there, or one that is damaged
        ours = False
    return not ours and detect(path) is not None


def score(
    path: Path,
    data: str | None,
    train: str | None,
    given: dict[str, Any],
    screen: Screen,
    *,
    allow_pt: bool,
) -> None:
    """Measure a checkpoint of another library and tell of it."""
    from isthmus.cli.numbers import show_dictionary
    from isthmus.cli.values import dictionary_evaluation
    from isthmus.runs.dictionary.scoring import score_foreign

    if data is None:
        raise ConfigError(
            "there is nothing to measure this checkpoint on",
            where=str(path),
            fix="add --data with the vectors that it encodes",
        )
    found = score_foreign(
        path,
        data,
        train=train,
        allow_pt=allow_pt,
        load_options=load_options(given),
        options=dictionary_evaluation(given),
    )
    source = found.imported.source
    about = {
        "library": source.library,
        "architecture": source.architecture,
        "kind": found.imported.kind,
        "dim": found.imported.dim,
        "latents": found.imported.latents,
    }
    if screen.as_json:
        numbers = {"data": found.metrics.as_json()}
        screen.json(
            {"run": str(path), "source": about, "metrics": numbers, "notes": list(found.notes)}
        )
        return
    screen.line(f"{source.library} ({source.architecture}) on {data}", style="bold")
    show_dictionary(screen, {"data": found.metrics})
    screen.words([("note", note) for note in found.notes])
