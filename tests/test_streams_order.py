"""The order of a stream: complete, seeded, the same from any position and for any rank."""

import re

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats

from isthmus.data.streams import VectorStream, held, open_vectors
from isthmus.data.streams.held import HeldOut, chosen_rows, held_out_count
from isthmus.data.streams.memory import ArraySource
from isthmus.errors import ConfigError, DataError


class OnDisk(ArraySource):
    """An array that is read as files are, and remembers the rows it was asked for."""

    def __init__(self, values):
        super().__init__(values, in_memory=False)
        object.__setattr__(self, "asked", [])

    def take(self, rows, out=None):
        assert (np.diff(rows) > 0).all()
        self.asked.append(len(rows))
        return super().take(rows, out)


def ids(rows):
    """Vectors that say which row they are."""
    return np.arange(rows, dtype=np.float32)[:, None]


def flat(batches):
    return np.concatenate([batch[:, 0] for batch in batches])


shapes = st.fixed_dictionaries(
    {
        "rows": st.integers(2, 300),
        "batch_size": st.integers(1, 12).map(lambda n: 6 * n),
        "seed": st.integers(0, 2**70),
        "held_out": st.integers(0, 50),
        "block_rows": st.none() | st.integers(1, 20),
        "buffer_rows": st.none() | st.integers(1, 300),
        "prefetch": st.sampled_from([0, 1, 3]),
        "in_memory": st.booleans(),
    }
)


def made(shape, **more):
    """The stream of a drawn shape, over rows that say which they are."""
    rest = {**shape, **more}
    values = ids(rest.pop("rows"))
    source = open_vectors(values) if rest.pop("in_memory") else OnDisk(values)
    try:
        return VectorStream(source, rest.pop("batch_size"), rest.pop("seed"), **rest)
    except ConfigError as error:
        assume(not re.search("too small to mix|left to train on", str(error)))
        raise


@settings(deadline=None, max_examples=150)
@given(shape=shapes, epoch=st.integers(0, 10**9))
def test_every_training_row_comes_exactly_once_and_held_out_rows_never(shape, epoch):
    stream = made(shape)
    batches = [*stream.epoch(epoch)]
    sizes = [stream.batch_rows(b) for b in range(stream.batches)]
    assert [len(batch) for batch in batches] == sizes
    assert set(sizes[:-1]) <= {stream.batch_size}
    assert 1 <= sizes[-1] <= stream.batch_size
    held_out = flat(stream.held_out(7)) if stream.held_out_rows else np.empty(0)
    assert len(held_out) == stream.held_out_rows == shape["held_out"]
    assert (np.diff(held_out) > 0).all()
    assert np.array_equal(held_out, stream.held_out_numbers())
    together = np.concatenate([flat(batches), held_out])
    assert np.array_equal(np.sort(together), np.arange(shape["rows"]))
    assert np.array_equal(flat(batches), np.concatenate([*stream.numbers(epoch)]))


@settings(deadline=None, max_examples=100)
@given(shape=shapes, epoch=st.integers(0, 5), data=st.data())
def test_any_position_goes_on_exactly_as_from_the_start(shape, epoch, data):
    whole = [*made(shape).epoch(epoch)]
    start = data.draw(st.integers(0, len(whole)))
    stream = made(shape)
    rest = [*stream.epoch(epoch, start_batch=start)]
    assert len(rest) == len(whole) - start
    assert all(map(np.array_equal, rest, whole[start:]))
    assert all(map(np.array_equal, stream.numbers(epoch, start), [b[:, 0] for b in rest]))


@settings(deadline=None, max_examples=100)
@given(shape=shapes, world=st.sampled_from([2, 3, 6]), data=st.data())
def test_ranks_together_see_the_batches_of_one_process(shape, world, data):
    alone = made(shape)
    start = data.draw(st.integers(0, alone.batches))
    parts = [[*made(shape, rank=r, world=world).epoch(1, start)] for r in range(world)]
    batches = [*alone.epoch(1, start)]
    assert all(len(part) == len(batches) for part in parts)
    for batch, *pieces in zip(batches, *parts, strict=True):
        assert np.array_equal(np.concatenate(pieces), batch)
        lengths = [len(piece) for piece in pieces]
        assert max(lengths) - min(lengths) <= (len(batch) < alone.batch_size)
    fingerprints = {made(shape, rank=r, world=world).fingerprint() for r in range(world)}
    assert fingerprints == {alone.fingerprint()}


