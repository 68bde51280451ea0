"""Checkpoints of dictionaries in training: one file, from which it goes on to the same bytes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from isthmus.errors import RunError, in_a_line
from isthmus.files import written_whole
from isthmus.models.dictionary.storage import config_of
from isthmus.training.dictionary.member import Member, Standing

__all__ = ["Place", "read", "write"]

NAME, FORMAT = "last.safetensors", 1
_FREE = frozenset({"threads", "device", "patience", "checkpoint_seconds"})
"""Settings that may differ when a training is resumed."""


@dataclass
class Place:
    """Where a training stands, between two steps."""

    epoch: int = 0
    """Epochs that have ended."""
    batch: int = 0
    """Batches of the epoch under way that are done."""
    step: int = 0
    """Steps in all."""
    seconds: float = 0.0
    """Time spent in steps in the epoch under way."""


def write(folder: Path, place: Place, members: Mapping[str, Member], stream: str) -> None:
    """Write all that a training needs to go on, whole or not at all.

    Parameters
    ----------
    stream
        Fingerprint of the stream of rows.
    """
    from safetensors.torch import save_file

    tensors = {
        f"{name}/{key}": value.detach().cpu().clone().contiguous()
        for name, member in members.items()
        for key, value in member.tensors().items()
    }
    note = {
        "format": FORMAT,
        "place": asdict(place),
        "stream": stream,
        "standings": {name: asdict(member.at) for name, member in members.items()},
        "models": {name: config_of(member.model) for name, member in members.items()},
        "settings": {name: asdict(member.config) for name, member in members.items()},
    }
    folder.mkdir(parents=True, exist_ok=True)
    with written_whole(folder / NAME) as temporary:
        save_file(tensors, temporary, metadata={"position": json.dumps(note)})


def read(folder: Path, members: Mapping[str, Member], stream: str, batches: int) -> Place:
    """Fill the members from a checkpoint, and return where it stands.

    Parameters
    ----------
    stream
        Fingerprint of the stream of rows.
    batches
        Batches of an epoch.

    Raises
    ------
    RunError
        If there is none, it is damaged, of other dictionaries or settings, or of another stream
        of rows; the members are then as they were.
    """
    path = folder / NAME
    if not path.is_file():
        raise RunError(
            "there is no checkpoint to resume from", where=str(path), fix="train without --resume"
        )
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            note = json.loads(file.metadata()["position"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        _check_note(note, members, stream, path)
        place = _place(note["place"], batches)
        found = {name: _of(name, member, tensors) for name, member in members.items()}
        standings = {name: _standing(note["standings"][name]) for name in members}
    except (
        SafetensorError,
        KeyError,
        TypeError,
        AttributeError,
        ValueError,
        RuntimeError,
    ) as error:
        raise RunError(
            "the checkpoint is damaged",
            where=str(path),
            why=in_a_line(error),
            fix="train anew into another folder",
        ) from error
    for name, member in members.items():
        member.restore(found[name], standings[name])
    return place


def _check_note(
    note: dict[str, Any], members: Mapping[str, Member], stream: str, path: Path
) -> None:
    """Refuse a checkpoint of another training."""
    fix = "give the same data and settings, or train anew into another folder"
    if note["format"] != FORMAT:
        raise RunError("the checkpoint is of another format", where=str(path))
    # as JSON gives it back: tuples are lists there
    models = {name: config_of(member.model) for name, member in members.items()}
    if note["models"] != json.loads(json.dumps(models)):
        raise RunError("the checkpoint is of another dictionary", where=str(path), fix=fix)
    if note["stream"] != stream:
        raise RunError(
            "the rows are not those that this training was begun with",
            where=str(path),
            why="their content, order, batch size or held-out part has changed",
            fix=fix,
        )
    for name, member in members.items():
        was, now = note["settings"][name], asdict(member.config)
        # all of them: some follow from others, and only those were given
        keys = [key for key in now | was if key not in _FREE and was.get(key) != now.get(key)]
        if keys:
            raise RunError(
                "the settings are not those that this training was begun with",
                where=str(path),
                why="; ".join(f"{key} was {was.get(key)} and is {now.get(key)}" for key in keys),
                fix=fix,
            )


def _place(note: dict[str, Any], batches: int) -> Place:
    found = Place(**note)
    counts = (found.epoch, found.batch, found.step)
    if not all(isinstance(count, int) and count >= 0 for count in counts):
        raise ValueError(f"there is no such position: {note}")
    if found.batch > batches or found.step != found.epoch * batches + found.batch:
        raise ValueError(f"there is no such position in epochs of {batches} batches: {note}")
    return found


def _standing(note: dict[str, Any]) -> Standing:
    found = Standing(**note)
    if not isinstance(found.sums, dict) or not all(isinstance(row, dict) for row in found.rows):
        raise ValueError("the history is not one")
    return found


def _of(name: str, member: Member, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return one member's tensors, refusing any that don't fit."""
    start = f"{name}/"
    found = {k.removeprefix(start): v for k, v in tensors.items() if k.startswith(start)}
    wanted = {k: v for k, v in member.tensors().items() if not k.startswith("best.")}
    if any(key.startswith("best.") for key in found):
        wanted |= {f"best.{k}": v for k, v in member.model.state_dict().items()}
    if extra := sorted(set(found) ^ set(wanted)):
        raise ValueError(f"{extra[0]} is missing, or unknown here")
    for key, value in wanted.items():
        if (found[key].shape, found[key].dtype) != (value.shape, value.dtype):
            raise ValueError(f"{key} has another shape or type")
    return found
