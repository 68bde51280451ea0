"""Text models on this machine, tried on a small random one."""

import json
import threading

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from embedder_toys import edited, needs_sentence_transformers, toy_model
from isthmus.errors import ConfigError, DataError
from isthmus.search.embedders import EmbedderOptions, embedder_from, open_embedder

pytestmark = needs_sentence_transformers

TEXTS = ["a cat", "", "the very long tale of a cat that sat on a mat", "Ünïcödé 猫", "a?b.c", "x"]
ONE = EmbedderOptions(threads=1, precision="float32", device="cpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return toy_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def toy(folder):
    return open_embedder(str(folder), ONE)


def theirs(folder, texts, **more):
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(str(folder), device="cpu", **more).encode(texts)


def cosines(a, b):
    return (a * b).sum(axis=1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)


def test_vectors_are_those_of_sentence_transformers(toy, folder):
    found = toy.embed(TEXTS)
    assert (found.shape, found.dtype) == ((6, 32), np.float32)
    assert np.abs(found - theirs(folder, TEXTS)).max() < 1e-6
    assert np.abs(found - toy.embed_queries(TEXTS)).max() < 1e-6


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.text(st.characters(exclude_categories=()), max_size=40), min_size=1, max_size=5))
def test_any_text_has_a_vector_and_its_neighbours_don_t_matter(toy, texts):
    found = toy.embed(texts)
    alone = np.concatenate([toy.embed([text]) for text in texts])
    assert np.abs(found - alone).max() < 1e-5
    assert np.linalg.norm(found, axis=1) == pytest.approx(np.ones(len(texts)), abs=1e-5)


def test_no_texts_have_no_vectors(toy):
    assert toy.embed([]).shape == (0, 32)
    assert toy.embed_queries([]).shape == (0, 32)
    assert toy.token_spans([]) == []


def test_in_bfloat16_the_vectors_point_the_same_way(folder, toy):
    lower = open_embedder(str(folder), EmbedderOptions(precision="bfloat16", device="cpu"))
    found = lower.embed(TEXTS)
    assert cosines(found, toy.embed(TEXTS)).min() > 0.9999
    assert not np.array_equal(found, toy.embed(TEXTS))
    assert lower.digest == toy.digest
    assert "bfloat16" in lower.description


def test_spans_are_of_all_tokens_and_none_of_the_special_ones(toy):
    spans = toy.token_spans(["Cat, ünd"])[0]
    assert spans.dtype == np.int32
    assert ["Cat, ünd"[a:b] for a, b in spans] == ["C", "a", "t", ",", "ü", "n", "d"]
    long = "cat " * 1000
    assert len(toy.token_spans([long])[0]) == 3000


def test_spans_of_a_very_long_text_are_those_of_its_parts(toy, monkeypatch):
    from isthmus.search.embedders import tokens

    text = " ".join(["cats and dogs,", "猫" * 3, "mat\n"] * 40)
    whole = toy.token_spans([text])[0]
    monkeypatch.setattr(tokens, "_BLOCK", 50)
    cut = list(tokens._blocks(text, 50))
    assert len(cut) > 10
    assert [a for a, _ in cut[1:]] == [b for _, b in cut[:-1]]
    assert (cut[0][0], cut[-1][1]) == (0, len(text))
    assert np.array_equal(toy.token_spans([text])[0], whole)


def test_a_block_without_any_space_is_cut_all_the_same():
    from isthmus.search.embedders.tokens import _blocks

    assert list(_blocks("x" * 25, 10)) == [(0, 10), (10, 20), (20, 25)]
    assert list(_blocks("", 10)) == [(0, 0)]


def test_the_limit_is_that_of_texts_alone(toy):
    assert toy.max_tokens == 14  # 16 with [CLS] and [SEP]
    fits, longer = "a" * 14, "a" * 15
    assert len(toy.token_spans([fits])[0]) == 14
    vectors = toy.embed([fits, longer, longer + "bcd"])
    assert np.abs(vectors[0] - vectors[1]).max() < 1e-6
    assert np.abs(vectors[0] - vectors[2]).max() < 1e-6
    assert np.abs(toy.embed(["a" * 13])[0] - vectors[0]).max() > 1e-6