@settings(deadline=None, max_examples=50)
@given(shape=shapes)
def test_the_order_does_not_depend_on_batch_size_prefetch_or_storage(shape):
    stream = made(shape)
    other = made(shape, batch_size=5, prefetch=0, in_memory=not shape["in_memory"])
    assert np.array_equal(flat(stream.epoch(3)), flat(other.epoch(3)))
    assert np.array_equal(stream.held_out_numbers(), other.held_out_numbers())


@pytest.mark.parametrize("buffer", [None, 400])
def test_seeds_and_epochs_differ_and_held_out_rows_follow_the_seed_alone(buffer):
    def stream(seed):
        return VectorStream(open_vectors(ids(1000)), 100, seed, held_out=0.1, buffer_rows=buffer)

    first = stream(0)
    orders = [flat(first.epoch(0)), flat(first.epoch(1)), flat(stream(1).epoch(0))]
    for i, order in enumerate(orders):
        for other in orders[:i]:
            assert (order == other).mean() < 0.05
    again = stream(0)
    assert np.array_equal(flat(again.epoch(1)), orders[1])
    assert np.array_equal(again.held_out_numbers(), first.held_out_numbers())
    assert len(np.intersect1d(stream(1).held_out_numbers(), first.held_out_numbers())) < 30
    assert first.fingerprint() == again.fingerprint() != stream(1).fingerprint()


def test_the_fingerprint_follows_every_setting_that_the_batches_depend_on():
    base = {"batch_size": 10, "seed": 0, "block_rows": 4, "buffer_rows": 64}
    changes = [
        {"batch_size": 20},
        {"block_rows": 5},
        {"buffer_rows": 80},
        {"buffer_rows": None},
        {"held_out": 3},
        {"drop_bad": True},
    ]
    source = open_vectors(ids(500))
    prints = [VectorStream(source, **(base | change)).fingerprint() for change in [{}, *changes]]
    assert len(set(prints)) == len(prints)
    assert VectorStream(source, **base, prefetch=0).fingerprint() == prints[0]


def test_small_data_are_permuted_uniformly():
    stream = VectorStream(open_vectors(ids(5)), 5, 0, prefetch=0)
    orders = np.array([flat(stream.epoch(epoch)) for epoch in range(6000)])
    codes, counts = np.unique(orders @ 5.0 ** np.arange(5), return_counts=True)
    assert len(codes) == 120
    assert stats.chisquare(counts).pvalue > 1e-3


def test_large_data_are_mixed_from_all_over():
    rows, batch = 40_000, 200
    stream = VectorStream(OnDisk(ids(rows)), batch, 0, block_rows=8, buffer_rows=4096)
    batches = [part[:, 0] for part in stream.epoch(0)]
    # sorted data: each batch must look like a sample of all rows
    worst = min(stats.kstest(part / rows, "uniform").pvalue for part in batches)
    assert worst > 1e-8  # unmixed, it is 1e-100
    neighbours = [np.mean(np.abs(np.diff(part)) == 1) for part in batches]
    assert np.mean(neighbours) < 0.01
    means = np.array([part.mean() for part in batches])
    assert means.std() < 1.5 * rows / np.sqrt(12 * batch)


def test_the_last_buffer_is_as_large_as_the_others():
    stream = VectorStream(OnDisk(ids(1010)), 10, 0, block_rows=10, buffer_rows=400)
    order = stream._plan.epoch(0)
    assert order.buffers == 6  # 101 blocks, 20 to a buffer
    assert set(np.diff(order.cuts)) == {16, 17}


# ---------------------------------------------------------------- the cost of reading


def test_resuming_reads_one_buffer_and_not_the_epoch():
    source = OnDisk(ids(100_000))
    stream = VectorStream(source, 100, 0, block_rows=50, buffer_rows=4000, prefetch=0)
    next(stream.epoch(2, start_batch=700))
    assert sum(source.asked) <= 2000 + 200


def test_the_next_buffer_is_read_in_step_and_everything_once():
    source = OnDisk(ids(20_000))
    stream = VectorStream(source, 100, 0, block_rows=50, buffer_rows=4000, prefetch=0)
    asked = [0]
    for _ in stream.epoch(0):
        asked.append(sum(source.asked))
    assert asked[1] <= 2000 + 200
    assert max(np.diff(asked[1:])) <= 200  # never a whole buffer at once
    assert asked[-1] == 20_000


def test_each_rank_keeps_its_own_rows_only():
    source = OnDisk(ids(20_000))
    stream = VectorStream(source, 100, 0, block_rows=50, buffer_rows=4000, rank=1, world=4)
    list(stream.epoch(0))
    assert sum(source.asked) == 5000


