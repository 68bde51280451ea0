"""The gate: whatever a model says, what is shown as a quotation stands in its passage."""

import random
import re
import unicodedata

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from answer_toys import hits_of, spoken, text_of
from isthmus.answers import Draft, Gate, GateConfig, check_claims
from isthmus.answers.gate import size_of
from isthmus.answers.normal import normal
from isthmus.answers.stitching import pieces_of
from isthmus.errors import ConfigError
from isthmus.search.hits import Hit

TOWER = "The tower was completed in 1889. It is 330 metres tall, and weighs 10.1 thousand tons."
BRIDGE = "The bridge opened in 1937 and spans 2.7 kilometres. It is not tall for a bridge."
HITS = hits_of([TOWER, BRIDGE])


def verdict(quote: str, passage: str = "1", **config: object) -> str:
    return Gate(HITS, GateConfig(**config)).check(quote, passage).verdict


def shown(claims, hits) -> None:
    """What must hold for every claim, whoever made it."""
    by_id = {hit.id: hit for hit in hits}
    for claim in claims:
        assert claim.supported == (claim.verdict == "found")
        assert claim.supported == (claim.citation is not None)
        line = claim.line()
        assert "\n" not in line
        assert not any(unicodedata.category(c) in ("Cc", "Cs") for c in line)
        if claim.citation is None:
            assert line.startswith("[struck out: ")
            assert line.count("[") == line.count("]") == 1
            assert not set(claim.text) & set('"“”„«»')
            continue
        hit = by_id[claim.citation.passage]
        document = " " * hit.start + hit.text
        assert claim.citation.quote == document[claim.citation.start : claim.citation.end]
        assert claim.citation.quote in hit.text
        assert len(claim.citation.quote.split()) >= 1
        own = normal(hit.text).text
        for inside in re.findall("[“‘]([^“”]*)[”’]", claim.text):
            assert normal(re.sub(r"<U\+\w+>", "", inside)).text in own
        assert not set(claim.text) & set('"„«»')
        assert claim.text.count("“") == claim.text.count("”")
        # The only brackets in a line are those of its citation's number.
        assert re.findall(r"\[([^\]]*)\]", line) == [str(claim.citation.number)]


# ---------------------------------------------------------------- verdicts


@pytest.mark.parametrize(
    "quote",
    [
        "It is 330 metres tall",
        "It is 330 metres tall.",
        '"It is 330 metres tall,"',
        "It  is\n330 metres\u00a0tall",
        "It is 330 me\u200btres tall",
        "...It is 330 metres tall...",
        "（It is 330 metres tall）",
        TOWER,
        f"“{TOWER}”",
        "weighs 10.1 thousand tons",
        "\u202aIt is 330 metres tall\u202c",
        "Ｉt is 330 metres tall",
    ],
)
def test_a_quotation_is_found_whatever_its_typography(quote):
    assert verdict(quote) == "found"


@pytest.mark.parametrize(
    ("quote", "passage", "expected"),
    [
        ("spans 2.7 kilometres", "1", "misattributed"),
        ("spans 2.7 kilometres", "2", "found"),
        ("spans 2.7 kilometres", "d1#0", "found"),
        ("spans 2.7 kilometres", "passage 2", "found"),
        ("spans 2.7 kilometres", "[2]", "found"),
        ("spans 2.7 kilometres", "3", "misattributed"),
        ("spans 2.7 kilometres", "0", "misattributed"),
        ("spans 2.7 kilometres", "-2", "misattributed"),
        ("spans 2.7 kilometres", "", "misattributed"),
        ("spans 2.7 kilometres", "٢", "misattributed"),
        ("these words stand nowhere", "7", "not found"),
        ("The tower was completed ... metres tall", "1", "stitched"),
        ("The tower was completed […] 330 metres tall", "1", "stitched"),
        ("metres tall … tower was completed", "1", "stitched"),
        ("The tower was completed 330 metres tall", "1", "stitched"),
        ("The tower was completed spans 2.7 kilometres", "1", "stitched"),
        ("The tower was completed ... never said", "1", "not found"),
        ("It is 300 metres tall", "1", "not found"),
        ("it is 330 metres tall", "1", "not found"),
        ("It is 330 mеtres tall", "1", "not found"),  # the first e is Cyrillic
        ("", "1", "too short"),
        ("   ", "1", "too short"),
        ("... … ...", "1", "too short"),
        ("\u200b\u200b\u200b", "1", "too short"),
        ("metres tall", "1", "too short"),
        ("in", "1", "too short"),
        ("It is the", "1", "too short"),
        (".*", "1", "too short"),
        ("It is .* metres tall", "1", "not found"),
        ("tower " * 5000, "1", "not found"),
    ],
)
def test_what_becomes_of_a_quotation(quote, passage, expected):
    assert verdict(quote, passage) == expected


