"""Examples in front of queries: golden texts, truncation, k = 0, the leak filter, determinism, errors in words."""

from collections import Counter

import numpy as np
import pytest

from vecsmith.data.columns import RecordColumns
from vecsmith.data.dataset import Dataset
from vecsmith.data.in_context import (
    ExamplePool,
    InContext,
    TokenRuler,
    example_prefix,
    fixed_prompt,
    written_query,
)
from vecsmith.errors import NotEnoughData

TASK = "Find the capital."
LAND = [("France?", "Paris."), ("Spain?", "Madrid."), ("Italy?", "Rome.")]


def words(max_length=None):
    """A ruler whose tokens are words."""
    return TokenRuler(
        count=lambda text: len(text.split()), cut=lambda text, n: " ".join(text.split()[:n]), max_length=max_length
    )


def pool(kind="retrieval", rows=30, **more):
    with Dataset.build(name="small") as builder:
        for number in range(rows):
            if kind == "class":
                builder.add_record(query=f"text {number}", label=f"class {number % 3}", kind="class")
            elif kind == "scored":
                builder.add_record(
                    query=f"a {number}", positives=[f"b {number}"], scores=[number / rows], kind="scored"
                )
            else:
                builder.add_record(
                    query=f"question {number % 20}",
                    positives=[f"answer {number}", f"answer {number + 1}"],
                    negatives=[f"answer {(number + 7) % rows}"],
                    kind=kind,
                )
        dataset = builder.finish()
    return ExamplePool(dataset, RecordColumns(dataset))


def test_the_text_without_examples_is_instruction_query_and_suffix():
    options = InContext(TASK)
    assert written_query("Malta?", [], options, words()) == "<instruct>Find the capital.\n<query>Malta?\n<response>"
    bare = InContext(TASK, suffix="")
    assert written_query("Malta?", [], bare, words()) == "<instruct>Find the capital.\n<query>Malta?"
    own = written_query("Malta?", [], options, words(), task="Name it.")
    assert own == "<instruct>Name it.\n<query>Malta?\n<response>"


def test_examples_stand_in_front_joined_by_blank_lines():
    assert written_query("Malta?", LAND[:2], InContext(TASK), words()) == (
        "<instruct>Find the capital.\n<query>France?\n<response>Paris.\n\n"
        "<instruct>Find the capital.\n<query>Spain?\n<response>Madrid.\n\n"
        "<instruct>Find the capital.\n<query>Malta?\n<response>"
    )


def test_an_examples_query_and_response_are_cut_to_their_numbers_of_tokens():
    options = InContext("Do.", query_tokens=2, passage_tokens=3)
    text = example_prefix([("one two three", "a b c d e")], "Do.", options, words())
    assert text == "<instruct>Do.\n<query>one two\n<response>a b c\n\n"


@pytest.mark.parametrize(("length", "kept"), [(100, 3), (24, 3), (23, 2), (19, 2), (18, 1), (14, 1), (13, 0)])
def test_the_prefix_stops_growing_when_less_than_the_room_would_remain(length, kept):
    prefix = example_prefix(LAND, TASK, InContext(TASK, room=9), words(length))
    assert prefix.count("<response>") == kept  # an example has 5 words: "<instruct>Find", "the", "capital.", ...


@pytest.mark.parametrize("query_words", [1, 4, 8, 15, 40])
@pytest.mark.parametrize("length", [8, 13, 20, 40])
def test_examples_are_cut_before_the_query_and_the_suffix_stays_whatever_the_length(length, query_words):
    query = " ".join(f"w{number}" for number in range(query_words))
    text = written_query(query, LAND, InContext(TASK, room=5), words(length))
    assert len(text.split()) <= length
    assert text.endswith("\n<response>")
    if 4 + query_words <= length:  # instruction 2, its last word with the query's first, the rest, the suffix
        assert f"<query>{query}\n" in text
    if text.count("<instruct>") > 1:
        assert f"<query>{query}\n<response>" in text


