"""From a model and a data set to the numbers of ``metrics.json``."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from isthmus.bottlenecks.gaussian import GaussianWaist
from isthmus.configs import validated
from isthmus.data.dataset import Dataset
from isthmus.errors import ConfigError
from isthmus.likelihoods import MSE, Cosine
from isthmus.metrics import (
    BernoulliSums,
    CodeSums,
    ImportanceSums,
    LikelihoodSums,
    PCABaseline,
    PosteriorSums,
    ReconstructionSums,
    knn_accuracy,
    verdict,
)
from isthmus.models.autoencoder import Autoencoder, evaluating
from isthmus.models.variational import log_weights
from isthmus.training.batches import Batches

__all__ = ["Evaluation", "SplitMetrics", "evaluate"]


@dataclass(frozen=True)
class Evaluation:
    """How a model is measured."""

    binarise: Literal["no", "static", "dynamic"] = "no"
    """How grey values were made binary; "dynamic" draws the bits once more, with ``seed``."""
    nll_samples: int = 100
    """Importance samples for each datum (variational models); 0 for no likelihood."""
    nll_rows: int = 1000
    """Samples of a split whose likelihood is estimated, drawn with ``seed``; 0 for all."""
    knn_rows: int = 100_000
    """Most training codes that are neighbours; more are sampled with ``seed``."""
    seed: int = 0
    """Seed of all that is drawn."""


@dataclass(frozen=True)
class SplitMetrics:
    """The numbers of one split, in the units that the model sees; None where one has no meaning."""

    samples: int
    """Samples of the split."""
    mse: float
    """Squared error per element."""
    fvu: float | None = None
    """Squared error over the squares about the training mean, pooled."""
    mae: float | None = None
    """Absolute error per element."""
    bce: float | None = None
    """Binary cross-entropy in nats per element, where data and output lie in [0, 1]."""
    bce_floor: float | None = None
    """The data's own entropy in nats per element, which no model's ``bce`` can go below."""
    l0: float | None = None
    """Active latents a sample."""
    active_above: float | None = None
    """The magnitude that an activation must exceed to count as active."""
    mean_activation: float | None = None
    """Mean of all activations."""
    target_activation: float | None = None
    """The mean activation that was asked for."""
    dead_fraction: float | None = None
    """Share of latents active on no sample of the split."""
    max_firing_rate: float | None = None
    """Share of samples on which the busiest latent is active."""
    hoyer: float | None = None
    """Hoyer sparseness of a sample's code, mean: 0 dense, 1 one latent."""
    population_sparseness: float | None = None
    """Treves-Rolls sparseness over latents, mean over samples."""
    lifetime_sparseness: float | None = None
    """Treves-Rolls sparseness over samples, mean over latents."""
    nll: float | None = None
    """Negative log-likelihood in nats a sample, by importance sampling."""
    nll_error: float | None = None
    """Standard error of ``nll`` from the finite number of importance samples."""
    elbo: float | None = None
    """Evidence lower bound in nats a sample (no more than -nll)."""
    nll_samples: int | None = None
    """Importance samples for each datum."""
    nll_rows: int | None = None
    """Data whose likelihood was estimated."""
    nll_ess: float | None = None
    """Median effective sample size of a datum."""
    nll_protocol: str | None = None
    """How the data were made binary, or why this is a density or no likelihood at all."""
    rate: float | None = None
    """KL divergence to the prior in nats a sample, unweighted."""
    distortion: float | None = None
    """Expected reconstruction term, -elbo - rate, in nats a sample."""
    active_units: int | None = None
    """Latents whose posterior mean varies over the data by more than 0.01."""
    knn_accuracy: float | None = None
    """5-nearest-neighbour accuracy on codes, neighbours from the training split."""
    pca_mse: float | None = None
    """Squared error per element of PCA with as many dimensions as latents."""
    pca_knn_accuracy: float | None = None
    """5-nearest-neighbour accuracy on PCA's codes."""
    verdict: str | None = None
    """Whether the autoencoder is worth it, in words."""
    samples_per_second: float | None = None
    """Speed of encoding and decoding, measurement not counted."""
    firing_rate: tuple[float, ...] | None = None
    """Share of samples on which each latent is active."""
    mean_activation_per_latent: tuple[float, ...] | None = None
    """Mean activation of each latent."""
    kl_per_latent: tuple[float, ...] | None = None
    """KL divergence of each latent in nats."""

    def as_json(self) -> dict[str, Any]:
        """Return the numbers that have a meaning, as JSON values."""
        found = dataclasses.asdict(self)
        return {
            k: list(v) if isinstance(v, tuple) else v for k, v in found.items() if v is not None
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> SplitMetrics:
        """Build from what :meth:`as_json` gave; names of later versions are passed over."""
        known = {f.name for f in dataclasses.fields(cls)}
        return validated(cls, {k: v for k, v in values.items() if k in known})


def evaluate(
    model: Autoencoder,
    dataset: Dataset,
    options: Evaluation | None = None,
    splits: tuple[str, ...] | None = None,
) -> dict[str, SplitMetrics]:
    """Measure a model on splits of a data set.

    PCA with as many dimensions as latents, fitted on the training split, stands beside it.
    Sums are accumulated in float64, so that the size of the batches does not matter.

    Parameters
    ----------
    splits
        Names of splits; default all.

    Raises
    ------
    ConfigError
        If the data's samples have another shape than the model's.
    """
    options = options or Evaluation()
    if dataset.shape != model.shape:
        raise ConfigError(
            f"the data's samples have the shape {dataset.shape}, the model's {model.shape}"
        )
    with evaluating(model), torch.no_grad():
        measured = _Measured(model, dataset, options)
        return {name: measured.split(name) for name in splits or tuple(dataset.splits)}


class _Measured:
    """What the splits share: the training mean, PCA, and the training split's codes."""

    def __init__(self, model: Autoencoder, dataset: Dataset, options: Evaluation) -> None:
        self.model, self.dataset, self.options = model, dataset, options
        elements = int(np.prod(model.shape))
        train = (x.cpu().numpy() for x in self._batches("train"))
        self.pca = PCABaseline.fit(train, min(model.latent, elements), seed=options.seed)
        self.dims = min(model.latent, elements)
        self.compressed = model.latent < elements
        labels = dataset["train"].label_array()
        self.labels = labels if labels is not None and len(np.unique(labels)) > 1 else None
        self.neighbours = self._training_codes() if self.labels is not None else None

    def _batches(self, split: str, size: int = 1024) -> Iterator[Tensor]:
        """Yield preprocessed batches of a split in order."""
        dynamic = self.options.binarise == "dynamic"
        source = Batches(
            self.dataset[split],
            self.model.preprocessing,
            self.model.device,
            dynamic=dynamic,
            limit=0,
        )
        generator = torch.Generator(self.model.device).manual_seed(self.options.seed)
        for index in torch.arange(len(source)).split(size):  # type: ignore[no-untyped-call]
            yield source.at(index, generator)

    def _training_codes(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return codes, PCA's codes and labels of (at most ``knn_rows``) training samples."""
        if self.labels is None:
            raise ConfigError("there are no labels to find neighbours by")
        codes, pca = self._codes("train")
        rows = np.arange(len(codes))
        if len(rows) > self.options.knn_rows:
            draw = np.random.default_rng(self.options.seed)
            rows = np.sort(draw.choice(len(rows), self.options.knn_rows, replace=False))
        return codes[rows], pca[rows], self.labels[rows]

    def _codes(self, split: str) -> tuple[np.ndarray, np.ndarray]:
        codes, pca = [], []
        for x in self._batches(split):
            codes.append(self.model.embed(x).cpu().numpy())
            pca.append(self.pca.encode(x.cpu().numpy(), self.dims).astype(np.float32))
        return np.concatenate(codes), np.concatenate(pca)

    def split(self, name: str) -> SplitMetrics:
        """Return the numbers of one split."""
        found = self._streamed(name)
        if name != "train":
            found |= self._neighbours(name)
        if name != "train" and self.compressed:
            found |= self._verdict(found)
        found |= self._likelihood(name, found.get("rate"))
        return SplitMetrics(**found)

    def _streamed(self, name: str) -> dict[str, Any]:
        """Return what one pass over the split tells."""
        model = self.model
        recon = ReconstructionSums(self.pca.mean)
        pca = ReconstructionSums(self.pca.mean)
        code_sums = CodeSums(model.latent, model.waist.threshold)
        posterior = PosteriorSums(model.latent) if isinstance(model.waist, GaussianWaist) else None
        cross = BernoulliSums() if model.preprocessing.output_range == (0.0, 1.0) else None
        spent = 0.0
        for x in self._batches(name):
            start = time.perf_counter()
            h = model.encoder(x).float()
            codes = model.waist.embed(h)
            out = model.reconstruction(codes)
            spent += time.perf_counter() - start
            inputs, outputs = x.cpu().numpy(), out.cpu().numpy()
            recon.update(inputs, outputs)
            pca.update(inputs, self.pca.reconstruct(inputs, self.dims))
            code_sums.update(codes.cpu().numpy())
            if posterior is not None and isinstance(model.waist, GaussianWaist):
                mean, log_variance = model.waist.posterior(h)
                posterior.update(mean.cpu().numpy(), log_variance.cpu().numpy())
            if cross is not None:
                cross.update(inputs, outputs, clip=True)
        error, codes_found = recon.result(), code_sums.result()
        found: dict[str, Any] = {
            "samples": error.samples,
            "mse": error.mse,
            "fvu": error.fvu,
            "mae": error.mae,
            "l0": codes_found.l0,
            "active_above": codes_found.threshold,
            "mean_activation": codes_found.mean_activation,
            "target_activation": _target(model),
            "dead_fraction": codes_found.dead_fraction,
            "max_firing_rate": codes_found.max_firing_rate,
            "hoyer": codes_found.hoyer,
            "population_sparseness": codes_found.population_sparseness,
            "lifetime_sparseness": codes_found.lifetime_sparseness,
            "firing_rate": _floats(codes_found.firing_rate),
            "mean_activation_per_latent": _floats(codes_found.mean_activation_per_latent),
            "samples_per_second": error.samples / max(spent, 1e-9),
        }
        if self.compressed:  # with a dimension for every element PCA loses nothing
            found["pca_mse"] = pca.result().mse
        if cross is not None:
            bits = cross.result()
            found |= {"bce": bits.bce, "bce_floor": bits.floor}
        if posterior is not None:
            latents = posterior.result()
            found |= {
                "rate": latents.rate,
                "active_units": latents.active_units,
                "kl_per_latent": _floats(latents.kl),
            }
        return found

    def _neighbours(self, name: str) -> dict[str, Any]:
        labels = self.dataset[name].label_array()
        if self.neighbours is None or labels is None:
            return {}
        train, train_pca, train_labels = self.neighbours
        codes, pca = self._codes(name)
        k = min(5, len(train))
        found = {"knn_accuracy": knn_accuracy(train, train_labels, codes, labels, k).accuracy}
        if self.compressed:
            beside = knn_accuracy(train_pca, train_labels, pca, labels, k)
            found["pca_knn_accuracy"] = beside.accuracy
        return found

    def _verdict(self, found: Mapping[str, Any]) -> dict[str, Any]:
        said = verdict(
            found["mse"], found["pca_mse"], found.get("knn_accuracy"), found.get("pca_knn_accuracy")
        )
        return {"verdict": said.sentence}

    def _likelihood(self, name: str, rate: float | None) -> dict[str, Any]:
        """Return the importance-sampled likelihood of a variational model."""
        model, options = self.model, self.options
        normalised = not isinstance(model.likelihood, MSE | Cosine)
        if rate is None or not options.nll_samples or not normalised:
            return {}
        samples = self.dataset[name]
        if options.nll_rows:
            samples = samples.take(options.nll_rows, options.seed)
        source = Batches(
            samples,
            model.preprocessing,
            model.device,
            dynamic=options.binarise == "dynamic",
            limit=0,
        )
        generator = torch.Generator(model.device).manual_seed(options.seed)
        total = LikelihoodSums(_protocol(model, options))
        for index in torch.arange(len(source)).split(100):  # type: ignore[no-untyped-call]
            x = source.at(index, generator)
            sums, left = ImportanceSums(), options.nll_samples
            while left:
                part = min(left, 50)
                sums.update(log_weights(model, x, part, generator).cpu().numpy())
                left -= part
            total.update(sums.result())
        found = total.result()
        return {
            "nll": found.nll,
            "nll_error": found.sampling_error,
            "elbo": found.elbo,
            "nll_samples": found.importance_samples,
            "nll_rows": found.samples,
            "nll_ess": found.effective_samples_median,
            "nll_protocol": found.protocol,
            "distortion": -found.elbo - rate,
        }


def _protocol(model: Autoencoder, options: Evaluation) -> str:
    """Name the protocol behind a likelihood, so that numbers of different kinds aren't compared."""
    if options.binarise != "no":
        return f"{options.binarise} binarisation, seed {options.seed}"
    if type(model.likelihood).__name__ != "Bernoulli":
        return "a density of real values (nats a sample, may be negative)"
    return "the values as they are: on grey values a cross-entropy, not a likelihood"


def _target(model: Autoencoder) -> float | None:
    target = getattr(model.bottleneck, "target", None)
    return target if target is not None else getattr(model.bottleneck, "mean_activation", None)


def _floats(values: np.ndarray) -> tuple[float, ...]:
    return tuple(round(float(value), 8) for value in values)
