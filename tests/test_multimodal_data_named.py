"""The named sets of several modalities: folds, frozen tables, and the leakage checklist."""

import hashlib

import numpy as np
import pytest
import torch

import isthmus as im
from isthmus.data import CATALOGUE
from isthmus.data.audio.front_end import LogMel
from isthmus.data.modalities.audio import AudioAdapter
from isthmus.data.multimodal import open_multimodal
from isthmus.data.multimodal.digits_words import TONE_FRONT, tone
from isthmus.data.multimodal.spoken_digits import SPEAKERS, fold_split, read_spoken_digits
from isthmus.data.multimodal.words import TEMPLATES, WORDS, digit_texts
from isthmus.data.named_sounds import RecordingsChecksum
from isthmus.errors import ConfigError, DataError, MissingDataError
from multimodal_toys import digit_home, same

SPLITS = ("train", "validation", "test")
FRONT = LogMel(samples=2048, n_fft=256, window=256, mels=20)


def sha(array):
    return hashlib.sha256(np.ascontiguousarray(array).astype("<i8").tobytes()).hexdigest()[:16]


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return digit_home(tmp_path_factory.mktemp("home"))


@pytest.fixture
def made_up(home, monkeypatch):
    monkeypatch.setenv("ISTHMUS_DATA", str(home))
    monkeypatch.setenv("ISTHMUS_OFFLINE", "1")
    return home


# ---------------------------------------------------------------- texts


def test_templates_are_disjoint_and_fit_the_window():
    assert len(TEMPLATES) == len(set(TEMPLATES)) == 40
    texts = digit_texts("templates")
    counts = [len({texts.templates[i] for i in np.flatnonzero(texts.split == s)}) for s in range(3)]
    assert counts == [30, 5, 5]
    per_split = [{texts.texts[i] for i in np.flatnonzero(texts.split == s)} for s in range(3)]
    assert not per_split[0] & per_split[1]
    assert not per_split[0] & per_split[2]
    assert not per_split[1] & per_split[2]
    assert max(map(len, texts.texts)) <= texts.length == 32
    assert len(set(texts.texts)) == 400
    for text, digit in zip(texts.texts, texts.digits, strict=True):
        assert WORDS[digit] in text.split() or str(digit) in text.split()


def test_words_are_the_same_in_every_split():
    texts = digit_texts("word")
    for split in range(3):
        chosen = np.flatnonzero(texts.split == split)
        assert tuple(texts.texts[i] for i in chosen) == WORDS
        assert texts.digits[chosen].tolist() == list(range(10))
    with pytest.raises(ConfigError, match="unknown text"):
        digit_texts("song")


# ---------------------------------------------------------------- digits-words, anywhere


@pytest.fixture(scope="module")
def stand_in():
    return open_multimodal("digits-words")


def test_the_stand_in_needs_nothing_and_is_frozen(stand_in):
    assert stand_in.names == ("image", "audio", "text")
    assert [tuple(m.items.shape) for m in stand_in.modalities.values()] == [
        (1797, 1, 8, 8),
        (960, 1, 20, 16),
        (30, 8),
    ]
    assert {s: sha(stand_in.pairs[s]) for s in SPLITS} == {
        "train": "3f8dba0b19da6afa",
        "validation": "a78b52fd1c1e60f2",
        "test": "b218a118e25eb66d",
    }
    assert [sha(stand_in[m].split) for m in ("image", "audio")] == [
        "b88f8e9ef7bb0bb4",
        "4ee6302c081c46d8",
    ]
    assert same(stand_in, open_multimodal("digits-words"))


def test_the_stand_in_can_be_learned(stand_in):
    from sklearn.neighbors import KNeighborsClassifier

    for name, least in (("image", 0.95), ("audio", 0.9)):
        data = stand_in[name]
        values = data.items.flatten(1).numpy()
        train, test = data.rows("train"), data.rows("test")
        judge = KNeighborsClassifier(3).fit(values[train], data.labels[train])
        assert judge.score(values[test], data.labels[test]) > least


