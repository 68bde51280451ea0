"""Which device a training runs on."""

from __future__ import annotations

import torch

from isthmus.errors import ConfigError, in_a_line

__all__ = ["chosen_device"]


def chosen_device(name: str) -> torch.device:
    """Return the device of that name; "auto" takes a GPU where there is one.

    Raises
    ------
    ConfigError
        If there is no such device here.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(
            f"the device {name!r} can't be used here",
            why=in_a_line(error),
            fix="give cpu or auto",
        ) from error
    return device
