"""PyTorch's own files: read only when asked for, and nothing in them is run or unpacked blindly."""

import contextlib
import io
import json
import os
import struct
import tempfile
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from foreign_cases import BY_NAME
from foreign_toys import (
    D,
    K,
    N,
    dictionary_learning_tensors,
    refused,
    tied_tensors,
    write_dictionary_learning,
    write_pt,
)
from isthmus.errors import IsthmusError
from isthmus.models import foreign


@pytest.fixture
def pickled(tmp_path):
    """A folder of dictionary_learning's that is in order."""
    folder = tmp_path / "ae"
    write_dictionary_learning(folder, dictionary_learning_tensors("AutoEncoder"), "AutoEncoder")
    assert foreign.read(folder, allow_pt=True).latents == N
    return folder


def test_a_pickle_is_read_only_when_asked_for(pickled, monkeypatch):
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("the pickle was opened"))
    error = refused(pickled, "not read unless asked for")
    assert "trust" in error.why
    assert "allow_pt=True" in error.fix
    assert foreign.detect(pickled).name == "dictionary_learning"


def test_a_pickle_that_would_run_a_program_does_not(pickled, tmp_path):
    class Evil:
        def __reduce__(self):
            return os.system, (f"touch {tmp_path / 'harm'}",)

    torch.save({"encoder.weight": Evil()}, pickled / "ae.pt")
    refused(pickled, "no PyTorch file of plain weights", allow_pt=True)
    assert not (tmp_path / "harm").exists()


def rewritten(path, change, compression=zipfile.ZIP_STORED):
    """Write the archive again, each entry through ``change(name, bytes)``."""
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in entries.items():
            archive.writestr(name, change(name, content))


def test_a_bomb_is_not_unpacked(pickled, monkeypatch):
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("it was unpacked"))

    def grown(name, content):
        return bytes(1 << 24) if name.endswith("data/0") else content

    rewritten(pickled / "ae.pt", grown, zipfile.ZIP_DEFLATED)
    assert (pickled / "ae.pt").stat().st_size < 1 << 20
    assert "compressed" in refused(pickled, "plain weights", allow_pt=True).why


def test_entries_that_share_their_bytes_are_refused(pickled, monkeypatch):
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("it was unpacked"))
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("a", bytes(1 << 16))
        archive.filelist += [archive.filelist[0]] * 100
    (pickled / "ae.pt").write_bytes(out.getvalue())
    assert "announces" in refused(pickled, "plain weights", allow_pt=True).why


def test_an_archive_of_countless_entries_is_refused(pickled):
    with zipfile.ZipFile(pickled / "ae.pt", "w") as archive:
        for number in range(10_001):
            archive.writestr(str(number), b"")
    assert "10,001 entries" in refused(pickled, "plain weights", allow_pt=True).why


def test_a_storage_that_claims_more_than_the_file_has_is_refused(pickled):
    def claimed(name, content):
        if not name.endswith("data.pkl"):
            return content
        count = bytes([ord("K"), D, ord("t")])
        assert count in content
        return content.replace(count, b"J" + struct.pack("<i", 1 << 28) + b"t")

    rewritten(pickled / "ae.pt", claimed)
    refused(pickled, "plain weights", allow_pt=True)


@pytest.mark.parametrize(
    "content",
    [
        lambda t: t | {"bias": torch.zeros(1).expand(1 << 40)},
        lambda t: t | {"bias": torch.zeros(D).to_sparse()},
        lambda t: t | {"bias": torch.zeros(D, dtype=torch.complex64)},
        lambda t: t | {"bias": torch.zeros(D, dtype=torch.bool)},
        lambda t: t | {"bias": torch.full((D,), float("nan"))},
        lambda t: t | {"bias": torch.zeros(D + 1)},
        lambda t: t | {"more": torch.zeros(1)},
        lambda t: list(t.values()),
        lambda t: t | {1: t["bias"], "more": t["bias"]},
        lambda t: t["bias"],
        lambda t: {},
        lambda t: t | {"bias": torch.quantize_per_tensor(torch.zeros(D), 1.0, 0, torch.qint8)},
        lambda t: t | {"bias": torch.zeros(D, device="meta")},
    ],
    ids=range(13),
)
def test_what_is_no_plain_weights_is_refused(content, pickled):
    tensors = dictionary_learning_tensors("AutoEncoder")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # quantisation is on its way out of torch
        held = content({name: torch.from_numpy(value) for name, value in tensors.items()})
        torch.save(held, pickled / "ae.pt")
        refused(pickled, "weights|plain|understood", allow_pt=True)


