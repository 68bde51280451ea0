"""The reading thread: bounded, in order, errors handed over, gone when its consumer is."""

import gc
import signal
import subprocess
import sys
import textwrap
import threading
import time

import numpy as np
import pytest

from isthmus.data.streams import VectorStream, open_vectors
from isthmus.data.streams.prefetch import prefetched


def reading_threads():
    return [thread for thread in threading.enumerate() if thread.name == "isthmus-prefetch"]


@pytest.mark.parametrize("depth", [0, 1, 5])
def test_items_come_in_order_and_the_thread_ends(depth):
    assert list(prefetched(lambda: iter(range(100)), depth)) == [*range(100)]
    assert reading_threads() == []


def test_no_more_than_the_depth_is_made_ahead():
    made = []

    def items():
        for i in range(50):
            made.append(i)
            yield i

    ahead = prefetched(items, 3)
    assert made == []  # nothing starts before it is asked for
    for i in range(10):
        assert next(ahead) == i
        deadline = time.monotonic() + 5
        while len(made) < i + 4 and time.monotonic() < deadline:
            time.sleep(0.001)
        time.sleep(0.005)
        assert len(made) == i + 4  # the one handed out, and three that wait
    ahead.close()
    assert reading_threads() == []
    assert len(made) <= 14


@pytest.mark.parametrize("depth", [0, 2])
def test_an_error_comes_after_the_items_before_it(depth):
    def items():
        yield 1
        yield 2
        raise ZeroDivisionError("here")

    ahead = prefetched(items, depth)
    assert [next(ahead), next(ahead)] == [1, 2]
    with pytest.raises(ZeroDivisionError, match="here") as caught:
        next(ahead)
    assert any(entry.name == "items" for entry in caught.traceback)
    assert reading_threads() == []


def test_an_error_at_the_start_comes_too():
    def broken():
        raise OSError("no")

    with pytest.raises(OSError, match="no"):
        next(prefetched(broken, 2))


def test_closing_or_dropping_it_ends_the_thread_and_closes_the_items():
    closed = []

    def items():
        try:
            while True:
                yield 0
        finally:
            closed.append(threading.current_thread().name)

    ahead = prefetched(items, 2)
    next(ahead)
    ahead.close()
    assert closed == ["isthmus-prefetch"]
    ahead = prefetched(items, 2)
    next(ahead)
    del ahead
    gc.collect()
    assert len(closed) == 2
    assert reading_threads() == []


def test_a_consumer_that_fails_or_stops_early_leaves_no_thread():
    stream = VectorStream(open_vectors(np.random.default_rng(0).random((1000, 4))), 10, 0)

    def interrupted():
        for _ in stream.epoch(0):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    gc.collect()
    assert reading_threads() == []
    for _ in stream.epoch(0):
        break
    gc.collect()
    assert reading_threads() == []
    assert len([*stream.epoch(0)]) == 100  # and it can be used again


def test_two_epochs_may_run_at_once():
    values = np.random.default_rng(0).random((1000, 4)).astype(np.float32)
    stream = VectorStream(open_vectors(values), 10, 0, buffer_rows=400, block_rows=5)
    pairs = [*zip(stream.epoch(0), stream.epoch(1), strict=True)]
    assert all(map(np.array_equal, [a for a, _ in pairs], stream.epoch(0)))
    assert all(map(np.array_equal, [b for _, b in pairs], stream.epoch(1)))


def test_batches_have_their_own_memory():
    values = np.ones((100, 4), np.float32)
    stream = VectorStream(open_vectors(values), 10, 0, held_out=20)
    for batch in (*stream.epoch(0), *stream.held_out()):
        batch *= 7
    assert (values == 1).all()
    assert all((batch == 1).all() for batch in (*stream.epoch(0), *stream.held_out()))


def run(code, **more):
    """A process that streams without end, or until the code below it stops."""
    start = """
        import sys, time
        import numpy as np
        from isthmus.data.streams import VectorStream, open_vectors
        stream = VectorStream(open_vectors(np.ones((100_000, 16), np.float32)), 10, 0)
        """
    program = textwrap.dedent(start) + textwrap.dedent(code)
    return subprocess.Popen([sys.executable, "-c", program], text=True, **more)


def test_leaving_the_process_with_a_stream_half_read_does_not_hang():
    code = "batches = stream.epoch(0); next(batches); sys.exit(7)"
    assert run(code).wait(timeout=30) == 7


def test_interrupting_a_stream_ends_the_process():
    code = """
        print("go", flush=True)
        try:
            for epoch in range(10**6):
                for batch in stream.epoch(epoch):
                    time.sleep(1e-4)
        finally:
            import threading
            del batch
            print([t.name for t in threading.enumerate()], flush=True)
        """
    process = run(code, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout.readline() == "go\n"
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    shown, errors = process.communicate(timeout=30)
    assert process.returncode == -signal.SIGINT
    assert "KeyboardInterrupt" in errors
    assert "MainThread" in shown


def test_a_slow_consumer_never_waits_once_it_has_begun(tmp_path):
    values = np.random.default_rng(0).random((20_000, 32)).astype(np.float32)
    np.save(tmp_path / "x.npy", values)
    source = open_vectors(tmp_path / "x.npy")
    stream = VectorStream(source, 500, 0, block_rows=50, buffer_rows=4000, prefetch=4)
    batches, waits = stream.epoch(0), []
    next(batches)
    for _ in range(stream.batches - 1):
        time.sleep(0.005)  # the step
        start = time.perf_counter()
        next(batches)
        waits.append(time.perf_counter() - start)
    assert np.median(waits) < 0.001
