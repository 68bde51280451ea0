"""What a run was made with: versions and the kind of machine, and nothing private."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch

__all__ = ["environment"]

_PACKAGES = ("isthmus", "torch", "numpy", "scipy", "scikit-learn", "safetensors", "matplotlib")


def environment(device: torch.device) -> dict[str, Any]:
    """Return versions, platform, threads and device; no names of hosts, users or paths."""
    return {
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "cpus": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else str(device),
        "packages": {name: _version(name) for name in _PACKAGES},
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
