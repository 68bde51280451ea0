"""NumPy files and safetensors: mapped, checked before anything is mapped or unpacked."""

import io
import json
import pickle
import struct
import zipfile

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file
from safetensors.torch import save_file as save_torch

from isthmus.data import load
from isthmus.data.keys import chosen_keys
from isthmus.data.read_npy import map_npy
from isthmus.errors import DataError

RNG = np.random.default_rng(0)
WHOLE = {"validation": 0, "test": 0}


def npy_bytes(header, data=b"", version=(1, 0)):
    """A .npy file with any header."""
    text = header.encode() if isinstance(header, str) else repr(header).encode()
    length = struct.pack("<H" if version[0] == 1 else "<I", len(text))
    return b"\x93NUMPY" + bytes(version) + length + text + data


def header(shape, descr="<f4", fortran=False):
    return {"descr": descr, "fortran_order": fortran, "shape": shape}


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["u1", "<f4", ">f8", "f2", "?"])
def test_npy_is_mapped_in_any_order_and_type(tmp_path, order, dtype):
    values = np.array(RNG.integers(0, 2, (20, 3)), dtype, order=order)
    np.save(tmp_path / "x.npy", values)
    data = load(tmp_path / "x.npy", **WHOLE)
    assert isinstance(data["train"].values, np.memmap)
    assert np.array_equal(data["train"].all().numpy(), values.astype(np.float32))


def test_npy_images_with_channels_last_stay_mapped(tmp_path):
    values = RNG.integers(0, 256, (20, 8, 9, 3), dtype=np.uint8)
    np.save(tmp_path / "x.npy", values)
    data = load(tmp_path / "x.npy", **WHOLE)
    assert data.shape == (3, 8, 9)
    assert isinstance(data["train"].values, np.memmap)
    picked = data["train"].batch(np.array([7, 2])).numpy()
    assert np.array_equal(picked, values[[7, 2]].transpose(0, 3, 1, 2))


@pytest.mark.parametrize("ending", ["_labels", "-labels", ".labels"])
def test_npy_labels_lie_beside(tmp_path, ending):
    np.save(tmp_path / "x.npy", RNG.random((10, 2)))
    np.save(tmp_path / f"x{ending}.npy", np.arange(10))
    data = load(tmp_path / "x.npy", **WHOLE)
    assert data["train"].label_array().tolist() == list(range(10))
    assert f"Labels from x{ending}.npy." in data.notes


def test_a_header_that_claims_terabytes_is_refused_before_mapping(tmp_path, monkeypatch):
    path = tmp_path / "x.npy"
    path.write_bytes(npy_bytes(header((2**40, 768)), bytes(1000)))
    monkeypatch.setattr(np, "memmap", lambda *a, **k: pytest.fail("it was mapped"))
    with pytest.raises(DataError, match=r"shorter than the header says[\s\S]*TiB"):
        load(path)


def test_sizes_beyond_64_bits_do_not_wrap_around(tmp_path):
    path = tmp_path / "x.npy"
    path.write_bytes(npy_bytes(header((2**32, 2**32)), b""))  # 0 modulo 2**64
    with pytest.raises(DataError, match="shorter than the header says"):
        load(path)


class Boom:
    """Something that would run code when unpickled."""

    def __reduce__(self):
        return (pytest.fail, ("pickle was executed",))


def test_object_arrays_are_refused_and_never_unpickled(tmp_path):
    path = tmp_path / "x.npy"
    path.write_bytes(npy_bytes(header((3, 1), "|O"), pickle.dumps([Boom()] * 3)))
    with pytest.raises(DataError, match=r"pickle runs code"):
        load(path)
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr("x.npy", path.read_bytes())
    with pytest.raises(DataError, match=r"pickle runs code"):
        load(tmp_path / "x.npz")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "header is damaged"),
        (b"\x93NUMPY", "header is damaged"),
        (b"not numpy at all, but long enough", "header is damaged"),
        (npy_bytes("{'descr': '<f4'", b""), "header is damaged"),
        (npy_bytes("__import__('os')", b""), "header is damaged"),
        (npy_bytes(header((-1, 3))), "header is damaged"),
        (npy_bytes(header(("a", 3))), "header is damaged"),
        (npy_bytes(header((2, 3)), bytes(24), (3, 0)), "holds records"),
        (npy_bytes(header((2, 3)), bytes(24), (9, 0)), "holds records|header is damaged"),
        (npy_bytes(header((2, 3), "<q9")), "header is damaged"),
        (npy_bytes("(" * 5000), "header is damaged"),
        (npy_bytes(" " * 200_000, b"", (2, 0)), "header is damaged"),
        (npy_bytes(header((0, 3))), "no samples"),
        (npy_bytes(header((2, 3)), bytes(23)), "shorter than the header says"),
        (npy_bytes(header((2, 3)), bytes(25)), "longer than the header says"),
        (npy_bytes(header((2, 3), "<U3"), bytes(72)), "it holds text"),
        (npy_bytes(header((2, 3), "<M8[s]"), bytes(48)), "it holds dates"),
        (npy_bytes(header(())), "shorter than|can't be read as samples"),
    ],
)
def test_broken_npy_files(tmp_path, content, message):
    path = tmp_path / "x.npy"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        load(path)
    assert "x.npy" in str(caught.value)


