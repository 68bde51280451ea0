"""Finding concepts by number and by name."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.concepts import Concept, Concepts, Names, Statistics
from isthmus.errors import ConfigError

NAMES = ["cooking", "Cooking", "cook time", "tennis · Wimbledon", None, "United States", "states"]


def concept(number, name=None, passages=3, **more):
    known = Statistics(passages, 0.1, 0.5, 1.0, (0.1, 0.2, 0.5, 0.7, 0.9), (1, 2))
    return Concept(number, known, name, **more)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("3", 3),
        ("#3", 3),
        (" #0 ", 0),
        ("cooking", 0),  # letter by letter before any case
        ("Cooking", 1),
        ("wimbledon", 3),  # a part
        ("TENNIS", 3),
        ("united", 5),  # the beginning
        ("ted st", 5),  # a piece
        ("STATES", 6),  # the whole name before a piece of another
        ("4", 4),  # a concept without a name is found by its number
    ],
)
def test_a_text_means_a_concept_by_the_strictest_sense(text, number):
    assert Names(NAMES).find(text) == number


def test_several_are_listed_with_their_numbers():
    with pytest.raises(ConfigError) as caught:
        Names(NAMES).find("COOKING")
    assert "2 concepts" in caught.value.what
    assert "#0 cooking" in caught.value.why
    assert "#1 Cooking" in caught.value.why
    assert "#0" in caught.value.fix


def test_a_long_list_is_cut_and_counted():
    with pytest.raises(ConfigError, match="and 5 more"):
        Names([f"ship {i}" for i in range(25)]).find("ship")


def test_none_gives_similar_names():
    with pytest.raises(ConfigError, match="Wimbledon") as caught:
        Names(NAMES).find("wimbeldon")
    assert "no concept is called 'wimbeldon'" in caught.value.what
    with pytest.raises(ConfigError, match="no name is like it"):
        Names(NAMES).find("zzzz")


@pytest.mark.parametrize("text", ["7", "#12345678901234567890"])
def test_a_number_beyond_the_last_is_refused(text):
    with pytest.raises(ConfigError, match="the last is #6"):
        Names(NAMES).find(text)


@pytest.mark.parametrize("text", ["", "   "])
def test_an_empty_text_means_nothing(text):
    assert Names(NAMES).matching(text) == ()
    with pytest.raises(ConfigError, match="no concept is called"):
        Names(NAMES).find(text)


@given(st.lists(st.one_of(st.none(), st.text(min_size=1)), max_size=20), st.text())
def test_whatever_is_found_holds_the_text_and_nothing_crashes(names, text):
    try:
        found = Names(names).matching(text)
    except ConfigError:
        return
    for j in found:
        wanted = text.strip()
        assert wanted.removeprefix("#") == str(j) or wanted.casefold() in names[j].casefold()


@given(st.lists(st.text("abc d", min_size=1), min_size=1, unique=True))
def test_a_whole_name_is_always_found(names):
    for j, name in enumerate(names):
        if name == name.strip():
            assert j in Names(names).matching(name)


def test_the_table_knows_its_dead_and_its_roots():
    table = Concepts(
        [
            concept(0, "fruit", 9, children=(1,)),
            concept(1, "apple", 4, parent=0),
            concept(2, passages=0),
        ],
        passages=10,
    )
    assert table.names.dead == {2}
    assert table[2].dead
    assert not table[1].dead
    assert [c.id for c in table.roots()] == [0]
    assert table.find("apple").id == 1
    assert [c.id for c in table.matching("pp")] == [1]
    assert table[2].label == "#2"
    assert table[1].label == "apple"
    assert len(table) == 3
    assert [c.id for c in table] == [0, 1, 2]


def test_replacing_and_stability_leave_the_rest_alone():
    table = Concepts([concept(0, "a"), concept(1)], passages=3)
    new = table.replaced([concept(1, "b")])
    assert [c.name for c in new] == ["a", "b"]
    assert new.names.find("b") == 1
    assert table[1].name is None
    sure = new.with_stability([0.9, None])
    assert sure[0].stability == 0.9
    assert sure[1].stability is None


def test_concepts_out_of_order_are_refused():
    with pytest.raises(ConfigError, match="in the order of their latents"):
        Concepts([concept(1)], passages=3)