def test_small_data_are_read_once_and_kept_and_memory_is_never_copied():
    source = OnDisk(ids(1000))
    stream = VectorStream(source, 100, 0, held_out=100)
    for epoch in range(3):
        assert len(flat(stream.epoch(epoch))) == 900
    assert source.asked == [900]
    huge = np.lib.stride_tricks.as_strided(ids(2), (1 << 30, 64), (0, 0))  # 256 GiB
    stream = VectorStream(open_vectors(huge), 100, 0, held_out=1000)
    assert next(stream.epoch(0)).shape == (100, 64)


def test_a_sample_to_initialise_from_is_the_same_on_every_rank():
    for buffer in (None, 400):
        streams = [
            VectorStream(OnDisk(ids(1000)), 100, 0, buffer_rows=buffer, rank=rank, world=world)
            for rank, world in ((0, 1), (0, 2), (1, 2))
        ]
        samples = [stream.sample(250) for stream in streams]
        assert np.array_equal(samples[0][:, 0], flat(streams[0].epoch(0))[:250])
        assert all(np.array_equal(sample, samples[0]) for sample in samples)
        assert len(streams[0].sample(5000)) == 1000


# ---------------------------------------------------------------- bad rows by choice


@pytest.mark.parametrize("world", [1, 2])
@pytest.mark.parametrize("buffer", [None, 400])
def test_bad_rows_are_left_out_of_their_batches_and_counted(buffer, world):
    values = np.random.default_rng(0).normal(size=(1000, 3)).astype(np.float32)
    bad = np.random.default_rng(1).choice(1000, 60, replace=False)
    values[bad, bad % 3] = np.where(bad % 2, np.nan, np.inf)
    for kind in (OnDisk, open_vectors):
        streams = [
            VectorStream(
                *(kind(values), 100, 0),
                **{"buffer_rows": buffer, "rank": r, "world": world, "held_out": 50},
                drop_bad=True,
            )
            for r in range(world)
        ]
        parts = [[*stream.epoch(0)] for stream in streams]
        held_bad = np.isin(streams[0].held_out_numbers(), bad).sum()
        assert sum(stream.dropped for stream in streams) == 60 - held_bad
        for numbers, *pieces in zip(streams[0].numbers(0), *parts, strict=True):
            if world == 1:
                assert np.array_equal(pieces[0], values[numbers[~np.isin(numbers, bad)]])
        together = np.concatenate([piece for part in parts for piece in part])
        assert np.isfinite(together).all()
        assert len(together) == 950 - (60 - held_bad)
        assert sum(map(len, streams[0].held_out())) == 50 - held_bad
        rest = [*streams[0].epoch(0, start_batch=4)]
        assert all(map(np.array_equal, rest, parts[0][4:]))
        streams[0].dropped = 7
        list(streams[0].epoch(0, start_batch=streams[0].batches))
        assert streams[0].dropped == 0


# ---------------------------------------------------------------- which rows are held out