def test_the_made_up_sounds_depend_on_digit_voice_and_take_alone():
    one, again, other = tone(3, 1, 0), tone(3, 1, 0), tone(3, 1, 1)
    assert np.array_equal(one.samples, again.samples)
    assert len(one.samples) != len(other.samples)
    assert one.rate == TONE_FRONT.rate


def test_the_stand_in_without_sounds_and_with_templates():
    data = open_multimodal("digits-words", sounds=False, text="templates")
    assert data.names == ("image", "text")
    assert data["text"].factors["template"].max() == 39
    with pytest.raises(ConfigError, match="true or false"):
        open_multimodal("digits-words", sounds="yes")


# ---------------------------------------------------------------- opening


def test_what_is_no_set_is_refused(tmp_path):
    with pytest.raises(MissingDataError, match="no set of several modalities") as caught:
        open_multimodal("digit-quartet")
    assert "digit-trio" in str(caught.value)
    with pytest.raises(ConfigError, match="no option 'fold'"):
        open_multimodal("digits-words", fold="seen")


def test_some_modalities_by_choice():
    data = open_multimodal("digits-words", only=("text", "image"), sounds=False)
    assert data.names == ("text", "image")


def test_a_set_that_is_not_here_says_where_it_was_looked_for(tmp_path, monkeypatch):
    monkeypatch.setenv("ISTHMUS_DATA", str(tmp_path / "nowhere"))
    monkeypatch.setenv("ISTHMUS_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("ISTHMUS_OFFLINE", "1")
    with pytest.raises(MissingDataError, match="fsdd is not here") as caught:
        open_multimodal("fsdd")
    assert "26eb9aa.tar.gz" in str(caught.value)


def test_several_modalities_are_no_samples_of_one_shape(made_up):
    for name in ("digit-trio", "digits-words"):
        with pytest.raises(ConfigError, match="several modalities"):
            im.load(name)


# ---------------------------------------------------------------- digit-trio, made up


def test_the_trio_is_put_together(made_up):
    data = open_multimodal("digit-trio", front=FRONT)
    assert data.names == ("image", "audio", "text")
    assert [len(m) for m in data.modalities.values()] == [300, 240, 30]
    assert data.classes == WORDS
    assert data.pair_rule == "class"
    assert {s: len(t) for s, t in data.pairs.items()} == {
        "train": 30_000,
        "validation": 3_000,
        "test": 3_000,
    }
    image = data["image"]
    assert [len(image.rows(s)) for s in SPLITS] == [220, 20, 60]
    assert image.rows("train")[-1] < image.rows("validation")[0] < image.rows("test")[0]
    for split in SPLITS:
        table = data.table(split, 1, 2)
        labels = [m.labels[table[:, i]] for i, m in enumerate(data.modalities.values())]
        assert np.array_equal(labels[0], labels[1])
        assert np.array_equal(labels[0], labels[2])


def test_folds_hold_recordings_or_speakers_out(made_up):
    digits = read_spoken_digits(made_up / "fsdd")
    assert digits.names[13] == "0_theo_1.wav"
    assert digits.speaker_names == SPEAKERS
    seen = fold_split(digits)
    assert sorted(set(digits.indices[seen == 2])) == [0, 1, 2, 3, 4]
    assert sorted(set(digits.indices[seen == 1])) == [5, 6, 7, 8, 9]
    assert sorted(set(digits.indices[seen == 0])) == [10, 11]
    unseen = fold_split(digits, "unseen:theo")
    theo = digits.speakers == SPEAKERS.index("theo")
    assert (unseen[theo] == 2).all()
    assert set(unseen[~theo]) == {0, 1}
    assert (digits.indices[unseen == 1] < 5).all()
    assert (digits.indices[unseen == 0] >= 5).all()
    for fold in ("unseen", "unseen:nobody", "theo", "seen:theo"):
        with pytest.raises(ConfigError, match="no fold"):
            fold_split(digits, fold)


def test_statistics_come_from_training_clips_alone(made_up):
    for fold in ("seen", "unseen:theo"):
        data = open_multimodal("fsdd", fold=fold, front=FRONT)
        digits = read_spoken_digits(made_up / "fsdd")
        rows = data["audio"].rows("train")
        alone = AudioAdapter(front=FRONT).fit([digits.clips[i] for i in rows])
        np.testing.assert_allclose(data["audio"].adapter.mean, alone.mean, rtol=1e-5)
        np.testing.assert_allclose(data["audio"].adapter.spread, alone.spread, rtol=1e-4)
        every = AudioAdapter(front=FRONT).fit(digits.clips)
        assert not np.allclose(every.mean, alone.mean, rtol=1e-4)
        torch.testing.assert_close(alone.transform(digits.clips), data["audio"].items)


def test_the_sounds_as_images_of_one_modality(made_up):
    data = im.load("fsdd")
    assert data.kind == "image"
    assert data.shape == (1, 40, 64)
    assert {name: len(data[name]) for name in data} == {"train": 40, "validation": 100, "test": 100}
    assert data.range == (-4, 4)
    assert sorted(set(data["test"].label_array())) == list(range(10))


def test_loose_recordings_are_read_too(made_up, tmp_path):
    import tarfile

    with tarfile.open(made_up / "fsdd" / "recordings.tar") as tar:
        tar.extractall(tmp_path, filter="data")
    loose, packed = read_spoken_digits(tmp_path), read_spoken_digits(made_up / "fsdd")
    assert loose.names == packed.names
    assert all(
        np.array_equal(a.samples, b.samples) for a, b in zip(loose.clips, packed.clips, strict=True)
    )
    with pytest.raises(DataError, match="no spoken digits"):
        read_spoken_digits(tmp_path / "recordings")


# ---------------------------------------------------------------- the real data


@pytest.fixture(scope="module")
def real():
    import os
    from pathlib import Path

    home = os.environ.get("ISTHMUS_DATA", "")
    if not home or not (Path(home) / "fsdd").is_dir():
        pytest.skip("needs real data: point ISTHMUS_DATA at a folder that holds mnist/ and fsdd/")
    return open_multimodal("digit-trio")


@pytest.mark.needs_data
def test_the_real_trio_is_frozen(real):
    assert [len(m) for m in real.modalities.values()] == [70_000, 3_000, 30]
    sizes = {n: [len(real[n].rows(s)) for s in SPLITS] for n in ("image", "audio")}
    assert sizes == {"image": [55_000, 5_000, 10_000], "audio": [2_400, 300, 300]}
    assert {s: sha(real.pairs[s]) for s in SPLITS} == {
        "train": "7d9671ff09e90f5c",
        "validation": "83fe08baabef1b01",
        "test": "19212041b686ebd3",
    }
    assert [sha(real[m].split) for m in ("image", "audio")] == [
        "2feafc25a3a11e0f",
        "b7c4daf8e6802b7b",
    ]
    labels = real["audio"].labels[real["audio"].rows("test")]
    speakers = real["audio"].factors["speaker"][real["audio"].rows("test")]
    assert (np.bincount(labels * 6 + speakers) == 5).all()


@pytest.mark.needs_data
def test_the_six_folds_are_frozen(real, data_home):
    digits = read_spoken_digits(data_home / "fsdd")
    found = {}
    for speaker in SPEAKERS:
        split = fold_split(digits, f"unseen:{speaker}")
        assert np.bincount(split).tolist() == [2_250, 250, 500]
        held = digits.speakers == SPEAKERS.index(speaker)
        assert np.array_equal(split == 2, held)
        found[speaker] = sha(split)
    assert found == {
        "george": "2245e698d2650848",
        "jackson": "a757c6e008810cf8",
        "lucas": "7ff7bf3ce8bfdc12",
        "nicolas": "d265d024a678ad61",
        "theo": "45ed2919ffb7fe53",
        "yweweler": "e31759390a53568e",
    }


@pytest.mark.needs_data
def test_no_item_lies_in_two_splits(real):
    for name in ("image", "audio"):
        data = real[name]
        hashes = [
            {hash(data.items[int(i)].numpy().tobytes()) for i in data.rows(split)}
            for split in SPLITS
        ]
        assert not hashes[0] & hashes[1]
        assert not hashes[0] & hashes[2]
        assert not hashes[1] & hashes[2]


@pytest.mark.needs_data
def test_nobody_is_known_by_loudness(data_home):
    """A classifier that sees the loudness alone finds the speaker no better than by luck."""
    digits = read_spoken_digits(data_home / "fsdd")
    front = LogMel()
    rows = np.arange(0, 3000, 5)
    loud = np.array([np.sqrt(np.mean(front.placed(digits.clips[i])[0] ** 2.0)) for i in rows])
    raw = np.array([digits.clips[i].rms for i in rows])
    speakers = digits.speakers[rows]
    assert accuracy_by(np.log(raw), speakers) > 0.5  # before normalising it gives them away
    assert accuracy_by(np.round(np.log(loud), 4), speakers) <= 0.25


def accuracy_by(values, classes):
    from sklearn.model_selection import cross_val_score
    from sklearn.tree import DecisionTreeClassifier

    tree = DecisionTreeClassifier(max_leaf_nodes=12, random_state=0)
    return cross_val_score(tree, values[:, None], classes, cv=5).mean()


@pytest.mark.needs_data
def test_real_clips_survive_the_round_trip(data_home):
    digits = read_spoken_digits(data_home / "fsdd")
    clips = [digits.clips[i] for i in range(0, 3000, 150)]
    report = AudioAdapter().round_trip(clips)
    assert report.mel_error < 0.06
    assert report.worst < 0.15


# ---------------------------------------------------------------- the repository's archive


def test_the_checksum_of_recordings_does_not_depend_on_the_packing(made_up, tmp_path):
    import gzip
    import io
    import tarfile

    packed = made_up / "fsdd" / "recordings.tar"
    checksum = RecordingsChecksum("sha256", "")
    wanted = checksum.of(packed)
    with tarfile.open(packed) as tar:
        members = [(m.name, tar.extractfile(m).read()) for m in tar]
    other = tmp_path / "26eb9aa.tar.gz"

    def write(chosen):
        memory = io.BytesIO()
        with tarfile.open(fileobj=memory, mode="w") as tar:
            for name, content in [("repo-26eb9aa/README.md", b"words"), *chosen]:
                info = tarfile.TarInfo(name.replace("recordings/", "repo-26eb9aa/recordings/"))
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
        other.write_bytes(gzip.compress(memory.getvalue()))

    write(members[::-1])
    assert checksum.of(other) == wanted
    assert read_spoken_digits(tmp_path).names == read_spoken_digits(made_up / "fsdd").names
    write(members[1:])
    assert checksum.of(other) != wanted
    write([(members[0][0], members[0][1][:-1] + b"!"), *members[1:]])
    assert checksum.of(other) != wanted
    write([*members, members[0]])
    assert checksum.of(other) == "damaged"
    other.write_bytes(other.read_bytes()[:500])
    assert checksum.of(other) == "damaged"


def test_the_catalogue_knows_where_the_sounds_are(made_up):
    from isthmus.data import catalogue

    found = {line.name: line.where for line in catalogue()}
    assert found["fsdd"] == str(made_up / "fsdd")
    assert found["digit-trio"] == str(made_up / "mnist")
    assert found["digits-words"] == "scikit-learn"


@pytest.mark.needs_data
def test_the_recordings_are_the_official_ones(data_home):
    (entry,) = (entry for entry in CATALOGUE if entry.name == "fsdd")
    checksum = entry.files[0].checksum
    assert checksum.of(data_home / "fsdd" / "recordings.tar") == checksum.digest