@pytest.mark.parametrize(
    ("text", "quote"),
    [
        ("The drug was ineffective against colds", "effective against colds"),
        ("The drug was non_effective against colds", "effective against colds"),
        ("It rose by 1.5 percent within years", "5 percent within years"),
        ("It rose by 1,500 percent within years", "500 percent within years"),
        ("It fell to -40 degrees within hours", "40 degrees within hours"),
        ("It fell to −40 degrees within hours", "40 degrees within hours"),
        ("Within years it rose by 1.5 percent", "Within years it rose by 1"),
        ("Within years it rose by 10,000", "Within years it rose by 10"),
        ("Within years the harmlessness rose", "Within years the harm"),
        ("Add about 1½ cups of brown sugar", "2 cups of brown sugar"),
        ("Within years the cafe\u0301 rose", "Within years the cafe"),
    ],
)
def test_a_quotation_does_not_begin_or_end_within_a_word_or_a_number(text, quote):
    assert Gate(hits_of([text])).check(quote, "1").verdict == "not found"


@pytest.mark.parametrize(
    ("text", "quote"),
    [
        ("The tower is tall¹ and made of iron", "The tower is tall"),
        ("Pages 3-40 are about iron and steel", "40 are about iron and steel"),
        ("東京タワーは高さが三百三十三メートルです", "高さが三百三十三メートル"),
        ("Le ﬁlm est très beau, dit-on", "film est très beau"),
        ("It costs $5 million within years", "5 million within years"),
        ("a x.y tower is tall. 5 towers are taller", "tower is tall. 5 towers"),
        ("It ended with: iron, steel and 10.", "iron, steel and 10"),
    ],
)
def test_what_is_no_part_of_a_word_may_stand_beside_a_quotation(text, quote):
    assert Gate(hits_of([text])).check(quote, "1").verdict == "found"


def test_the_first_place_with_whole_words_counts():
    text = "ineffective against colds; it was effective against colds"
    found = Gate(hits_of([text])).check("effective against colds", "1")
    assert (found.start, found.end) == (text.rindex("effective"), len(text))


def test_case_may_be_set_aside():
    assert verdict("IT IS 330 METRES TALL", fold_case=True) == "found"
    straße = hits_of(["Die Straße ist lang und breit"])
    claims = check_claims(
        [Draft("It is long.", "1", "DIE STRASSE IST LANG")],
        straße,
        config=GateConfig(fold_case=True),
    )
    assert claims[0].citation.quote == "Die Straße ist lang"


def test_limits_of_a_gate_are_positive():
    with pytest.raises(ConfigError, match="at least one word"):
        GateConfig(words=0)


def test_the_size_of_a_quotation_counts_characters_without_spaces_as_words():
    assert size_of("three little words") == (3, 16)
    assert size_of("東京都") == (3, 6)
    assert size_of("x-ray at 1.5") == (3, 8)


# ---------------------------------------------------------------- claims


def test_a_found_quotation_becomes_the_passages_own_characters():
    text = "It  is\n“330 metres” tall, they say."
    (claim,) = check_claims([Draft("Tall.", "1", 'is "330 metres" tall')], hits_of([text]))
    assert claim.citation.quote == "is\n“330 metres” tall"
    assert (claim.citation.start, claim.citation.end) == (7 + 4, 7 + 24)


def test_the_same_place_has_one_number():
    drafts = [
        Draft("A b.", "1", "It is 330 metres tall"),
        Draft("C d.", "1", "weighs 10.1 thousand"),
    ]
    claims = check_claims([*drafts, drafts[0]], HITS)
    assert [claim.citation.number for claim in claims] == [1, 2, 1]


def test_a_misattributed_claim_says_where_its_quotation_stands():
    (claim,) = check_claims([Draft("It is long.", "1", "spans 2.7 kilometres")], HITS)
    assert (claim.verdict, claim.elsewhere, claim.citation) == ("misattributed", "d1#0", None)
    assert claim.line() == (
        "[struck out: It is long. (the quotation stands in passage 2, not in passage 1)]"
    )


@pytest.mark.parametrize(
    ("claim", "stands"),
    [
        ('It is "330 metres tall", they write.', True),
        ("It is “330 metres tall”, they write.", True),
        ("It is '330 metres tall', they write.", True),
        ("It's the tower's height.", True),
        ('It is "3,000 metres tall", they write.', False),
        ("It is «3,000 metres tall», they write.", False),
        ("It is '3,000 metres tall', they write.", False),
        ("It is 「3,000 metres tall」.", False),
        ('They write "it is 3,000 metres tall', False),
        ('"330 metres tall" and "3,000 metres tall"', False),
        ('It is "30 metres tall".', False),
        ('It is "" tall.', True),
        ('""3,000 metres tall""', False),
        ('"“3,000 metres tall”" there', False),
        ("'330 \"metres\" 3,000 metres tall'", False),
        ("It is ‘3,000 metres tall", False),
        ("It is 『3,000 metres tall", False),
        ("It is 330 metres' 'height.", True),
    ],
)
def test_what_a_claim_itself_quotes_must_stand_in_the_passage(claim, stands):
    (made,) = check_claims([Draft(claim, "1", "It is 330 metres tall")], HITS)
    assert made.supported == stands
    shown([made], HITS)