@settings(deadline=None, max_examples=150)
@given(
    rows=st.integers(1, 400),
    count=st.integers(0, 400),
    most=st.integers(1, 40),
    least=st.integers(1, 9),
    cuts=st.none() | st.sets(st.integers(1, 399)),
    seed=st.integers(0, 9),
)
def test_runs_are_disjoint_exact_and_inverse_to_what_is_outside(
    rows, count, most, least, cuts, seed
):
    count = min(count, rows)
    pieces = None if cuts is None else np.array(sorted({0, *(c for c in cuts if c < rows)}))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(held, "_MOST_RUNS", most)
        patch.setattr(held, "_LEAST_PIECES", least)
        runs = chosen_rows(rows, count, np.random.default_rng(seed), pieces)
    numbers = np.concatenate([np.arange(0), *map(np.arange, runs.starts, runs.stops)])
    assert len(numbers) == count == runs.rows
    assert (np.diff(numbers) > 0).all()
    assert numbers.size == 0 or 0 <= numbers[0] <= numbers[-1] < rows
    assert np.array_equal(runs.numbers(0, count), numbers)
    assert np.array_equal(runs.numbers(count // 3, count // 2), numbers[count // 3 : count // 2])
    at = np.arange(rows + 1)
    assert np.array_equal(runs.before(at), np.searchsorted(numbers, at))
    for start, stop in ((0, rows), (rows // 4, rows // 2), (rows // 2, rows // 2)):
        expected = np.setdiff1d(np.arange(start, stop), numbers)
        assert np.array_equal(runs.outside(start, stop), expected)
    if pieces is None and count <= most:
        assert (runs.stops - runs.starts == 1).all()
    if pieces is not None:
        touched = len(np.unique(np.searchsorted(pieces, numbers, "right")))
        lengths = np.sort(np.diff(np.append(pieces, rows)))
        assert touched <= max(least, np.searchsorted(np.cumsum(lengths), count) + 1)


def test_held_out_rows_of_huge_data_are_spread_and_cost_little_memory():
    runs = chosen_rows(10**8, 10**7, np.random.default_rng(0))
    assert runs.rows == 10**7
    assert len(runs.starts) <= 1 << 16
    assert stats.kstest(runs.starts / 10**8, "uniform").pvalue > 1e-3


def test_a_run_worked_by_hand():
    runs = HeldOut(np.array([2, 7]), np.array([4, 8]))  # rows 2, 3 and 7 of 10
    assert runs.outside(0, 10).tolist() == [0, 1, 4, 5, 6, 8, 9]
    assert runs.outside(3, 5).tolist() == [4]
    assert runs.before(np.array([0, 2, 3, 4, 7, 8, 10])).tolist() == [0, 0, 1, 2, 2, 3, 3]
    assert runs.numbers(1, 3).tolist() == [3, 7]


@pytest.mark.parametrize(
    ("rows", "given", "count"),
    [(100, 0, 0), (100, 0.1, 10), (100, 0.001, 1), (100, 98, 98), (2, 0, 0)],
)
def test_shares_and_numbers_of_held_out_rows(rows, given, count):
    assert held_out_count(rows, given) == count


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"batch_size": 0}, "positive multiple"),
        ({"batch_size": 5, "world": 2}, "positive multiple of the number of processes"),
        ({"world": 2, "rank": 2}, "rank must be"),
        ({"rank": -1}, "rank must be"),
        ({"seed": -1}, "seed must be"),
        ({"prefetch": -1}, "prefetch must be"),
        ({"held_out": -0.1}, "held_out must be"),
        ({"held_out": 1.5}, "held_out must be"),
        ({"held_out": 0.999}, "fewer than 2 rows are left"),
        ({"held_out": 99}, "fewer than 2 rows are left"),
        ({"block_rows": 0}, "block_rows must be"),
        ({"buffer_rows": 0}, "buffer_rows must be"),
        ({"buffer_rows": 40, "block_rows": 11}, r"too small to mix[\s\S]*at least 44"),
    ],
)
def test_settings_that_make_no_sense(change, message):
    with pytest.raises(ConfigError, match=message):
        VectorStream(open_vectors(ids(100)), **({"batch_size": 4, "seed": 0} | change))


@pytest.mark.parametrize(("epoch", "start"), [(-1, 0), (0, -1), (0, 26)])
def test_positions_that_are_not_there_are_refused_at_once(epoch, start):
    stream = VectorStream(open_vectors(ids(100)), 4, 0)
    with pytest.raises(ConfigError, match="no such position"):
        stream.epoch(epoch, start)
    with pytest.raises(ConfigError, match="no such position"):
        next(stream.numbers(epoch, start))


def test_held_out_batches_of_no_rows_are_refused_at_once():
    with pytest.raises(ConfigError, match="batch size must be at least 1"):
        VectorStream(open_vectors(ids(100)), 4, 0, held_out=5).held_out(0)


def test_one_row_is_refused():
    with pytest.raises(DataError, match="fewer than 2 vectors"):
        VectorStream(open_vectors(ids(1)), 4, 0)


def test_a_buffer_beyond_the_limit_is_refused(monkeypatch):
    monkeypatch.setenv("ISTHMUS_LIMIT", "1000")
    with pytest.raises(DataError, match="the shuffle buffer would take"):
        VectorStream(OnDisk(ids(1000)), 4, 0)
    assert VectorStream(OnDisk(ids(1000)), 4, 0, buffer_rows=200).rows == 1000


def test_it_says_what_is_streamed():
    source = open_vectors(ids(1000))
    whole = VectorStream(source, 10, 0, held_out=0.1).describe()
    assert whole.endswith("900 to train on, 100 held out; permuted as a whole")
    parts = VectorStream(source, 10, 0, buffer_rows=100, block_rows=8).describe()
    assert parts.endswith("125 blocks of up to 8 rows permuted, 50 rows mixed at a time")
