"""The user's own pairs from a CSV file: what is read, and what each mistake is told."""

import numpy as np
import pytest
import torch
from PIL import Image

from isthmus.data.audio.front_end import LogMel
from isthmus.data.audio.wav_writing import write_wav
from isthmus.data.modalities import (
    AudioAdapter,
    ImageAdapter,
    SentenceAdapter,
    TextAdapter,
    VectorAdapter,
)
from isthmus.data.multimodal import open_multimodal, read_pairs
from isthmus.errors import ConfigError, DataError, MissingDataError
from sound_tools import hiss, noise16, sine, wav

SMALL = LogMel(samples=2048, n_fft=256, window=256, mels=20)
RNG = np.random.default_rng(0)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "files").mkdir()
    for i in range(8):
        pixels = RNG.integers(0, 256, (10, 12)).astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / "files" / f"p{i}.png")
        write_wav(sine(200 + 150 * i, 0.2), tmp_path / "files" / f"s{i}.wav")
        np.save(tmp_path / "files" / f"v{i}.npy", RNG.normal(size=3))
    return tmp_path


def table(folder, text):
    path = folder / "pairs.csv"
    path.write_text(text)
    return path


HEAD = "image,audio,text,label,split,speaker\n"
ROWS = [
    "files/p0.png,files/s0.wav,a cat,cat,train,anna",
    "files/p1.png,files/s1.wav,a dog,dog,train,ben",
    ",files/s2.wav,,dog,train,ben",
    "files/p0.png,files/s3.wav,a cat,cat,train,ben",
    "files/p4.png,,,,train,",
    "files/p5.png,files/s5.wav,a cow,cow,validation,anna",
    "files/p6.png,files/s6.wav,the cat,cat,test,cleo",
]
GOOD = HEAD + "\n".join(ROWS) + "\n"


def test_a_table_of_pairs_by_hand(folder):
    data = read_pairs(table(folder, GOOD), factors=["speaker"])
    assert data.name == "pairs"
    assert data.names == ("image", "audio", "text")
    assert data.classes == ("cat", "cow", "dog")
    # p0.png stands twice and is one item
    assert data["image"].names == tuple(f"files/p{i}.png" for i in (0, 1, 4, 5, 6))
    assert data["text"].names == ("a cat", "a dog", "a cow", "the cat")
    assert data.pairs["train"].tolist() == [
        [0, 0, 0],
        [1, 1, 1],
        [-1, 2, -1],
        [0, 3, 0],
        [2, -1, -1],
    ]
    assert data.pairs["validation"].tolist() == [[3, 4, 2]]
    assert data.pairs["test"].tolist() == [[4, 5, 3]]
    assert data["image"].labels.tolist() == [0, 2, -1, 1, 0]
    assert data["audio"].split.tolist() == [0, 0, 0, 0, 1, 2]
    assert data["audio"].factor_names["speaker"] == ("anna", "ben", "cleo")
    assert data["audio"].factors["speaker"].tolist() == [0, 1, 1, 1, 0, 2]
    # p0.png is said by two speakers: it has none
    assert data["image"].factors["speaker"].tolist() == [-1, 1, -1, 0, 2]
    assert data.pair_rule == "table"
    batch = data.batch(data.pairs["train"])
    assert batch.mask["audio"].tolist() == [True, True, True, True, False]
    assert batch.labels.tolist() == [0, 2, 2, 0, -1]
    assert tuple(batch.items["image"].shape) == (5, 1, 10, 12)


def test_statistics_come_from_training_rows_alone(folder):
    data = read_pairs(table(folder, GOOD), factors=["speaker"])
    train = [sine(200 + 150 * i, 0.2) for i in (0, 1, 2, 3)]
    np.testing.assert_allclose(
        data["audio"].adapter.mean, AudioAdapter().fit(train).mean, atol=1e-3
    )


def test_the_users_own_adapters(folder):
    text = "face,voice,note,place\nfiles/p0.png,files/s0.wav,east,files/v0.npy\n"
    text += "files/p1.png,,north,files/v1.npy\n"
    adapters = {
        "face": ImageAdapter("face", (3, 6, 6), resize=True),
        "voice": AudioAdapter("voice", SMALL),
        "note": SentenceAdapter.of(["east", "north"], np.eye(2), name="note"),
        "place": VectorAdapter("place", 3),
    }
    data = read_pairs(table(folder, text), modalities=adapters, validation=0, test=0)
    shapes = {name: tuple(m.items.shape) for name, m in data.modalities.items()}
    assert shapes == {
        "face": (2, 3, 6, 6),
        "voice": (1, 1, 20, 16),
        "note": (2, 2),
        "place": (2, 3),
    }
    assert set(data.pairs) == {"train"}
    torch.testing.assert_close(data["place"].items.mean(0), torch.zeros(3), atol=1e-6, rtol=0)


