"""Odd corpora, odd texts, odd ids, odd embedders."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

from index_toys import SMALL, Texts, WordVectors, build, documents, opened, sums, with_
from isthmus.bottlenecks import TopK
from isthmus.data.corpora import open_corpus
from isthmus.data.corpora.documents import Document
from isthmus.errors import ConfigError, DataError
from isthmus.models.dictionary import SparseDictionary
from isthmus.search.embedders import open_embedder
from isthmus.search.embedders.lexical import LexicalEmbedder
from isthmus.search.embedders.ready import ReadyVectors
from isthmus.search.filters import Condition
from isthmus.search.index.assembling import encoded
from isthmus.search.index.config import Indexing
from isthmus.search.index.index import Index
from isthmus.search.index.training import DictionarySettings, train_dictionary
from isthmus.search.passages import Cutting

WAYS = ("concepts", "dense", "reconstruction", "words", "hybrid")
FULL = Indexing(dictionary=DictionarySettings(epochs=3), threads=1)
"""The default settings, but for the time they take."""


def checked(place, text, embedder=None):
    """Search in every way; every score is the sum of its reasons."""
    found = {}
    with opened(place, embedder) as index:
        index.verify()
        for way in WAYS:
            hits = index.search(text, by=way, limit=10_000).hits
            assert all(sums(hit) == pytest.approx(hit.score, abs=1e-6) for hit in hits)
            assert all(np.isfinite(hit.score) for hit in hits)
            found[way] = hits
    return found


# --- few documents, like documents -----------------------------------------------------------


def test_one_document(tmp_path):
    built = build(tmp_path / "i", [Document("only", "Anchors and sails.")], FULL)
    assert (built.manifest.documents, built.manifest.passages) == (1, 1)
    assert built.manifest.dictionary["training"]["each_passage"] is True
    found = checked(tmp_path / "i", "anchors")
    assert [hit.document for hits in found.values() for hit in hits] == ["only"] * 5
    build(tmp_path / "i", [Document("only", "Anchors."), Document("more", "Yeast.")], FULL)
    assert {h.document for h in checked(tmp_path / "i", "yeast")["dense"]} == {"only", "more"}


def test_two_documents_that_say_the_same(tmp_path):
    build(
        tmp_path / "i",
        [Document("b", "Anchors and sails."), Document("a", "Anchors and sails.")],
        FULL,
    )
    for hits in checked(tmp_path / "i", "anchors").values():
        assert [hit.document for hit in hits] == ["b", "a"]  # in the order of the index
        assert hits[0].score == hits[1].score


def test_a_handful_of_documents(tmp_path):
    build(tmp_path / "i", documents(5), FULL)
    found = checked(tmp_path / "i", "people speak today")
    assert len({hit.document for hit in found["dense"]}) == 5


@pytest.mark.parametrize("count", [24, 25, 40])
def test_many_documents_that_all_say_the_same(tmp_path, count):
    """Ties everywhere, and nothing to learn: the order is that of the index, in every way."""
    texts = [Document(f"d{n:02}", "Anchors and sails, again.") for n in range(count)]
    build(tmp_path / "i", texts, FULL)
    build(tmp_path / "i", [*texts[1:], dataclasses.replace(texts[0], source="moved")], FULL)
    expected = [*(d.id for d in texts[1:]), "d00"]
    for hits in checked(tmp_path / "i", "anchors").values():
        assert [hit.document for hit in hits] == expected
    with opened(tmp_path / "i") as index:
        for way in WAYS:
            hits = index.search("anchors", by=way, limit=7).hits
            assert [hit.document for hit in hits] == expected[:7]


def test_two_vectors_and_nothing_else(tmp_path):
    texts = [Document(f"d{n}", ("Anchors.", "Yeast.")[n % 2]) for n in range(60)]
    build(tmp_path / "i", texts, FULL)
    hits = checked(tmp_path / "i", "yeast")["dense"]
    assert [hit.document for hit in hits] == [f"d{n}" for n in [*range(1, 60, 2), *range(0, 60, 2)]]


def test_thousands_of_tiny_documents(tmp_path):
    rng = np.random.default_rng(0)
    words = [f"word{n}" for n in range(400)]
    texts = [Document(f"d{n}", " ".join(rng.choice(words, 2))) for n in range(3000)]
    build(tmp_path / "i", texts, with_(SMALL, dictionary=DictionarySettings(64, 5, 1)))
    with opened(tmp_path / "i") as index:
        index.verify()
        assert len(index) == 3000
        for way in WAYS:
            for hit in index.search("word7 word9", by=way, limit=20).hits:
                assert sums(hit) == pytest.approx(hit.score, abs=1e-6)
        said = {d.id for d in texts if "word7" in d.text.split() or "word9" in d.text.split()}
        assert {h.document for h in index.search("word7 word9", by="words", limit=999).hits} == said


def test_a_very_long_document(tmp_path):
    rng = np.random.default_rng(0)
    text = " ".join(rng.choice(["anchor", "sail", "yeast", "today", "violin."], 60_000))
    build(tmp_path / "i", [Document("long", text), *documents(30)])
    with opened(tmp_path / "i") as index:
        hits = index.search("violin", limit=10_000, by="dense").hits
        mine = sorted((h for h in hits if h.document == "long"), key=lambda h: h.start)
        assert len(mine) > 3700
        assert [h.id for h in mine] == [f"long#{n}" for n in range(len(mine))]
        assert all(text[h.start : h.end] == h.text for h in mine)
        assert "".join(h.text for h in mine).replace(" ", "") == text.replace(" ", "")


# --- odd texts -------------------------------------------------------------------------------


def test_a_title_alone_can_be_found(tmp_path):
    titled = Document("titled", " ", "Quokkas of Rottnest")
    build(tmp_path / "i", [*documents(30), titled])
    found = checked(tmp_path / "i", "Quokkas of Rottnest")
    assert [hit.document for hit in found["words"]] == ["titled"]
    assert found["dense"][0].document == "titled"
    hit = found["words"][0]
    assert (hit.text, hit.title, hit.start, hit.end) == ("", "Quokkas of Rottnest", 0, 0)


def test_without_titles_nothing_is_found_by_them(tmp_path):
    config = with_(SMALL, cutting=Cutting(size=16, titled=False))
    build(tmp_path / "i", [*documents(30), Document("t", "Other words.", "Quokkas")], config)
    assert checked(tmp_path / "i", "quokkas")["words"] == ()


ODD = [
    "a#1",
    "a#1#0",
    "#",
    "dir/sub/file.md",
    "..\\up",
    "line\nbreak",
    "tab\tquote'\"; DROP TABLE documents;--",
    "\N{GRINNING FACE}",
    "e\u0301 \u202e",
    "nul\0inside",
    "nul\0other",
    "half \ud800 pair",
    "",
    " ",
    "x" * 5000,
]


def test_odd_ids_are_kept_and_found_again(tmp_path):
    texts = [Document(id_, f"Quokka number {n} hops.") for n, id_ in enumerate(ODD)]
    build(tmp_path / "i", [*texts, *documents(20)])
    kept = {id_.encode("utf-8", "replace").decode() for id_ in ODD}
    found = checked(tmp_path / "i", "quokka")
    assert {hit.document for hit in found["words"]} == kept
    assert {hit.id for hit in found["words"]} == {f"{id_}#0" for id_ in kept}
    with opened(tmp_path / "i") as index:
        for id_ in kept:
            where = [Condition("document", "=", id_)]
            (hit,) = index.search("quokka", by="dense", where=where).hits
            assert hit.document == id_
    before = {p: p.read_bytes() for p in (tmp_path / "i").rglob("*") if p.is_file()}
    again = build(tmp_path / "i", [*texts, *documents(20)])
    assert (again.unchanged, again.added, again.deleted) == (len(ODD) + 20, 0, 0)
    assert before == {p: p.read_bytes() for p in (tmp_path / "i").rglob("*") if p.is_file()}


def test_ids_that_become_one_are_refused(tmp_path):
    with pytest.raises(DataError, match="two documents have one id"):
        build(tmp_path / "i", [Document("a\ud800", "One."), Document("a\udfff", "Two.")])


@settings(max_examples=20, deadline=None)
@given(texts=st.lists(st.text(max_size=60), min_size=1, max_size=12), query=st.text(max_size=30))
def test_any_texts_and_any_query(tmp_path_factory, texts, query):
    place = tmp_path_factory.mktemp("any") / "i"
    corpus = [Document(str(n), text) for n, text in enumerate(texts)]
    if not any(text.strip() for text in texts):
        with pytest.raises(DataError, match="no document of the corpus has a text"):
            build(place, corpus)
        return
    build(place, corpus)
    with opened(place) as index:
        index.verify()
        assert {d for s in index.segments for d in s.document_names} == {
            d.id for d in corpus if d.text.strip()
        }
        if not query.strip():
            return
        for way in WAYS:
            for hit in index.search(query, by=way, limit=99).hits:
                assert sums(hit) == pytest.approx(hit.score, abs=1e-6)
                clean = texts[int(hit.document)].encode("utf-8", "replace").decode()
                assert clean[hit.start : hit.end] == hit.text


def test_facts_of_all_kinds_are_kept(tmp_path):
    facts = {
        "text": "caf\u00e9 \ud83d",
        "empty": "",
        "whole": -(10**18),
        "real": 0.1,
        "large": 1e308,
        "nan": float("nan"),
        "true": True,
        "false": False,
        "\u00fc b=c|d": "odd name",
    }
    build(tmp_path / "i", [Document("d", "Quokkas.", metadata=facts), *documents(20)])
    with opened(tmp_path / "i") as index:
        (hit,) = index.search("quokkas", by="words").hits
        assert {k: v for k, v in hit.metadata.items() if k != "nan"} == {
            k: v for k, v in facts.items() if k != "nan"
        }
        assert np.isnan(hit.metadata["nan"])
        for name in ("whole", "real", "true", "false", "empty", "\u00fc b=c|d"):
            hits = index.search("quokkas", by="dense", where=[Condition(name, "=", facts[name])])
            assert [h.document for h in hits.hits] == ["d"]
        assert not index.search("quokkas", where=[Condition("nan", "=", facts["nan"])]).hits
    unchanged = build(
        tmp_path / "i", [Document("d", "Quokkas.", metadata=facts), *documents(20)]
    ).unchanged
    assert unchanged == 21


def test_a_corpus_in_memory_and_one_of_files(tmp_path):
    (tmp_path / "notes").mkdir()
    for document in documents(30):
        (tmp_path / "notes" / f"{document.id}.txt").write_text(document.text)
    from isthmus.search.index.building import build_index

    for source in (tmp_path / "notes", [d.text for d in documents(30)]):
        corpus = open_corpus(source)
        place = tmp_path / f"index of {corpus.name}"
        built = build_index(corpus, place, WordVectors(), SMALL)
        assert built.manifest.documents == 30
        with opened(place) as index:
            for hit in index.search("violin", by="dense").hits:
                if hit.start_byte is not None:
                    whole = (tmp_path / "notes" / hit.source).read_bytes()
                    assert whole[hit.start_byte : hit.end_byte].decode() == hit.text
            assert any(
                h.start_byte is not None for h in index.search("violin", by="dense").hits
            ) == (source != [d.text for d in documents(30)])


# --- embedders -------------------------------------------------------------------------------


def test_vectors_made_elsewhere(tmp_path):
    texts = [Document(f"d{n}", f"Text {n} about {d.text}") for n, d in enumerate(documents(40))]
    toy = WordVectors()
    made = toy.embed([d.text for d in texts])
    np.save(tmp_path / "v.npy", 3 * made)
    build(tmp_path / "i", texts, embedder=ReadyVectors(tmp_path / "v.npy", toy))
    found = checked(tmp_path / "i", texts[7].text, toy)
    assert found["dense"][0].id == "d7#0"
    assert {hit.id for hit in found["dense"]} == {f"{d.id}#0" for d in texts}
    with opened(tmp_path / "i", toy) as index:
        kept = np.asarray(index.segments[0].vectors, np.float32)
        np.testing.assert_allclose(kept, made, atol=1e-3)


def test_vectors_alone_can_be_searched_by_vectors(tmp_path):
    rows = np.random.default_rng(0).normal(size=(30, 12)).astype(np.float16)
    np.save(tmp_path / "v.npy", rows)
    texts = [Document(f"d{n}", f"Text {n}.") for n in range(30)]
    build(tmp_path / "i", texts, embedder=open_embedder(str(tmp_path / "v.npy")))
    with Index(tmp_path / "i") as index:
        with pytest.raises(ConfigError, match="can't embed a query"):
            index.search("text")
        query, _ = index.query_of("", rows[11])
        best = index.hits(ranking := index.ranking(query, "dense"), ranking.search(1, ()))
        assert best[0].document == "d11"
        assert best[0].score == pytest.approx(1, abs=1e-3)


def test_vectors_that_are_not_one_a_document_are_refused(tmp_path):
    rows = np.random.default_rng(0).normal(size=(30, 12)).astype(np.float16)
    np.save(tmp_path / "v.npy", rows)
    with pytest.raises(DataError, match="not one a document"):
        build(tmp_path / "i", documents(29), embedder=ReadyVectors(tmp_path / "v.npy"))
    assert not (tmp_path / "i" / "index.json").exists()


def test_vectors_follow_the_lines_of_a_file_where_some_are_left_out(tmp_path):
    lines = [Document(f"d{n}", f"Text {n}.", source="a.jsonl", row=n + 1) for n in range(30)]
    rows = np.random.default_rng(0).normal(size=(30, 12)).astype(np.float32)
    np.save(tmp_path / "v.npy", rows)
    build(tmp_path / "i", [*lines[:4], *lines[6:]], embedder=ReadyVectors(tmp_path / "v.npy"))
    with Index(tmp_path / "i") as index:
        query, _ = index.query_of("", rows[20])
        ranking = index.ranking(query, "dense")
        assert index.hits(ranking, ranking.search(1, ()))[0].document == "d20"
    mixed = [*lines[:20], *(dataclasses.replace(d, source="b.jsonl") for d in lines[21:])]
    with pytest.raises(DataError, match="not one a document"):
        build(tmp_path / "j", mixed, embedder=ReadyVectors(tmp_path / "v.npy"))


def test_vectors_of_zero_or_without_end_are_refused(tmp_path):
    for value in (0.0, np.nan):
        rows = np.random.default_rng(0).normal(size=(30, 12))
        rows[5] = value
        np.save(tmp_path / "v.npy", rows)
        with pytest.raises(DataError, match="vector of text 5"):
            build(tmp_path / "i", documents(30), embedder=ReadyVectors(tmp_path / "v.npy"))


def test_the_lexical_embedder_learns_once(tmp_path):
    place, every = tmp_path / "i", documents(60)
    build(place, every[:40], embedder=LexicalEmbedder(20))
    with Index(place) as index:
        digest = index.manifest.embedder["digest"]
        first = index.search("yeast oven", by="dense", limit=3).hits
        assert "lexical" in index.manifest.embedder["description"]
    for embedder in (LexicalEmbedder(20), None):
        from isthmus.search.index.building import build_index

        every = [*every, Document(f"x{embedder}", "Yeast, oven, flour and crust.")]
        built = build_index(Texts(every), place, embedder, SMALL)
        assert built.deleted == 0
        assert built.manifest.embedder["digest"] == digest
    with Index(place) as index:
        index.verify()
        assert index.search("yeast oven", by="dense", limit=3).hits != first
        # nothing that the embedder knows: no direction, no concepts
        nothing = index.search("qqq zzz", limit=5)
        assert nothing.concepts == ()
        assert nothing.unknown


def test_a_lexical_embedder_that_learned_elsewhere_is_another_one(tmp_path):
    build(tmp_path / "i", documents(40), embedder=LexicalEmbedder(20))
    other = LexicalEmbedder(20).fitted([d.text for d in documents(50, seed=4)])
    with pytest.raises(OSError, match="written by another embedder"):
        build(tmp_path / "i", documents(41), embedder=other)


# --- dictionaries ----------------------------------------------------------------------------


def test_what_is_not_above_zero_is_no_part_of_a_code():
    """Rounding knows no zero: what is zero or below would become a small positive number."""

    class Signed:
        def encode(self, vectors, threads=None):
            data = np.array([0.5, -0.5, 0.0, 0.25], np.float32)
            return csr_array((data, [0, 2, 1, 2], [0, 2, 4]), shape=(2, 3))

    codes = encoded(Signed(), np.zeros((2, 4), np.float16))
    assert codes.toarray().tolist() == [[0.5, 0, 0], [0, 0, 0.25]]
    assert codes.nnz == 2


def test_further_vectors_are_learned_from_and_not_searched(tmp_path):
    also = np.random.default_rng(0).normal(size=(200, 24)).astype(np.float32)
    built = build(tmp_path / "i", documents(40), also=also)
    assert built.manifest.dictionary["training"]["rows"] == built.manifest.passages + 200
    with opened(tmp_path / "i") as index:
        assert len(index) == built.manifest.passages
    build(tmp_path / "j", documents(40))
    with opened(tmp_path / "i") as one, opened(tmp_path / "j") as other:
        assert not np.allclose(one.decoder, other.decoder)


def test_further_vectors_of_another_width_are_refused(tmp_path):
    for also in (np.zeros((5, 16), np.float32), np.zeros(24, np.float32), np.full((5, 24), np.nan)):
        with pytest.raises((ConfigError, DataError)):
            build(tmp_path / "i", documents(40), also=also)
    assert not (tmp_path / "i" / "index.json").exists()


def test_a_query_of_another_width_is_refused(tmp_path):
    build(tmp_path / "i", documents(30))
    with opened(tmp_path / "i") as index:
        for vector in (np.zeros(23), np.full(24, np.nan)):
            with pytest.raises(DataError):
                index.query_of("", vector)


@pytest.mark.parametrize(
    "settings_of",
    [
        {"latents": -1},
        {"k": -1},
        {"epochs": -1},
        {"seed": -1},
        {"latents": 16, "k": 9},
    ],
)
def test_impossible_dictionaries_are_refused(settings_of):
    with pytest.raises(ConfigError):
        DictionarySettings(**settings_of)


def test_a_dictionary_to_go_on_from_must_fit():
    with pytest.raises(ConfigError, match="for vectors of 8 numbers, these have 24"):
        train_dictionary(
            np.ones((30, 24), np.float32),
            DictionarySettings(),
            start=SparseDictionary(8, TopK(4, 1)),
        )


def test_an_unknown_language_is_refused_before_any_work(tmp_path):
    toy = WordVectors()
    with pytest.raises(ConfigError, match="no stemming rules for 'klingon'"):
        build(tmp_path / "i", documents(30), with_(SMALL, language="klingon"), toy)
    assert toy.seen == 0


def test_languages_and_stems(tmp_path):
    text = [Document("d", "Die H\u00e4user und G\u00e4rten."), *documents(10)]
    build(tmp_path / "de", text, with_(SMALL, language="german"))
    build(tmp_path / "no", text, with_(SMALL, language="german", stem=False))
    with opened(tmp_path / "de") as stems, opened(tmp_path / "no") as words:
        assert [h.document for h in stems.search("Haus", by="words").hits] == ["d"]
        assert words.search("Haus", by="words").hits == ()
        assert [h.document for h in words.search("h\u00e4user", by="words").hits] == ["d"]
