"""Whole trainings: several dictionaries at once, all kinds of data, history, over-fitting."""

import math

import numpy as np
import pytest
import torch

from dictionary_toys import fitted, fitted_all, fvu, mixtures, state_of, stream
from isthmus.bottlenecks import (
    L1,
    AnyK,
    BatchTopK,
    Contrastive,
    Gated,
    JumpReLU,
    KLSparse,
    Matryoshka,
    TopK,
)
from isthmus.data.streams import VectorStream, open_vectors
from isthmus.errors import ConfigError, DataError
from isthmus.models.dictionary import SparseDictionary
from isthmus.training.dictionary import (
    DictionaryTraining,
    batch_for,
    fit_dictionaries,
    fit_dictionary,
    latents_for,
)
from isthmus.training.dictionary.member import Member

ALL = [
    TopK(20, 3),
    BatchTopK(20, 3),
    Matryoshka(20, 3),
    AnyK(20, 3),
    L1(20, l0=3),
    JumpReLU(20, l0=3),
    Gated(20, l0=3),
    KLSparse(20),
    Contrastive(20, 3),
]
ROWS = mixtures(300, 8)


# --- several dictionaries in one pass -------------------------------------------------------------


def test_dictionaries_trained_together_are_those_trained_alone():
    """Nine bottlenecks, several k, n, seeds and normalisations: not a byte differs."""
    config = DictionaryTraining(epochs=2, threads=1, dead_after=1.0, noise=0.3)
    given = {f"{type(b).__name__}": (b, 0, "none") for b in ALL}
    given |= {
        "more": (TopK(33, 5), 0, "none"),
        "seeded": (TopK(20, 3), 1, "none"),
        "unit": (TopK(20, 3), 0, "unit"),
        "layer": (BatchTopK(20, 3), 0, "layer"),
    }

    def made():
        return {
            name: SparseDictionary(8, b, seed=seed, normalise=how)
            for name, (b, seed, how) in given.items()
        }

    together = made()
    left = fitted_all(together, ROWS, config)
    for name, model in made().items():
        alone = fit_dictionary(model, stream(ROWS), config)
        assert state_of(model) == state_of(together[name]), name
        assert alone.history["train_fvu"] == left[name].history["train_fvu"]
    assert len({state_of(m)["encoder"] for m in together.values()}) == len(together)


def test_each_row_is_read_once_for_all(monkeypatch):
    reads = []
    whole = VectorStream.epoch

    def counted(self, epoch, start_batch=0):
        for batch in whole(self, epoch, start_batch):
            reads.append(len(batch))
            yield batch

    monkeypatch.setattr(VectorStream, "epoch", counted)
    models = {str(k): SparseDictionary(8, TopK(20, k)) for k in (1, 2, 3)}
    fitted_all(models, ROWS, DictionaryTraining(epochs=2, threads=1))
    assert sum(reads) == 2 * 270


def test_each_dictionary_gets_the_rate_of_its_own_size():
    models = {str(n): SparseDictionary(8, TopK(n, 2)) for n in (16, 64)}
    left = fitted_all(models, ROWS, DictionaryTraining(epochs=1, threads=1))
    assert left["16"].config.lr == pytest.approx(2 * left["64"].config.lr)
    assert left["16"].history["lr"] != left["64"].history["lr"]


def test_widths_must_be_those_of_the_rows():
    models = {"good": SparseDictionary(8, TopK(16, 2)), "bad": SparseDictionary(9, TopK(16, 2))}
    with pytest.raises(ConfigError, match="8 values, the dictionary 'bad' takes 9"):
        fit_dictionaries(models, stream(ROWS))


def test_no_dictionary_at_all_is_refused():
    with pytest.raises(ConfigError, match="no dictionary"):
        fit_dictionaries({}, stream(ROWS))


# --- it learns ------------------------------------------------------------------------------------


@pytest.mark.parametrize("bottleneck", ALL, ids=repr)
def test_every_objective_works_at_once_on_few_rows(bottleneck):
    """270 rows, nothing chosen: far better than the mean, no number that is none."""
    model, left = fitted(bottleneck, ROWS, epochs=10)
    found = fvu(ROWS, model.reconstruct(ROWS))
    assert found < 0.55
    assert found < left.history["train_fvu"][0]
    assert all(math.isfinite(v) for row in left.history for v in row.values())
    assert not model.training


