"""Checkpoints of dictionaries in training: one file, from which it goes on to the same bytes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from isthmus.errors import RunError
from isthmus.files import written_whole
from isthmus.training.dictionary.member import Member

__all__ = ["Place", "read", "write"]

NAME, FORMAT = "last.safetensors", 1


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
    standings = {name: asdict(member.at) for name, member in members.items()}
    note = {"format": FORMAT, "place": asdict(place), "stream": stream, "standings": standings}
    folder.mkdir(parents=True, exist_ok=True)
    with written_whole(folder / NAME) as temporary:
        save_file(tensors, temporary, metadata={"position": json.dumps(note)})


def read(folder: Path, members: Mapping[str, Member], stream: str) -> Place:
    """Fill the members from a checkpoint, and return where it stands.

    Raises
    ------
    RunError
        If there is none, it is damaged, of other dictionaries, or of another stream of rows.
    """
    from safetensors import SafetensorError, safe_open

    path = folder / NAME
    if not path.is_file():
        raise RunError(
            "there is no checkpoint to resume from", where=str(path), fix="train without --resume"
        )
    try:
        with safe_open(path, framework="pt") as file:
            note = json.loads(file.metadata()["position"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if note["format"] != FORMAT:
            raise RunError("the checkpoint is of another format", where=str(path))
        if note["stream"] != stream:
            raise RunError(
                "the rows are not those that this training was begun with",
                where=str(path),
                why="their content, order, batch size or held-out part has changed",
                fix="give the same data and settings, or train anew into another folder",
            )
        for name, member in members.items():
            held = {
                key.removeprefix(f"{name}/"): value
                for key, value in tensors.items()
                if key.startswith(f"{name}/")
            }
            member.restore(held, note["standings"][name])
        return Place(**note["place"])
    except (SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise RunError(
            "the checkpoint is damaged or of another dictionary",
            where=str(path),
            why=str(error).splitlines()[0] if str(error) else repr(error),
            fix="train anew into another folder",
        ) from error
