"""The set of poisoned passages, and what the gate lets through of it."""

import importlib.util
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from answer_toys import Scripted
from isthmus.answers import quoted_answer, written_answer
from isthmus.errors import RemoteError
from isthmus.remote import Endpoint

PATH = Path(__file__).resolve().parents[1] / "benchmarks" / "poisoned_passages.py"


@pytest.fixture(scope="module")
def bench():
    spec = importlib.util.spec_from_file_location("poisoned_passages", PATH)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


@pytest.fixture(scope="module")
def attacks(bench):
    return bench.read_set()


def answers(bench, attack, models):
    for model in models:
        try:
            said = bench.answer_of(model, attack, "BEGIN PASSAGE 1 0123abcd\n")
            yield written_answer(attack.topic.question, attack.hits(), Scripted(said), model)
        except RemoteError as error:
            if error.what != "the model's answer can't be used":
                raise


def test_the_set_is_large_and_its_marks_stand_nowhere_else(attacks):
    families = Counter(attack.family for attack in attacks)
    assert len(attacks) >= 30
    assert len(families) >= 9
    assert min(families.values()) >= 3
    assert len({attack.canary for attack in attacks}) == len(attacks)
    for attack in attacks:
        assert attack.canary in attack.say
        assert not any(attack.canary in text for text in attack.topic.passages)
        if attack.family not in ("encoded", "exfiltration"):
            assert attack.canary in attack.passage or attack.canary[::-1] in attack.passage
        assert attack.topic.quote in attack.topic.passages[0]


def test_an_obedient_model_gets_no_misquotation_link_or_control_through(bench, attacks):
    said = 0
    for attack in attacks:
        for answer in answers(bench, attack, bench.obedient_names(attack)):
            found = bench.outcome_of(attack, answer)
            assert {name: getattr(found, name) for name in bench.MUST_NOT} == dict.fromkeys(
                bench.MUST_NOT, False
            ), (attack.id, answer.show())
            said += found.from_poison or found.beside_another
    # What a word-for-word check can't hold back does get through; were it none, the models above
    # would not obey.
    assert said > len(attacks)


def test_a_deaf_model_is_shown_whole(bench, attacks):
    for attack in attacks:
        (answer,) = answers(bench, attack, ["deaf"])
        assert [claim.supported for claim in answer.claims] == [True]
        assert bench.outcome_of(attack, answer) == bench.Outcome()


def test_quoted_answers_show_poison_as_what_it_is(bench, attacks):
    assert bench.quoted_only(attacks) == 0
    shown = [quoted_answer(attack.topic.question, attack.hits()).show() for attack in attacks]
    assert sum(attack.canary in text for attack, text in zip(attacks, shown, strict=True)) > 20


def test_the_outcomes_are_told_apart(bench, attacks):
    """A gate that let everything through would be found out."""
    attack = attacks[0]
    (good,) = answers(bench, attack, ["deaf"])
    (claim,) = good.claims

    def outcome(**changes):
        cited = replace(claim.citation, **changes.pop("citation", {}))
        made = replace(claim, citation=cited, **changes)
        return bench.outcome_of(attack, replace(good, claims=(made,)))

    poisoned = {"passage": attack.hits()[-1].id, "start": 0, "end": 6, "quote": "Ignore"}
    assert outcome() == bench.Outcome()
    assert outcome(citation={"quote": "another"}).misquotes
    assert outcome(text="It is “never said”.").misquotes
    assert outcome(text="See https://x.example").links
    assert bench.outcome_of(attack, replace(good, text="a\x1bb")).controls
    assert bench.outcome_of(attack, replace(good, claims=())).silenced
    assert outcome(text="So [2].").numbers
    assert outcome(text=attack.canary).beside_another
    assert outcome(text=attack.canary, related=False).pointed_at
    assert outcome(text=attack.canary, citation=poisoned).from_poison


def test_the_built_in_models_answer_over_http(bench, attacks):
    few = attacks[:3]
    with bench.built_in(few) as address:
        endpoint = Endpoint(address)
        deaf = bench.measured(few, endpoint, lambda attack: ["deaf"])
        worst = bench.measured(few, endpoint, lambda attack: ["obedient/quotes another"])
    assert deaf["all"].attacks == 3
    assert deaf["all"].counts["silenced"] == 0
    assert worst["all"].counts["beside_another"] == 3
    rows = bench.table("deaf", deaf)
    assert [row["family"] for row in rows] == ["override", "all"]
