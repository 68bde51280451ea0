"""The libraries that train TopK dictionaries, behind one face, driven as each drives itself.

A ``Peer`` takes whole training steps: forward, loss, backward, what the library does to gradients,
optimiser, schedule, dead clocks. The work is each library's own code, called and not copied:

- ``saelens``: ``SAETrainer.step`` on a ``TopKTrainingSAE``, and what ``fit`` does around it.
- ``dictionary_learning``: ``TopKTrainer.update``.
- ``sparsify``: its ``Trainer`` cannot be handed vectors, so the operations of one round of
  ``Trainer.fit`` are done here in the same order with its ``SparseCoder``. With Adam;
  ``sparsify-signum`` is what ``TrainConfig`` has by default (schedule-free sign descent).
- ``overcomplete``: ``train_sae``, one batch a call, without its monitoring.
- ``csr``: sentence-transformers' ``SparseAutoEncoder`` under its ``CSRReconstructionLoss``, without
  the contrastive term (that needs pairs of texts); optimiser, clipping and schedule are what the
  ``Trainer`` of transformers 5 does with its default arguments.
- ``naive``: plain PyTorch: dense encode, ``torch.topk``, scatter, dense decode, default Adam.

Settings are each library's defaults unless the task says otherwise. Logging and progress bars are
off. How to install them: ``peers-dictionary.lock``.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import os
import sys
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from dictionary_face import Peer, Task, Weights, copies
from dictionary_naive import naive
from dictionary_ours import fast, ours


def without_init(package: str) -> None:
    """Let a package's modules be imported without its ``__init__``.

    That of dictionary_learning asks for nnsight, that of overcomplete for torchvision, timm and
    OpenCV; nothing of the kind is needed to train on vectors.
    """
    if package not in sys.modules:
        spec = importlib.util.find_spec(package)
        if spec is None:
            raise ImportError(package)
        sys.modules[package] = importlib.util.module_from_spec(spec)


class _SAELens(Peer):
    def __init__(self, task: Task, data: Tensor) -> None:
        from sae_lens import TopKSAE, TopKSAEConfig, TopKTrainingSAE, TopKTrainingSAEConfig
        from sae_lens.config import SAETrainerConfig
        from sae_lens.training.sae_trainer import SAETrainer

        self.task = task
        torch.manual_seed(task.seed)
        self.sae = TopKTrainingSAE(
            TopKTrainingSAEConfig(d_in=task.dim, d_sae=task.latents, k=task.k)
        )
        lr = task.lr or 3e-4
        never = {} if task.aux in (None, True) else {"dead_feature_window": 10**9}
        self.trainer = SAETrainer(
            SAETrainerConfig(
                total_training_samples=task.steps * task.batch,
                train_batch_size_samples=task.batch,
                lr=lr,
                lr_end=lr / 10,
                lr_warm_up_steps=task.warmup or 0,
                lr_decay_steps=task.decay_steps,
                **never,
            ),
            self.sae,
            data_provider=iter(()),
        )
        self.encoder, self.bias = self.sae.W_enc.data.T, self.sae.b_enc
        plain = TopKSAEConfig(d_in=task.dim, d_sae=task.latents, k=task.k)
        self.reader = TopKSAE(plain)
        self.stale = True

    def step(self, x_BD: Tensor) -> None:
        self.trainer.maybe_reset_sparsity()
        self.trainer.step(x_BD)
        self.trainer.n_training_steps += 1
        self.stale = True

    def weights(self) -> Weights:
        # A trained model is saved with the decoder's norms folded in; this is that folding.
        sae, norm = self.sae, self.unit()
        folded = (sae.W_enc * norm).T, sae.b_enc * norm, sae.W_dec / norm[:, None], sae.b_dec
        return copies(*folded)

    def unit(self) -> Tensor:
        return self.sae.W_dec.detach().norm(dim=-1)

    @torch.no_grad()
    def encode(self, x_BD: Tensor) -> Tensor:
        if self.stale:
            encoder, bias, decoder, pre_bias = self.weights()
            state = {"W_enc": encoder.T.contiguous(), "b_enc": bias}
            self.reader.load_state_dict(state | {"W_dec": decoder, "b_dec": pre_bias})
            self.stale = False
        return self.reader.encode(x_BD)

    def run_out(self, count: int) -> None:
        window = self.trainer.cfg.dead_feature_window
        self.trainer.n_forward_passes_since_fired[:count] = window + 1


class _DictionaryLearning(Peer):
    def __init__(self, task: Task, data: Tensor) -> None:
        without_init("dictionary_learning")
        from dictionary_learning.trainers.top_k import TopKTrainer

        self.task = task
        self.trainer = TopKTrainer(
            steps=task.steps,
            activation_dim=task.dim,
            dict_size=task.latents,
            k=task.k,
            layer=0,
            lm_name="",
            lr=task.lr,
            # Its default of 1,000 is refused where that is the whole training.
            warmup_steps=min(1000, task.steps // 2) if task.warmup is None else task.warmup,
            decay_start=task.steps - task.decay_steps if task.decay else None,
            auxk_alpha=0.0 if task.aux is False else 1 / 32,
            seed=task.seed,
            device="cpu",
        )
        self.encoder = self.trainer.ae.encoder.weight.data
        self.bias = self.trainer.ae.encoder.bias
        self.at = 0

    def step(self, x_BD: Tensor) -> None:
        self.trainer.update(self.at, x_BD)
        self.at += 1

    def weights(self) -> Weights:
        ae = self.trainer.ae
        return copies(ae.encoder.weight, ae.encoder.bias, ae.decoder.weight.T, ae.b_dec)

    @torch.no_grad()
    def encode(self, x_BD: Tensor) -> Tensor:
        return self.trainer.ae.encode(x_BD)

    def run_out(self, count: int) -> None:
        self.trainer.num_tokens_since_fired[:count] = self.trainer.dead_feature_threshold


class _Sparsify(Peer):
    def __init__(self, task: Task, data: Tensor) -> None:
        os.environ.setdefault("SPARSIFY_DISABLE_TRITON", "1")  # it would be tried on the CPU
        with contextlib.redirect_stdout(io.StringIO()):
            from sparsify.config import SparseCoderConfig, TrainConfig
            from sparsify.sparse_coder import SparseCoder

        self.task = task
        torch.manual_seed(task.seed)
        coder = SparseCoderConfig(num_latents=task.latents, k=task.k)
        self.config = TrainConfig(coder, auxk_alpha=1 / 32 if task.aux else 0.0)
        self.sae = SparseCoder(task.dim, coder, dtype=torch.float32)
        self.encoder, self.bias = self.sae.encoder.weight.data, self.sae.encoder.bias
        self.silent = torch.zeros(task.latents, dtype=torch.long)
        self.at = 0
        self.schedule: Any = None
        self.optimise()

    def optimise(self) -> None:
        from transformers import get_linear_schedule_with_warmup

        task = self.task
        lr = task.lr or 2e-4 / (task.latents / 2**14) ** 0.5
        warmup = self.config.lr_warmup_steps if task.warmup is None else task.warmup
        self.optimiser: Any = torch.optim.Adam(self.sae.parameters(), lr=lr)
        self.schedule = get_linear_schedule_with_warmup(self.optimiser, warmup, task.steps)

    def step(self, x_BD: Tensor) -> None:
        if self.at == 0:
            self.sae.b_dec.data = x_BD.mean(0)
        self.at += 1
        self.sae.set_decoder_norm_to_unit_norm()
        alpha = self.config.auxk_alpha
        dead = self.silent > self.config.dead_feature_threshold if alpha > 0 else None
        variance = (x_BD - x_BD.mean(0)).pow(2).sum()
        out = self.sae(x=x_BD, y=x_BD, dead_mask=dead, total_variance=variance)
        fired = torch.zeros_like(self.silent, dtype=torch.bool)
        fired[out.latent_indices.flatten()] = True
        (out.fvu + alpha * out.auxk_loss + out.multi_topk_fvu / 8).backward()
        self.sae.remove_gradient_parallel_to_decoder_directions()
        self.optimiser.step()
        self.optimiser.zero_grad()
        if self.schedule is not None:
            self.schedule.step()
        self.silent += len(x_BD)
        self.silent[fired] = 0

    def weights(self) -> Weights:
        sae = self.sae
        return copies(sae.encoder.weight, sae.encoder.bias, sae.W_dec, sae.b_dec)

    @torch.no_grad()
    def encode(self, x_BD: Tensor) -> tuple[Tensor, Tensor]:
        out = self.sae.encode(x_BD)
        return out.top_indices, out.top_acts

    def run_out(self, count: int) -> None:
        self.silent[:count] = self.config.dead_feature_threshold + 1


class _SparsifySignum(_Sparsify):
    def optimise(self) -> None:
        from schedulefree import ScheduleFreeWrapper
        from sparsify.sign_sgd import SignSGD

        lr = self.task.lr or 5e-3 / (self.task.latents / 2**14) ** 0.5
        inner = SignSGD(self.sae.parameters(), lr=lr)
        self.optimiser = ScheduleFreeWrapper(inner, momentum=0.95)
        self.optimiser.train()

    def weights(self) -> Weights:
        self.optimiser.eval()  # the averaged weights, which are what it saves
        found = super().weights()
        self.optimiser.train()
        return found

    def encode(self, x_BD: Tensor) -> tuple[Tensor, Tensor]:
        self.optimiser.eval()
        found = super().encode(x_BD)
        self.optimiser.train()
        return found


class _Overcomplete(Peer):
    def __init__(self, task: Task, data: Tensor) -> None:
        without_init("overcomplete")
        from overcomplete.sae.losses import top_k_auxiliary_loss
        from overcomplete.sae.optimizer import CosineScheduler
        from overcomplete.sae.topk_sae import TopKSAE
        from overcomplete.sae.train import train_sae

        self.task = task
        torch.manual_seed(task.seed)
        self.sae = TopKSAE(task.dim, nb_concepts=task.latents, top_k=task.k)
        linear = self.sae.encoder.final_block[0]
        self.encoder, self.bias = linear.weight.data, linear.bias
        lr = task.lr or 5e-4  # optimiser, rate and the plain criterion are those of its README
        optimiser = torch.optim.Adam(self.sae.parameters(), lr=lr)
        schedule = None
        if task.warmup is not None or task.decay:
            schedule = CosineScheduler(optimiser, lr, 0.0, task.steps, task.warmup or 0)
        criterion = top_k_auxiliary_loss if task.aux else lambda x, y, *_: (x - y).square().mean()
        self.train: Callable[[list[Tensor]], Any] = lambda batches: train_sae(
            self.sae, batches, criterion, optimiser, schedule, nb_epochs=1, monitoring=0
        )

    def step(self, x_BD: Tensor) -> None:
        self.train([x_BD])

    def weights(self) -> Weights:
        encoder = self.sae.encoder.final_block[0]
        zero = torch.zeros(self.task.dim)
        return copies(encoder.weight, encoder.bias, self.sae.get_dictionary(), zero)

    @torch.no_grad()
    def encode(self, x_BD: Tensor) -> Tensor:
        return self.sae.encode(x_BD)[1]

    def run_out(self, count: int) -> None:
        pass  # its auxiliary loss takes what was not chosen, dead or not


class _CSR(Peer):
    def __init__(self, task: Task, data: Tensor) -> None:
        from sentence_transformers.sparse_encoder.losses import CSRReconstructionLoss
        from sentence_transformers.sparse_encoder.modules import SparseAutoEncoder
        from transformers import get_linear_schedule_with_warmup

        self.task = task
        torch.manual_seed(task.seed)
        k_aux = 0 if task.aux is False else 512
        self.sae = SparseAutoEncoder(task.dim, task.latents, task.k, k_aux=k_aux)
        self.encoder, self.bias = self.sae.encoder.weight.data, self.sae.latent_bias
        self.loss = CSRReconstructionLoss(self.sae, beta=0.1)  # CSRLoss' default
        self.optimiser = torch.optim.AdamW(
            self.sae.parameters(), lr=task.lr or 5e-5, weight_decay=0.0, fused=True
        )
        self.schedule = get_linear_schedule_with_warmup(
            self.optimiser, task.warmup or 0, task.steps
        )

    def step(self, x_BD: Tensor) -> None:
        out = self.sae({"sentence_embedding": x_BD})
        sum(self.loss.compute_loss_from_embeddings([out]).values()).backward()
        nn.utils.clip_grad_norm_(self.sae.parameters(), 1.0)
        self.optimiser.step()
        self.schedule.step()
        self.optimiser.zero_grad()

    def weights(self) -> Weights:
        sae, tied = self.sae, self.sae.encoder.weight
        return copies(tied, sae.latent_bias, tied, sae.pre_bias)

    @torch.inference_mode()
    def encode(self, x_BD: Tensor) -> Tensor:
        return self.sae({"sentence_embedding": x_BD})["sentence_embedding"]

    def run_out(self, count: int) -> None:
        self.sae.stats_last_nonzero[:count] = self.sae.dead_threshold + 1


Maker = Callable[[Task, Tensor], Peer]

# name: the package that it needs, and what makes it.
PEERS: dict[str, tuple[str, Maker]] = {
    "isthmus": ("isthmus.training.dictionary", ours),
    "isthmus-fast": ("isthmus.training.dictionary", fast),
    "saelens": ("sae_lens", _SAELens),
    "dictionary_learning": ("dictionary_learning", _DictionaryLearning),
    "sparsify": ("sparsify", _Sparsify),
    "sparsify-signum": ("sparsify", _SparsifySignum),
    "overcomplete": ("overcomplete", _Overcomplete),
    "csr": ("sentence_transformers", _CSR),
    "naive": ("torch", naive),
}


def installed(names: list[str], quiet: bool = False) -> dict[str, Maker]:
    """Return the makers of the named peers that can be made here; say which can't."""
    found = {}
    for name in names:
        package, maker = PEERS[name]
        if importlib.util.find_spec(package) is not None:
            found[name] = maker
        elif not quiet:
            print(f"{name}: {package} is not installed, see benchmarks/peers-dictionary.lock")
    return found
