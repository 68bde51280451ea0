"""Small data sets of several modalities, and folders that look like the real ones."""

import gzip
import io
import struct
import tarfile

import numpy as np
import torch

from isthmus.data.modalities import TextAdapter, VectorAdapter
from isthmus.data.multimodal import ModalityData, MultimodalData
from sound_tools import wav

WORDS = ("red", "green", "blue")


def toy(sizes=(60, 30), seed=0, *, rule="class", text=False):
    """Vectors of two kinds in three classes, split 4:1:1, with pairs by class."""
    from isthmus.data.multimodal.drawing import fixed_class_pairs

    generator = np.random.default_rng(seed)
    modalities = {}
    for name, size in zip("ab", sizes, strict=True):
        labels = np.arange(size) % 3
        split = np.array([0, 0, 0, 0, 1, 2], np.uint8)[(np.arange(size) // 3) % 6]
        raw = generator.normal(size=(size, 4)) + labels[:, None]
        adapter = VectorAdapter(name, 4).fit(raw[split == 0])
        modalities[name] = ModalityData(adapter, adapter.transform(raw), labels, split)
    if text:
        adapter = TextAdapter("word", 5)
        modalities["word"] = ModalityData(
            adapter,
            adapter.transform(WORDS * 3),
            np.tile(np.arange(3), 3),
            np.repeat(np.arange(3), 3).astype(np.uint8),
            names=WORDS * 3,
        )
    pairs = {
        part: fixed_class_pairs([(m.rows(part), m.labels) for m in modalities.values()], rows, i)
        for i, (part, rows) in enumerate({"train": 48, "validation": 9, "test": 12}.items())
    }
    return MultimodalData("toy", "made up", modalities, pairs, rule, WORDS, epoch_rows=48)


def idx(path, array):
    head = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
    path.write_bytes(gzip.compress(head + array.astype(np.uint8).tobytes()))


def digit_home(folder, speakers=("lucas", "theo"), takes=12, images=(240, 60)):
    """A folder laid out as the real data, with made-up digits."""
    generator = np.random.default_rng(0)
    (folder / "mnist").mkdir(parents=True)
    for part, n in zip(("train", "t10k"), images, strict=True):
        idx(
            folder / "mnist" / f"{part}-images-idx3-ubyte.gz",
            generator.integers(0, 256, (n, 28, 28)),
        )
        idx(folder / "mnist" / f"{part}-labels-idx1-ubyte.gz", np.arange(n) % 10)
    (folder / "fsdd").mkdir()
    with tarfile.open(folder / "fsdd" / "recordings.tar", "w") as tar:
        for digit in range(10):
            for s, speaker in enumerate(speakers):
                for take in range(takes):
                    tone = np.sin(np.arange(900 + 20 * take) * 0.1 * (digit + 1)) * (0.2 + s)
                    body = wav(
                        (tone * 8000 + generator.normal(size=len(tone)) * 60)
                        .astype("<i2")
                        .tobytes()
                    )
                    info = tarfile.TarInfo(f"recordings/{digit}_{speaker}_{take}.wav")
                    info.size = len(body)
                    tar.addfile(info, io.BytesIO(body))
    return folder


def same(one, other):
    """Whether two data sets hold the same items and tables."""
    return one.digest == other.digest and all(
        torch.equal(one[name].items, other[name].items) for name in one.names
    )