def test_old_and_broken_archives_are_refused(pickled):
    file = pickled / "ae.pt"
    whole = file.read_bytes()
    for part in (b"", whole[:100], whole[: len(whole) // 2], whole[:-10], b"PK\x03\x04" * 9):
        file.write_bytes(part)
        assert "PyTorch 1.6" in refused(pickled, "damaged", allow_pt=True).why
    torch.save({"a": torch.zeros(3)}, file, _use_new_zipfile_serialization=False)
    refused(pickled, "damaged", allow_pt=True)


def test_a_flipped_bit_in_a_pickle_is_found(pickled):
    file = pickled / "ae.pt"
    content = bytearray(file.read_bytes())
    with zipfile.ZipFile(file) as archive:
        (entry,) = (item for item in archive.infolist() if item.filename.endswith("data/0"))
    content[entry.header_offset + 150] ^= 4
    file.write_bytes(bytes(content))
    assert "checksum of 'ae/data/0'" in refused(pickled, "damaged", allow_pt=True).why


def test_the_limit_holds_for_pickles_too(pickled):
    refused(pickled, "limit is 999 bytes", allow_pt=True, limit=999)
    size = (pickled / "ae.pt").stat().st_size
    half = torch.zeros(D, N).half()  # half as large on the disk as in memory
    tensors = dictionary_learning_tensors("AutoEncoder")
    held = {name: torch.from_numpy(value) for name, value in tensors.items()}
    torch.save(held | {"spare": half.repeat(100, 1)}, pickled / "ae.pt")
    limit = (pickled / "ae.pt").stat().st_size
    assert limit > size
    refused(pickled, "in memory", allow_pt=True, limit=limit)


@pytest.mark.parametrize(
    ("kind", "trainer", "word"),
    [
        ("Other", {}, "'Other'"),
        ("AutoEncoder", {"activation_dim": 9}, "activation_dim"),
        ("AutoEncoder", {"dict_size": 9}, "dict_size"),
        ("AutoEncoder", {"dict_class": None}, "'dict_class' must be a text"),
        ("GatedAutoEncoder", {}, "not understood"),
    ],
)
def test_a_pickle_that_does_not_fit_its_configuration(pickled, kind, trainer, word):
    config = {"trainer": {"dict_class": kind} | trainer}
    (pickled / "config.json").write_text(json.dumps(config))
    refused(pickled, word, allow_pt=True)


def test_two_numbers_of_latents_are_refused(tmp_path):
    tensors = dictionary_learning_tensors("AutoEncoderTopK")
    write_dictionary_learning(tmp_path, tensors, "AutoEncoderTopK", k=K + 1)
    refused(tmp_path, "k", allow_pt=True)


def test_a_pickle_without_configuration_says_what_is_missing(pickled):
    (pickled / "config.json").unlink()
    assert "config.json" in refused(pickled, "without a configuration", allow_pt=True).fix
    assert (
        "config.json" in refused(pickled / "ae.pt", "no latent_bias|latent_bias", allow_pt=True).why
    )


@pytest.mark.parametrize(
    "extras",
    [
        {"activation": "TopK"},
        {"activation": "TopK", "activation_state_dict": {"k": True}},
        {"activation": "TopK", "activation_state_dict": {"k": 3, "postact_fn": "Identity"}},
        {"activation": "TopK", "activation_state_dict": [3]},
        {"activation": "Tanh"},
    ],
)
def test_openai_activations_that_are_unknown_are_refused(extras, tmp_path):
    tensors = {name: torch.from_numpy(value) for name, value in tied_tensors().items()}
    torch.save(tensors | extras, tmp_path / "a.pt")
    refused(tmp_path / "a.pt", "activation", allow_pt=True)


@settings(deadline=None, max_examples=150)
@given(
    st.sampled_from(["dictionary_learning-BatchTopKSAE", "openai-topk"]),
    st.integers(0, 2000),
    st.integers(0, 255),
    st.integers(1, 3),
    st.booleans(),
)
@example("openai-topk", 1474, 1, 2, True)  # ends in an error that says nothing
def test_changed_bytes_of_a_pickle_do_too(name, position, value, length, sealed):
    with tempfile.TemporaryDirectory() as place, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a changed pickle may ask for what torch deprecates
        folder, case = Path(place), BY_NAME[name]
        case.write(folder)
        file = next(folder.glob("*.pt"))

        def changed(entry, content):
            if not entry.endswith("data.pkl"):
                return content
            at = position % len(content)
            return content[:at] + bytes([value]) * length + content[at + length :]

        if sealed:  # the checksums are right: PyTorch's own reader has to refuse
            rewritten(file, changed)
        else:
            file.write_bytes(changed("data.pkl", file.read_bytes()))
        with contextlib.suppress(IsthmusError):
            model = foreign.read(folder / case.file, allow_pt=True)
            assert np.isfinite(model.encoder_ND).all()


def test_write_pt_is_what_torch_writes(tmp_path):
    write_pt(tmp_path / "a.pt", {"k": np.int32(3)})
    assert torch.load(tmp_path / "a.pt", weights_only=True)["k"].item() == 3