@pytest.mark.parametrize(("rows", "dim", "k"), [(300, 8, 3), (1000, 12, 3), (1000, 64, 8)])
def test_a_few_rows_at_once_keep_every_latent_alive(rows, dim, k):
    """Latents, batch and rate follow from the data, which hold more directions than latents."""
    x = mixtures(rows, dim, directions=200, active=8)
    latents = latents_for(rows, dim)
    model = SparseDictionary(dim, TopK(latents, k))
    left = fit_dictionary(model, stream(x, batch_for(rows, 20)), DictionaryTraining(threads=1))
    assert left.history["validation_fvu"][-1] < 0.7
    assert left.history["dead"][-1] <= max(1, 0.05 * latents)  # one may come and go
    # held at .16, or at twice the mean rate where that is more
    assert left.history["max_firing_rate"][-1] < 1.2 * max(0.16, 2 * k / latents)
    assert left.best_epoch > 5


def test_two_hundred_thousand_rows_at_once():
    rows = mixtures(200_000, 16, directions=300, active=6)
    model = SparseDictionary(16, TopK(latents_for(180_000, 16), 4))
    source = stream(rows, batch_for(180_000, 1), prefetch=2)
    left = fit_dictionary(model, source, DictionaryTraining(epochs=1, threads=1))
    assert (model.latent, source.batch_size) == (128, 64)
    assert left.history["validation_fvu"][-1] < 0.3
    assert left.history["dead"][-1] <= 0.25 * 128
    assert left.samples_per_second > 1000


@pytest.mark.parametrize("bottleneck", [TopK(4, 2), BatchTopK(4, 2), L1(4, l0=2), KLSparse(4)])
def test_fewer_latents_than_dimensions_are_allowed(bottleneck):
    model, _ = fitted(bottleneck, ROWS, epochs=10)
    assert fvu(ROWS, model.reconstruct(ROWS)) < 1


@pytest.mark.parametrize("bottleneck", [TopK(256, 4), AnyK(256, 4), BatchTopK(256, 4)], ids=repr)
def test_the_fast_mode_trains_as_well(bottleneck):
    rows = mixtures(1500, 32, directions=300, active=5)
    found = []
    for precision in ("float32", "fast"):
        _, left = fitted(bottleneck, rows, batch_size=256, epochs=6, precision=precision)
        found.append(left.history["validation_fvu"][-1])
        assert left.config.precision == precision
    assert found[1] == pytest.approx(found[0], rel=0.02)
    assert found[0] < 0.8


def test_one_latent_of_one_dimension():
    rows = np.linspace(-1, 5, 100, dtype=np.float32)[:, None]
    model, _ = fitted(TopK(1, 1), rows, epochs=3)
    assert model.encode(rows).shape == (100, 1)


@pytest.mark.parametrize("bottleneck", [TopK(20, 3), BatchTopK(20, 3), Gated(20, l0=3)], ids=repr)
@pytest.mark.parametrize("normalise", ["layer", "unit"])
def test_samples_of_very_different_sizes_normalised_each_alone(bottleneck, normalise):
    sizes = 10.0 ** np.random.default_rng(0).uniform(-3, 3, (300, 1))
    rows = (sizes * ROWS).astype(np.float32)
    model, left = fitted(bottleneck, rows, normalise=normalise, epochs=6)
    out = model.reconstruct(rows)
    relative = np.square((out - rows) / sizes).sum() / np.square(ROWS - ROWS.mean(0)).sum()
    assert relative < 0.7
    inside = model.prepared(torch.tensor(rows))[0].numpy()
    assert left.history["validation_fvu"][-1] < 1
    if normalise == "unit":
        assert np.allclose(np.linalg.norm(inside, axis=1), 1, atol=1e-5)


def test_rows_of_types_that_are_no_float32():
    whole = np.random.default_rng(0).integers(0, 255, (300, 8)).astype(np.uint8)
    states = []
    for kind in (np.uint8, np.float64, np.float16, np.int32):
        model, _ = fitted(TopK(16, 2), whole.astype(kind), epochs=1)
        states.append(state_of(model))
    assert states[0] == states[1] == states[2] == states[3]


# --- data that give trouble -----------------------------------------------------------------------