def test_what_a_claim_itself_quotes_is_the_passages_own_wording():
    hits = hits_of(["They call it an “enfant\nterrible” of iron and steel"])
    (made,) = check_claims([Draft("An 'enfant terrible'.", "1", "of iron and steel")], hits)
    assert made.text == "An ‘enfant terrible’."
    hits = hits_of(["They call it a deﬁnite giant of iron and steel"])
    (made,) = check_claims([Draft('A "definite giant".', "1", "of iron and steel")], hits)
    assert made.text == "A “deﬁnite giant”."


def test_nobody_has_to_guess_which_quote_marks_belong_together():
    (made,) = check_claims(
        [Draft('"330 metres "3,000 feet" tall"', "1", "is 330 metres tall")], HITS
    )
    assert made.text == "“330 metres” 3,000 feet “tall”"


@pytest.mark.parametrize("claim", ["", " \n", "\u200b", "[]", "..."])
def test_a_claim_that_says_nothing_is_struck_out(claim):
    (made,) = check_claims([Draft(claim, "1", "It is 330 metres tall")], HITS)
    assert not made.supported


def test_numbers_and_names_that_no_passage_has_are_pointed_at():
    draft = Draft("Gustave says it is 331 metres tall in Paris.", "1", "It is 330 metres tall")
    (claim,) = check_claims([draft], HITS, question="How tall is the tower in Paris?")
    assert claim.unbacked == ("331",)
    draft = Draft("In 1889 it pleased Gustave and NATO.", "1", "It is 330 metres tall")
    (claim,) = check_claims([draft], HITS)
    assert claim.unbacked == ("Gustave", "NATO")
    assert claim.line().endswith("[1] (not in the cited passage: Gustave, NATO)")
    assert claim.related


def test_a_claim_that_shares_no_word_with_its_passage_is_pointed_at():
    (claim,) = check_claims([Draft("Cats purr loudly.", "1", "It is 330 metres tall")], HITS)
    assert claim.line() == "Cats purr loudly. [1] (no word of this stands in the cited passage)"
    assert (claim.related, claim.json()["related"]) == (False, False)
    (claim,) = check_claims([Draft("So are towers.", "1", "It is 330 metres tall")], HITS)
    assert claim.related


def test_a_claim_can_not_fake_what_belongs_to_the_answer():
    said = "Tall [2].\n[struck out: nothing] \x1b[2J\u202etfel see ![x](https://e.example/?q=1)"
    good, bad = check_claims(
        [Draft(said, "1", "It is 330 metres tall"), Draft(said + "]", "1", "nothing of this")], HITS
    )
    assert good.text == "Tall (2). (struck out: nothing) tfel see (link removed)"
    shown([good, bad], HITS)


# ---------------------------------------------------------------- honest and hostile answers


def typeset(text: str, choices: list[int]) -> str:
    """The same words in another typography."""
    changes = (
        lambda t: t.replace(" ", "  "),
        lambda t: unicodedata.normalize("NFD", t),
        lambda t: unicodedata.normalize("NFC", t),
        lambda t: t.replace("'", "’").replace('"', "”"),
        lambda t: t.replace("’", "'").replace("“", '"').replace("”", '"'),
        lambda t: t.replace("-", "‑").replace("—", "-"),
        lambda t: "\u200b".join(t),
        lambda t: f"“{t}”",
        lambda t: f" {t}\n",
        lambda t: t.replace("\n", " ").replace("\t", " "),
        lambda t: t.replace("\u200b", "").replace("\u00ad", ""),
    )
    for choice in choices:
        text = changes[choice % len(changes)](text)
    return text


