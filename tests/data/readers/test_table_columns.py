"""Which column is what."""

import pytest

from vecsmith.data.readers.table_columns import Columns, resolve_columns
from vecsmith.errors import DataError, UsageError


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["question", "answer"], Columns(query="question", document="answer")),
        (["Query", "Passage"], Columns(query="Query", document="Passage")),
        (["anchor", "positive", "negative"], Columns(query="anchor", document="positive", negatives=("negative",))),
        (
            ["anchor", "positive", "negative_1", "negative_2"],
            Columns(query="anchor", document="positive", negatives=("negative_1", "negative_2")),
        ),
        (["query", "pos", "neg"], Columns(query="query", document="pos", negatives=("neg",))),
        (["_id", "title", "text"], Columns(id="_id", query="title", document="text")),
        (["id", "title", "abstract"], Columns(id="id", query="title", document="abstract")),
        (["title", "body"], Columns(query="title", document="body")),
        (["sentence1", "sentence2", "sim"], Columns(query="sentence1", document="sentence2", score="sim")),
        (["label", "text"], Columns(label="label", document="text")),
        (["text", "group", "split", "weight"], Columns(document="text", group="group", split="split", weight="weight")),
        (["Sentence A", "sentence-b"], Columns(query="Sentence A", document="sentence-b")),
    ],
)
def test_the_names_of_published_sets_are_recognised(names, expected):
    assert resolve_columns(names) == expected


def test_what_is_declared_comes_before_what_is_recognised():
    columns = resolve_columns(["query", "text", "body"], query="body", attributes=["query"])
    assert columns == Columns(query="body", document="text", attributes=("query",))


def test_a_title_beside_a_query_is_not_guessed():
    with pytest.raises(DataError, match='column "title": neither declared nor recognised'):
        resolve_columns(["query", "title", "text"])


@pytest.mark.parametrize("role", ["attributes", "ignore"])
def test_a_star_stands_for_all_that_have_no_part(role):
    columns = resolve_columns(["query", "document", "year", "venue"], **{role: "*"})
    assert getattr(columns, "ignored" if role == "ignore" else role) == ("year", "venue")


def test_a_column_may_be_group_and_attribute_at_once():
    columns = resolve_columns(["text", "venue"], group="venue", attributes=["venue"])
    assert (columns.group, columns.attributes) == ("venue", ("venue",))


def test_a_declared_column_that_is_missing_names_the_nearest():
    with pytest.raises(
        DataError, match=r"no column \"questoin\"; did you mean 'question'\? \(columns: question, answer\)"
    ):
        resolve_columns(["question", "answer"], query="questoin")


def test_a_part_that_does_not_exist_is_a_usage_error():
    with pytest.raises(UsageError, match='"answer" is no part of a table; known: query, document'):
        resolve_columns(["a"], answer="a")


def test_columns_describe_themselves():
    columns = resolve_columns(["question", "answer", "year"], attributes=["year"])
    assert columns.describe() == "question is the query; answer is the document; attributes: year"
