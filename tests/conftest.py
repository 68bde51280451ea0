"""What every test shares: no network beyond loopback, no leftover random state."""

import os
import socket
from pathlib import Path

import hypothesis
import pytest

# The same examples on every machine and in every run; other ones with ISTHMUS_EXPLORE=1. What
# these find is pinned by @example and mended.
hypothesis.settings.register_profile("same", derandomize=True)
if not os.environ.get("ISTHMUS_EXPLORE"):
    hypothesis.settings.load_profile("same")

# as the command line does, so that a busy machine does not stall the suite; before torch is loaded
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

_connect = socket.socket.connect


def _loopback_only(self, address):
    host = address[0] if isinstance(address, tuple) else address
    if self.family != socket.AF_UNIX and host not in {"127.0.0.1", "::1", "localhost"}:
        raise OSError(f"the suite refuses sockets beyond loopback: {address!r}")
    return _connect(self, address)


@pytest.fixture(autouse=True, scope="session")
def no_network():
    """Refuse every connection that leaves this machine."""
    socket.socket.connect = _loopback_only
    yield
    socket.socket.connect = _connect


@pytest.fixture
def data_home() -> Path:
    """The folder of real data, or a skip with its reason."""
    home = os.environ.get("ISTHMUS_DATA", "")
    if not home or not (Path(home) / "mnist").is_dir():
        pytest.skip("needs real data: point ISTHMUS_DATA at a folder that holds mnist/")
    return Path(home)