def test_a_lower_limit_makes_other_vectors_and_another_digest(folder, toy):
    lower = open_embedder(str(folder), EmbedderOptions(max_tokens=4, device="cpu"))
    assert lower.max_tokens == 4
    assert lower.digest != toy.digest
    assert cosines(lower.embed(["catsxyz"]), lower.embed(["cats"]))[0] > 0.99999
    again = embedder_from(lower.config())
    assert (again.digest, again.max_tokens) == (lower.digest, 4)


def test_a_limit_above_the_model_s_own_changes_nothing(folder, toy):
    higher = open_embedder(str(folder), EmbedderOptions(max_tokens=400, device="cpu"))
    assert (higher.max_tokens, higher.digest) == (14, toy.digest)


def test_it_is_made_again_from_its_configuration(toy):
    config = json.loads(json.dumps(toy.config()))
    again = embedder_from(config, ONE)
    assert again.digest == toy.digest
    assert again.embed(TEXTS).tobytes() == toy.embed(TEXTS).tobytes()


def test_the_description_says_what_it_is(toy):
    assert toy.description == "toy: text model, 32 numbers, reads 14 tokens, float32 on cpu"
    assert (toy.name, toy.dim, len(toy.digest)) == ("toy", 32, 64)


def test_progress_is_told_up_to_the_end(toy, monkeypatch):
    from isthmus.search.embedders import local

    monkeypatch.setattr(local, "_WINDOW", 50)
    told = []
    toy.embed([f"{'a' * (i % 9)}" for i in range(130)], progress=lambda *at: told.append(at))
    assert told == [(50, 130), (100, 130), (130, 130)]


def test_windows_change_nothing(toy, monkeypatch):
    from isthmus.search.embedders import local

    texts = ["abcdefgh"[: 1 + i % 8] for i in range(60)]
    whole = toy.embed(texts)
    monkeypatch.setattr(local, "_WINDOW", 7)
    assert np.abs(toy.embed(texts) - whole).max() < 1e-6


def test_threads_are_put_back(folder):
    import torch

    before = torch.get_num_threads()
    other = before + 1
    chosen = open_embedder(str(folder), EmbedderOptions(threads=other, device="cpu"))
    seen = []
    chosen.embed(["a"], progress=lambda *at: seen.append(torch.get_num_threads()))
    assert seen == [other]
    assert torch.get_num_threads() == before
    with pytest.raises(ZeroDivisionError):
        chosen.embed(["a"], progress=lambda *at: 1 / 0)
    assert torch.get_num_threads() == before
    assert not torch.is_inference_mode_enabled()
    assert not torch.is_autocast_enabled("cpu")


def test_several_threads_of_python_may_embed_at_once(toy):
    wanted = toy.embed(TEXTS)
    found = [None] * 4

    def work(i):
        for _ in range(5):
            found[i] = toy.embed(TEXTS)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(np.abs(one - wanted).max() < 1e-6 for one in found)


def test_a_vector_that_is_not_finite_is_named_by_its_text(folder):
    import torch

    broken = open_embedder(str(folder), ONE)
    table = broken._model[0].model.embeddings.word_embeddings.weight
    number = broken._tokens.numbers(["z"])[0][1]
    with torch.no_grad():
        table[number] = float("nan")
    with pytest.raises(DataError, match="the vector of text 2 is not finite"):
        broken.embed(["a", "b", "c z d", "e"])
    with pytest.raises(DataError, match="the vector of text 0 is not finite"):
        broken.embed_queries(["z"])


# ---------------------------------------------------------------- prompts


@pytest.fixture(scope="module")
def prompted(tmp_path_factory):
    prompts = {"query": "q: ", "document": "dd: "}
    return toy_model(tmp_path_factory.mktemp("prompted"), prompts=prompts)


def test_a_model_s_prompts_stand_before_texts_and_queries(prompted):
    from sentence_transformers import SentenceTransformer

    model = open_embedder(str(prompted), ONE)
    plain = SentenceTransformer(str(prompted), device="cpu")
    texts = ["a cat", "on a mat"]
    assert np.abs(model.embed(texts) - plain.encode_document(texts)).max() < 1e-6
    assert np.abs(model.embed_queries(texts) - plain.encode_query(texts)).max() < 1e-6
    assert np.abs(model.embed(texts) - model.embed_queries(texts)).max() > 1e-3


