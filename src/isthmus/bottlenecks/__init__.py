"""The waist of the hourglass: one idea a file, each with its formula and source."""

from isthmus.bottlenecks.base import Bottleneck, Code, Waist
from isthmus.bottlenecks.batch_topk import BatchTopK
from isthmus.bottlenecks.contractive import Contractive
from isthmus.bottlenecks.fsq import FSQ
from isthmus.bottlenecks.gaussian import Gaussian
from isthmus.bottlenecks.kl_sparse import KLSparse
from isthmus.bottlenecks.l1 import L1
from isthmus.bottlenecks.plain import Plain
from isthmus.bottlenecks.topk import TopK
from isthmus.bottlenecks.vq import VQ
from isthmus.configs import by_name

BOTTLENECKS: dict[str, type[Bottleneck]] = by_name(
    Plain, Contractive, L1, KLSparse, TopK, BatchTopK, Gaussian, VQ, FSQ
)

__all__ = [
    "BOTTLENECKS",
    "FSQ",
    "L1",
    "VQ",
    "BatchTopK",
    "Bottleneck",
    "Code",
    "Contractive",
    "Gaussian",
    "KLSparse",
    "Plain",
    "TopK",
    "Waist",
]
