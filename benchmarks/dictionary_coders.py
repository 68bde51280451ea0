"""What the dictionary tables measure behind one face: trained dictionaries, baselines, peers.

Trained dictionaries and k-means are kept in a folder and read again instead of being made anew;
empty it after a change to the trainer.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from dictionary_data import Floats
from isthmus.bottlenecks import TopK
from isthmus.data.streams import VectorStream, open_vectors
from isthmus.kernels.pursuit import Pursuit, PursuitEncoder
from isthmus.models.classical import PCA, KMeans, KMeansDictionary
from isthmus.models.dictionary import SparseDictionary
from isthmus.models.dictionary.presets import dictionary_preset
from isthmus.training.dictionary import DictionaryTraining, batch_for, fit_dictionary

CACHE = Path(__file__).resolve().parents[1] / ".bench" / "dictionaries"
SIGMOID = 0.1
"""Activation above which a latent of a code that is never zero counts as active."""
FILE = re.compile(r"(?P<name>.+)-k(?P<k>\d+)-lr(?P<lr>[^-]+(-\d+)?)-seed(?P<seed>\d+)\.safetensors")


@dataclass(frozen=True)
class Sizes:
    """What is trained, and on how much."""

    latents: int
    """Size N of the dictionaries."""
    k: int
    """Active latents of a sample, or their mean."""
    passes: int
    """Passes over the training rows."""
    threads: int
    """CPU threads."""
    cache: Path
    """Where trained dictionaries are kept."""


@dataclass(frozen=True)
class Coder:
    """Something that encodes and decodes."""

    encode: Callable[[Floats], Any]
    """Samples (B, D) to codes (B, N), a CSR array or an array."""
    decode: Callable[[Any], Floats]
    """Codes to samples."""
    latents: int
    """Number of latents."""
    decoder_ND: Floats | None = None
    """A latent's direction a row; None where directions mean nothing."""
    pre_bias_D: Floats | None = None
    """What a pursuit takes off each sample first."""
    k: int = 0
    """Active latents of a sample in refined encoding; 0 for no refined encoding."""
    encode_at: Callable[[Floats, int], Any] | None = None
    """Encodes with another k."""
    active: float = 0.0
    """Activation above which a latent counts as active."""

    def fired(self, codes: Any) -> Any:
        """Return codes in which what is not active is zero."""
        return np.where(codes > self.active, codes, np.float32(0)) if self.active else codes

    def refined(self, threads: int, **settings: Any) -> PursuitEncoder:
        """Return the encoder that finds better codes with the same directions."""
        config = Pursuit(k=self.k, **settings)
        return PursuitEncoder(self.decoder_ND, self.pre_bias_D, config, threads)


def of_model(model: SparseDictionary, threads: int) -> Coder:
    """Return the face of a trained dictionary."""
    objective = model.objective
    k = objective.k or round(getattr(model.bottleneck, "l0", None) or 0)
    weights = model.weights()
    return Coder(
        encode=lambda x: model.encode(x, threads=threads),
        decode=model.decode,
        latents=model.latent,
        decoder_ND=weights.decoder_ND,
        pre_bias_D=weights.pre_bias_D,
        k=0 if objective.always_dense else k,
        encode_at=(lambda x, j: model.encode(x, k=j, threads=threads)) if objective.k else None,
        active=SIGMOID if objective.always_dense else 0.0,
    )


def model_of(name: str, dim: int, sizes: Sizes, seed: int) -> tuple[SparseDictionary, dict]:
    """Return an untrained dictionary of a preset, and the preset's own training settings."""
    preset = dictionary_preset(name)
    asked = {"latent": sizes.latents}
    asked |= {field: sizes.k for field in ("k", "l0") if hasattr(preset.bottleneck, field)}
    preset, _ = preset.with_settings(asked)
    return preset.model(dim, seed), dict(preset.training)


