"""The front end of sounds: speed, what is lost on the way back, and loading times.

    python benchmarks/audio_round_trip.py                    # 100 clips of fsdd
    python benchmarks/audio_round_trip.py --clips 300 --iterations 16 32 48 60

Clips of the spoken digits become log-mel pictures, sounds again (least squares from mel bands to
frequencies, then fast Griffin-Lim) and pictures once more. The mel error is the spectral
convergence |S - S'| / |S| of mel magnitudes; below 0.15 is good. Rows are added to
``benchmarks/results/audio_round_trip.jsonl``. Set ``ISTHMUS_DATA`` to a folder that holds
``fsdd/`` and ``mnist/``.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from isthmus.data.audio.inversion import round_trip
from isthmus.data.modalities.audio import AudioAdapter
from isthmus.data.modalities.augment import SoundChanger, augment_images
from isthmus.data.multimodal import open_multimodal
from isthmus.data.multimodal.spoken_digits import read_spoken_digits
from isthmus.data.named_sets import entry_called, folder_of

HERE = Path(__file__).resolve().parent


def timed(work: Callable[[], Any], times: int = 1) -> tuple[float, Any]:
    """Return CPU seconds of one call, the least of ``times``, and its result."""
    least, result = float("inf"), None
    for _ in range(times):
        start = time.process_time()
        result = work()
        least = min(least, time.process_time() - start)
    return least, result


def measured(clips: int, iterations: list[int]) -> dict[str, Any]:
    """Measure everything once."""
    folder = folder_of(entry_called("fsdd"))
    reading, digits = timed(lambda: read_spoken_digits(folder))
    adapter = AudioAdapter()
    front, power = timed(lambda: adapter.front.log_power(digits.clips), 3)
    loading, data = timed(lambda: open_multimodal("digit-trio"))
    chosen = np.random.default_rng(0).permutation(len(digits.clips))[:clips]
    some = [digits.clips[i] for i in chosen]
    trips = {}
    for count in iterations:
        seconds, report = timed(lambda n=count: round_trip(adapter.front, some, iterations=n))
        trips[count] = {
            "mel_error": report.mel_error,
            "worst": report.worst,
            "log_error": report.log_error,
            "ms_per_clip": 1000 * seconds / clips,
        }
    changer = SoundChanger(data["audio"].adapter)
    generator = torch.Generator().manual_seed(0)
    sounds, images = data["audio"].items[:128], data["image"].items[:128]
    sound_ms = 1000 * timed(lambda: changer(sounds, generator), 30)[0]
    image_ms = 1000 * timed(lambda: augment_images(images, generator), 30)[0]
    return {
        "clips": clips,
        "threads": torch.get_num_threads(),
        "machine": platform.processor() or platform.machine(),
        "reading_3000_wav_s": reading,
        "front_end_clips_per_s": len(power) / front,
        "loading_digit_trio_s": loading,
        "augment_128_sounds_ms": sound_ms,
        "augment_128_images_ms": image_ms,
        "round_trip": trips,
    }


def main() -> None:
    """Measure, print and keep."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--clips", type=int, default=100)
    parser.add_argument("--iterations", type=int, nargs="+", default=[0, 16, 32, 48, 60])
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    row = measured(arguments.clips, arguments.iterations)
    print(json.dumps(row, indent=2))
    path = HERE / "results" / "audio_round_trip.jsonl"
    with path.open("a", encoding="utf-8") as handle:
        handle.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main()
