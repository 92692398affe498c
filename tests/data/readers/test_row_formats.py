"""Training data of FlagEmbedding, Tevatron and ms-swift: what each key becomes, and what is said of a wrong one."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import vecsmith as vs
from vecsmith.data.formats import recognise
from vecsmith.errors import DataError, UsageError
from vecsmith.progress import SILENT

FLAG = {
    "query": "q",
    "pos": ["a", "b"],
    "neg": ["c"],
    "pos_scores": [3, 2.5],
    "neg_scores": [-1],
    "prompt": "Find",
    "type": "normal",
}
TEVATRON = {
    "query_id": 7,
    "query": "q",
    "positive_passages": [{"docid": "d1", "title": "T", "text": "a"}],
    "negative_passages": [{"docid": "d2", "title": "", "text": "b"}, {"docid": "d3", "text": "c"}],
}
NEWER = {"query_id": "1", "query_text": "q", "positive_document_ids": ["d1"], "negative_document_ids": ["d2"]}


def said(text, role="user"):
    return {"role": role, "content": text}


MESSAGES = {
    "messages": [said("Find", "system"), said("q")],
    "positive_messages": [[said("a")]],
    "negative_messages": [[said("b")], [said("c")]],
}


@pytest.fixture
def put(tmp_path):
    def write(*rows, name="t.jsonl"):
        (tmp_path / name).write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        return tmp_path / name

    return write


def one(data):
    (record,) = data.records.to_pylist()
    for name in ("positives", "negatives"):
        record[name] = data.texts(record[name])
    return {**record, "query": data.text(record["query"])}


def test_flagembedding_scores_are_those_of_a_teacher_and_the_prompt_an_instruction(put):
    data = vs.read(put(FLAG))
    record = one(data)
    assert (record["query"], record["positives"], record["negatives"]) == ("q", ["a", "b"], ["c"])
    assert (record["teacher_scores"], record["scores"]) == ([3.0, 2.5, -1.0], None)
    assert (record["instruction_query"], record["kind"]) == ("Find", "retrieval")
    assert [document.text for document in data.documents] == ["a", "b", "c"]
    assert data.judgements().relevance == {0: dict.fromkeys(data.documents.ids[:2], 1.0)}


def test_a_flagembedding_row_needs_neither_negatives_nor_scores(put):
    record = one(vs.read(put({"query": "q", "pos": ["a"], "neg": [], "pos_scores": None})))
    assert (record["negatives"], record["teacher_scores"]) == ([], None)


def test_a_blank_negative_is_left_out_with_its_score(put):
    record = one(vs.read(put({**FLAG, "neg": ["c", " ", "d"], "neg_scores": [1, 2, 3]})))
    assert (record["negatives"], record["teacher_scores"]) == (["c", "d"], [3.0, 2.5, 1.0, 3.0])


def test_symmetric_types_are_pairs(put):
    assert one(vs.read(put({**FLAG, "type": "symmetric_sts"})))["kind"] == "pair"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"neg_scores": [1, 2]}, 'column "neg_scores": 2 scores for 1 texts in "neg"'),
        ({"neg_scores": None}, 'column "neg_scores": missing, where the other side has scores'),
        ({"pos_scores": ["x", 1]}, "a list of numbers was expected"),
        ({"pos": ["a", 5]}, 'column "pos": .* is a int; a text was expected'),
        ({"pos": []}, 'column "pos": empty; text is needed here'),
        ({"query": " "}, 'column "query": empty'),
        ({"source": "wiki"}, 'column "source": no key of this format .*ignore='),
    ],
)
def test_a_wrong_flagembedding_row_is_named(put, change, words):
    with pytest.raises(DataError, match=rf"t\.jsonl, row 1.*{words}"):
        vs.read(put({**FLAG, **change}))


def test_rows_without_text_are_skipped_and_counted_where_that_is_asked_for(put):
    told = []
    listener = type(
        "Listener", (), {"say": lambda _, text: told.append(text), "task": lambda _, name: SILENT.task(name)}
    )()
    data = vs.read(put(FLAG, {**FLAG, "pos": [""]}), on_empty="skip", progress=listener)
    assert data.records.num_rows == 1
    assert told[0].endswith("1 rows without pos were skipped")


def test_keys_can_be_left_out(put):
    assert vs.read(put({**FLAG, "source": "wiki"}), ignore=["source"]).records.num_rows == 1
    with pytest.raises(UsageError, match='"attributes" is of no use for training data of FlagEmbedding'):
        vs.read(put(FLAG), attributes=["source"])


def test_whoever_names_columns_has_a_table(put):
    data = vs.read(put({"query": "q", "pos": ["a"], "neg": ["b"]}), query="query", document="pos")
    assert len(data.documents) == 1


def test_tevatron_passages_are_documents_under_their_ids(put):
    data = vs.read(put(TEVATRON, {**TEVATRON, "query_id": 8, "query": "p"}))
    assert {document.id: document.text for document in data.documents} == {"d1": "T a", "d2": "b", "d3": "c"}
    assert data.records["id"].to_pylist() == ["7", "8"]
    assert data.judgements().relevance == {0: {"d1": 1.0}, 1: {"d1": 1.0}}


def test_one_tevatron_id_with_two_texts_is_an_error_however_far_apart(put):
    other = {**TEVATRON, "positive_passages": [{"docid": "d1", "text": "else"}]}
    with pytest.raises(DataError, match=r'row 2: document id "d1" stands in row 1 too'):
        vs.read(put(TEVATRON, other))
    between = [{**TEVATRON, "positive_passages": [{"docid": f"e{n}", "text": f"text {n}"}]} for n in range(23_000)]
    with pytest.raises(DataError, match=r'row 23002: document id "d1" stands in row 1 too'):
        vs.read(put(TEVATRON, *between, other))


def test_tevatron_rows_that_name_documents_are_joined_with_the_corpus_beside_them(put):
    put(
        {"docid": "d1", "title": "T", "text": "a"},
        {"docid": "d2", "text": "b"},
        {"docid": "d9", "text": "z"},
        name="corpus.jsonl",
    )
    path = put(NEWER)
    assert "its documents are in corpus.jsonl" in recognise(path).how
    for data in (vs.read(path), vs.read(path.parent)):
        assert (one(data)["positives"], one(data)["negatives"]) == (["T a"], ["b"])
        assert data.documents.ids == ["d1", "d2", "d9"]


def test_tevatron_rows_that_name_documents_need_a_corpus_that_has_them(put, tmp_path):
    path = put(NEWER)
    with pytest.raises(DataError, match=r"names documents, whose texts stand in a corpus. Put corpus.jsonl beside it"):
        vs.read(path)
    put({"docid": "d1", "text": "a"}, name="others.jsonl")
    with pytest.raises(
        DataError, match='row 1, column "negative_document_ids": the document "d2", which the corpus lacks'
    ):
        vs.read(path, corpus=tmp_path / "others.jsonl")


def test_images_are_an_error_that_names_them(put):
    with pytest.raises(DataError, match='column "query_image": not text'):
        vs.read(put({**TEVATRON, "query_image": "a.png"}))
    with pytest.raises(DataError, match='column "positive_images": not text'):
        vs.read(put({**MESSAGES, "positive_images": [["a.png"]]}))


def test_messages_give_texts_and_instructions(put):
    record = one(vs.read(put({**MESSAGES, "images": [], "positive_images": [[]]})))
    assert (record["query"], record["positives"], record["negatives"]) == ("q", ["a"], ["b", "c"])
    assert (record["instruction_query"], record["instruction_document"]) == ("Find", None)


def test_a_label_scores_the_pair(put):
    path = put({"messages": [said("q")], "positive_messages": [[said("a")]], "label": 4})
    assert recognise(path).kind == "scored"
    record = one(vs.read(path, score_range=(0, 5)))
    assert (record["kind"], record["scores"]) == ("scored", [pytest.approx(0.8)])
    with pytest.raises(DataError, match=r'column "label": .4.; a number from 0 to 1 was expected'):
        vs.read(path)


def test_the_older_form_of_messages_is_a_table(put):
    record = one(vs.read(put({"query": "q", "response": "a", "rejected_response": ["b", "c"]})))
    assert (record["query"], record["positives"], record["negatives"]) == ("q", ["a"], ["b", "c"])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"positive_messages": [said("a")]}, 'column "positive_messages": one \\[\\] is missing'),
        ({"messages": [said("q"), said("a", "assistant")]}, "2 messages; a text is one message"),
        ({"messages": [said("q", "tool")]}, "the role 'tool'; known: system, user, assistant"),
        ({"positive_messages": [[said("x", "system"), said("a")]]}, "have different instructions"),
        ({"messages": [said([{"type": "image"}])]}, "a part that is no text"),
        ({"messages": []}, 'column "messages": empty'),
        ({"tools": "x"}, 'column "tools": no key of this format'),
    ],
)
def test_wrong_messages_are_named(put, change, words):
    with pytest.raises(DataError, match=words):
        vs.read(put({**MESSAGES, **change}))


@pytest.mark.parametrize(("row", "format"), [(FLAG, "flagembedding"), (TEVATRON, "tevatron"), (MESSAGES, "messages")])
def test_these_rows_are_read_from_parquet_and_arrays_too(tmp_path, put, row, format):
    expected = one(vs.read(put(row), name="x"))
    pq.write_table(pa.Table.from_pylist([row]), tmp_path / "t.parquet")
    (tmp_path / "t.json").write_text(json.dumps([row]))
    (tmp_path / "lines.json").write_text(json.dumps(row) + "\n" + json.dumps(row) + "\n")
    for name in ("t.parquet", "t.json"):
        assert recognise(tmp_path / name).format == format
        assert one(vs.read(tmp_path / name, name="x")) == expected
    assert vs.read(tmp_path / "lines.json").records.num_rows == 2


def test_what_is_recognised_is_said(put):
    found = recognise(put(FLAG))
    assert (found.format, found.kind) == ("flagembedding", "triplet")
    assert found.columns == {"query": "query", "document": "pos", "negatives": "neg", "instruction_query": "prompt"}
    assert found.how == "t.jsonl is a table (jsonl), training data of FlagEmbedding, by its keys"
