"""Which kernels run where."""

import subprocess
import sys

import pytest
import torch

from isthmus.errors import ConfigError
from isthmus.kernels import gpu_rows
from isthmus.kernels.chosen import kernels_for
from isthmus.kernels.cpu import CPUKernels
from isthmus.kernels.gpu import GPUKernels
from isthmus.kernels.reference import ReferenceKernels


def test_the_compiled_ones_on_a_cpu():
    kernels = kernels_for("cpu", 2)
    assert isinstance(kernels, CPUKernels)
    assert kernels.team.threads == 2
    kernels.close()
    assert kernels_for(torch.device("cpu")).team.threads == torch.get_num_threads()


def test_the_plain_ones_where_nothing_is_compiled():
    kernels = kernels_for("mps")
    assert isinstance(kernels, ReferenceKernels)
    assert "mps" in kernels.why


def test_triton_or_else_the_plain_ones_and_why_on_a_gpu(monkeypatch):
    """No GPU is touched by choosing."""
    monkeypatch.setattr(gpu_rows, "available", True)
    assert isinstance(kernels_for("cuda:0"), GPUKernels)
    monkeypatch.setattr(gpu_rows, "available", False)
    kernels = kernels_for("cuda")
    assert isinstance(kernels, ReferenceKernels)
    assert "Triton" in kernels.why
    assert "isthmus[gpu]" in kernels.why


def test_asking_for_the_gpu_kernels_without_triton_says_what_to_install(monkeypatch):
    monkeypatch.setattr(gpu_rows, "available", False)
    with pytest.raises(ConfigError, match=r"isthmus\[gpu\]"):
        GPUKernels()


def test_choosing_for_a_cpu_leaves_triton_alone():
    code = (
        "import sys\n"
        "from isthmus.kernels.chosen import kernels_for\n"
        "assert 'numba' not in sys.modules\n"
        "kernels_for('cpu', 1)\n"
        "sys.exit('isthmus.kernels.gpu_rows' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
