"""Training with several modalities: repeatable, resumable, honest about collapse and clocks."""

import dataclasses
import os
import signal

import numpy as np
import pytest
import torch

from isthmus.data.multimodal import with_few_pairs, with_missing
from isthmus.errors import ConfigError, DivergedError, RunError
from isthmus.models.multimodal import Modality, Rows, modality_of
from isthmus.networks import MLP
from isthmus.training import Stopped
from isthmus.training.multimodal import MultimodalTraining, fit_multimodal
from isthmus.training.multimodal.critics import Critics, _doubt, separation
from isthmus.training.multimodal.feeding import Feed
from isthmus.training.multimodal.fit_quality import alarms, explained
from multimodal_models import NAMES, small
from multimodal_toys import toy

CONFIG = MultimodalTraining(
    epochs=2, batch_size=16, device="cpu", threads=1, warmup_steps=2, average=0.9
)


def described(data):
    return [
        modality_of(m.adapter, network=MLP((16,)))
        if m.adapter.kind == "vector"
        else modality_of(m.adapter)
        for m in data.modalities.values()
    ]


def state(model):
    return {k: v.clone() for k, v in model.state_dict().items()}


def same(one, two):
    return all(torch.equal(v, two[k]) for k, v in one.items())


@pytest.mark.parametrize("name", NAMES)
def test_same_seed_same_bytes_and_the_loss_falls(name):
    data = with_missing(toy(text=True, rule="table"), 0.3)
    results = []
    for _ in range(2):
        torch.manual_seed(torch.seed() % 1000)
        model = small(name, described(data))
        fitted = fit_multimodal(model, data, dataclasses.replace(CONFIG, epochs=6, lr=1e-2))
        results.append(state(model))
    assert same(*results)
    rows = list(fitted.history)
    assert rows[-1]["validation_loss"] < rows[0]["validation_loss"]
    for m in data.names:
        assert {f"r2_{m}", f"train_nats_{m}", f"validation_nats_{m}"} <= set(rows[-1])
    assert fitted.steps == 6 * 3
    assert not model.training


@pytest.mark.parametrize("name", ["aligned", "mopoe"])
def test_a_resumed_training_ends_with_the_same_bytes(name, tmp_path, monkeypatch):
    data = toy()
    whole = small(name, described(data))
    fit_multimodal(whole, data, CONFIG, checkpoints=tmp_path / "whole")
    broken = small(name, described(data))
    told, calls, original = [], [], Feed.rows

    def interrupted(self, table, generator):
        calls.append(generator)
        if sum(g is not None for g in calls) == 4:
            os.kill(os.getpid(), signal.SIGINT)
        return original(self, table, generator)

    config = dataclasses.replace(CONFIG, checkpoint_seconds=1e-9)
    monkeypatch.setattr(Feed, "rows", interrupted)
    with pytest.raises(Stopped):
        fit_multimodal(broken, data, config, checkpoints=tmp_path / "cut", watch=told.append)
    monkeypatch.undo()
    again = small(name, described(data), seed=99)
    fitted = fit_multimodal(again, data, config, checkpoints=tmp_path / "cut", resume=True)
    assert same(state(whole), state(again))
    assert len(fitted.history) == 2
    assert told[-1].row["steps"] == 3


def test_resuming_without_a_checkpoint_says_so(tmp_path):
    data = toy()
    with pytest.raises(RunError, match="no checkpoint"):
        fit_multimodal(
            small("aligned", described(data)), data, CONFIG, checkpoints=tmp_path, resume=True
        )


def test_minutes_end_a_training_early_and_the_rate_reaches_zero():
    data = toy()
    config = dataclasses.replace(CONFIG, epochs=100_000, minutes=0.01)
    fitted = fit_multimodal(small("aligned", described(data)), data, config)
    assert 0.5 < fitted.seconds < 5
    assert fitted.history.rows[-1]["lr"] == pytest.approx(0, abs=1e-9)


