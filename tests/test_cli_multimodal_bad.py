"""What bad input to the commands of several modalities gets: words, and nothing harmed."""

import numpy as np
import pytest

from cli_multimodal_toys import BARE, clip, picture, table, trio, wav_facts
from cli_tools import refused, snapshot, succeeded
from isthmus.data.audio.wav_header import _ENCODINGS
from sound_tools import noise16, wav


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return trio(tmp_path_factory.getbasetemp())[0]


@pytest.fixture(autouse=True)
def unharmed(run):
    """Nothing that is refused changes the run."""
    before = snapshot(run)
    yield
    assert snapshot(run) == before


SOUNDS = {
    "a header that claims more than there is": (wav(noise16(), data=10**6), "1,600 follow"),
    "a file that claims to be longer": (wav(noise16(), riff=10**8), "lies about its length"),
    "no samples": (wav(b""), "holds no sample"),
    "nothing at all": (b"", "empty"),
    "silence": (wav(np.zeros(800, "<i2").tobytes()), "silent"),
    "mu-law": (wav(noise16(), code=7, bits=8), "mu-law"),
    "MP3 in a WAV": (wav(noise16(), code=0x55), "MP3"),
    "an hour": (wav(np.ones(8000 * 3600, "<i2").tobytes()), "1.0 h"),
    "a rate of 4 kHz": (wav(noise16(), rate=4000), "4,000 Hz"),
    "six channels": (wav(noise16(600), channels=6), "6 channels"),
    "text": (b"this is no sound", "WAV"),
}


@pytest.mark.parametrize(("content", "said"), SOUNDS.values(), ids=SOUNDS)
def test_a_sound_that_cant_be_used_is_refused_in_words(content, said, run, tmp_path):
    path = tmp_path / "clip.wav"
    path.write_bytes(content)
    err = refused(1, "retrieve", run, "--from", "audio", path, "--to", "image")
    assert said in err
    assert str(path) in err
    out = tmp_path / "out.png"
    again = refused(1, "translate", run, "--from", "audio", path, "--to", "image", "--out", out)
    assert said in again
    assert "AudioLimits" not in again  # no advice for Python on the command line
    assert not out.exists()
    if len(content) < 10**6:
        pairs = table(tmp_path / "pairs.csv", ["audio", "text"], [["clip.wav", "one"]])
        train = ("train", pairs, "--model", "aligned", *BARE, "--out", tmp_path / "run")
        told = refused(1, *train)
        assert said in told
        assert "row 2, column 'audio'" in told
        assert not (tmp_path / "run").exists()


def test_the_names_of_the_encodings_are_those_of_the_reader():
    assert {_ENCODINGS[7], _ENCODINGS[0x55]} == {"mu-law", "MP3"}


def test_a_clipped_clip_is_used_and_said_to_be_clipped(run, tmp_path):
    wave = np.clip(np.sin(np.arange(3000) * 0.3) * 3, -1, 1) * 32767
    path, out = tmp_path / "loud.wav", tmp_path / "out.png"
    path.write_bytes(wav(wave.astype("<i2").tobytes()))
    answer = succeeded("translate", run, "--from", "audio", path, "--to", "image", "--out", out)
    assert "clipped" in answer.err
    assert out.is_file()


def test_stereo_at_another_rate_and_any_length_is_used(run, tmp_path):
    path, out = tmp_path / "stereo.wav", tmp_path / "out.wav"
    path.write_bytes(wav(noise16(2 * 44_100 * 3), channels=2, rate=44_100))
    answer = succeeded("translate", run, "--from", "audio", path, "--to", "text")
    assert "mixed down to mono" in answer.err
    succeeded("translate", run, "--from", "text", "one", "--to", "audio", "--out", out)
    assert wav_facts(out)[:3] == (1, 2, 8000)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("sieben!", "the character '!' is outside the alphabet"),
        ("fünf", "the character 'ü' is outside the alphabet"),
        ("seventeen", "9 characters; the window holds 8"),
        ("   ", "the text is empty"),
    ],
)
def test_a_text_that_the_model_cant_spell_is_refused(text, said, run, tmp_path):
    out = tmp_path / "out.png"
    err = refused(1, "translate", run, "--from", "text", text, "--to", "image", "--out", out)
    assert said in err
    assert "replace_with" not in err
    assert not out.exists()


def test_an_image_of_another_size_is_refused_unless_it_may_be_resized(run, tmp_path):
    big = picture(tmp_path / "big.png", 3, side=20)
    words = ("retrieve", run, "--from", "image", big, "--to", "text")
    err = refused(1, *words)
    assert "another size than the modality" in err
    assert "it is 20 x 20" in err
    assert "add --resize" in err
    assert "three" in succeeded(*words, "--resize", "--top", "1").out


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("broken.png", b"\x89PNG\r\n\x1a\n" + b"\0" * 40, "can't be"),
        ("absent.png", None, "no such picture"),
        ("text.png", b"hello", "can't be"),
    ],
)
def test_a_picture_that_cant_be_read_is_refused(name, content, said, run, tmp_path):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    err = refused(1, "translate", run, "--from", "image", path, "--to", "text")
    assert said in err
    assert str(path) in err
    assert "folder, not an item" in refused(
        1, "translate", run, "--from", "image", tmp_path, "--to", "text"
    )


