"""Scaling that is learned on the training split and travels with the model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from isthmus.data.dataset import Samples
from isthmus.errors import ConfigError

__all__ = ["METHODS", "Preprocessing"]

Statistics = tuple[NDArray[np.float64], NDArray[np.float64], int]
"""Mean and sum of squared deviations of every value of a sample, and the number of samples."""

METHODS = ("auto", "unit", "standardise", "centre", "none")
"""What :meth:`Preprocessing.fit` can do; ``auto`` chooses by kind."""

_AUTO = {"image": "unit", "table": "standardise", "vector": "centre"}
_FLAT = float(np.finfo(np.float32).eps)


class Preprocessing(nn.Module):
    """An affine map from raw values to what the model sees: ``(raw - shift) / scale``.

    Parameters
    ----------
    method
        ``unit``, ``standardise``, ``centre`` or ``none``; kept for the record and for words.
    shape
        The shape of one sample.
    shift, scale
        Buffers that broadcast over a sample; as many axes as ``shape``.
    range
        The nominal range of raw values that ``unit`` maps to [0, 1]; None: it was observed, so
        that unseen samples may fall outside [0, 1].
    """

    shift: Tensor
    scale: Tensor

    def __init__(
        self,
        method: str,
        shape: tuple[int, ...],
        shift: Tensor,
        scale: Tensor,
        range: tuple[float, float] | None = None,
    ) -> None:
        super().__init__()
        self.method, self.shape, self.range = method, tuple(shape), range
        self.register_buffer("shift", shift.to(torch.float32))
        self.register_buffer("scale", scale.to(torch.float32))

    def forward(self, raw: Tensor) -> Tensor:
        """Map raw values (N, *shape) to the model's values, in the type of the buffers."""
        return (raw.to(self.shift.dtype) - self.shift) / self.scale

    def inverse(self, x: Tensor) -> Tensor:
        """Map the model's values (N, *shape) back to raw units."""
        return x * self.scale + self.shift

    @property
    def output_range(self) -> tuple[float, float] | None:
        """(0, 1) where every value is sure to lie there, else None."""
        return (0.0, 1.0) if self.method == "unit" and self.range is not None else None

    @classmethod
    def fit(
        cls,
        samples: Samples,
        kind: str,
        method: str = "auto",
        *,
        range: tuple[float, float] | None = None,
    ) -> Preprocessing:
        """Learn shift and scale from the training split, streaming, in float64.

        - ``unit``: the range of raw values becomes [0, 1]; one shift and scale for all.
        - ``standardise``: mean 0 and standard deviation 1 of each value (of each channel, for
          images). A value that never changes keeps scale 1.
        - ``centre``: mean 0 of each value, and one scale so that the mean square of all values
          is 1; directions and relative lengths are kept.
        - ``none``: as it is.

        Parameters
        ----------
        samples
            The training split, and nothing else.
        kind
            ``image``, ``table`` or ``vector``.
        method
            One of the above; ``auto``: unit for images, standardise for tables, centre for
            vectors.
        range
            Nominal range of the raw values, for ``unit``; None: what the samples span.

        Raises
        ------
        ConfigError
            If the method or the kind is unknown.
        """
        chosen = _AUTO.get(kind, "") if method == "auto" else method
        if chosen not in _FITS:
            raise ConfigError(
                f"unknown preprocessing {method!r} for data of kind {kind!r}",
                fix=f"choose one of: {', '.join(METHODS)}",
            )
        shift, scale = _FITS[chosen](samples, kind, range)
        axes = len(samples.shape)
        return cls(
            chosen,
            samples.shape,
            torch.from_numpy(shift.astype(np.float32)).reshape(_broadcast(shift, axes)),
            torch.from_numpy(scale.astype(np.float32)).reshape(_broadcast(scale, axes)),
            range if chosen == "unit" else None,
        )

    @classmethod
    def identity(cls, shape: tuple[int, ...]) -> Preprocessing:
        """Return the map that changes nothing."""
        ones = (1,) * len(shape)
        return cls("none", shape, torch.zeros(ones), torch.ones(ones))

    def config(self) -> dict[str, Any]:
        """Return what :meth:`from_config` needs, as plain JSON values (the numbers are buffers)."""
        return {
            "method": self.method,
            "shape": list(self.shape),
            "shift_shape": list(self.shift.shape),
            "scale_shape": list(self.scale.shape),
            "range": None if self.range is None else list(self.range),
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Preprocessing:
        """Build the module with buffers of the right shape, ready for ``load_state_dict``.

        Raises
        ------
        ConfigError
            If an entry is missing, the method unknown, or a shape does not broadcast.
        """
        try:
            method, shape = config["method"], tuple(int(n) for n in config["shape"])
            shapes = [tuple(int(n) for n in config[key]) for key in ("shift_shape", "scale_shape")]
            bounds = config["range"]
            span = None if bounds is None else (float(bounds[0]), float(bounds[1]))
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise ConfigError("the preprocessing entry is damaged", why=repr(error)) from error
        fits = all(
            len(part) == len(shape) and all(n in (1, m) for n, m in zip(part, shape, strict=True))
            for part in shapes
        )
        if method not in _FITS or not fits:
            raise ConfigError("the preprocessing entry is damaged", where=f"{dict(config)}")
        return cls(method, shape, torch.zeros(shapes[0]), torch.ones(shapes[1]), span)

    def extra_repr(self) -> str:
        """Show the method, the sample shape and the range."""
        span = "" if self.range is None else f", range={self.range}"
        return f"{self.method}, shape={self.shape}{span}"

    def describe(self) -> str:
        """Say in plain words what is done to the raw values."""
        shift, scale = self.shift.reshape(-1), self.scale.reshape(-1)
        low, high = float(shift[0]), float(shift[0] + scale[0])
        per = "channel" if len(self.shape) == 3 else "column"
        flat = int((scale == 1).sum())
        kept = f"; {flat} with scale 1 because they never change" if flat else ""
        words = {
            "unit": f"values from {low:g} to {high:g} are mapped to 0 to 1",
            "standardise": f"each {per} is shifted to mean 0 and scaled to standard deviation 1 "
            f"as measured on the training split ({len(scale):,} of them{kept})",
            "centre": "the training mean of each value is subtracted, and all values are divided "
            f"by {float(scale[0]):.6g} so that their mean square is 1",
            "none": "values are used as they are",
        }
        return words[self.method]


def _broadcast(values: NDArray[Any], axes: int) -> tuple[int, ...]:
    """Return the shape of ``values`` with ones behind it, so that it broadcasts over a sample."""
    return (*values.shape, *(1,) * (axes - values.ndim))


def _moments(samples: Samples) -> Statistics:
    """Stream mean and squared deviations (Chan, Golub and LeVeque 1979), float64."""
    mean = np.zeros(samples.shape)
    squares = np.zeros(samples.shape)
    count = 0
    for chunk in samples.chunks():
        block = chunk.astype(np.float64)
        n = len(block)
        block_mean = block.mean(axis=0)
        block -= block_mean
        delta = block_mean - mean
        total = count + n
        squares += np.einsum("n...,n...->...", block, block) + delta**2 * (count * n / total)
        mean += delta * (n / total)
        count = total
    return mean, squares, count


def _spread(variance: NDArray[np.float64], mean: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return standard deviations; 1 where float32 could not tell them from nothing."""
    deviation = np.sqrt(np.maximum(variance, 0.0))
    return np.where(deviation > _FLAT * np.abs(mean), deviation, 1.0)


Fit = Callable[
    [Samples, str, "tuple[float, float] | None"],
    "tuple[NDArray[np.float64], NDArray[np.float64]]",
]


def _fit_unit(
    samples: Samples, kind: str, bounds: tuple[float, float] | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    if bounds is None:
        ends = [(float(chunk.min()), float(chunk.max())) for chunk in samples.chunks()]
        bounds = min(low for low, _ in ends), max(high for _, high in ends)
    low, high = bounds
    return np.array(low), np.array((high - low) or 1.0)


def _fit_standardise(
    samples: Samples, kind: str, bounds: tuple[float, float] | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    mean, squares, count = _moments(samples)
    variance = squares / count
    if kind == "image":  # pool the pixels of a channel: within-pixel plus between-pixel variance
        pooled = mean.mean(axis=(1, 2))
        between = (mean - pooled[:, None, None]) ** 2
        mean, variance = pooled, (variance + between).mean(axis=(1, 2))
    return mean, _spread(variance, mean)


def _fit_centre(
    samples: Samples, kind: str, bounds: tuple[float, float] | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    mean, squares, count = _moments(samples)
    largest = np.abs(mean).max(initial=0.0)
    return mean, _spread(np.array(squares.mean() / count), np.array(largest))


def _fit_none(
    samples: Samples, kind: str, bounds: tuple[float, float] | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return np.array(0.0), np.array(1.0)


_FITS: dict[str, Fit] = {
    "unit": _fit_unit,
    "standardise": _fit_standardise,
    "centre": _fit_centre,
    "none": _fit_none,
}