def test_a_table_is_opened_by_its_name_and_paths_may_be_absolute(folder):
    text = f"image,text\n{folder}/files/p0.png,one\nfiles/p1.png,two\n"
    data = open_multimodal(table(folder, text), validation=0, test=0)
    assert data.names == ("image", "text")
    with pytest.raises(ConfigError, match="no option 'fold'"):
        open_multimodal(table(folder, text), fold="seen")


def test_rows_that_share_an_item_go_to_the_same_split(folder):
    rows = [f"files/p{i % 8}.png,word {i % 5}{i}" for i in range(60)]
    data = read_pairs(table(folder, "image,text\n" + "\n".join(rows)), validation=0.2, test=0.2)
    parts = {split: {tuple(row) for row in data.pairs[split].tolist()} for split in data.pairs}
    images = {split: {row[0] for row in rows} for split, rows in parts.items()}
    assert set(images) == {"train", "validation", "test"}
    assert not images["train"] & images["test"]
    assert not images["train"] & images["validation"]
    assert sum(len(part) for part in parts.values()) == 60
    again = read_pairs(table(folder, "image,text\n" + "\n".join(rows)), validation=0.2, test=0.2)
    other = read_pairs(
        table(folder, "image,text\n" + "\n".join(rows)), validation=0.2, test=0.2, seed=1
    )
    assert data.digest == again.digest
    assert data.digest != other.digest


def test_a_file_of_other_contents_makes_other_data(folder):
    """Names, splits and pairs are the same; what is seen is not."""
    lines = "image,text,split\nfiles/p0.png,one,train\nfiles/p1.png,two,test\n"
    before = read_pairs(table(folder, lines))
    kept = (folder / "files" / "p1.png").read_bytes()
    (folder / "files" / "p1.png").write_bytes((folder / "files" / "p2.png").read_bytes())
    assert read_pairs(table(folder, lines)).digest != before.digest
    (folder / "files" / "p1.png").write_bytes(kept)
    assert read_pairs(table(folder, lines)).digest == before.digest
    assert read_pairs(table(folder, lines.replace("two", "owt"))).digest != before.digest


# ---------------------------------------------------------------- what each mistake is told


def row(text, number=0):
    """The good table with a row put before its others."""
    return HEAD + text + "\n" + "\n".join(ROWS)


@pytest.mark.parametrize(
    ("text", "words", "where"),
    [
        (row(",,,cat,train,x"), "no modality at all", "row 2"),
        (row("files/none.png,,,cat,train,x"), "names a file that is not there", "row 2"),
        (row(",files/none.wav,,cat,train,x"), "names a file that is not there", "row 2"),
        (row("files/p7.png,,,cat,dev set,x"), "unknown split", "row 2"),
        (row("files/p6.png,,,cat,train,x"), "in two splits", "row 9"),
        (row("files/p7.png,,d\u00e9j\u00e0,cat,train,x"), "outside the alphabet", "row 2"),
        (row("files/p7.png,files/p7.png,,cat,train,x"), "not a WAV|can't be read", "row 2"),
        (row("files/s7.wav,,,cat,train,x"), "can't be read", "s7.wav"),
        (row("files/p7.png,,,cat,train"), "5 cells where 6", "row 2"),
        ("image,smell\nfiles/p0.png,rose\n", "'smell' is no modality", "row 1"),
        ("label,split\ncat,train\n", "at least one modality", "pairs.csv"),
        ("image,image\nfiles/p0.png,files/p1.png\n", "columns need names", "row 1"),
        ("image,\nfiles/p0.png,x\n", "columns need names", "row 1"),
        ("image\n", "no rows", "pairs.csv"),
        ("", "no rows", "pairs.csv"),
        ('image\n"files/p0.png\n', "damaged", "pairs.csv"),
        ("image,split\nfiles/p0.png,test\n", "no row is for training", "pairs.csv"),
    ],
)
def test_a_mistake_is_told_with_its_row(folder, text, words, where):
    path = folder / "pairs.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises((DataError, MissingDataError, ConfigError), match=words) as caught:
        read_pairs(path, factors=["speaker"] if "speaker" in text else [])
    assert where in str(caught.value)
    assert {p.name for p in folder.iterdir()} == {"files", "pairs.csv"}


