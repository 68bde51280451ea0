"""Adapters that go both ways: pictures, sounds, texts, sentences, vectors."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from isthmus.data.audio.clip import Audio
from isthmus.data.audio.front_end import LogMel
from isthmus.data.modalities import (
    ADAPTERS,
    Adapter,
    AudioAdapter,
    ImageAdapter,
    SentenceAdapter,
    TextAdapter,
    VectorAdapter,
    adapter_from,
)
from isthmus.data.modalities.text import ALPHABET
from isthmus.errors import ConfigError, DataError, MissingDataError
from sound_tools import chirp, hiss, sine

RNG = np.random.default_rng(0)
SMALL = LogMel(samples=2048, n_fft=256, window=256, mels=20)
CLIPS = [sine(f, 0.2) for f in (300, 700, 1500, 2500)]


def fitted():
    return {
        "image": (ImageAdapter(), list(RNG.integers(0, 256, (3, 28, 28)).astype(np.uint8))),
        "audio": (AudioAdapter(front=SMALL).fit(CLIPS), CLIPS),
        "text": (TextAdapter(length=12, replace_with=" "), ["seven", "a word 2"]),
        "sentence": (
            SentenceAdapter.of(["a cat", "é dog", ""], RNG.normal(size=(3, 5))),
            ["é dog", "a cat", ""],
        ),
        "vector": (
            VectorAdapter(size=4).fit(RNG.normal(size=(9, 4))),
            list(RNG.normal(size=(3, 4))),
        ),
    }


@pytest.mark.parametrize("kind", ADAPTERS)
def test_every_adapter_keeps_the_protocol_and_comes_back_from_what_is_saved(kind):
    adapter, items = fitted()[kind]
    assert isinstance(adapter, Adapter)
    assert adapter.kind == kind
    values = adapter.transform(items)
    assert tuple(values.shape) == (len(items), *adapter.shape)
    assert values.dtype == (torch.int64 if kind == "text" else torch.float32)
    config = json.loads(json.dumps(adapter.config(), allow_nan=False))
    state = {key: np.array(value) for key, value in adapter.state().items()}
    again = adapter_from(config, state)
    assert type(again) is type(adapter)
    assert again.config() == adapter.config()
    torch.testing.assert_close(again.transform(items), values, rtol=0, atol=0)
    assert len(again.inverse(values)) == len(items)
    assert tuple(adapter.transform([]).shape) == (0, *adapter.shape)


@pytest.mark.parametrize("kind", ["image", "audio", "text", "sentence", "vector"])
def test_what_is_written_is_read(kind, tmp_path):
    adapter, items = fitted()[kind]
    ending = {"image": "png", "audio": "wav", "vector": "npy"}.get(kind, "txt")
    path = tmp_path / f"a.{ending}"
    adapter.write(items[0], path)
    back = path.read_text().rstrip("\n") if kind == "sentence" else adapter.read(path)
    one, two = adapter.transform([items[0]]), adapter.transform([back])
    torch.testing.assert_close(one, two, rtol=0, atol=0.15 if kind == "audio" else 1e-6)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({}, "unknown kind"),
        ({"kind": "smell"}, "unknown kind"),
        ({"kind": ["image"]}, "unknown kind"),
        ({"kind": "image", "colour": 1}, "damaged"),
        ({"kind": "audio", "name": "a", "iterations": 3}, "damaged"),
        ({"kind": "audio", "name": "a", "iterations": 3, "front": {"pitch": 1}}, "no setting"),
        ({"kind": "vector", "name": "v"}, "damaged"),
        ({"kind": "image", "shape": [2, 8, 8]}, "1 or 3 channels"),
    ],
)
def test_damaged_settings_are_refused(config, words):
    with pytest.raises(ConfigError, match=words):
        adapter_from(config, {})


@pytest.mark.parametrize("spoil", ["missing", "shape", "nan", "type"])
@pytest.mark.parametrize("kind", ["audio", "vector"])
def test_a_damaged_state_is_refused(kind, spoil):
    adapter, _ = fitted()[kind]
    state = dict(adapter.state())
    if spoil == "missing":
        del state["mean"]
    elif spoil == "shape":
        state["mean"] = state["mean"][:-1]
    elif spoil == "nan":
        state["mean"] = np.full_like(state["mean"], np.nan)
    else:
        state["mean"] = state["mean"].astype("S4")
    with pytest.raises(DataError, match="damaged"):
        adapter_from(adapter.config(), state)


def test_a_spread_of_zero_is_refused():
    adapter, _ = fitted()["audio"]
    state = adapter.state() | {"spread": np.zeros(20, np.float32)}
    with pytest.raises(DataError, match="spread"):
        adapter_from(adapter.config(), state)


@pytest.mark.parametrize(
    "spoil",
    [
        {"ends": np.array([2, 1, 12])},
        {"ends": np.array([5, 11])},
        {"ends": np.array([5, 11, 400])},
        {"ends": np.array([-3, 5, 11])},
        {"texts": np.zeros(3)},
        {"vectors": np.zeros((3, 4), np.float32)},
    ],
)
def test_a_damaged_bank_is_refused(spoil):
    adapter, _ = fitted()["sentence"]
    with pytest.raises(DataError, match="damaged"):
        adapter_from(adapter.config(), adapter.state() | spoil)


# ---------------------------------------------------------------- pictures


def test_pictures_of_every_form_mean_the_same():
    pixels = RNG.integers(0, 256, (8, 8)).astype(np.uint8)
    adapter = ImageAdapter(shape=(1, 8, 8))
    wanted = torch.from_numpy(pixels / np.float32(255))[None, None]
    forms = [
        pixels,
        pixels[None],
        pixels[..., None],
        pixels / 255.0,
        pixels.astype(np.int64),
        pixels.astype(np.uint16) * 257,
        Image.fromarray(pixels),
        Image.fromarray(pixels.astype(np.uint16) * 257),
        np.repeat(pixels[..., None], 3, axis=2),
        np.repeat(pixels[None], 3, axis=0),
        Image.fromarray(pixels).convert("RGB"),
        Image.fromarray(pixels).convert("RGBA"),
        Image.fromarray(pixels).convert("LA"),
    ]
    for form in forms:
        torch.testing.assert_close(adapter.transform([form]), wanted, rtol=0, atol=3e-3)
    torch.testing.assert_close(adapter.transform(pixels[None]), wanted, rtol=0, atol=0)
    torch.testing.assert_close(adapter.transform(pixels[None, None]), wanted, rtol=0, atol=0)


def test_colour_becomes_grey_by_its_weights_and_grey_is_repeated():
    red = np.zeros((8, 8, 3), np.uint8)
    red[..., 0] = 255
    grey = ImageAdapter(shape=(1, 8, 8)).transform([red])
    torch.testing.assert_close(grey, torch.full((1, 1, 8, 8), 0.299), rtol=0, atol=1e-6)
    colour = ImageAdapter(shape=(3, 8, 8))
    both = colour.transform([red, np.full((8, 8), 51, np.uint8)])
    assert both[0, :, 0, 0].tolist() == [1, 0, 0]
    torch.testing.assert_close(both[1], torch.full((3, 8, 8), 0.2))
    back = colour.inverse(both)
    assert back[0].shape == (8, 8, 3)
    np.testing.assert_array_equal(back[0], red)


def test_transparency_is_laid_on_black():
    clear = np.full((8, 8, 4), 255, np.uint8)
    clear[:4, :, 3] = 0
    values = ImageAdapter(shape=(1, 8, 8)).transform([Image.fromarray(clear)])
    assert values[0, 0, 0, 0] == 0
    assert values[0, 0, 7, 0] == 1


def test_images_of_another_size_are_refused_or_resized(tmp_path):
    big = np.full((16, 12), 100, np.uint8)
    adapter = ImageAdapter(shape=(1, 8, 8))
    for form in (big, Image.fromarray(big)):
        with pytest.raises(DataError, match="another size") as caught:
            adapter.transform([big[:8, :8], form])
        assert "16 x 12" in str(caught.value)
        assert "item 1" in str(caught.value)
        resized = ImageAdapter(shape=(1, 8, 8), resize=True).transform([form])
        torch.testing.assert_close(resized, torch.full((1, 1, 8, 8), 100 / 255))
    Image.fromarray(big).save(tmp_path / "a.png")
    with pytest.raises(DataError, match="another size") as caught:
        adapter.read(tmp_path / "a.png")
    assert "a.png" in str(caught.value)


@pytest.mark.parametrize(
    "item",
    [
        np.full((8, 8), 2.0),
        np.full((8, 8), -0.1),
        np.full((8, 8), np.nan),
        np.full((8, 8), 300),
        np.zeros(8),
        np.zeros((2, 8, 8, 8)),
        np.zeros((8, 8, 5)),
        np.zeros((0, 8)),
        np.array("text"),
        np.zeros((8, 8), complex),
        None,
    ],
)
def test_what_is_no_picture_is_refused(item):
    with pytest.raises(DataError, match="picture"):
        ImageAdapter(shape=(1, 8, 8)).transform([item])


def test_files_that_are_no_pictures_are_refused(tmp_path):
    adapter = ImageAdapter(shape=(1, 8, 8))
    with pytest.raises(MissingDataError, match="no such picture"):
        adapter.read(tmp_path / "a.png")
    (tmp_path / "a.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match="can't be read"):
        adapter.read(tmp_path / "a.png")
    (tmp_path / "a.npy").write_bytes(b"no array")
    with pytest.raises(DataError, match="can't be read"):
        adapter.read(tmp_path / "a.npy")
    np.save(tmp_path / "b.npy", np.zeros((8, 8), np.uint8))
    assert adapter.read(tmp_path / "b.npy").shape == (8, 8)
    Image.fromarray(RNG.integers(0, 256, (64, 64)).astype(np.uint8)).save(tmp_path / "c.png")
    cut = (tmp_path / "c.png").read_bytes()[:2000]
    (tmp_path / "c.png").write_bytes(cut)
    with pytest.raises(DataError, match="can't be read"):
        adapter.read(tmp_path / "c.png")


@pytest.mark.parametrize("shape", [(8, 8), (2, 8, 8), (1, 0, 8)])
def test_a_shape_that_is_none_is_refused(shape):
    with pytest.raises(ConfigError, match="channels"):
        ImageAdapter(shape=shape)


@pytest.mark.parametrize("shape", [(2, 1, 8, 7), (1, 8, 8), (2, 64)])
def test_a_tensor_of_another_shape_is_refused_on_the_way_back(shape):
    with pytest.raises(DataError, match="does not fit"):
        ImageAdapter(shape=(1, 8, 8)).inverse(torch.zeros(shape))


# ---------------------------------------------------------------- sounds


def test_sounds_are_standardised_by_the_training_clips():
    adapter = AudioAdapter(front=SMALL).fit(CLIPS)
    values = adapter.transform(CLIPS)
    power = SMALL.log_power(CLIPS)
    loose = (power - power.mean((0, 2))[:, None]) / power.std((0, 2), unbiased=False)[:, None]
    torch.testing.assert_close(values[:, 0], loose.clamp(-4, 4), rtol=1e-4, atol=1e-4)
    other = AudioAdapter(front=SMALL).fit(CLIPS[:2])
    assert not np.allclose(other.mean, adapter.mean)


def test_the_clamp_holds():
    front = LogMel(samples=2048, n_fft=256, window=256, mels=20, clamp=1.0)
    values = AudioAdapter(front=front).fit(CLIPS).transform(CLIPS)
    assert float(values.abs().max()) == 1


def test_a_sound_goes_through_and_comes_back():
    adapter = AudioAdapter().fit([hiss(), chirp(), sine()])
    values = adapter.transform([chirp(), sine(900)])
    back = adapter.inverse(values)
    assert [clip.rate for clip in back] == [8000, 8000]
    assert [len(clip.samples) for clip in back] == [8192, 8192]
    again = adapter.transform(back)
    assert float((again - values).abs().mean()) < 0.1
    assert adapter.round_trip([chirp()]).is_good


def test_a_clip_of_any_rate_gives_the_same_picture():
    adapter = AudioAdapter().fit([hiss(), chirp(), sine()])
    same = [adapter.transform([sine(700, 0.4, rate)]) for rate in (8000, 16000, 44100, 48000)]
    for other in same[1:]:
        assert float((other - same[0]).abs().mean()) < 0.1


def test_an_adapter_that_was_not_fitted_says_so():
    for adapter, item in ((AudioAdapter(), sine()), (VectorAdapter(size=1), [1.0])):
        with pytest.raises(ConfigError, match="fit it to training"):
            adapter.transform([item])
        with pytest.raises(ConfigError, match="fit it to training"):
            adapter.state()
        with pytest.raises(DataError, match="to take statistics from"):
            adapter.fit([])


def test_what_is_no_sound_is_refused():
    adapter = AudioAdapter(front=SMALL).fit(CLIPS)
    with pytest.raises(DataError, match="item 1: ndarray"):
        adapter.transform([sine(), np.zeros(100)])
    with pytest.raises(DataError, match="silent"):
        adapter.transform([Audio(np.zeros(100, np.float32), 8000)])
    with pytest.raises(DataError, match="does not fit"):
        adapter.inverse(torch.zeros(1, 20, 16))


# ---------------------------------------------------------------- texts


def test_symbols_by_hand():
    adapter = TextAdapter(length=6)
    assert adapter.transform(["ab z9"]).tolist() == [[1, 2, 27, 26, 37, 0]]
    assert adapter.symbols == len(ALPHABET) + 1 == 38


@settings(max_examples=100, deadline=None)
@given(st.lists(st.text(ALPHABET, min_size=1, max_size=16), max_size=5))
def test_any_text_of_the_alphabet_comes_back(texts):
    adapter = TextAdapter(length=16)
    texts = [" ".join(text.split()) for text in texts if text.strip()]
    assert adapter.inverse(adapter.transform(texts)) == texts


def test_case_and_spaces_do_not_matter():
    adapter = TextAdapter(length=16)
    assert adapter.inverse(adapter.transform(["  The\tDigit \n 7 "])) == ["the digit 7"]


def test_scores_are_decoded_by_their_best_symbol():
    adapter = TextAdapter(length=4)
    symbols = adapter.transform(["two", "six"])
    scores = torch.nn.functional.one_hot(symbols, 38).float() + 0.3 * torch.rand(2, 4, 38)
    assert adapter.inverse(scores) == ["two", "six"]
    assert adapter.inverse(torch.tensor([[0, 1, 2, 3]])) == [""]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("sept-", "'-' is outside the alphabet"),
        ("zwölf", "'ö' is outside"),
        ("", "empty"),
        (" ", "empty"),
        ("seventeen", "9 characters; the window holds 8"),
        ("7\0", "outside"),
    ],
)
def test_text_that_does_not_fit_is_refused(text, words):
    with pytest.raises(DataError, match=words) as caught:
        TextAdapter(length=8).transform(["one", text])
    assert "text 1" in str(caught.value)


def test_characters_outside_can_be_replaced():
    adapter = TextAdapter(length=8, replace_with="x")
    assert adapter.inverse(adapter.transform(["zwölf"])) == ["zwxlf"]


@pytest.mark.parametrize(
    "settings_",
    [
        {"length": 0},
        {"alphabet": ""},
        {"alphabet": "aa"},
        {"replace_with": "?"},
        {"replace_with": "ab"},
    ],
)
def test_text_settings_that_can_not_work_are_refused(settings_):
    with pytest.raises(ConfigError):
        TextAdapter(**settings_)


@pytest.mark.parametrize(
    "values",
    [
        torch.zeros(2, 5, dtype=torch.int64),
        torch.zeros(2, 8),
        torch.zeros(2, 8, 12),
        torch.full((1, 8), 99),
        torch.full((1, 8), -1),
    ],
)
def test_a_tensor_that_is_no_text_is_refused(values):
    with pytest.raises(DataError, match=r"fit|outside"):
        TextAdapter(length=8).inverse(values)


def test_text_files(tmp_path):
    (tmp_path / "a.txt").write_text("Seven\n")
    adapter = TextAdapter()
    assert adapter.read(tmp_path / "a.txt") == "seven"
    assert adapter.read(str(tmp_path / "a.txt")) == "seven"
    assert adapter.read("Seven") == "seven"
    with pytest.raises(DataError, match="can't be read"):
        adapter.read(tmp_path / "b.txt")
    (tmp_path / "a.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(DataError, match="UTF-8"):
        adapter.read(tmp_path / "a.txt")
    (tmp_path / "a.txt").write_text("a" * 5000)
    with pytest.raises(DataError, match="longer than a page"):
        adapter.read(tmp_path / "a.txt")
    with pytest.raises(DataError, match="not a text"):
        adapter.read(7)


# ---------------------------------------------------------------- sentences and vectors


def test_sentences_are_decoded_by_the_nearest_that_is_known():
    bank = SentenceAdapter.of(["east", "north"], np.array([[2.0, 0], [0, 3]]))
    torch.testing.assert_close(bank.transform(["north", "east"]), torch.tensor([[0.0, 1], [1, 0]]))
    (found,) = bank.inverse(torch.tensor([[3.0, 4.0]]))
    assert found.text == str(found) == "north"
    assert found.similarity == pytest.approx(0.8)


def test_an_unknown_sentence_needs_an_encoder():
    bank = SentenceAdapter.of(["east", "north"], np.eye(2))
    with pytest.raises(DataError, match="not known") as caught:
        bank.transform(["west"])
    assert "'west'" in str(caught.value)
    calls = []

    def encode(texts):
        calls.append(list(texts))
        return np.array([[-5.0, 0.0]] * len(texts))

    able = SentenceAdapter.of(["east", "north"], np.eye(2), encode=encode)
    values = able.transform(["west", "east", "west"])
    torch.testing.assert_close(values, torch.tensor([[-1.0, 0], [1, 0], [-1, 0]]))
    assert calls == [["west"]]  # what is known is not made again


def test_the_bank_after_fitting_is_the_training_sentences_alone():
    bank = SentenceAdapter.of(["east", "north"], np.eye(2)).fit(["north", "north"])
    assert bank.bank == ("north",)
    assert str(bank.inverse(torch.tensor([[1.0, 0.1]]))[0]) == "north"


def test_banks_that_can_not_work_are_refused():
    with pytest.raises(DataError, match="needs a vector"):
        SentenceAdapter.of(["east"], np.eye(2))
    with pytest.raises(DataError, match="zeros"):
        SentenceAdapter.of(["east", "north"], np.array([[1.0, 0], [0, 0]]))
    with pytest.raises(DataError, match="NaN"):
        SentenceAdapter.of(["east"], np.array([[1.0, np.nan]]))
    with pytest.raises(ConfigError, match="knows no sentence"):
        SentenceAdapter(size=1).inverse(torch.ones(1, 1))
    with pytest.raises(ConfigError, match="needs a vector"):
        SentenceAdapter(size=2, bank=("a",))


def test_vectors_are_standardised_and_come_back_in_their_units():
    train = RNG.normal(3, 2, (50, 4))
    train[:, 2] = 7  # does not vary
    adapter = VectorAdapter(size=4).fit(train)
    values = adapter.transform(train)
    np.testing.assert_allclose(values.mean(0).numpy(), 0, atol=1e-5)
    np.testing.assert_allclose(values.std(0, unbiased=False).numpy(), [1, 1, 0, 1], atol=1e-5)
    np.testing.assert_allclose(np.stack(adapter.inverse(values)), train, rtol=1e-4)


@pytest.mark.parametrize(
    "item", [[1.0, 2.0], 3.0, [1.0, np.inf, 2.0], ["a", "b", "c"], [[1.0, 2.0, 3.0]]]
)
def test_vectors_that_do_not_fit_are_refused(item):
    adapter = VectorAdapter(size=3).fit(np.eye(3))
    with pytest.raises(DataError, match="item 1"):
        adapter.transform([[1.0, 2.0, 3.0], item])


def test_vector_files(tmp_path):
    adapter = VectorAdapter(size=3).fit(np.eye(3))
    with pytest.raises(MissingDataError, match="no such vector"):
        adapter.read(tmp_path / "a.npy")
    np.save(tmp_path / "a.npy", np.ones(4))
    with pytest.raises(DataError, match="holds 4 values; the modality has 3"):
        adapter.read(tmp_path / "a.npy")
    (tmp_path / "a.npy").write_bytes(b"nothing")
    with pytest.raises(DataError, match="can't be read"):
        adapter.read(tmp_path / "a.npy")
    with pytest.raises(ConfigError, match="at least one"):
        VectorAdapter(size=0)
