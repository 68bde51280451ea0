"""`isthmus evaluate INDEX`: every way of searching held against judged queries."""

import pytest

from cli_text_toys import (
    FEW,
    copied,
    judged_folder,
    judged_index,
    records,
    write_judged,
    write_lines,
)
from cli_tools import finished, program, refused, succeeded
from isthmus.data.corpora import read_judgements
from isthmus.search.index.index import Index
from isthmus.search.judging import judge

WAYS = ["dense", "reconstruction", "concepts", "words", "hybrid"]


def test_the_numbers_are_those_of_python():
    found = succeeded("evaluate", judged_index(), "--judgements", judged_folder(), "--json").json
    with Index(judged_index()) as index:
        wanted = judge(index, read_judgements(judged_folder()))
    assert list(found["metrics"]) == WAYS
    for way, numbers in found["metrics"].items():
        ranking = wanted.rankings[way]
        assert numbers["ndcg@10"] == pytest.approx(ranking.ndcg_10, abs=1e-12)
        assert numbers["recall@100"] == pytest.approx(ranking.recall_100, abs=1e-12)
        assert numbers["mrr@10"] == pytest.approx(ranking.mrr_10, abs=1e-12)
        low, high = numbers["ndcg@10_interval"]
        assert low <= numbers["ndcg@10"] <= high
        assert ("against_dense" in numbers) == (way != "dense")
    assert (found["judgements"], found["split"]) == ("judged", "test")
    assert (found["queries"], found["missing"]) == (24, 0)
    assert found["hybrid"]["fitted_on"] == "judged, train"
    assert set(found["hybrid"]) == {"concepts", "dense", "words", "fitted_on"}


def test_the_metrics_agree_with_ir_measures():
    measures = pytest.importorskip("ir_measures")
    judgements = read_judgements(judged_folder())
    run = []
    with Index(judged_index()) as index:
        for name, text in judgements.queries.items():
            hits = index.search(text, by="words", limit=240).hits
            run += [measures.ScoredDoc(name, h.document, -float(r)) for r, h in enumerate(hits)]
    truth = [
        measures.Qrel(query, document, grade)
        for query, judged in judgements.relevance.items()
        for document, grade in judged.items()
    ]
    wanted = measures.calc_aggregate(
        [measures.nDCG @ 10, measures.R @ 100, measures.RR @ 10], truth, run
    )
    found = succeeded("evaluate", judged_index(), "--json").json["metrics"]["words"]
    assert found["ndcg@10"] == pytest.approx(wanted[measures.nDCG @ 10], abs=1e-6)
    assert found["recall@100"] == pytest.approx(wanted[measures.R @ 100], abs=1e-6)
    assert found["mrr@10"] == pytest.approx(wanted[measures.RR @ 10], abs=1e-6)


def test_the_table_has_every_way_with_intervals_and_cost():
    answer = succeeded("evaluate", judged_index(), "--split", "train")
    lines = answer.out.splitlines()
    assert lines[0].endswith("judged.index on judged, train: 24 queries")
    rows = {line.split()[0]: line for line in lines[:8] if line.split()[0] in WAYS}
    assert set(rows) == set(WAYS)
    assert "–" in rows["dense"]
    assert all(" to " in row and "B" in row for row in rows.values())
    assert "fitted on judged, train" in answer.out
    assert "searching  24/24 queries" in answer.err


def test_documents_that_the_index_lacks_are_counted(tmp_path):
    lines = write_lines(tmp_path / "some.jsonl", records(40)[:100])
    succeeded("index", lines, "--out", tmp_path / "a.index", *FEW, "--no-concepts")
    words = ("evaluate", tmp_path / "a.index", "--judgements", judged_folder())
    assert succeeded(*words, "--json").json["missing"] == 4 * (5 + 10 + 10 + 10)
    assert "count as not found" in succeeded(*words).out


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--split", "dev"], 2, "there are no judgements called 'dev'"),
        (["--data", "digits"], 2, "an index is measured on judged queries"),
        (["--nll-rows", "5"], 2, "an index is measured on judged queries"),
        (["--k", "5"], 2, "an index is measured on judged queries"),
        (["--threads", "0"], 2, "threads"),
        (["--judgements", "/no/where"], 1, "there is no such folder"),
    ],
)
def test_wrong_use(words, code, said):
    assert said in refused(code, "evaluate", judged_index(), *words)


def test_judgements_are_for_an_index(tmp_path):
    err = refused(2, "evaluate", tmp_path, "--judgements", judged_folder())
    assert "are for an index" in err
    err = refused(2, "evaluate", tmp_path / "none", "--split", "test")
    assert "there is no such folder" in err


def test_an_index_of_texts_without_judgements_asks_for_them(tmp_path):
    lines = write_lines(tmp_path / "a.jsonl", records(5))
    succeeded("index", lines, "--out", tmp_path / "a.index", *FEW, "--no-concepts")
    assert "add --judgements FOLDER" in refused(2, "evaluate", tmp_path / "a.index")
    other = write_judged(tmp_path / "other", 8)
    (other / "qrels" / "test.tsv").write_text("q-rail-0\tnowhere\t1\n")
    err = refused(1, "evaluate", tmp_path / "a.index", "--judgements", other)
    assert "none of the relevant documents is in the index" in err


def test_an_index_whose_head_is_damaged(tmp_path):
    copy = copied(tmp_path)
    (copy / "index.json").write_text("[]")
    assert "damaged" in refused(1, "evaluate", copy, "--judgements", judged_folder())


def test_as_a_program_of_its_own():
    answer = finished(program("evaluate", judged_index(), "--json", "--quiet"))
    assert answer.code == 0, answer.err
    assert answer.err == ""
    assert answer.json["metrics"]["hybrid"]["ndcg@10"] > 0.2
