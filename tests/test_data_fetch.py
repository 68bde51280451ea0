"""Fetching from a local HTTP server: whole, truncated, resumed, wrong, missing, down."""

import gzip
import hashlib
import http.server
import socket
import threading
from pathlib import Path

import numpy as np
import pytest

from isthmus.data import catalogue, fetch, load
from isthmus.data.fetching import Checksum, RemoteFile, fetch_file
from isthmus.data.named_sets import CATALOGUE, Entry, read_named
from isthmus.data.options import LoadOptions
from isthmus.data.read_idx import IdxFolder
from isthmus.errors import ConfigError, DataError, MissingDataError, RunError

CONTENT = np.random.default_rng(0).bytes(700_000)


def idx_bytes(values):
    """An IDX file of bytes."""
    return (
        bytes([0, 0, 8, values.ndim]) + np.array(values.shape, ">u4").tobytes() + values.tobytes()
    )


class Server(http.server.ThreadingHTTPServer):
    """Serves bytes by name; can forget about ranges, break off, or answer with an error."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files, self.requests = {}, []
        self.ranges = self.tells_length = True
        self.break_after = self.status = self.range_from = None

    def handle_error(self, request, client_address):
        """Say nothing when a client hangs up, as the tests make it do."""

    @property
    def base(self):
        return f"http://127.0.0.1:{self.server_port}/"


class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *args):
        pass

    def do_GET(self):
        server, name = self.server, self.path.lstrip("/")
        asked = self.headers.get("Range")
        server.requests.append((name, asked))
        content = server.files.get(name)
        if server.status or content is None:
            self.send_error(server.status or 404)
            return
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and server.ranges else 0
        if asked and server.ranges and start >= len(content):
            self.send_error(416)
            return
        part = content[start:]
        self.send_response(206 if asked and server.ranges else 200)
        if asked and server.ranges:
            told = start if server.range_from is None else server.range_from
            self.send_header("Content-Range", f"bytes {told}-{len(content) - 1}/{len(content)}")
        if server.tells_length:
            self.send_header("Content-Length", str(len(part)))
        self.end_headers()
        self.wfile.write(part if server.break_after is None else part[: server.break_after])


@pytest.fixture
def server():
    made = Server()
    thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield made
    made.shutdown()
    thread.join()
    made.server_close()


@pytest.fixture(autouse=True)
def home(request, tmp_path, monkeypatch):
    if "data_home" in request.fixturenames:
        request.getfixturevalue("data_home")  # it must see the environment before this changes it
    for name in ("ISTHMUS_DATA", "ISTHMUS_OFFLINE", "http_proxy", "HTTP_PROXY", "ISTHMUS_LIMIT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ISTHMUS_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def remote(content=CONTENT, name="file.bin", **kind):
    return RemoteFile(name, Checksum("sha256", hashlib.sha256(content).hexdigest()), **kind)


def test_a_file_arrives_whole_with_progress(server, tmp_path):
    server.files["file.bin"] = CONTENT
    seen = []
    path = fetch_file(
        remote(), (server.base,), tmp_path / "new", progress=lambda *a: seen.append(a)
    )
    assert path.read_bytes() == CONTENT
    assert [p.name for p in path.parent.iterdir()] == ["file.bin"]
    assert seen[-1] == ("file.bin", len(CONTENT), len(CONTENT))
    assert [done for _, done, _ in seen] == sorted({done for _, done, _ in seen})


def test_a_truncated_answer_is_kept_and_continued(server, tmp_path):
    server.files["file.bin"] = CONTENT
    server.break_after = 300_000
    with pytest.raises(
        MissingDataError, match=r"after 300,000 of 700,000[\s\S]*300,000 bytes of it"
    ):
        fetch_file(remote(), (server.base,), tmp_path)
    assert not (tmp_path / "file.bin").exists()
    assert (tmp_path / "file.bin.part").read_bytes() == CONTENT[:300_000]
    server.break_after = None
    assert fetch_file(remote(), (server.base,), tmp_path).read_bytes() == CONTENT
    assert server.requests[-1] == ("file.bin", "bytes=300000-")
    assert not (tmp_path / "file.bin.part").exists()


def test_a_server_that_ignores_ranges_is_read_from_the_start(server, tmp_path):
    server.files["file.bin"] = CONTENT
    server.ranges = False
    (tmp_path / "file.bin.part").write_bytes(CONTENT[:1000])
    assert fetch_file(remote(), (server.base,), tmp_path).read_bytes() == CONTENT


def test_a_server_that_continues_elsewhere_is_not_believed(server, tmp_path):
    server.files["file.bin"] = CONTENT
    server.range_from = 500
    (tmp_path / "file.bin.part").write_bytes(CONTENT[:1000])
    with pytest.raises(MissingDataError, match="continued at another byte"):
        fetch_file(remote(), (server.base,), tmp_path)
    assert (tmp_path / "file.bin.part").read_bytes() == CONTENT[:1000]


def test_a_part_that_is_whole_already_is_only_checked(server, tmp_path):
    server.files["file.bin"] = CONTENT
    (tmp_path / "file.bin.part").write_bytes(CONTENT)
    assert fetch_file(remote(), (server.base,), tmp_path).read_bytes() == CONTENT


def test_a_wrong_checksum_deletes_the_file_and_harms_no_other(server, tmp_path):
    server.files["file.bin"] = CONTENT[:-1] + b"!"
    (tmp_path / "other").write_text("kept")
    with pytest.raises(DataError, match=r"wrong checksum and was deleted[\s\S]*sha256 is"):
        fetch_file(remote(), (server.base,), tmp_path)
    assert [p.name for p in tmp_path.iterdir() if p.is_file()] == ["other"]


def test_a_damaged_part_is_found_out_and_the_next_try_starts_afresh(server, tmp_path):
    server.files["file.bin"] = CONTENT
    (tmp_path / "file.bin.part").write_bytes(b"x" * 1000)
    with pytest.raises(DataError, match="wrong checksum"):
        fetch_file(remote(), (server.base,), tmp_path)
    assert fetch_file(remote(), (server.base,), tmp_path).read_bytes() == CONTENT


def test_the_next_address_is_tried_after_any_failure(server, tmp_path):
    server.files["good/file.bin"] = CONTENT
    server.files["bad/file.bin"] = b"wrong"
    bases = tuple(server.base + folder for folder in ("missing/", "bad/", "good/"))
    assert fetch_file(remote(), bases, tmp_path).read_bytes() == CONTENT
    assert [name.split("/")[0] for name, _ in server.requests] == ["missing", "bad", "good"]


@pytest.mark.parametrize("status", [404, 403, 500, 503])
def test_an_error_status_is_named_and_leaves_nothing(server, tmp_path, status):
    server.status = status
    with pytest.raises(MissingDataError, match=f"the server answered {status}"):
        fetch_file(remote(), (server.base,), tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_server_that_is_down_is_named(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as gone:
        base = f"http://127.0.0.1:{gone.getsockname()[1]}/"
    with pytest.raises(MissingDataError, match="not reachable"):
        fetch_file(remote(), (base,), tmp_path)


def test_a_server_that_says_nothing_is_given_up(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        base = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        with pytest.raises(MissingDataError, match="timed out"):
            fetch_file(remote(), (base,), tmp_path, timeout=0.2)


def test_a_file_larger_than_it_may_be_is_refused(server, tmp_path):
    server.files["file.bin"] = CONTENT
    with pytest.raises(DataError, match=r"larger than it may be[\s\S]*at most 1,000"):
        fetch_file(remote(most=1000), (server.base,), tmp_path)
    assert not list(tmp_path.glob("file*"))


def test_an_answer_of_unknown_length_is_cut_off_too(server, tmp_path):
    server.files["file.bin"] = CONTENT
    server.tells_length = False
    with pytest.raises(DataError, match="larger than it may be"):
        fetch_file(remote(most=1000), (server.base,), tmp_path)
    assert not list(tmp_path.glob("file*"))
    assert fetch_file(remote(), (server.base,), tmp_path).read_bytes() == CONTENT


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_not_the_servers_fault(server, tmp_path):
    server.files["file.bin"] = CONTENT
    (tmp_path / "file.bin.part").symlink_to("/dev/full")
    with pytest.raises(RunError, match="No space left on device"):
        fetch_file(remote(), (server.base, server.base), tmp_path)
    assert not (tmp_path / "file.bin").exists()


def test_a_folder_that_can_not_be_written_is_not_the_servers_fault(server, tmp_path):
    server.files["file.bin"] = CONTENT
    (tmp_path / "taken").write_text("a file where a folder should be")
    with pytest.raises(RunError, match=r"could not be written[\s\S]*ISTHMUS_HOME"):
        fetch_file(remote(), (server.base, server.base), tmp_path / "taken")
    assert len(server.requests) == 1


def test_checksums_of_what_is_inside_gzip_do_not_depend_on_the_compressor(tmp_path):
    digest = hashlib.md5(CONTENT).hexdigest()
    path = tmp_path / "x.gz"
    for level in (1, 9):
        path.write_bytes(gzip.compress(CONTENT, level))
        assert Checksum("md5", digest, unpacked=True).of(path) == digest
        assert Checksum("md5", digest).of(path) != digest
    path.write_bytes(gzip.compress(bytes(5_000_000)))  # many times larger than a block
    assert Checksum("md5", "", unpacked=True).of(path) == hashlib.md5(bytes(5_000_000)).hexdigest()
    for broken in (gzip.compress(CONTENT)[:-20], b"no gzip", b""):
        path.write_bytes(broken)
        assert Checksum("md5", digest, unpacked=True).of(path) == "damaged"


NAMES = ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1")


@pytest.fixture
def little(server):
    """A named set whose four files the server has."""
    generator = np.random.default_rng(0)
    files = []
    for name in NAMES:
        n = 40 if name.startswith("train") else 10
        shape = (n, 8, 8) if "images" in name else (n,)
        content = gzip.compress(idx_bytes(generator.integers(0, 9, shape, dtype=np.uint8)))
        server.files[f"{name}-ubyte.gz"] = content
        inside = hashlib.md5(gzip.decompress(content)).hexdigest()
        files.append(RemoteFile(f"{name}-ubyte.gz", Checksum("md5", inside, unpacked=True)))
    return Entry("little", "a little set", "none", IdxFolder().read, tuple(files), (server.base,))


def test_a_named_set_is_fetched_once_and_then_read_from_the_cache(little, server, home):
    raw = read_named(little, LoadOptions())
    assert raw.name == "little"
    assert len(raw.parts["train"].values) == 40
    assert len(server.requests) == 4
    again = read_named(little, LoadOptions())
    assert len(server.requests) == 4
    assert np.array_equal(raw.parts["test"].values, again.parts["test"].values)
    assert sorted(p.name for p in (home / "data" / "little").iterdir()) == sorted(server.files)


def test_fetch_continues_a_set_that_is_half_there(little, server, home):
    folder = fetch("little", entries=(little,))
    (folder / "t10k-images-idx3-ubyte.gz").unlink()
    server.requests.clear()
    assert fetch("little", entries=(little,)) == folder == home / "data" / "little"
    assert [name for name, _ in server.requests] == ["t10k-images-idx3-ubyte.gz"]


def test_a_set_in_the_data_folder_is_not_fetched(little, server, tmp_path, monkeypatch):
    folder = fetch("little", entries=(little,))
    server.requests.clear()
    own = tmp_path / "own"
    own.mkdir()
    folder.rename(own / "little")
    monkeypatch.setenv("ISTHMUS_DATA", str(own))
    assert fetch("little", entries=(little,)) == own / "little"
    assert str(own) in read_named(little, LoadOptions()).source
    assert server.requests == []
    assert catalogue((little,))[0].where == str(own / "little")


def test_offline_fetches_nothing_and_says_what_was_tried(little, server, tmp_path, monkeypatch):
    monkeypatch.setenv("ISTHMUS_OFFLINE", "1")
    monkeypatch.setenv("ISTHMUS_DATA", str(tmp_path))
    (tmp_path / "little").mkdir()
    (tmp_path / "little" / "train-images-idx3-ubyte").write_bytes(b"")
    with pytest.raises(MissingDataError) as caught:
        read_named(little, LoadOptions())
    message = str(caught.value)
    assert "lacks train-labels-idx1-ubyte, t10k-images-idx3-ubyte" in message
    assert "the cache: there is no folder" in message
    assert "fetching: ISTHMUS_OFFLINE is set" in message
    assert "isthmus data fetch little" in message
    assert server.requests == []
    monkeypatch.setenv("ISTHMUS_OFFLINE", "0")
    assert len(read_named(little, LoadOptions()).parts["train"].values) == 40


def test_a_set_that_no_address_has_names_all_three_places(little, server):
    server.files.clear()
    with pytest.raises(MissingDataError) as caught:
        read_named(little, LoadOptions())
    message = str(caught.value)
    assert "ISTHMUS_DATA: ISTHMUS_DATA is not set" in message
    assert "the cache" in message
    assert "the server answered 404" in message


def test_a_wrong_set_is_never_left_in_the_cache(little, server, home):
    server.files["train-images-idx3-ubyte.gz"] = gzip.compress(b"something else")
    with pytest.raises(DataError, match="wrong checksum"):
        read_named(little, LoadOptions())
    assert list((home / "data" / "little").iterdir()) == []


def test_sets_of_a_package_have_nothing_to_fetch():
    with pytest.raises(ConfigError, match="nothing to fetch"):
        fetch("digits")
    with pytest.raises(ConfigError, match="choose one of: digits, mnist, fashion-mnist"):
        fetch("minst")


def test_the_catalogue_itself():
    official = CATALOGUE[:3]
    assert [entry.name for entry in official] == ["digits", "mnist", "fashion-mnist"]
    for entry in official:
        assert all(base.startswith(("https://", "http://")) for base in entry.bases)
        assert all(base.endswith("/") for base in entry.bases)
        assert all(len(file.checksum.digest) == 32 for file in entry.files)
        assert len(entry.files) in (0, 4)
    listing = {named.name: named.where for named in catalogue(official)}
    assert listing == {"digits": "scikit-learn", "mnist": None, "fashion-mnist": None}


def test_mnist_without_network_or_files_is_explained(monkeypatch):
    monkeypatch.setenv("ISTHMUS_OFFLINE", "1")
    with pytest.raises(MissingDataError, match="the data set mnist is not here"):
        load("mnist")


@pytest.mark.needs_data
def test_the_real_mnist_passes_its_checksums_through_the_server(data_home, server, home):
    entry = next(entry for entry in CATALOGUE if entry.name == "mnist")
    for file in entry.files:
        server.files[file.name] = (data_home / "mnist" / file.name).read_bytes()
    local = Entry(entry.name, entry.title, entry.licence, entry.read, entry.files, (server.base,))
    raw = read_named(local, LoadOptions())
    assert raw.parts["train"].values.shape == (60_000, 28, 28)
    assert str(home) in raw.source


@pytest.mark.needs_data
def test_the_real_mnist_cut_short_is_continued(data_home, server):
    entry = next(entry for entry in CATALOGUE if entry.name == "mnist")
    for file in entry.files:
        server.files[file.name] = (data_home / "mnist" / file.name).read_bytes()
    local = Entry(entry.name, entry.title, entry.licence, entry.read, entry.files, (server.base,))
    server.break_after = 1_000_000
    with pytest.raises(MissingDataError, match="1,000,000 bytes of it are kept"):
        fetch("mnist", entries=(local,))
    server.break_after = None
    fetch("mnist", entries=(local,))
    assert ("train-images-idx3-ubyte.gz", "bytes=1000000-") in server.requests