def test_pictures_of_another_size_name_their_row(folder):
    Image.fromarray(np.zeros((5, 5), np.uint8)).save(folder / "files" / "small.png")
    with pytest.raises(DataError, match="another size") as caught:
        read_pairs(table(folder, "image\nfiles/p0.png\nfiles/small.png\n"))
    assert "row 3" in str(caught.value)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (wav(b""), "empty"),
        (wav(bytes(800)), "silent"),
        (wav(noise16(), data=1 << 30), "lies about its length"),
        (wav(noise16(), code=7, bits=8), "mu-law"),
    ],
)
def test_a_bad_sound_names_its_row(folder, content, words):
    (folder / "files" / "bad.wav").write_bytes(content)
    with pytest.raises(DataError, match=words) as caught:
        read_pairs(table(folder, "audio\nfiles/s0.wav\nfiles/bad.wav\n"))
    assert "row 3" in str(caught.value)
    assert "bad.wav" in str(caught.value)


def test_a_column_that_is_asked_for_and_not_there(folder):
    with pytest.raises(DataError, match="no column 'voice'"):
        read_pairs(table(folder, GOOD), modalities={"voice": AudioAdapter()})
    with pytest.raises(DataError, match="no column 'mood'"):
        read_pairs(table(folder, GOOD), factors=["mood"])
    with pytest.raises(MissingDataError, match="no such pair table"):
        read_pairs(folder / "none.csv")
    with pytest.raises(ConfigError, match="must leave rows"):
        read_pairs(table(folder, "text\none\ntwo\n"), validation=0.5, test=0.5)


def test_a_table_that_is_no_text_is_refused(folder):
    path = folder / "pairs.csv"
    path.write_bytes(b"image\n\xff\xfe\n")
    with pytest.raises(DataError, match="not UTF-8"):
        read_pairs(path)


def test_an_item_with_two_labels_has_none(folder):
    text = "image,text,label\nfiles/p0.png,an animal,cat\nfiles/p1.png,an animal,dog\n"
    text += "files/p2.png,a plant,\nfiles/p3.png,a plant,fern\n"
    data = read_pairs(table(folder, text), validation=0, test=0)
    assert data["text"].labels.tolist() == [-1, 2]
    assert data["image"].labels.tolist() == [0, 1, -1, 2]
    assert data.row_labels(data.pairs["train"]).tolist() == [0, 1, 2, 2]


def test_labels_that_are_numbers_keep_their_order(folder):
    rows = "\n".join(f"word {i},{i}" for i in (10, 9, 2, 0))
    data = read_pairs(table(folder, f"text,label\n{rows}\n"), validation=0, test=0)
    assert data.classes == ("0", "2", "9", "10")
    assert data["text"].labels.tolist() == [3, 2, 1, 0]


def test_the_window_of_text_fits_the_longest(folder):
    data = read_pairs(table(folder, "text\na rather long line\nb\n"), validation=0, test=0)
    assert data["text"].adapter.length == 20
    short = TextAdapter(length=4)
    with pytest.raises(DataError, match="window holds 4") as caught:
        read_pairs(
            table(folder, "text\none\nseven\n"), modalities={"text": short}, validation=0, test=0
        )
    assert "row 3" in str(caught.value)


def test_noise_is_a_sound_too(folder):
    write_wav(hiss(0.2, 16000), folder / "files" / "n.wav")
    data = read_pairs(table(folder, "audio\nfiles/s0.wav\nfiles/n.wav\n"), validation=0, test=0)
    assert torch.isfinite(data["audio"].items).all()


def test_a_word_may_stand_in_every_split_and_is_one_item_in_each(folder):
    words = ["cat", "dog"]
    rows = [f"files/p{i}.png,{words[i % 2]},{words[i % 2]}" for i in range(8)]
    path = table(folder, "image,text,label\n" + "\n".join(rows) + "\n")
    data = read_pairs(path, validation=0.25, test=0.25, seed=0)
    assert sorted(len(pairs) for pairs in data.pairs.values()) == [2, 2, 4]
    for part, pairs in data.pairs.items():
        number = ("train", "validation", "test").index(part)
        assert (data["text"].split[pairs[:, 1]] == number).all()
        assert (data["image"].split[pairs[:, 0]] == number).all()
        names = [data["text"].names[item] for item in pairs[:, 1]]
        assert [data.classes[c] for c in data["text"].labels[pairs[:, 1]]] == names
        assert len(set(pairs[:, 1])) == len(set(names))  # one item for each word
    assert len(data["image"].items) == 8


def test_what_is_to_be_missing_can_be_said_when_opening():
    data = open_multimodal("digits-words", sounds=False, missing=0.5)
    cells = data.pairs["train"] < 0
    assert 0.3 < cells.mean() < 0.5  # half of them, but for rows that would be left with nothing
    assert not cells.all(axis=1).any()
    few = open_multimodal("digits-words", sounds=False, pairs_per_class=3)
    assert ((few.pairs["train"] >= 0).all(axis=1)).sum() == 30