def test_the_average_is_kept_and_not_the_last_weights():
    data = toy()
    kept = []
    for average in (0.0, 0.9):
        model = small("aligned", described(data))
        fit_multimodal(model, data, dataclasses.replace(CONFIG, average=average))
        kept.append(state(model))
    assert not same(*kept)


def test_training_learns_to_retrieve():
    data = factored()
    model = small("aligned", described(data))
    fit_multimodal(model, data, dataclasses.replace(CONFIG, epochs=15, lr=1e-2))
    codes = {
        m: model.encode({m: data[m].items[torch.from_numpy(data[m].rows("test"))]}) for m in "ab"
    }
    labels = {m: data[m].labels[data[m].rows("test")] for m in "ab"}
    best = codes["a"].similarity(codes["b"]).argmax(1).numpy()
    # chance is 1/3
    assert (labels["b"][best] == labels["a"]).mean() > 0.8


def test_unpaired_rows_teach_too():
    data = with_few_pairs(toy((240, 120)), 2)
    model = small("aligned", described(data))
    before = explained(model, data)
    fitted = fit_multimodal(model, data, dataclasses.replace(CONFIG, epochs=10, lr=1e-2))
    after = explained(model, data)
    assert all(after[m] > before[m] for m in "ab")
    assert np.isfinite(fitted.history["train_loss"]).all()


def test_infinite_losses_end_the_training(tmp_path):
    data = toy()
    model = small("mvtcae", described(data))
    config = dataclasses.replace(CONFIG, lr=1e18, clip=0.0, warmup_steps=0, epochs=30)
    with pytest.raises(DivergedError, match="lower --lr"):
        fit_multimodal(model, data, config)


def test_data_that_do_not_fit_are_refused():
    data = toy()
    with pytest.raises(ConfigError, match="the data don't"):
        fit_multimodal(
            small("aligned", [*described(data), Modality("c", (3,), MLP((4,)))]), data, CONFIG
        )
    with pytest.raises(ConfigError, match="the shape"):
        fit_multimodal(small("aligned", [Modality("a", (9,), MLP((4,)))]), data, CONFIG)


def test_some_of_the_data_is_enough():
    data = toy(text=True)
    model = small("aligned", described(data)[:2])
    fitted = fit_multimodal(model, data, CONFIG)
    assert "r2_word" not in fitted.history.columns


@pytest.mark.parametrize(
    "wrong",
    [
        {"average": 1.0},
        {"minutes": -1.0},
        {"hide_weight": -1.0},
        {"keep_weight": -0.1},
        {"pure_weight": -0.1},
        {"binarise": "static"},
        {"epochs": 0},
    ],
)
def test_settings_that_cannot_work_are_refused(wrong):
    with pytest.raises(ConfigError):
        MultimodalTraining(**wrong)


# --- feeding ------------------------------------------------------------


def sounds():
    from isthmus.data.multimodal import open_multimodal

    return dataclasses.replace(open_multimodal("digits-words"), epoch_rows=64)


def test_feed_changes_pictures_in_place_and_sounds_beside():
    data = sounds()
    table = data.table("train")[:8]
    table[0, 0] = table[1, 1] = -1
    clean = data.batch(table)
    feed = Feed(data, CONFIG, views=True, device=torch.device("cpu"))
    plain = feed.rows(table, None)
    assert not plain.views
    assert torch.equal(plain.items["image"], clean.items["image"])
    changed = feed.rows(table, torch.Generator().manual_seed(0))
    assert set(changed.views) == {"audio"}
    assert torch.equal(changed.items["audio"], clean.items["audio"])
    assert not torch.equal(changed.items["image"], clean.items["image"])
    assert torch.equal(changed.items["text"], clean.items["text"])
    assert not changed.items["image"][0].any()
    assert not changed.views["audio"][1].any()
    assert changed.items["image"].min() >= 0
    assert changed.items["image"].max() <= 1
    assert torch.equal(clean.items["image"], data.batch(table).items["image"])
    again = feed.rows(table, torch.Generator().manual_seed(0))
    assert torch.equal(changed.views["audio"], again.views["audio"])
    single = Feed(data, CONFIG, views=False, device=torch.device("cpu"))
    mixed = single.rows(table, torch.Generator().manual_seed(0))
    alike = (mixed.items["audio"] == clean.items["audio"]).flatten(1).all(1)
    assert not mixed.views
    assert 0 < alike[2:].sum() < 6
    speaker = data["audio"].factors["speaker"]
    assert changed.factors["speaker"]["audio"].tolist() == [
        speaker[i] if i >= 0 else -1 for i in table[:, 1]
    ]