def test_the_prompt_s_tokens_are_taken_off_the_limit(prompted):
    model = open_embedder(str(prompted), ONE)
    assert model.max_tokens == 16 - 2 - 3  # [CLS], [SEP], and "d", "d", ":"
    vectors = model.embed(["a" * 11, "a" * 12, "a" * 10])
    assert np.abs(vectors[0] - vectors[1]).max() < 1e-6
    assert np.abs(vectors[0] - vectors[2]).max() > 1e-6


def test_a_prompt_that_is_left_out_of_the_mean_is(tmp_path):
    from sentence_transformers import SentenceTransformer

    folder = toy_model(tmp_path, prompts={"document": "dd: "}, include_prompt=False)
    plain = SentenceTransformer(str(folder), device="cpu")
    found = open_embedder(str(folder), ONE).embed(["a cat", "mat"])
    assert np.abs(found - plain.encode_document(["a cat", "mat"])).max() < 1e-6


def test_a_prompt_that_fills_the_limit_is_refused(tmp_path):
    folder = toy_model(tmp_path, limit=5, prompts={"document": "abc "})
    with pytest.raises(ConfigError, match="no room for texts"):
        open_embedder(str(folder), ONE)


# ---------------------------------------------------------------- several processes


def test_several_processes_give_the_same_vectors(folder, toy):
    options = EmbedderOptions(threads=2, processes=2, precision="float32", device="cpu")
    team = open_embedder(str(folder), options)
    texts = [f"{chr(97 + i % 26) * (i % 11)} \ud800 é" for i in range(90)]
    told = []
    try:
        found = team.embed(texts, progress=lambda *at: told.append(at))
    finally:
        team.close()
    assert np.abs(found - toy.embed(texts)).max() < 1e-6
    assert told[-1] == (90, 90)
    assert told == sorted(told)


def test_ctrl_c_ends_the_processes(folder, monkeypatch):
    class Stopped:
        closed = False

        def embed(self, texts, dim, progress):
            raise KeyboardInterrupt

        def close(self):
            self.closed = True

    workers = Stopped()
    monkeypatch.setattr("isthmus.search.embedders.local.Workers", lambda *of: workers)
    team = open_embedder(str(folder), EmbedderOptions(processes=2, device="cpu"))
    with pytest.raises(KeyboardInterrupt):
        team.embed(TEXTS)
    assert workers.closed


def test_few_texts_are_embedded_here(folder, toy):
    team = open_embedder(str(folder), EmbedderOptions(processes=4, device="cpu"))
    team.embed(TEXTS[:3])
    assert team._workers is None


# ---------------------------------------------------------------- other kinds of models


def test_a_plain_transformer_is_read_with_the_mean_of_its_tokens(folder, toy):
    plain = open_embedder(str(folder.parent / "base"), ONE)
    assert plain.name == "base"
    assert np.abs(plain.embed(TEXTS) - toy.embed(TEXTS)).max() < 1e-6


def test_a_static_model_is_embedded_in_its_own_way(folder, tmp_path):
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding
    from tokenizers import Tokenizer

    words = Tokenizer.from_file(str(folder / "tokenizer.json"))
    module = StaticEmbedding(words, embedding_dim=8)
    SentenceTransformer(modules=[module], device="cpu").save(str(tmp_path / "static"))
    static = open_embedder(str(tmp_path / "static"), ONE)
    assert (static.dim, static.max_tokens) == (8, None)
    texts = ["a cat", "on a mat"]
    wanted = theirs(tmp_path / "static", texts)
    assert cosines(static.embed(texts), wanted) == pytest.approx(np.ones(2), abs=1e-6)
    assert len(static.token_spans(["a cat"])[0]) == 4


# ---------------------------------------------------------------- folders that are damaged


def test_weights_that_are_damaged_are_refused(tmp_path):
    folder = toy_model(tmp_path)
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:500])
    with pytest.raises(DataError, match="can't be loaded") as error:
        open_embedder(str(folder), ONE)
    assert str(folder) in str(error.value)


def test_a_configuration_that_is_damaged_is_refused(tmp_path):
    folder = toy_model(tmp_path)
    edited(folder, "config.json", hidden_size="many")
    with pytest.raises(DataError, match="can't be loaded"):
        open_embedder(str(folder), ONE)
