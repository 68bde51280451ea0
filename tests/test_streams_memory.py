"""Memory stays flat however large the data: measured in a process of its own."""

import subprocess
import sys
import textwrap

import numpy as np
import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="peak memory is in /proc")

PROGRAM = """
    import sys
    from pathlib import Path
    from isthmus.data.streams import VectorStream, checked, open_vectors

    def peak():  # in MiB; getrusage would count the parent's memory as well
        words = Path("/proc/self/status").read_text().split()
        return int(words[words.index("VmHWM:") + 1]) / 1024

    source = open_vectors(sys.argv[1])
    stream = VectorStream(source, 1024, 0, held_out=0.1, buffer_rows=16_384, prefetch=2)
    next(stream.held_out(8))
    before = peak()
    rows = sum(len(batch) for batch in stream.epoch(0))
    held = sum(len(batch) for batch in stream.held_out())
    streamed = peak()
    checked(source, sample_rows=100_000)
    print(rows, held, before, streamed, peak())
    """


def sparse(path, rows, dim):
    """A .npy file of float16 zeros that takes no room on the disk."""
    with path.open("wb") as handle:
        header = {"descr": "<f2", "fortran_order": False, "shape": (rows, dim)}
        np.lib.format.write_array_header_1_0(handle, header)
        handle.truncate(handle.tell() + rows * dim * 2)


def parquet(path, rows, dim):
    """A Parquet file of float32 zeros in row groups of 2,048."""
    pa = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")
    group = pa.table(
        {"v": pa.FixedSizeListArray.from_arrays(pa.array(np.zeros(2048 * dim, np.float32)), dim)}
    )
    with pq.ParquetWriter(path, group.schema) as writer:
        for _ in range(rows // 2048):
            writer.write_table(group)


@pytest.mark.parametrize(
    ("name", "write", "rows"), [("x.npy", sparse, 1_500_000), ("x.parquet", parquet, 409_600)]
)
def test_streaming_takes_the_buffer_and_little_more(tmp_path, name, write, rows):
    dim = 128
    write(tmp_path / name, rows, dim)
    shown = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(PROGRAM), str(tmp_path / name)],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    ).stdout.split()
    streamed, held_out = int(shown[0]), int(shown[1])
    assert (streamed, held_out) == (rows - rows // 10, rows // 10)
    before, after, checked = map(float, shown[2:])
    buffer = 16_384 * dim * 4 / 2**20  # 8 MiB; the rows themselves are 732 and 200 MiB in float32
    assert after - before < 4 * buffer
    assert checked - before < 8 * buffer