def test_a_modality_that_the_run_never_saw_is_refused(run, tmp_path):
    seven = ("--from", "text", "seven")
    for words in (
        ["retrieve", run, "--from", "smell", "rose", "--to", "image"],
        ["retrieve", run, *seven, "--to", "smell"],
        ["translate", run, *seven, "--to", "smell", "--out", tmp_path / "x.png"],
        ["translate", run, *seven, "--and", "smell", "x", "--to", "image", "--out", "x.png"],
    ):
        err = refused(2, *words)
        assert "this run has no modality 'smell'" in err
        assert "it has: image, audio, text" in err
        assert "add-modality" in err


def test_nothing_given_is_refused_and_one_modality_is_enough(run):
    assert "no item is given" in refused(2, "retrieve", run, "--to", "image")
    assert "no item is given" in refused(2, "translate", run, "--to", "text")
    assert "seven" in succeeded("retrieve", run, "--from", "text", "seven", "--to", "text").out


PAIRS = {
    "a missing file": (
        ["image", "text"],
        [["1.png", "one"], ["nine.png", "nine"]],
        ("names a file that is not there", "row 3, column 'image'", "nine.png"),
    ),
    "a row with no modality": (
        ["image", "text", "label"],
        [["1.png", "one", "1"], ["", "", "2"]],
        ("the row has no modality at all", "row 3"),
    ),
    "an unknown modality": (
        ["image", "smell"],
        [["1.png", "rose"]],
        ("'smell' is no modality that is known",),
    ),
    "a text outside the alphabet": (
        ["image", "text"],
        [["1.png", "one"], ["1.png", "é"]],
        ("'é' is outside the alphabet", "row 3, column 'text'"),
    ),
    "images of two sizes": (
        ["image", "text"],
        [["1.png", "one"], ["big.png", "two"]],
        ("another size than the modality", "row 3, column 'image'"),
    ),
    "an item in two splits": (
        ["image", "text", "split"],
        [["1.png", "one", "train"], ["1.png", "two", "test"]],
        ("an item lies in two splits", "row 3"),
    ),
    "cells that are lacking": (["image", "text"], [["1.png"]], ("1 cells where 2 were expected",)),
    "no rows": (["image", "text"], [], ("holds no rows",)),
}


@pytest.mark.parametrize(("head", "rows", "said"), PAIRS.values(), ids=PAIRS)
def test_a_pair_table_that_is_wrong_is_refused_with_its_row(head, rows, said, tmp_path):
    picture(tmp_path / "1.png", 1)
    picture(tmp_path / "big.png", 2, side=12)
    pairs = table(tmp_path / "pairs.csv", head, rows)
    words = ("train", pairs, "--model", "aligned", *BARE, "--out", tmp_path / "run")
    for command in (words, ("data", "describe", pairs)):
        if command[0] == "data" and "smell" in head:
            continue  # with one modality by name it is a table like any other
        err = refused(1, *command)
        assert all(part in err for part in said), err
    assert not (tmp_path / "run").exists()
    absent = refused(1, "train", tmp_path / "no.csv", "--model", "aligned", "--out", tmp_path / "x")
    assert "no set of several modalities and no file" in absent


def test_own_pairs_train_and_are_found_again(tmp_path):
    rows = []
    for digit, word in enumerate(("zero", "one", "two")):
        for take in range(6):
            image = picture(tmp_path / f"{digit}-{take}.png", digit, take).name
            audio = clip(tmp_path / f"{digit}-{take}.wav", digit, take % 4, take).name
            part = "test" if take == 5 else "validation" if take == 4 else "train"
            voice = f"voice{take % 4}"
            text = f"{word} {'abcdef'[take]}"
            rows.append([image, audio if take % 2 else "", text, str(digit), part, voice])
    head = ["image", "audio", "text", "label", "split", "speaker"]
    pairs = table(tmp_path / "own.csv", head, rows)
    run = tmp_path / "run"
    succeeded(
        *("train", pairs, "--model", "aligned", *BARE, "--factors", "speaker", "--out", run),
    )
    words = ("retrieve", run, "--from", "text", "two x", "--to", "image", "--json")
    names = {hit["name"] for hit in succeeded(*words).json["hits"]}
    assert names == {"0-5.png", "1-5.png", "2-5.png"}
    out = tmp_path / "codes.npz"
    succeeded("encode", run, pairs, "--out", out)
    with np.load(out, allow_pickle=False) as codes:
        assert codes["row/items"].shape == (18, 3)
        assert (codes["row/items"][:, 1] < 0).sum() == 9
        assert np.isfinite(codes["row/shared"]).all()
    # a table that changed is noticed
    table(pairs, head, rows[:-1])
    assert "the data have changed" in refused(1, *words[:-1])
