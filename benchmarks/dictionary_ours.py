"""Isthmus' own trainer behind the face of the benchmarks.

TO BE FILLED IN once ``isthmus.training.dictionary`` is there: five lines, where the dots stand.
"""

from __future__ import annotations

from torch import Tensor

from dictionary_face import Peer, Task, Weights


class _Ours(Peer):
    """The trainer of ``isthmus.training.dictionary``, float32."""

    def __init__(self, task: Task, data: Tensor) -> None:
        """Make the dictionary; ``data`` holds rows for the pre-bias.

        Sets ``task``, and ``encoder`` and ``bias``: the weights themselves, as torch tensors.
        """
        raise NotImplementedError

    def step(self, x_BD: Tensor) -> None:
        raise NotImplementedError  # ...

    def encode(self, x_BD: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        raise NotImplementedError  # ...

    def weights(self) -> Weights:
        raise NotImplementedError  # ...

    def run_out(self, count: int) -> None:
        raise NotImplementedError  # ...


class _Fast(_Ours):
    """The same with bf16 screening and exact rescoring."""


def ours(task: Task, data: Tensor) -> Peer:
    """Isthmus in float32; revival on, as by default."""
    return _Ours(task, data)


def fast(task: Task, data: Tensor) -> Peer:
    """Isthmus' fast mode."""
    return _Fast(task, data)