@pytest.mark.filterwarnings("ignore::SyntaxWarning")
@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_no_damaged_npy_header_gets_past_or_crashes(tmp_path, data):
    buffer = io.BytesIO()
    np.save(buffer, np.arange(6, dtype=np.float32).reshape(3, 2))
    content = bytearray(buffer.getvalue())
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, 79))] = data.draw(st.integers(0, 255))
    path = tmp_path / "f.npy"
    path.write_bytes(bytes(content))
    try:
        mapped = map_npy(path)
    except DataError:
        return
    assert mapped.nbytes <= len(content)


def test_nan_in_a_mapped_file_names_file_row_and_column(tmp_path):
    values = RNG.random((100, 4)).astype("f4")
    values[77, 3] = np.nan
    np.save(tmp_path / "codes.npy", values)
    with pytest.raises(DataError, match=r"codes\.npy, row 77, column 3 is the first: NaN"):
        load(tmp_path / "codes.npy")


def test_mapped_files_are_exempt_from_the_memory_limit(tmp_path):
    np.save(tmp_path / "x.npy", RNG.random((100, 50)))
    assert len(load(tmp_path / "x.npy", limit=1000, **WHOLE)["train"]) == 100


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_npz_with_keras_names(tmp_path, save):
    x = RNG.integers(0, 256, (40, 8, 8), dtype=np.uint8)
    save(
        tmp_path / "set.npz",
        x_train=x,
        y_train=np.arange(40),
        x_test=x[:10] + 1,
        y_test=np.arange(10),
    )
    data = load(tmp_path / "set.npz")
    assert [len(data[split]) for split in data] == [38, 2, 10]
    assert np.array_equal(data["test"].all().numpy()[:, 0], (x[:10] + 1).astype("f4"))
    assert data["test"].label_array().tolist() == list(range(10))
    assert isinstance(data["train"].values, np.memmap) is (save is np.savez)


def test_npz_in_fortran_order_compressed(tmp_path):
    values = np.asfortranarray(RNG.random((30, 4)))
    np.savez_compressed(tmp_path / "set.npz", values)
    data = load(tmp_path / "set.npz", **WHOLE)
    assert np.array_equal(data["train"].all().numpy(), values.astype("f4"))


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ({"x": 2, "y": 1}, {"whole": ("x", "y")}),
        ({"data": 2, "target": 1}, {"whole": ("data", "target")}),
        ({"arr_0": 2}, {"whole": ("arr_0", None)}),
        ({"arr_0": 2, "labels": 1}, {"whole": ("arr_0", "labels")}),
        ({"X_train": 2, "X_test": 2}, {"train": ("X_train", None), "test": ("X_test", None)}),
        (
            {
                "train_images": 3,
                "train_labels": 2,
                "val_images": 3,
                "test_images": 3,
                "test_labels": 2,
            },
            {
                "train": ("train_images", "train_labels"),
                "validation": ("val_images", None),
                "test": ("test_images", "test_labels"),
            },
        ),
        ({"x_test": 2, "y_test": 1}, {"whole": ("x_test", "y_test")}),
    ],
)
def test_names_of_arrays(names, expected):
    shapes = {name: (5,) * axes for name, axes in names.items()}
    assert chosen_keys(shapes, None, "f") == expected


@pytest.mark.parametrize(
    "names",
    [("x", "x_train"), ("a", "b"), ("x", "data"), ("x_test", "x_val"), ("labels", "y"), ()],
)
def test_names_that_leave_it_open_are_refused(names):
    with pytest.raises(DataError, match="not clear which array"):
        chosen_keys(dict.fromkeys(names, (5, 5)), None, "f")


def test_a_key_chooses_the_array_and_its_labels(tmp_path):
    np.savez(tmp_path / "s.npz", a=np.ones((4, 2)), b=RNG.random((5, 2)), y=np.arange(5))
    data = load(tmp_path / "s.npz", key="b", **WHOLE)
    assert data["train"].label_array().tolist() == list(range(5))
    with pytest.raises(DataError, match=r"no array 'c' in the file[\s\S]*a \(4, 2\), b \(5, 2\)"):
        load(tmp_path / "s.npz", key="c")
    assert chosen_keys({"x_test": (3, 3), "y_test": (3,), "x_train": (3, 3)}, "x_test", "f") == {
        "whole": ("x_test", "y_test")
    }


