"""How many of the true directions of a synthetic set dictionaries find.

64 dimensions, 256 features, 50,000 samples of which 5 features are active on average: frequencies
after Zipf's law up to .2, log-normal activations, normal noise of .05 on each element. Every
dictionary has 256 latents and k (or L0) of 5, and is trained with its defaults. Directions are
matched one to one with the true ones by Hungarian matching; a latent's firing is compared with its
feature's. Beside them: chance (random directions of the dictionary's own mean and covariance), and
the true directions read by a matching pursuit.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch

from dictionary_coders import BASELINES, Coder, Sizes, of_model, trained
from dictionary_data import Floats
from dictionary_face import Task
from dictionary_peers import PEERS
from dictionary_quality import BATCH, train
from isthmus.bottlenecks import TopK
from isthmus.kernels.pursuit import Pursuit, PursuitEncoder
from isthmus.metrics import Superposition, recovery, superposition
from isthmus.models.dictionary import SparseDictionary

DIM, FEATURES, ROWS, ACTIVE = 64, 256, 50_000, 5
DATA_SEED = 0
ORACLE = "true directions"
Row = dict[str, Any]


def made(rows: int) -> Superposition:
    """Return the synthetic set."""
    return superposition(DIM, FEATURES, rows, ACTIVE, DATA_SEED, noise=0.05)


def recovered(name: str, truth: Superposition, sizes: Sizes, seed: int) -> Row:
    """Train one dictionary on the synthetic set, and return what it has found of the truth."""
    own = replace(sizes, latents=FEATURES, k=ACTIVE)
    coder = _coder(name, truth, own, seed)
    codes = coder.fired(coder.encode(truth.data_RD))
    found = recovery(
        coder.decoder_ND, truth.directions_FD, codes=codes, activations=truth.activations
    )
    return {
        "mcc": found.mcc,
        "mcc_low": found.interval.low,
        "mcc_high": found.interval.high,
        "chance": found.chance,
        "recovered": found.recovered,
        "f1": found.f1,
        "correlation": found.correlation,
    }


def _coder(name: str, truth: Superposition, sizes: Sizes, seed: int) -> Coder:
    rows = truth.data_RD
    if name == ORACLE:
        return _oracle(truth, sizes)
    if name in BASELINES:
        return BASELINES[name](rows, sizes, seed)
    if name in PEERS:
        return _peer(name, rows, sizes, seed)
    return of_model(trained(name, rows, sizes, seed)[0], sizes.threads)


def _oracle(truth: Superposition, sizes: Sizes) -> Coder:
    """Return the true directions, about 0, read by a pursuit."""
    directions = truth.directions_FD
    encoder = PursuitEncoder(directions, np.zeros(DIM), Pursuit(k=sizes.k), sizes.threads)
    return Coder(
        lambda x: encoder.encode(x).csr(), lambda codes: codes @ directions, FEATURES, directions
    )


def _peer(name: str, rows: Floats, sizes: Sizes, seed: int) -> Coder:
    """Train another library's dictionary with its defaults, batch 1024."""
    data = torch.from_numpy(rows)
    steps = len(data) // BATCH * sizes.passes
    peer = PEERS[name][1](Task(DIM, sizes.latents, sizes.k, BATCH, steps, seed=seed), data)
    train(peer, data, sizes.passes, seed)
    model = SparseDictionary(DIM, TopK(sizes.latents, k=sizes.k))
    names = ("encoder", "bias", "decoder", "pre_bias")
    model.load_state_dict(dict(zip(names, peer.weights(), strict=True)))
    return of_model(model, sizes.threads)
