"""Queries from text: what a query was made from is never in what it asks for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vecsmith.data.pairs.columns import column_pair
from vecsmith.data.pairs.docstrings import code_pair, docstring_pair, identifier_words
from vecsmith.data.pairs.headings import heading_pair, heading_query
from vecsmith.data.pairs.pair import count_words, without
from vecsmith.data.pairs.pretext import sentence_pair

SENTENCES = [
    "The cat sat on the mat.",
    "It was very warm that day!",
    "Why did it sit there at all?",
    "Short one.",
    "No.",
]
PASSAGES = st.lists(st.sampled_from(SENTENCES), max_size=8).map(" ".join)


@given(PASSAGES, st.integers(0, 2**64))
def test_the_sentence_is_not_in_the_passage_that_it_was_cut_from(text, seed):
    pair = sentence_pair(text, seed=seed)
    if pair is None:
        long = [sentence for sentence in SENTENCES[:3] if sentence in text]
        assert len(long) == 0 or all(count_words(text.replace(one, " ")) < 5 for one in long)
    else:
        assert pair.query in SENTENCES[:3]
        assert pair.query in text
        assert pair.query not in pair.positive
        assert count_words(pair.positive) >= 5
        assert pair == sentence_pair(f"  {text}\n", seed=seed)


@given(st.text(alphabet="ab .", max_size=60), st.text(alphabet="ab .", min_size=1, max_size=4))
def test_nothing_is_left_of_what_is_taken_out(text, part):
    rest = without(text, part)
    assert part not in rest or not part.strip()


def test_a_kept_sentence_stays_in_the_share_that_was_asked_for():
    passages = [f"The number of this one is {word}. And here are some other words." for word in map(str, range(400))]
    kept = [sentence_pair(text, keep_probability=0.1) for text in passages]
    assert 20 <= sum(pair.query in pair.positive for pair in kept) <= 60
    assert all(pair.query in pair.positive for pair in (sentence_pair(text, keep_probability=1.0) for text in passages))


def test_copies_of_a_passage_lose_the_same_sentence():
    text = " ".join(SENTENCES)
    assert sentence_pair(text, seed=3) == sentence_pair(text, seed=3)
    assert len({sentence_pair(text, seed=seed).query for seed in range(20)}) == 3


def test_a_script_without_spaces_has_words_too():
    text = "今日はとても良い天気です。明日は雨が降るかもしれません。"
    assert sentence_pair(text).query in text.replace("。", "。 ").split()


@pytest.mark.parametrize(
    ("heading", "title", "query"),
    [
        ("How to reset the router", "Manual", "How to reset the router"),
        ("Usage", "Requests", "Requests Usage"),
        ("1.2 Usage", "Usage", None),
        ("3. [`json.loads`](api.md) in depth", "x", "json.loads in depth"),
        ("", "Manual", None),
        ("Requests: usage", "Requests", "Requests: usage"),
    ],
)
def test_a_short_heading_is_asked_with_its_title(heading, title, query):
    assert heading_query(heading, title) == query


def test_a_heading_over_nothing_asks_nothing():
    assert heading_pair("How to reset it", "", "See there.") is None


@given(st.lists(st.sampled_from(["parse", "HTTP", "date", "v2", "x"]), min_size=1, max_size=5))
def test_words_of_a_name_do_not_depend_on_how_it_is_written(words):
    expected = [word.lower() for word in words]
    assert identifier_words("_".join(words)) == expected
    assert identifier_words("__" + "_".join(word.lower() for word in words) + "__") == expected
    if not {"HTTP", "v2", "x"} & set(words):
        assert identifier_words("".join(word.capitalize() for word in words)) == expected


DOCSTRING = "Parse a date from text.\n\nparse_date accepts the forms of RFC 2822, and parse_dates does not."


def test_a_docstring_is_asked_for_by_name_or_by_summary_and_holds_neither():
    pairs = {docstring_pair(DOCSTRING, "parse_date", seed=seed) for seed in range(20)}
    assert {pair.made_from for pair in pairs} == {"identifier", "summary"}
    for pair in pairs:
        assert "parse_date " not in pair.positive
        assert "parse_dates" in pair.positive
    by_name, by_summary = sorted(pairs, key=lambda pair: pair.made_from)
    assert by_name.query == "parse date"
    assert by_summary.query == "Parse a date from text."
    assert by_summary.query not in by_summary.positive


@given(st.text(alphabet="ab. \n", max_size=80), st.sampled_from(["a_b", "ab", "b"]), st.integers(0, 9))
def test_the_choice_depends_on_the_text_not_on_the_name(text, name, seed):
    pairs = [docstring_pair(text, name, parent, seed=seed) for parent in ("one two", "three four")]
    first, second = [pair and (pair.made_from, pair.positive) for pair in pairs]
    assert first == second


def test_a_name_of_one_word_is_asked_with_what_holds_it():
    assert docstring_pair("Deserialize a file.", "load", "json").query == "json load"
    assert docstring_pair("Deserialize a file.", "load", "") is None


def test_a_signature_is_no_summary():
    text = "load(file, *, strict) -> object of the file\n\nRead one object of the file."
    assert {docstring_pair(text, "load", "json", seed=seed).made_from for seed in range(20)} == {"identifier"}


def test_code_is_asked_for_by_its_docstring():
    code = 'def half(number): """Divide a number by two.""" return number / 2'
    pair = code_pair(code, '"""Divide a number by two."""', "Divide a number by two.", "half")
    assert pair.query == "Divide a number by two."
    assert pair.positive == "def half(number): return number / 2"
    assert code_pair("def halve_it(number): return number / 2 # as float", "", "", "Maths.halve_it").query == "halve it"


def test_a_row_that_answers_itself_is_no_pair():
    assert column_pair("same", "same") is None
    assert column_pair(" ", "text") is None
    assert column_pair(None, "text") is None
    assert column_pair("why?", "because").query == "why?"
