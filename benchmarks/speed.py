"""Speed of training, side by side in one run: Isthmus, the notes' loop, a bare loop, pythae.

    python benchmarks/speed.py                 # pythae too, where it is installed
    python benchmarks/speed.py --threads 1

All train the same networks on the same MNIST images (784-256-128-32 with ReLU, and 1-32-64 at
stride 2 to 32), batch 128, mean squared error, Adam at 1e-3. Samples a second of the training
steps alone; the candidates take turns, and the median over rounds and the median of the ratios
round by round are printed. Threads are bound to cores.

- ``bf16``: Isthmus with ``--precision bf16``.
- ``notes``: the course notes' loop: a Dataset that decodes and converts one image at a time, a
  DataLoader, default Adam.
- ``loader``: the same loop over a TensorDataset.
- ``bare``: nothing but the steps over tensors in memory, fused Adam.
- ``pythae``: its trainer.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset, TensorDataset

import isthmus as im
from isthmus.networks.base import Sizes
from isthmus.training import fit

BATCH = 128
NETWORKS = {"dense": im.MLP(hidden=(256, 128)), "conv": im.Conv()}
SHAPE = (1, 28, 28)


def halves(kind: str) -> tuple[nn.Module, nn.Module]:
    """Return a fresh encoder and decoder."""
    torch.manual_seed(0)
    encoder, decoder = NETWORKS[kind].build(Sizes(SHAPE, 32, 32, SHAPE))
    return encoder, decoder


class Images(Dataset):  # type: ignore[type-arg]
    """One image at a time, as torchvision's MNIST with ToTensor gives them."""

    def __init__(self, raw: np.ndarray) -> None:
        self.raw = raw

    def __len__(self) -> int:
        return len(self.raw)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        from PIL import Image

        image = Image.fromarray(self.raw[index, 0])
        return torch.from_numpy(np.array(image)).unsqueeze(0).float().div(255), 0


def loop(kind: str, batches: Any, fused: bool) -> None:
    """Take one step a batch."""
    encoder, decoder = halves(kind)
    parameters = [*encoder.parameters(), *decoder.parameters()]
    optimiser = torch.optim.Adam(parameters, lr=1e-3, fused=fused)
    for batch in batches:
        x = batch[0] if isinstance(batch, list | tuple) else batch
        loss = F.mse_loss(decoder(encoder(x)), x)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()


def timed(count: int, work: Callable[[], None]) -> float:
    start = time.perf_counter()
    work()
    return count / (time.perf_counter() - start)


def notes(kind: str, raw: np.ndarray) -> float:
    loader = DataLoader(Images(raw), BATCH, shuffle=True)
    return timed(len(raw), lambda: loop(kind, loader, fused=False))


def loader(kind: str, raw: np.ndarray) -> float:
    data = DataLoader(TensorDataset(torch.from_numpy(raw).float() / 255), BATCH, shuffle=True)
    return timed(len(raw), lambda: loop(kind, data, fused=False))


def bare(kind: str, raw: np.ndarray) -> float:
    x = torch.from_numpy(raw).float() / 255
    order = torch.randperm(len(x))
    return timed(len(raw), lambda: loop(kind, (x[i] for i in order.split(BATCH)), fused=True))


def isthmus(kind: str, raw: np.ndarray, precision: str = "float32") -> float:
    digits = im.Dataset.from_arrays(raw, name="mnist", kind="image", range=(0.0, 255.0))
    model = im.Autoencoder(SHAPE, NETWORKS[kind])
    model.preprocessing = im.Preprocessing.fit(digits["train"], "image", range=(0.0, 255.0))
    settings = im.Training(
        epochs=1, batch_size=BATCH, threads=torch.get_num_threads(), precision=precision
    )
    return fit(model, digits, settings).samples_per_second


def isthmus_bf16(kind: str, raw: np.ndarray) -> float:
    return isthmus(kind, raw, "bf16")


def pythae(kind: str, raw: np.ndarray) -> float:
    from pythae.models import AE, AEConfig
    from pythae.models.base.base_utils import ModelOutput
    from pythae.models.nn import BaseDecoder, BaseEncoder
    from pythae.trainers import BaseTrainer, BaseTrainerConfig
    from pythae.trainers.training_callbacks import TrainingCallback

    first, second = halves(kind)

    class Encoder(BaseEncoder):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.net = first

        def forward(self, x: Tensor) -> Any:
            return ModelOutput(embedding=self.net(x))

    class Decoder(BaseDecoder):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.net = second

        def forward(self, z: Tensor) -> Any:
            return ModelOutput(reconstruction=self.net(z))

    class Clock(TrainingCallback):  # type: ignore[misc]
        start = end = 0.0

        def on_train_step_begin(self, *args: Any, **kwargs: Any) -> None:
            self.start = self.start or time.perf_counter()

        def on_train_step_end(self, *args: Any, **kwargs: Any) -> None:
            self.end = time.perf_counter()

    from pythae.data.datasets import BaseDataset

    clock = Clock()
    data = BaseDataset(torch.from_numpy(raw).float() / 255, torch.zeros(len(raw)))
    model = AE(AEConfig(input_dim=SHAPE, latent_dim=32), Encoder(), Decoder())
    with tempfile.TemporaryDirectory() as folder:
        config = BaseTrainerConfig(
            output_dir=folder,
            num_epochs=1,
            per_device_train_batch_size=BATCH,
            learning_rate=1e-3,
            no_cuda=True,
        )
        quiet = io.StringIO()
        with contextlib.redirect_stdout(quiet), contextlib.redirect_stderr(quiet):
            BaseTrainer(model, data, training_config=config, callbacks=[clock]).train()
    return len(raw) / (clock.end - clock.start)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--images", type=int, default=12_800)
    args = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, set(sorted(os.sched_getaffinity(0))[: args.threads]))
    torch.set_num_threads(args.threads)
    raw = im.load("mnist")["train"].raw(slice(0, args.images))
    candidates = {
        "isthmus": isthmus,
        "bf16": isthmus_bf16,
        "notes": notes,
        "loader": loader,
        "bare": bare,
    }
    try:
        import pythae as _  # noqa: F401

        candidates["pythae"] = pythae
    except ImportError:
        print("pythae is not installed: pip install -r benchmarks/peers.lock")
    report: dict[str, Any] = {"threads": args.threads, "machine": platform.machine()}
    for kind in NETWORKS:
        speeds: dict[str, list[float]] = {name: [] for name in candidates}
        for round_ in range(args.rounds + 1):
            for name, candidate in candidates.items():
                speed = candidate(kind, raw)
                if round_:  # the first round warms up
                    speeds[name].append(speed)
        print(f"\n{kind}, {args.threads} threads: samples/s (median of {args.rounds}),")
        print("and Isthmus over it in float32 and in bf16 (median of the rounds' ratios)")
        for name, own in speeds.items():
            pairs = [
                statistics.median(a / b for a, b in zip(speeds[ours], own, strict=True))
                for ours in ("isthmus", "bf16")
            ]
            median = statistics.median(own)
            print(f"  {name:8} {median:10,.0f}   {pairs[0]:.2f} x   {pairs[1]:.2f} x")
            report[f"{kind} {name}"] = [round(median), *(round(pair, 2) for pair in pairs)]
    out = Path(__file__).resolve().parent / "results" / f"speed-{args.threads}.json"
    out.parent.mkdir(exist_ok=True)
    out.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
