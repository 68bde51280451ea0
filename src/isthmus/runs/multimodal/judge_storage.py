"""Judges as safetensors files."""

from __future__ import annotations

import json
from pathlib import Path

from isthmus.errors import RunError
from isthmus.files import written_whole
from isthmus.models.storage import fill
from isthmus.runs.multimodal.judge import NetworkJudge, judge_network

__all__ = ["open_judge", "save_judge"]

FORMAT = 1


def save_judge(judge: NetworkJudge, path: Path) -> None:
    """Write a judge's members into one file, whole or not at all."""
    from safetensors.torch import save_file

    state = {
        f"{i}.{name}": value.detach().cpu().contiguous()
        for i, member in enumerate(judge.members)
        for name, value in member.state_dict().items()
    }
    note = {
        "format": FORMAT,
        "members": len(judge.members),
        "shape": list(judge.shape),
        "classes": judge.classes,
    }
    with written_whole(path) as temporary:
        save_file(state, temporary, metadata={"judge": json.dumps(note)})


def open_judge(path: Path, shape: tuple[int, ...], classes: int) -> NetworkJudge:
    """Read a judge of items of one shape.

    Raises
    ------
    RunError
        If the file is damaged, or the judge is of other items or classes.
    """
    from safetensors import SafetensorError, safe_open

    fix = "remove it, and the judge is trained again"
    try:
        with safe_open(path, framework="pt") as file:
            note = json.loads((file.metadata() or {})["judge"])
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        fits = (note["format"], tuple(note["shape"]), note["classes"]) == (FORMAT, shape, classes)
        count = int(note["members"])
    except (SafetensorError, KeyError, TypeError, ValueError, OSError) as error:
        raise RunError("a judge is damaged", where=str(path), why=str(error), fix=fix) from error
    if not fits or not 1 <= count <= 64:
        raise RunError("a judge is of other items or classes", where=str(path), fix=fix)
    members = []
    for i in range(count):
        member = judge_network(shape, classes)
        own = {k.removeprefix(f"{i}."): v for k, v in state.items() if k.startswith(f"{i}.")}
        fill(member, own, path)
        members.append(member.eval().requires_grad_(False))
    return NetworkJudge(tuple(members), shape, classes)
