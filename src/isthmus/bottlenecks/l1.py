"""The L1 bottleneck: a charge on the activations that the decoder reads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from isthmus.bottlenecks.base import Code, Waist, positive
from isthmus.bottlenecks.control import Controller
from isthmus.bottlenecks.scale import Scale
from isthmus.errors import ConfigError

__all__ = ["L1", "L1Waist"]


@dataclass(frozen=True)
class L1:
    """Charges ``weight * sum_j u_j |a_j|`` of the very code that the decoder reads.

    With "sigmoid" the code lies in (0, 1) as in the course notes, never reaches zero, and every
    ``u_j`` is 1.

    With "relu" the code has true zeros, and three things keep the charge honest and the latents
    alive, where a plain charge shrinks the code and leaves most latents dead:

    - Each pre-activation is brought to unit variance over the data (a running estimate outside
      training) and only its bias is learned, so that the encoder can't shrink the code for the
      decoder to magnify.
    - ``u_j`` is ``1 / (a_j + reweight * s_j)`` of the current activation, ``s_j`` the latent's
      running magnitude where it fires: large activations are hardly shrunk, small ones go to
      zero. Source: Candes, Wakin and Boyd, "Enhancing sparsity by reweighted L1 minimization",
      arXiv:0711.1612. No gradient flows through ``u_j``.
    - ``u_j`` is also multiplied by the latent's firing rate over the mean rate, and a latent
      that fires on less than ``floor`` of the samples has its bias lifted until it does.

    The strength is given as a weight, or as a result: ``l0`` (mean number of active latents a
    sample) or ``mean_activation``, met by a controller of the weight; a small shift of all
    biases, moved by the same error, makes up for what the weight no longer can when the learning
    rate has fallen.
    """

    latent: int = 64
    """Number of latents (the width of the code)."""
    weight: float | None = None
    """What the sum of charged activations is multiplied by (0.001 where nothing is asked for)."""
    l0: float | None = None
    """Mean number of active latents a sample to reach (with "relu")."""
    mean_activation: float | None = None
    """Mean activation to reach."""
    unit: Literal["relu", "sigmoid"] = "relu"
    """"relu" (true zeros) or "sigmoid" (the course notes' code)."""
    reweight: float = 0.3
    """Share of a latent's magnitude below which activations are charged in full; 0 charges every
    activation alike (with "relu")."""
    floor: float = 0.02
    """Firing rate below which a latent's bias is lifted; 0 for none (with "relu")."""

    def __post_init__(self) -> None:
        positive(latent=self.latent)
        given = [v for v in (self.weight, self.l0, self.mean_activation) if v is not None]
        if len(given) > 1:
            raise ConfigError(
                "ask for one of weight, l0 and mean_activation",
                why="a result asked for sets the weight by itself",
            )
        if any(value < 0 for value in (*given, self.reweight, self.floor)):
            raise ConfigError("the settings of an L1 charge can't be negative")
        if self.l0 is not None and not 0 < self.l0 < self.latent:
            raise ConfigError(f"l0 must lie between 0 and {self.latent} latents, not {self.l0}")
        if self.mean_activation == 0:
            raise ConfigError("a mean activation of 0 leaves no code")
        if self.l0 is not None and self.unit == "sigmoid":
            raise ConfigError(
                "a sigmoid code has no zeros to count", fix="ask for mean_activation, or use relu"
            )

    def build(self) -> L1Waist:
        """Return the module."""
        return L1Waist(self)


class L1Waist(Waist):
    """See :class:`L1`."""

    use: Tensor
    lift: Tensor
    size: Tensor
    trim: Tensor

    def __init__(self, config: L1) -> None:
        super().__init__()
        self.config = config
        self.latent = self.encoded = config.latent
        self.threshold = 0.0 if self._relu else 0.1
        if self._relu:
            # a long memory: a skewed pre-activation's variance is noisy over one batch
            self.scale = Scale(config.latent, momentum=0.01)
            self.bias = nn.Parameter(torch.full((config.latent,), -1.0))
            self.register_buffer("use", torch.full((config.latent,), 0.16))
            self.register_buffer("lift", torch.zeros(config.latent))
            self.register_buffer("size", torch.ones(config.latent))
        self.register_buffer("trim", torch.zeros(()))
        target = config.l0 if config.l0 is not None else config.mean_activation
        self.controller = None if target is None else Controller(1e-4, target)
        self.controlled = target is not None

    @property
    def _relu(self) -> bool:
        return self.config.unit == "relu"

    def embed(self, h: Tensor) -> Tensor:
        """Return the activations (B, N)."""
        if not self._relu:
            return torch.sigmoid(h + self.trim)
        return torch.relu(self.scale(h) + self.bias + self.lift + self.trim)

    def forward(
        self,
        h: Tensor,
        *,
        generator: torch.Generator | None = None,
        inputs: Tensor | None = None,
    ) -> Code:
        """Return the code and its charge, (B,)."""
        a = self.embed(h)
        fires = a.detach() > self.threshold
        active, mean = self._measured(h)
        weight: Tensor | float = 1e-3 if self.config.weight is None else self.config.weight
        if self.controller is not None:
            weight = self.controller.weight.clone()
        charged = a * self._charge(a.detach()) if self._relu else a
        if self.training:
            if self._relu:
                self._follow(a.detach(), fires)
            if self.controller is not None:
                error = self.controller.step(mean if self.config.l0 is None else active)
                self.trim.sub_(0.005 * error)
        logs = {"l0": active, "mean_activation": mean, "weight": torch.as_tensor(weight)}
        return Code(a, None, weight * charged.sum(1), logs)

    @torch.no_grad()
    def _measured(self, h: Tensor) -> tuple[Tensor, Tensor]:
        """Return L0 and mean activation as they are outside training, on the settled scale."""
        a = torch.sigmoid(h + self.trim)
        if self._relu:
            a = torch.relu(self.scale.settled(h) + self.bias + self.lift + self.trim)
        return (a > self.threshold).sum(1).float().mean(), a.mean()

    def _charge(self, a: Tensor) -> Tensor:
        """Return u (B, N) for the current activations."""
        use = (self.use / self.use.mean().clamp_min(1e-6)).clamp_max(10)
        if not self.config.reweight:
            return use.expand_as(a)
        return use / (a + self.config.reweight * self.size + 1e-8)

    @torch.no_grad()
    def _follow(self, a: Tensor, fires: Tensor) -> None:
        """Let the running estimates follow one training batch, and lift what hardly fires."""
        count = fires.sum(0)
        size = (a.square().sum(0) / count.clamp_min(1)).sqrt()
        self.size.lerp_(torch.where(count > 0, size, self.size), 0.02)
        self.use.lerp_(fires.float().mean(0), 0.01)
        if self.config.floor:
            lack = (self.config.floor - self.use) / self.config.floor
            self.lift.add_(0.01 * lack.clamp_min(0))

    def describe(self) -> list[str]:
        """Say what is charged, or what result the controller holds."""
        if self.config.l0 is not None:
            return [f"the L1 weight is adjusted until {self.config.l0:g} latents are active"]
        if self.config.mean_activation is not None:
            wanted = self.config.mean_activation
            return [f"the L1 weight is adjusted until the mean activation is {wanted:g}"]
        weight = 1e-3 if self.config.weight is None else self.config.weight
        charged = "reweighted activations" if self._relu and self.config.reweight else "activations"
        return [f"penalty is {weight:g} times the sum of a sample's {charged}"]