@settings(max_examples=400, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_honest_quotations_are_always_found(seed):
    chance = random.Random(seed)
    text = text_of(chance)
    # Words are what stands between white space, so that a quotation of them cuts none.
    words, drafts = list(re.finditer(r"\S+", text)), []
    for _ in range(8):
        first = chance.randrange(len(words) - 3)
        last = chance.randrange(first + 2, len(words))
        quote = text[words[first].start() : words[last].end()]
        if not Gate([]).too_short(normal(quote).text.strip()):
            said = typeset(quote, [chance.randrange(11) for _ in range(chance.randrange(4))])
            drafts.append((quote, Draft("It is so.", "2", said)))
    hits = hits_of(["Something else stands here.", text])
    claims = check_claims([draft for _, draft in drafts], hits)
    for (quote, draft), claim in zip(drafts, claims, strict=True):
        assert claim.verdict == "found", (quote, draft.quote)
        assert spoken(claim.citation.quote) == spoken(quote)
    shown(claims, hits)


def some_of(text: str, chance: random.Random) -> str:
    """A few words of a text, cut where words end or anywhere."""
    places = [0, len(text), *(m.start() for m in re.finditer(r"\s\S|\S\s", text))]
    if chance.random() < 0.3:
        places = list(range(len(text) + 1))
    start = chance.choice(places)
    return text[start : start + chance.choice([30, 60, 90, 200])]


def homoglyphs(quote: str, chance: random.Random) -> str:
    return quote.translate(str.maketrans("aeo", "аео"))


def misspelt(quote: str, chance: random.Random) -> str:
    place = chance.randrange(len(quote) + 1)
    return (
        quote[:place] + chr(chance.choice([0, 0x1B, 0x41, 0x202E, 0x300, 0xD800])) + quote[place:]
    )


def stitched(quote: str, chance: random.Random) -> str:
    words = quote.split(" ")
    place = chance.randrange(len(words))
    return " ".join([*words[place:], chance.choice(["...", "…", "", "[...]"]), *words[:place]])


HOSTILE = (
    lambda quote, chance: quote,
    lambda quote, chance: typeset(quote, [chance.randrange(11)]),
    homoglyphs,
    misspelt,
    stitched,
    lambda quote, chance: quote * 20,
    lambda quote, chance: re.escape(quote),
    lambda quote, chance: f'"{quote}" "{quote}"',
    lambda quote, chance: quote.swapcase(),
    lambda quote, chance: chance.choice(
        ["", " ", "\x00", "((((", "\\", ".*", "a" * 9999, "\u202e"]
    ),
)


@settings(max_examples=800, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_whatever_a_model_says_what_is_shown_stands_in_its_passage(seed):
    chance = random.Random(seed)
    hits = hits_of([text_of(chance) for _ in range(3)])
    gate, drafts = Gate(hits), []
    for _ in range(4):
        quote = some_of(hits[chance.choice([0, 1, 1, 1, 2])].text, chance)
        quote = chance.choice(HOSTILE)(quote, chance)
        claim = chance.choice(
            [f'It says "{quote}" there', "It is so", quote, text_of(chance, 1, 9)]
        )
        drafts.append(Draft(claim, chance.choice(["1", "2", "2", "3", "d1#0", "9", "x"]), quote))
    claims = check_claims(drafts, hits)
    shown(claims, hits)
    for draft, claim in zip(drafts, claims, strict=True):
        event(claim.verdict)
        place = gate.place_of(draft.passage)
        if claim.supported:
            assert claim.citation.passage == hits[place].id
            said, quoted = normal(draft.quote).text, normal(claim.citation.quote).text
            assert quoted in said
            assert spoken(said) == spoken(quoted)
        if claim.verdict == "misattributed":
            assert claim.elsewhere not in (None, None if place is None else hits[place].id)


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=60), st.text(max_size=60), st.text(max_size=60), st.text(max_size=5))
def test_no_text_whatever_breaks_the_gate(claim, quote, text, passage):
    hits = hits_of([text, f"{text} {quote}"])
    shown(check_claims([Draft(claim, passage, quote), Draft(claim, "2", quote)], hits), hits)


@settings(max_examples=300, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_another_word_within_a_quotation_is_not_found(seed):
    chance = random.Random(seed)
    text = text_of(chance)
    words = text.split()
    first = chance.randrange(len(words) - 4)
    part = words[first : first + 4]
    part[chance.randrange(4)] = "never"
    assert Gate(hits_of([text])).check(" ".join(part), "1").verdict in ("not found", "too short")


# ---------------------------------------------------------------- pieces


def test_pieces_of_three_words_are_taken_from_the_left():
    texts_ = ["one two three four five six seven"]
    assert pieces_of("one two three five six seven", texts_) == ["one two three", "five six seven"]
    assert pieces_of("three four five one two three", texts_) == [
        "three four five",
        "one two three",
    ]
    # The longest piece from the left leaves too little, so it gives some words away.
    assert pieces_of("one two three four five seven", texts_) == []
    assert pieces_of("one two three four five six seven", texts_) == []
    assert pieces_of("one two … six seven", ["one two three", "six seven"]) == []
    assert pieces_of("one two ... six seven", texts_) == ["one two", "six seven"]
    assert pieces_of("", texts_) == []


def test_a_hit_can_have_any_id():
    hit = Hit("2", 1.0, "iron towers stand here", "d")
    gate = Gate([hit, Hit("b", 1.0, "wooden bridges stand there", "d")])
    assert gate.check("iron towers stand", "2").verdict == "found"
    assert gate.place_of("b") == 1