def test_without_augmentation_nothing_is_changed():
    data = sounds()
    table = data.table("train")[:8]
    config = dataclasses.replace(CONFIG, augment=False)
    feed = Feed(data, config, views=True, device=torch.device("cpu"))
    found = feed.rows(table, torch.Generator().manual_seed(0))
    assert not found.views
    assert torch.equal(found.items["image"], data.batch(table).items["image"])


# --- critics ------------------------------------------------------------


def test_doubt_is_nothing_for_an_undecided_critic_and_moves_codes_alone():
    head = torch.nn.Linear(2, 3)
    torch.nn.init.zeros_(head.weight), torch.nn.init.zeros_(head.bias)
    codes = torch.randn(4, 2, requires_grad=True)
    truth = torch.tensor([0, 1, 2, -1])
    assert _doubt(head, codes, truth).tolist() == pytest.approx([0] * 4, abs=1e-6)
    head.weight.data = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]])
    cost = _doubt(head, codes, truth)
    assert (cost[:3] > 0).all()
    assert cost[3] == 0
    cost.sum().backward()
    assert head.weight.grad is None
    assert head.bias.grad is None
    assert codes.grad[:3].any()
    assert not codes.grad[3].any()
    # by hand: uniform cross-entropy of scores (1, 0, 0), less log 3
    one = _doubt(head, torch.tensor([[1.0, 0.0]]), truth[:1]).item()
    assert one == pytest.approx(np.log(np.e + 2) - 1 / 3 - np.log(3), rel=1e-5)


def test_separation_by_hand():
    codes = torch.tensor([[0.0, 5.0], [2.0, 5.0], [4.0, 5.0], [6.0, 5.0]], requires_grad=True)
    groups = torch.tensor([0, 0, 1, 1])
    # means 1 and 5 about 3: between 16, in all 20; the second coordinate never moves
    found = separation(codes, groups, None)
    assert found.item() == pytest.approx((16 / 20 + 0) / 2 - 1 / 3, abs=1e-6)
    found.backward()
    assert codes.grad.isfinite().all()