def test_a_constant_coordinate_is_no_trouble():
    rows = ROWS.copy()
    rows[:, 3] = 7.0
    model, _ = fitted(TopK(20, 3), rows, epochs=8)
    assert np.abs(model.reconstruct(rows)[:, 3] - 7).mean() < 0.3
    rows[:, 4:] = 0
    model, left = fitted(TopK(20, 3), rows, epochs=3)
    assert math.isfinite(left.history["train_fvu"][-1])


def test_rows_that_stand_there_many_times_are_no_trouble():
    rows = np.repeat(ROWS[:5], 60, axis=0)
    model, left = fitted(TopK(20, 3), rows, epochs=10, held_out=0.1)
    assert fvu(rows, model.reconstruct(rows)) < 0.2
    assert math.isfinite(left.history["train_loss"][-1])


@pytest.mark.parametrize("rows", [5, 300])
def test_rows_that_are_all_the_same_are_refused(rows):
    with pytest.raises(DataError, match="all rows are the same"):
        fitted(TopK(4, 2), np.full((rows, 3), 0.1, np.float32), given={"held_out": ROWS[:, :3]})


def test_a_single_row_is_refused():
    with pytest.raises(DataError, match="fewer than 2"):
        stream(ROWS[:1])


def test_two_rows_are_enough():
    model = SparseDictionary(8, TopK(4, 1))
    source = VectorStream(open_vectors(ROWS[:2]), 64, 0, prefetch=0)
    left = fit_dictionary(model, source, DictionaryTraining(epochs=3, threads=1))
    assert len(left.history) == 3
    assert "validation_fvu" not in left.history.columns  # nothing is held out


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_rows_with_bad_values_are_named_or_left_out_and_counted(value):
    rows = ROWS.copy()
    rows[[17, 40, 41], 5] = value
    with pytest.raises(DataError, match=r"row 17|row 40|row 41"):
        fitted(TopK(16, 2), rows, epochs=1)
    model = SparseDictionary(8, TopK(16, 2))
    source = stream(rows, drop_bad=True, held_out=0)
    left = fit_dictionary(model, source, DictionaryTraining(epochs=2, threads=1))
    assert "3 rows with NaN or infinite values were left out" in left.notes
    assert all(p.isfinite().all() for p in model.parameters())


def test_batches_that_are_bad_as_a_whole_are_passed_over():
    rows = np.full((200, 8), np.nan, np.float32)
    rows[:20] = ROWS[:20]
    model = SparseDictionary(8, TopK(16, 2))
    source = stream(rows, batch_size=4, drop_bad=True, held_out=0)
    left = fit_dictionary(model, source, DictionaryTraining(epochs=2, threads=1))
    assert "180 rows with NaN or infinite values were left out" in left.notes
    assert math.isfinite(left.history["train_fvu"][-1])


def test_nothing_but_bad_rows_are_no_rows():
    rows = np.full((50, 8), np.nan, np.float32)
    with pytest.raises(DataError, match="no rows"):
        fit_dictionary(SparseDictionary(8, TopK(16, 2)), stream(rows, drop_bad=True))


def test_held_out_rows_with_bad_values_are_refused():
    held = ROWS[:20].copy()
    held[3, 2] = np.nan
    with pytest.raises(DataError, match="held out"):
        fitted(TopK(16, 2), ROWS, given={"held_out": held})
    with pytest.raises(DataError, match="held out"):
        fitted(TopK(16, 2), ROWS, given={"held_out": held[:, :5]})


# --- history, over-fitting, progress --------------------------------------------------------------


def test_the_history_has_a_row_an_epoch_with_the_terms_of_the_loss():
    for bottleneck in (TopK(20, 3), Gated(20, weight=0.1), AnyK(20, 3)):
        _, left = fitted(bottleneck, ROWS, epochs=3)
        history = left.history
        assert history["epoch"] == [1, 2, 3]
        assert history["steps"] == [5, 10, 15]
        parts = [c for c in ("distortion", "penalty", "revival") if f"train_{c}" in history.columns]
        for row in history:
            assert row["train_loss"] == pytest.approx(
                sum(row.get(f"train_{p}", 0.0) for p in parts)
            )
        assert {"train_fvu", "train_l0", "dead", "max_firing_rate", "validation_fvu"} <= set(
            history.columns
        )
        # decreasing to the end of the schedule, as the last step of each epoch had it
        assert history["lr"] == sorted(history["lr"], reverse=True)
        assert left.seconds == pytest.approx(sum(history["seconds"]))


