"""The sparse step of a dictionary: encode and select, decode, gradients, optimiser.

One interface, three implementations: plain torch (the reference), numba on the CPU, Triton on a
GPU. Import what is needed from the modules: numba takes a second to start.
"""

from isthmus.kernels.code import SparseCode

__all__ = ["SparseCode"]