def test_separation_is_blind_to_what_it_should_be():
    generator = torch.Generator().manual_seed(0)
    groups = torch.arange(600) % 3
    noise = torch.randn(600, 4, generator=generator)
    assert separation(noise, groups, None).item() < 0.01
    labels = (torch.arange(600) // 3) % 2
    assert separation(noise + 9 * groups[:, None], groups, None).item() > 0.9
    # groups differ only as classes do: nothing is left once the classes' means are out
    mixed = noise + 9.0 * labels[:, None]
    crossed = torch.where(torch.rand(600, generator=generator) < 0.8, labels, groups)
    assert separation(mixed, crossed, None).item() > 0.2
    assert separation(mixed, crossed, labels).item() < 0.01


@pytest.mark.parametrize("truth", [[-1, -1, -1], [0, 0, 0], [0, 1, -1]])
def test_separation_of_too_few_is_nothing(truth):
    codes = torch.randn(3, 2, requires_grad=True)
    assert separation(codes, torch.tensor(truth), torch.zeros(3)).item() == 0


def factored(size=360):
    """A vector that holds class and speaker, each in its own coordinates."""
    from isthmus.data.modalities import VectorAdapter
    from isthmus.data.multimodal import ModalityData
    from isthmus.data.multimodal.dataset import MultimodalData
    from isthmus.data.multimodal.drawing import fixed_class_pairs

    generator = np.random.default_rng(0)
    modalities = {}
    for name in "ab":
        labels, speaker = np.arange(size) % 3, (np.arange(size) // 3) % 3
        split = np.array([0, 0, 0, 0, 1, 2], np.uint8)[(np.arange(size) // 9) % 6]
        raw = 0.3 * generator.normal(size=(size, 6))
        raw[:, :3] += np.eye(3)[labels]
        raw[:, 3:] += np.eye(3)[speaker]
        adapter = VectorAdapter(name, 6).fit(raw[split == 0])
        factors = {"speaker": speaker} if name == "a" else {}
        modalities[name] = ModalityData(
            adapter,
            adapter.transform(raw),
            labels,
            split,
            factors,
            dict.fromkeys(factors, ("x", "y", "z")),
        )
    pairs = {
        part: fixed_class_pairs([(m.rows(part), m.labels) for m in modalities.values()], rows, i)
        for i, (part, rows) in enumerate({"train": 128, "validation": 9, "test": 12}.items())
    }
    return MultimodalData("factored", "made up", modalities, pairs, "class", ("r", "g", "b"), 128)


def probe(model, data, part):
    from sklearn.linear_model import LogisticRegression

    modality = data["a"]
    train, test = (torch.from_numpy(modality.rows(s)) for s in ("train", "test"))
    codes = [getattr(model.encode({"a": modality.items[rows]}), part) for rows in (train, test)]
    codes = [c["a"] if isinstance(c, dict) else c for c in codes]
    speaker = modality.factors["speaker"]
    fitted = LogisticRegression(max_iter=1000).fit(codes[0].numpy(), speaker[train.numpy()])
    return fitted.score(codes[1].numpy(), speaker[test.numpy()])


def test_critics_keep_a_factor_out_of_the_shared_code_and_in_the_private_one():
    data = factored()
    leaks = []
    for hide in ("", "speaker"):
        model = small("aligned", described(data))
        model.joining.config = dataclasses.replace(model.joining.config, alike="masked")
        config = dataclasses.replace(
            CONFIG, epochs=120, lr=5e-3, batch_size=32, hide=hide, hide_weight=1.0, keep_weight=1.0
        )
        fitted = fit_multimodal(model, data, config)
        leaks.append((probe(model, data, "shared"), probe(model, data, "private")))
        assert not any("critic" in name for name in model.state_dict())
    assert leaks[1][0] <= leaks[0][0]
    assert leaks[1][0] < 0.6
    assert leaks[1][1] > 0.85
    assert "train_told_speaker_shared_a" in fitted.history.columns


def test_unknown_factors_cost_nothing_and_are_named():
    data = factored()
    model = small("aligned", described(data))
    config = dataclasses.replace(CONFIG, hide="speaker", pure_weight=0.0)
    critics = Critics(model, data, config)
    feed = Feed(data, CONFIG, views=False, device=torch.device("cpu"))
    rows = feed.rows(data.table("train")[:6], None)
    hidden = {"speaker": {"a": torch.tensor([-1, -1, -1, 0, 1, 2])}}
    rows = Rows(rows.items, rows.mask, rows.labels, factors=hidden)
    cost, _ = critics.penalty(model.train().passed(rows), rows, 1.0)
    assert cost[:3].tolist() == [0, 0, 0]
    assert (cost[3:] > 0).all()
    with pytest.raises(ConfigError, match="the data know: speaker"):
        Critics(model, data, dataclasses.replace(config, hide="accent"))


def test_a_speaker_who_never_trains_is_none_that_a_critic_could_name():
    data = factored()
    part = data["a"]
    speaker = np.where(part.split == 0, part.factors["speaker"] % 2, 5)
    moved = dataclasses.replace(part, factors={"speaker": speaker})
    data = dataclasses.replace(data, modalities={**data.modalities, "a": moved})
    model = small("aligned", described(data))
    critics = Critics(model, data, dataclasses.replace(CONFIG, hide="auto", pure_weight=0.0))
    assert {post.factor for post in critics.posts} == {"speaker"}
    assert all(post.seen == (0, 1) for post in critics.posts)
    post = critics.posts[0]
    hidden = {"speaker": {"a": torch.tensor([5, 0, -1, 1])}}
    rows = Rows({}, {}, torch.zeros(4, dtype=torch.long), factors=hidden)
    assert post.truth(rows).tolist() == [-1, 0, -1, 1]


# --- the alarm ------------------------------------------------------------


def test_r2_by_hand():
    """A model that decodes the training mean explains nothing; one that copies, everything."""
    data = toy()
    model = small("aligned", described(data))
    mean = data["a"].items[torch.from_numpy(data["a"].rows("train"))].mean(0)
    channel = model.channel("a")

    class Mean(torch.nn.Module):
        def forward(self, code):
            return mean.expand(len(code), -1)

    channel.decoder = Mean()
    assert explained(model, data)["a"] == pytest.approx(0, abs=1e-6)


def test_r2_of_texts_ends_with_the_text():
    """What a decoder says after the end is padding: neither error nor variance."""
    data = toy(text=True)
    model = small("aligned", described(data))
    channel, word = model.channel("word"), data["word"]
    truth = word.items[torch.from_numpy(word.rows("validation"))]
    after = (truth == 0).cumsum(1) > 1
    assert after.any()

    class Says(torch.nn.Module):
        """Writes what it is told, whatever the code."""

        def forward(self, code):
            wanted = torch.nn.functional.one_hot(self.symbols, channel.readout.config.symbols)
            return (wanted.float() * 60).transpose(1, 2).flatten(1)[: len(code)]

    channel.decoder = says = Says()
    says.symbols = truth
    assert explained(model, data)["word"] == pytest.approx(1, abs=1e-9)
    says.symbols = torch.where(after, torch.full_like(truth, 5), truth)
    assert explained(model, data)["word"] == pytest.approx(1, abs=1e-9)
    says.symbols = torch.where(truth == truth[:, :1], torch.full_like(truth, 5), truth)
    assert explained(model, data)["word"] < 0.9


def test_the_alarm_names_what_collapsed():
    assert alarms({"image": 0.9, "audio": 0.5}, None, 5) == []
    (said,) = alarms({"image": 0.01, "audio": 0.5}, None, 5)
    assert "image has collapsed" in said
    assert "epoch 5" in said
    assert "1%" in said
    (said,) = alarms({"image": 0.6, "audio": 0.5}, {"image": 0.85, "audio": 0.55}, 1)
    assert "image is drowned" in said
    assert "85%" in said


def test_a_collapse_is_in_the_result_and_the_log(caplog):
    data = toy()
    parts = [dataclasses.replace(m, weight=0.0 if m.name == "a" else 1.0) for m in described(data)]
    model = small("aligned", parts)
    fitted = fit_multimodal(model, data, dataclasses.replace(CONFIG, epochs=2))
    assert any("a has collapsed" in said for said in fitted.warnings)
    assert "a has collapsed" in caplog.text


def test_what_the_alarm_said_is_remembered_when_a_training_goes_on(tmp_path, monkeypatch):
    from isthmus.training.multimodal import loop

    monkeypatch.setattr(loop, "EARLIEST", 0)
    data = toy()
    parts = [dataclasses.replace(m, weight=0.0 if m.name == "a" else 1.0) for m in described(data)]
    config = dataclasses.replace(CONFIG, epochs=2)

    def stop(progress):
        if progress.row is not None:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(Stopped):
        fit_multimodal(small("aligned", parts), data, config, checkpoints=tmp_path, watch=stop)
    fitted = fit_multimodal(
        small("aligned", parts), data, config, checkpoints=tmp_path, resume=True
    )
    whole = fit_multimodal(small("aligned", parts), data, config)
    assert fitted.warnings == whole.warnings
    assert any(said.startswith("epoch 1: a has collapsed") for said in fitted.warnings)