def test_means_of_an_epoch_are_over_rows_not_batches():
    """270 rows in batches of 200 and 70; a rate of nearly nothing keeps the weights."""
    model = SparseDictionary(8, TopK(20, 3))
    source = stream(ROWS, batch_size=200)
    left = fit_dictionary(
        model,
        source,
        DictionaryTraining(epochs=1, lr=1e-12, noise=0.0, threads=1, encoder_decay=0.0),
    )
    rows = np.concatenate(list(source.epoch(0)))
    error = np.square(model.reconstruct(rows) - rows).sum(1).mean()
    scale = rows.var(0).sum()
    assert left.history["train_fvu"][0] == pytest.approx(error / scale, rel=1e-4)
    fires = (model.encode(rows).toarray() > 0).mean(0)
    assert left.history["max_firing_rate"][0] == pytest.approx(fires.max())


def test_the_held_out_error_is_about_the_training_mean():
    rows = mixtures(400, 8)
    held = rows[300:] + np.float32(3.0)  # elsewhere: about its own mean the error would be larger
    model, left = fitted(TopK(20, 3), rows[:300], epochs=2, given={"held_out": held})
    source = stream(rows[:300])
    mean = source.sample(270).mean(0)
    last = left.history["validation_fvu"][left.best_epoch - 1]
    error = np.square(model.reconstruct(held) - held).sum()
    assert last == pytest.approx(error / np.square(held - mean).sum(), rel=1e-3)
    assert last < np.square(model.reconstruct(held) - held).sum() / held.var(0).sum() / len(held)


def over_fitting(**settings):
    """60 rows of pure noise and a dictionary large enough to learn them by heart."""
    rows = np.random.default_rng(0).normal(size=(160, 24)).astype(np.float32)
    return rows, fitted(
        TopK(128, 8),
        rows[:60],
        batch_size=8,
        lr=0.02,
        epochs=40,
        noise=0.0,
        encoder_decay=0.0,
        decay=0.0,
        given={"held_out": rows[60:]},
        **settings,
    )


def test_over_fitting_is_said_and_the_best_epoch_is_kept():
    rows, (model, left) = over_fitting()
    held = left.history["validation_fvu"]
    assert left.best_epoch == int(np.argmin(held)) + 1 < 40
    assert held[-1] > 1.01 * min(held)
    assert "over-fits" in left.notes[0]
    assert f"epoch {left.best_epoch}'s weights were kept" in left.notes[0]
    assert any("more rows or fewer latents" in note for note in left.notes)
    error = np.square(model.reconstruct(rows[60:]) - rows[60:]).sum()
    mean = stream(rows[:60], 8).sample(60).mean(0)
    assert error / np.square(rows[60:] - mean).sum() == pytest.approx(min(held), rel=1e-3)


def test_patience_stops_the_training():
    _, (_, left) = over_fitting(patience=3)
    assert len(left.history) == left.best_epoch + 3 < 40


def test_a_training_that_goes_well_has_no_notes():
    _, left = fitted(TopK(20, 3), mixtures(2000, 8), epochs=4)
    assert left.notes == ()


def test_progress_is_told_of_the_first_dictionary():
    told = []
    models = {"a": SparseDictionary(8, TopK(20, 3)), "b": SparseDictionary(8, L1(20))}
    fitted_all(models, ROWS, DictionaryTraining(epochs=2, threads=1), watch=told.append)
    ends = [progress for progress in told if progress.row is not None]
    assert [p.row["epoch"] for p in ends] == [1, 2]
    assert "train_penalty" not in ends[0].row
    assert (ends[-1].samples, ends[-1].total, ends[-1].seconds_left) == (540, 540, 0)


def test_a_model_is_left_alone_where_the_data_can_not_be_trained_on(monkeypatch):
    model = SparseDictionary(8, TopK(20, 3))
    before = state_of(model)
    with pytest.raises(ConfigError):
        fit_dictionary(model, stream(ROWS[:, :5]))
    assert state_of(model) == before


def test_threads_are_given_back_after_a_failure(monkeypatch):
    before = torch.get_num_threads()
    monkeypatch.setattr(Member, "step", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        fitted(TopK(20, 3), ROWS, threads=3)
    assert torch.get_num_threads() == before