def npz(path, members, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return path


def test_an_npz_bomb_is_refused_from_its_directory(tmp_path, monkeypatch):
    size = 300 << 20
    content = npy_bytes(header((size,), "|u1"))
    archive = zipfile.ZipFile(tmp_path / "b.npz", "w", zipfile.ZIP_DEFLATED)
    with archive, archive.open("x.npy", "w") as member:
        member.write(content)
        for _ in range(300):
            member.write(bytes(1 << 20))
    monkeypatch.setattr(zipfile.ZipFile, "open", lambda *a: pytest.fail("a member was opened"))
    with pytest.raises(DataError, match="compressed suspiciously well"):
        load(tmp_path / "b.npz")
    with pytest.raises(DataError, match=r"would take 300.0 MiB in memory"):
        load(tmp_path / "b.npz", limit=1 << 20)


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(
    ("members", "message"),
    [
        ([(f"{i}.npy", b"") for i in range(300)], "too many members"),
        ([("x.npy", b""), ("x.npy", b"")], "two of one name"),
        ([("../../evil.txt", b"")], "not arrays"),
        ([("x.npy", b"nonsense")], "header is damaged"),
        ([("x.npy", npy_bytes(header((2**40, 3)), bytes(12)))], "shorter than the header says"),
        ([], "not clear which array"),
    ],
)
def test_broken_npz_members(tmp_path, members, message):
    with pytest.raises(DataError, match=message):
        load(npz(tmp_path / "x.npz", members))


@pytest.mark.parametrize("compression", [zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_a_damaged_or_truncated_npz_is_refused(tmp_path, compression):
    content = npy_bytes(header((100, 100)), RNG.bytes(40_000))
    path = npz(tmp_path / "x.npz", [("x.npy", content)], compression)
    whole = path.read_bytes()
    for broken in (
        whole[:-30],
        whole[: len(whole) // 2],
        b"",
        whole[:20_000] + b"!!!" + whole[20_003:],
    ):
        path.write_bytes(broken)
        with pytest.raises(DataError, match="npz file is damaged"):
            load(path)


def test_safetensors_are_mapped_with_labels(tmp_path):
    x = RNG.normal(size=(20, 3)).astype("f4")
    save_file({"x": x, "y": np.arange(20)}, tmp_path / "s.safetensors")
    data = load(tmp_path / "s.safetensors", **WHOLE)
    assert isinstance(data["train"].values, np.memmap)
    assert np.array_equal(data["train"].all().numpy(), x)
    assert data["train"].label_array().tolist() == list(range(20))


@pytest.mark.parametrize(
    "dtype", [torch.float64, torch.float16, torch.bfloat16, torch.uint8, torch.bool, torch.int64]
)
def test_safetensors_types(tmp_path, dtype):
    x = torch.tensor([[0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]).to(dtype)
    save_torch({"codes": x}, tmp_path / "s.safetensors")
    assert torch.equal(load(tmp_path / "s.safetensors", **WHOLE)["train"].all(), x.float())


def test_bfloat16_is_exact(tmp_path):
    x = torch.randn(50, 4, generator=torch.Generator().manual_seed(0)).bfloat16()
    save_torch({"x": x}, tmp_path / "s.safetensors")
    assert torch.equal(load(tmp_path / "s.safetensors", **WHOLE)["train"].all(), x.float())
    with pytest.raises(DataError, match="the limit is"):
        load(tmp_path / "s.safetensors", limit=100)


def safetensors(header, data=b"", length=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def entry(shape, begin, end, dtype="F32"):
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "claims"),
        (b"abc", "claims"),
        (safetensors({}, length=2**60), "claims"),
        (safetensors(b"not json"), "not JSON"),
        (safetensors(b"[" * 10000), "not JSON"),
        (safetensors(b"[1]"), "not a JSON object"),
        (safetensors({"x": 3}), "incomplete"),
        (safetensors({"x": {"dtype": "F32"}}), "incomplete"),
        (safetensors({"x": entry([2, -1], 0, 8)}, bytes(8)), "impossible"),
        (safetensors({"x": entry([2, 1.0], 0, 8)}, bytes(8)), "impossible"),
        (safetensors({"x": entry([1] * 99, 0, 4)}, bytes(4)), "impossible"),
        (safetensors(b'{"x": ' + b"1" * 5000 + b"}"), "not JSON"),
        (safetensors({"x": entry([0, 3], 0, 0)}), "no samples"),
        (safetensors({"x": entry([2, 1], 0, 12)}, bytes(12)), "takes 8 bytes, not 12"),
        (safetensors({"x": entry([2**40, 768], 0, 2**42 * 768)}, bytes(8)), "announces"),
        (safetensors({"x": entry([2, 1], 0, 8)}, bytes(4)), "announces"),
        (safetensors({"x": entry([2, 1], 0, 8)}, bytes(9)), "announces"),
        (safetensors({"x": entry([2, 1], 4, 12)}, bytes(12)), "overlap or leave a gap"),
        (
            safetensors({"x": entry([2, 1], 0, 8), "y": entry([2], 4, 12)}, bytes(12)),
            "overlap or leave a gap",
        ),
        (
            safetensors({"x": entry([8, 1], 0, 8, "F8_E4M3")}, bytes(8)),
            "type F8_E4M3 can't be read",
        ),
        (safetensors({}), "not clear which array"),
    ],
)
def test_broken_safetensors(tmp_path, content, message):
    path = tmp_path / "x.safetensors"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        load(path)
    assert "x.safetensors" in str(caught.value)