def trained(
    name: str, rows: Floats, sizes: Sizes, seed: int
) -> tuple[SparseDictionary, dict[str, Any]]:
    """Return a dictionary trained with the defaults, and what is known of its training."""
    tag = f"{name}-k{sizes.k}-d{rows.shape[1]}-n{sizes.latents}-r{len(rows)}"
    folder = sizes.cache / f"{tag}-passes{sizes.passes}-seed{seed}"
    note = folder / "training.json"  # written last: what has it is whole
    if note.exists():
        return SparseDictionary.from_pretrained(folder), json.loads(note.read_text())
    model, own = model_of(name, rows.shape[1], sizes, seed)
    own |= {"epochs": sizes.passes, "seed": seed, "threads": sizes.threads, "device": "cpu"}
    stream = VectorStream(open_vectors(rows), batch_for(len(rows), sizes.passes), seed)
    fitted = fit_dictionary(model, stream, DictionaryTraining(**own))
    known = {
        "seconds": round(fitted.seconds, 1),
        "samples_per_second": round(fitted.samples_per_second),
        "threads": sizes.threads,
    }
    model.save_pretrained(folder)
    note.write_text(json.dumps(known) + "\n")
    return model, known


# --- baselines ------------------------------------------------------------------------------


def dense(rows: Floats, sizes: Sizes, seed: int) -> Coder:
    """Nothing is done: the vectors themselves."""
    return Coder(lambda x: x, lambda codes: codes, rows.shape[1])


def pca(rows: Floats, sizes: Sizes, seed: int) -> Coder:
    """As many principal components as the others have active latents."""
    found = PCA(min(sizes.k, *rows.shape)).fit(rows)
    return Coder(lambda x: found.encode(x, dense=True), found.decode, found.latent)


def k_means(rows: Floats, sizes: Sizes, seed: int) -> Coder:
    """Mini-batch k-means: 1 at the nearest centroid; refined encoding has k of the centroids."""
    path = sizes.cache / f"k-means-n{sizes.latents}-d{rows.shape[1]}-r{len(rows)}-seed{seed}"
    path = path.with_name(path.name + ".safetensors")
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        fitted = KMeans(sizes.latents, seed=seed).fit(rows)
        save_file({"decoder": fitted.decoder}, path)
    found = KMeansDictionary(load_file(path)["decoder"])
    middle = _mean(rows)
    return Coder(found.encode, found.decode, found.latent, found.decoder - middle, middle, sizes.k)


def random_rows(rows: Floats, sizes: Sizes, seed: int) -> Coder:
    """Training rows as directions, about the mean; its only code is the refined one."""
    chosen = np.random.default_rng(seed).choice(len(rows), sizes.latents, replace=False)
    middle = _mean(rows)
    decoder = rows[chosen] - middle
    encoder = PursuitEncoder(decoder, middle, Pursuit(k=sizes.k), sizes.threads)
    return Coder(
        lambda x: encoder.encode(x).csr(),
        lambda codes: np.asarray(codes @ decoder + middle, np.float32),
        sizes.latents,
        decoder,
        middle,
        sizes.k,
    )


def untrained(rows: Floats, sizes: Sizes, seed: int) -> Coder:
    """Random directions, read as by a TopK dictionary before its first step."""
    model = SparseDictionary(rows.shape[1], TopK(sizes.latents, k=sizes.k), seed=seed)
    model.pre_bias.data.copy_(model.pre_bias.new_tensor(_mean(rows)))
    return of_model(model, sizes.threads)


BASELINES: dict[str, Callable[[Floats, Sizes, int], Coder]] = {
    "dense": dense,
    "pca": pca,
    "k-means": k_means,
    "random-rows": random_rows,
    "untrained": untrained,
}
SEEDLESS = ("dense", "pca")


def _mean(rows: Floats) -> NDArray[np.float32]:
    return rows.mean(0, dtype=np.float64).astype(np.float32)


# --- weights of other libraries ---------------------------------------------------------------


def peer_files(folder: str | None) -> Iterator[tuple[Path, dict[str, str]]]:
    """Find what ``dictionary_quality.py --keep`` saved, but for Isthmus' own."""
    for path in sorted(Path(folder).glob("*.safetensors")) if folder else ():
        found = FILE.fullmatch(path.name)
        if found and not found["name"].startswith("isthmus"):
            yield path, found.groupdict()


def of_file(path: Path, k: int, threads: int) -> Coder:
    """Return the face of saved weights: the k largest of ``relu((x - c) @ encoder.T + bias)``."""
    import torch

    held = load_file(path)
    latents, dim = held["encoder"].shape
    model = SparseDictionary(dim, TopK(latents, k=k))
    model.load_state_dict({name: torch.from_numpy(value) for name, value in held.items()})
    return of_model(model, threads)
