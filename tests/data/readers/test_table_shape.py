"""Rows brought into shape: filters, unfolded lists, joined tables, cells put together, files without a header."""

import gzip
import json

import pytest

import vecsmith as vs
from vecsmith.data.readers.table_shape import fill
from vecsmith.data.readers.tables import read_table
from vecsmith.errors import DataError, UsageError


def lines(path, rows):
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def test_where_keeps_and_unless_drops_rows(tmp_path):
    path = tmp_path / "t.tsv"
    path.write_text("lang\ttext\nde\teins\nfr\tun\nText\tText\nde\tzwei\n", encoding="utf-8")
    assert [row.documents[0] for row in read_table(path, where={"lang": "de"}, ignore="*")] == ["eins", "zwei"]
    assert [row.documents[0] for row in read_table(path, where={"lang": ["de", "fr"]}, ignore="*")] == [
        "eins",
        "un",
        "zwei",
    ]
    table = read_table(path, unless={"text": "Text"}, ignore="*")
    assert len(list(table)) == 3


def test_a_column_that_is_not_there_is_named(tmp_path):
    path = tmp_path / "t.tsv"
    path.write_text("lang\ttext\nde\teins\n", encoding="utf-8")
    with pytest.raises(DataError, match='no column "language" in this row'):
        read_table(path, where={"language": "de"}, ignore="*")
    with pytest.raises(DataError, match='no column "titel"'):
        read_table(path, document="{titel} {text}", ignore="*")


def test_each_unfolds_a_list_into_rows(tmp_path):
    path = lines(
        tmp_path / "t.jsonl",
        [{"members": ["car", "auto"], "definition": "a vehicle"}, {"members": [], "definition": "x"}],
    )
    rows = list(read_table(path, each="members", query="members", document="definition"))
    assert [(row.row, row.query, row.documents[0]) for row in rows] == [
        (1, "car", "a vehicle"),
        (1, "auto", "a vehicle"),
    ]
    with pytest.raises(DataError, match="each= unfolds lists"):
        list(read_table(path, each="definition", query="members", document="definition"))


def test_join_brings_the_cells_of_another_table(tmp_path):
    with gzip.open(tmp_path / "pages.jsonl.gz", "wt", encoding="utf-8") as file:
        file.write('{"lang": "en", "page": 1, "text": "One."}\n{"lang": "de", "page": 1, "text": "Eins."}\n')
    questions = lines(tmp_path / "q.jsonl", [{"lang": "de", "page": 1, "question": "welche?"}])
    (row,) = read_table(
        questions,
        join={"path": "pages.jsonl.gz", "by": ["lang", "page"]},
        query="question",
        document="text",
        ignore="*",
    )
    assert (row.query, row.documents) == ("welche?", ("Eins.",))
    alone = lines(tmp_path / "alone.jsonl", [{"lang": "fr", "page": 1, "question": "?"}])
    with pytest.raises(DataError, match=r"pages\.jsonl\.gz has no row with lang fr, page 1"):
        read_table(alone, join={"path": "pages.jsonl.gz", "by": ["lang", "page"]}, query="question", document="text")
    with pytest.raises(UsageError, match="needs the keys path and by"):
        read_table(alone, join={"path": "pages.jsonl.gz", "on": "lang"})


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{title}. {text}", "Ed. Long."),
        ("{title}. {missing}", "Ed"),
        ("{missing}. {text}", ". Long."),
        ("{talk.said}", "one\ntwo"),
        ("{talk}", "who: A, said: one\nwho: B, said: two"),
        ("{more.deep.er}", "7"),
        ("{*}", "title: Ed, text: Long., talk: who: A, said: one\nwho: B, said: two, more: deep: er: 7"),
        ("no columns", "no columns"),
    ],
)
def test_templates_put_cells_together(template, text):
    cells = {
        "title": "Ed",
        "text": "Long.",
        "missing": "",
        "talk": [{"who": "A", "said": "one"}, {"who": "B", "said": "two"}],
        "more": {"deep": {"er": 7}},
    }
    assert fill(template, cells) == text or (template, text) == ("no columns", "no columns")


def test_a_whole_row_as_text_leaves_out_its_label_id_and_split(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("id,age, job, label,split\n".replace(", ", ",") + "7,39,clerk,rich,train\n", encoding="utf-8")
    (row,) = read_table(path, document="{*}", ignore="*")
    assert (row.documents, row.label, row.split, row.id) == (("age: 39, job: clerk",), "rich", "train", "7")


def test_a_space_after_every_comma_of_the_header_belongs_to_the_comma(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("text, label\nhello, greeting\n", encoding="utf-8")
    (row,) = read_table(path)
    assert (row.documents, row.label) == (("hello",), "greeting")


def test_a_table_without_a_header_is_told_its_names_or_gets_numbers(tmp_path):
    path = tmp_path / "t.tsv"
    path.write_text("good film\t1\nbad film\t0\n", encoding="utf-8")
    named = list(read_table(path, header=["text", "label"]))
    assert [(row.row, row.documents[0], row.label) for row in named] == [(1, "good film", "1"), (2, "bad film", "0")]
    numbered = list(read_table(path, header=False, document="1", label="2"))
    assert [row.label for row in numbered] == ["1", "0"]


def test_read_takes_the_same_arguments(tmp_path):
    path = lines(tmp_path / "t.jsonl", [{"a": {"b": "left"}, "c": "right"}, {"a": {"b": "x"}, "c": "y"}])
    data = vs.read(path, query="{a.b}", document="c", where={"c": "right"}, kind="pair")
    assert data.records.num_rows == 1
