"""Which kernels run on a device."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from isthmus.errors import ConfigError

if TYPE_CHECKING:
    from isthmus.kernels.cpu import CPUKernels
    from isthmus.kernels.gpu import GPUKernels
    from isthmus.kernels.reference import ReferenceKernels

__all__ = ["kernels_for"]


def kernels_for(
    device: torch.device | str, threads: int | None = None
) -> CPUKernels | GPUKernels | ReferenceKernels:
    """Return the fastest kernels that run on a device.

    Parameters
    ----------
    device
        Where the arrays are. On the CPU the kernels work on numpy arrays, elsewhere on tensors.
    threads
        Threads that share a step on the CPU; by default as many as torch uses.

    Returns
    -------
    kernels
        The compiled ones; or, where those can't run, the plain ones, whose ``why`` says so.
    """
    device = torch.device(device)
    if device.type == "cpu":
        from isthmus.kernels.cpu import CPUKernels

        return CPUKernels(torch.get_num_threads() if threads is None else threads)
    from isthmus.kernels.reference import ReferenceKernels

    if device.type != "cuda":
        return ReferenceKernels(f"there are no compiled kernels for {device.type}")
    from isthmus.kernels.gpu import GPUKernels

    try:
        return GPUKernels()
    except ConfigError as error:
        return ReferenceKernels(f"{error.what}: {error.fix}")
