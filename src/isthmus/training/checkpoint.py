"""Checkpoints from which a training goes on to the same bytes."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from isthmus.errors import RunError, in_a_line
from isthmus.files import written_whole

__all__ = ["Position", "read", "write"]

NAME = "last.safetensors"
FORMAT = 1


@dataclass
class Position:
    """Where a training stands, between two steps."""

    epoch: int = 0
    """Epochs that have ended."""
    batch: int = 0
    """Batches of the epoch under way that are done."""
    step: int = 0
    """Optimiser steps in all."""
    seconds: float = 0.0
    """Time spent in training steps in the epoch under way."""
    sums: dict[str, float] = field(default_factory=dict)
    """Sums over samples of the epoch's terms so far."""
    rows: list[dict[str, float]] = field(default_factory=list)
    """The history so far."""
    best_loss: float = float("inf")
    """Smallest validation loss so far."""
    best_epoch: int = 0
    """The epoch that reached it."""


def write(
    folder: Path,
    position: Position,
    model: nn.Module,
    optimiser: torch.optim.Optimizer,
    generator: torch.Generator,
    best: dict[str, Tensor],
) -> Path:
    """Write everything that a training needs to go on into one file, whole or not at all."""
    from safetensors.torch import save_file

    tensors: dict[str, Tensor] = {f"model.{k}": v for k, v in model.state_dict().items()}
    tensors |= {f"best.{k}": v for k, v in best.items()}
    for index, state in optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser.{index}.{k}": v for k, v in state.items()}
    tensors["random.generator"] = generator.get_state()
    tensors["random.torch"] = torch.get_rng_state()
    if torch.cuda.is_available():
        tensors["random.cuda"] = torch.cuda.get_rng_state()
    # torch hands out views of shared storage here and there; each entry gets its own
    tensors = {k: v.detach().cpu().clone().contiguous() for k, v in tensors.items()}
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / NAME
    note = json.dumps({"format": FORMAT} | asdict(position))
    with written_whole(path) as temporary:
        save_file(tensors, temporary, metadata={"position": note, "trained": _trained(optimiser)})
    return path


def read(
    folder: Path,
    model: nn.Module,
    optimiser: torch.optim.Optimizer,
    generator: torch.Generator,
) -> tuple[Position, dict[str, Tensor]]:
    """Fill model, optimiser and random states from the checkpoint.

    Returns
    -------
    The position, and the best weights so far (empty where none were kept).

    Raises
    ------
    RunError
        If there is no checkpoint, or it is damaged or another model's.
    """
    from safetensors import SafetensorError, safe_open

    path = folder / NAME
    if not path.is_file():
        raise RunError(
            "there is no checkpoint to resume from", where=str(path), fix="train without --resume"
        )
    try:
        with safe_open(path, framework="pt") as file:
            notes = file.metadata()
            note: dict[str, Any] = json.loads(notes["position"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if note.pop("format") != FORMAT:
            raise RunError("the checkpoint is of another format", where=str(path))
        if notes["trained"] != _trained(optimiser):
            raise ValueError("the optimiser's parameters are others")
        model.load_state_dict(_under(tensors, "model."))
        _fill_optimiser(optimiser, _under(tensors, "optimiser."))
        generator.set_state(tensors["random.generator"])
        torch.set_rng_state(tensors["random.torch"])
        if "random.cuda" in tensors and torch.cuda.is_available():
            torch.cuda.set_rng_state(tensors["random.cuda"])
        return Position(**note), _under(tensors, "best.")
    except (SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise RunError(
            "the checkpoint is damaged or of another model",
            where=str(path),
            why=in_a_line(error),
            fix="train anew into another folder",
        ) from error


def _under(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def _trained(optimiser: torch.optim.Optimizer) -> str:
    """Return the shapes of the trained parameters in the optimiser's order."""
    return json.dumps([list(p.shape) for p in _parameters(optimiser)])


def _parameters(optimiser: torch.optim.Optimizer) -> list[Tensor]:
    return [p for group in optimiser.param_groups for p in group["params"]]


def _fill_optimiser(optimiser: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    parameters = _parameters(optimiser)
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        index, key = name.split(".", 1)
        if value.ndim:  # in the parameter's own memory format, which the file does not keep
            value = torch.empty_like(parameters[int(index)]).copy_(value)
        state.setdefault(int(index), {})[key] = value
    groups = optimiser.state_dict()["param_groups"]
    optimiser.load_state_dict({"state": state, "param_groups": groups})
