"""Small dictionaries for the tests of kernels, and one face for their implementations.

Inputs and encoders are multiples of small powers of two, so that every pre-activation is exact
in float32: a selection is then right or wrong, ties included, and not a matter of rounding.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from isthmus.kernels.code import SparseCode
from isthmus.kernels.rules import Levels, Revival, Rule, Weights


@dataclass(frozen=True)
class Problem:
    """A batch about the pre-bias and the weights of a dictionary."""

    inputs: np.ndarray
    weights: Weights

    @property
    def pre(self):
        """Exact pre-activations (B, N), as the oracle computes them."""
        pre = self.inputs.astype(np.float64) @ self.weights.encoder_ND.T.astype(np.float64)
        return (pre + self.weights.bias_N).astype(np.float32)

    def copy(self):
        return Problem(self.inputs.copy(), copied(self.weights))


def copied(weights):
    return Weights(*(weight.copy() for weight in parts(weights)))


def parts(weights):
    return weights.encoder_ND, weights.bias_N, weights.decoder_ND, weights.pre_bias_D


def grid(draws, shape, steps=8, unit=8):
    """Multiples of 1 / unit between -steps / unit and steps / unit."""
    return (draws.integers(-steps, steps + 1, shape) / unit).astype(np.float32)


def problem(batch, dim, latents, seed=0):
    draws = np.random.default_rng(seed)
    decoder = draws.normal(size=(latents, dim)).astype(np.float32)
    decoder /= np.maximum(np.linalg.norm(decoder, axis=1, keepdims=True), 1e-9)
    weights = Weights(
        grid(draws, (latents, dim)),
        grid(draws, latents, 4),
        decoder.astype(np.float32),
        draws.normal(size=dim).astype(np.float32),
    )
    return Problem(grid(draws, (batch, dim), 16), weights)


def oracle(pre, rule_k, whole_batch=False):
    """Which entries are the largest, by a stable sort: of equals the first."""
    mask = np.zeros(pre.shape, bool)
    if whole_batch:
        order = np.argsort(-pre.reshape(-1), kind="stable")[: rule_k * len(pre)]
        mask.reshape(-1)[order] = True
        return mask & (pre > 0)
    np.put_along_axis(mask, np.argsort(-pre, axis=1, kind="stable")[:, :rule_k], True, axis=1)
    return mask


def mask_of(code):
    """Which entries a code holds; each at most once."""
    mask = np.zeros((len(code), code.latents), bool)
    mask[code.rows, code.indices] = True
    assert mask.sum() == len(code.indices), "an entry stands twice"
    return mask


def apart(found, wanted, floor=0.0):
    """Largest over the four weights of the relative distance between two gradients.

    ``floor`` is the share of the whole gradient's norm that a part counts for at least: in tiny
    problems the terms of a part may cancel, and rounding is all that is left.
    """
    wanted = [np.asarray(part, np.float64) for part in parts(wanted)]
    whole = float(np.sqrt(sum(np.square(part).sum() for part in wanted)))
    far = 0.0
    for a, b in zip(parts(found), wanted, strict=True):
        assert a.shape == b.shape
        size = max(float(np.linalg.norm(b)), floor * whole, 1e-6)
        far = max(far, float(np.linalg.norm(a - b)) / size)
    return far


def alone(sums):
    """No other process."""
    return sums


@dataclass(frozen=True)
class Asked:
    """The arguments of a backward pass, beside the batch."""

    rule: Rule
    scale: float = 1.0
    levels: Levels | None = None
    revival: Revival | None = None
    total: int | None = None
    add_up: Callable = alone

    @property
    def arguments(self):
        return (self.scale, self.levels, self.revival), {
            "total": self.total,
            "add_up": self.add_up,
        }


class OnCPU:
    """The compiled kernels, arrays in and out."""

    def __init__(self, threads=1):
        from isthmus.kernels.cpu import CPUKernels

        self.kernels = CPUKernels(threads)

    def select(self, given, rule):
        return self.kernels.select(given.inputs, given.weights, rule)

    def decode(self, given, code):
        return self.kernels.decode(code, given.weights.decoder_ND, given.weights.pre_bias_D)

    def gradients(self, given, code, asked):
        found = self._backward(given, code, asked)
        return found.losses, self.kernels.gradients(found, given.weights)

    def steps(self, given, asked, knobs, fused=True):
        """Take the steps on a copy; returns its weights and moments."""
        from isthmus.kernels.cpu import Moments

        given = given.copy()
        weights, moments = given.weights, Moments(given.weights.like(), given.weights.like())
        for knob in knobs:
            found = self._backward(given, self.select(given, asked.rule), asked)
            if fused:
                self.kernels.step(found, weights, moments, knob)
            else:
                self.kernels.apply(self.kernels.gradients(found, weights), weights, moments, knob)
        return weights, moments.mean, moments.square

    def _backward(self, given, code, asked):
        plain, named = asked.arguments
        return self.kernels.backward(given.inputs, code, given.weights, *plain, **named)


class OnTensors:
    """Kernels on tensors, with arrays in and out: the reference, or those for a GPU."""

    def __init__(self, kernels, device="cpu", dtype=None):
        import torch

        self.kernels, self.device, self.dtype = kernels, device, dtype or torch.float32

    def select(self, given, rule):
        return self.kernels.select(*self._tensors(given), rule).sparse()

    def decode(self, given, code):
        _, weights = self._tensors(given)
        out = self.kernels.decode(self._code(code), weights.decoder_ND, weights.pre_bias_D)
        return out.cpu().numpy()

    def gradients(self, given, code, asked):
        inputs, weights = self._tensors(given)
        found = self._backward(inputs, self._code(code), weights, asked)
        losses = {name: float(loss) for name, loss in found.losses.items()}
        return losses, self._arrays(self.kernels.gradients(found, weights))

    def steps(self, given, asked, knobs, fused=True):
        from isthmus.kernels.gpu_tensors import TensorMoments

        inputs, weights = self._tensors(given)
        moments = TensorMoments.zeros(weights)
        for knob in knobs:
            code = self.kernels.select(inputs, weights, asked.rule)
            found = self._backward(inputs, code, weights, asked)
            if fused:
                self.kernels.step(found, weights, moments, knob)
            else:
                self.kernels.apply(self.kernels.gradients(found, weights), weights, moments, knob)
        return tuple(self._arrays(w) for w in (weights, moments.mean, moments.square))

    def _backward(self, inputs, code, weights, asked):
        plain, named = asked.arguments
        return self.kernels.backward(inputs, code, weights, *plain, **named)

    def _tensors(self, given):
        import torch

        from isthmus.kernels.gpu_tensors import TensorWeights

        inputs = torch.tensor(given.inputs, device=self.device, dtype=self.dtype)
        return inputs, TensorWeights.of(given.weights, self.device, self.dtype)

    def _code(self, code: SparseCode):
        from isthmus.kernels.gpu_tensors import TensorCode

        return TensorCode.of(code, self.device)

    def _arrays(self, weights):
        return Weights(*(weight.cpu().numpy().copy() for weight in weights))


def reference(dtype=None):
    """The plain kernels, in float64 unless told otherwise."""
    import torch

    from isthmus.kernels.reference import ReferenceKernels

    return OnTensors(ReferenceKernels(), dtype=dtype or torch.float64)


def revival(draws, latents, batch, weight=1 / 32, share=0.3):
    """A random revival: some latents dead, some of the rows."""
    dead = np.flatnonzero(draws.random(latents) < share)
    start = int(draws.integers(0, max(batch // 2, 1)))
    stop = int(draws.integers(start + 1, batch + 1))
    step = int(draws.integers(1, 4))
    return Revival(dead, int(draws.integers(1, latents + 1)), weight, slice(start, stop, step))


def in_two_shares(side, given, asked, cut):
    """Losses and gradients of a batch whose rows two processes hold, added up."""
    halves = [Problem(rows, given.weights) for rows in (given.inputs[:cut], given.inputs[cut:])]
    asked = replace(asked, total=len(given.inputs))
    heard = []

    def listen(sums):
        heard.append(sums)
        return sums

    codes = [side.select(half, asked.rule) for half in halves]
    for half, code in zip(halves, codes, strict=True):
        side.gradients(half, code, replace(asked, add_up=listen))
    answer = replace(asked, add_up=lambda _: sum(heard[1:], heard[0]))
    shares = [side.gradients(h, c, answer) for h, c in zip(halves, codes, strict=True)]
    losses = {name: sum(share[0].get(name, 0) for share in shares) for name in shares[0][0]}
    both = zip(*(parts(share[1]) for share in shares), strict=True)
    return losses, Weights(*(one + other for one, other in both))