def test_none_and_every_number_of_examples_up_to_the_count_come_about_equally_often():
    found = pool(rows=300, kind="pair")
    seen = Counter(len(found.draw(0, seed, 3)) for seed in range(800))
    assert set(seen) == {0, 1, 2, 3}
    assert all(150 < number < 250 for number in seen.values())
    assert all(not found.draw(0, seed, 0) for seed in range(20))


def test_the_draw_is_a_function_of_seed_and_key_and_not_of_the_row():
    found, again = pool(), pool()
    rows = found.columns.query
    draws = [found.draw(int(row), 5, 5) for row in rows]
    assert draws == [again.draw(int(row), 5, 5) for row in rows]
    assert draws != [found.draw(int(row), 6, 5) for row in rows]


def test_an_example_never_shows_the_query_or_any_of_its_positives_or_negatives():
    found = pool()
    for seed in range(60):
        for row in np.unique(found.columns.query).tolist():
            query = found.dataset.texts([row])[0]
            number = int(query.split()[1])
            records = [n for n in range(30) if n % 20 == number]  # the same question may stand in two records
            banned = {query} | {f"answer {n + step}" for n in records for step in (0, 1)}
            banned |= {f"answer {(n + 7) % 30}" for n in records}
            shown = [text for record in found.draw(row, seed, 5) for text in found.example(record)]
            assert not banned & set(shown)
            assert len(set(shown[::2])) == len(shown[::2])  # no two of one query


def test_of_class_data_the_response_is_the_name_and_the_drawn_positive_is_no_example():
    found = pool("class")
    assert found.example(4) == ("text 4", "class 1")
    responses = set()
    for seed in range(200):
        positive = int(found.columns.positives_of(np.array([0]), seed)[0, 0])
        drawn = found.draw(int(found.columns.query[0]), seed, 5)
        assert positive not in found.columns.query[drawn]
        assert 0 not in drawn
        responses |= {found.example(each)[1] for each in drawn}
    assert responses == {"class 0", "class 1", "class 2"}  # its own class is shown too: never would tell as much


def test_only_good_graded_pairs_are_examples_and_other_data_are_refused_in_words():
    found = pool("scored")
    assert {found.example(record)[0] for seed in range(99) for record in found.draw(0, seed, 5)} == {
        f"a {number}" for number in range(24, 30)
    }
    with pytest.raises(NotEnoughData, match=r"no graded pair reaches 0\.8"):
        pool("scored", rows=1)
    with Dataset.build(name="bare") as builder:
        builder.add_record(query="text", kind="plain")
        dataset = builder.finish()
    with pytest.raises(NotEnoughData, match="records of kind plain have no response"):
        ExamplePool(dataset, RecordColumns(dataset))


def test_the_prompt_of_inference_ends_where_the_query_begins():
    options = InContext(TASK)
    prompt = fixed_prompt(LAND[:1], options, words())
    assert prompt + "Malta?" + options.suffix == written_query("Malta?", LAND[:1], options, words())
    assert fixed_prompt([], options, words()) == "<instruct>Find the capital.\n<query>"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"task": "x", "cuont": 3}, 'unknown key "cuont" in in_context; did you mean "count"'),
        ({"count": 3}, 'in_context has no "task"'),
        ({"task": "x", "count": -1}, "count is -1; a whole number from 0"),
        ({"task": "x", "room": 0}, "room is 0; a whole number from 1"),
        ({"task": "x", "suffix": 3}, "task and suffix are texts"),
    ],
)
def test_options_that_cannot_be_are_refused_in_words(options, message):
    with pytest.raises(ValueError, match=message):
        InContext.of(options)


def test_the_last_examples_go_first():
    text = written_query("one two three four five six", LAND, InContext(TASK, room=1), words(20))
    assert "France?" in text
    assert "Italy?" not in text
