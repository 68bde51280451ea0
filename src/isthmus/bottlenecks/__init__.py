"""The waist of the hourglass: one idea a file, each with its formula and source."""

from isthmus.bottlenecks.any_k import AnyK
from isthmus.bottlenecks.base import Bottleneck, Code, Waist
from isthmus.bottlenecks.batch_topk import BatchTopK
from isthmus.bottlenecks.contractive import Contractive
from isthmus.bottlenecks.contrastive import Contrastive
from isthmus.bottlenecks.fsq import FSQ
from isthmus.bottlenecks.gated import Gated
from isthmus.bottlenecks.gaussian import Gaussian
from isthmus.bottlenecks.jumprelu import JumpReLU
from isthmus.bottlenecks.kl_sparse import KLSparse
from isthmus.bottlenecks.l1 import L1
from isthmus.bottlenecks.matryoshka import Matryoshka
from isthmus.bottlenecks.plain import Plain
from isthmus.bottlenecks.topk import TopK
from isthmus.bottlenecks.vq import VQ
from isthmus.configs import by_name

BOTTLENECKS: dict[str, type[Bottleneck]] = by_name(
    Plain, Contractive, L1, KLSparse, TopK, BatchTopK, JumpReLU, Gaussian, VQ, FSQ
)
DICTIONARY_BOTTLENECKS: dict[str, type[Bottleneck]] = by_name(
    L1, KLSparse, Gated, TopK, BatchTopK, JumpReLU, Matryoshka, AnyK, Contrastive
)
"""Those that a sparse dictionary takes."""

__all__ = [
    "BOTTLENECKS",
    "DICTIONARY_BOTTLENECKS",
    "FSQ",
    "L1",
    "VQ",
    "AnyK",
    "BatchTopK",
    "Bottleneck",
    "Code",
    "Contractive",
    "Contrastive",
    "Gated",
    "Gaussian",
    "JumpReLU",
    "KLSparse",
    "Matryoshka",
    "Plain",
    "TopK",
    "Waist",
]
