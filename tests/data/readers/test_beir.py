"""Retrieval sets of BEIR and mteb: documents, grades, splits, languages, and what is said of a broken one."""

import gzip
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import vecsmith as vs
from vecsmith.data.formats import recognise
from vecsmith.data.inputs import normalise
from vecsmith.errors import DataError

CORPUS = [
    {"_id": "d1", "title": "T", "text": "one", "metadata": {"year": 2019}},
    {"_id": "d2", "title": "", "text": "two"},
    {"_id": "d3", "text": "one more"},
]
QUERIES = [{"_id": "q1", "text": "first"}, {"_id": "q2", "text": "second"}, {"_id": "q3", "text": "unjudged"}]
QRELS = {"train": [("q1", "d1", 2), ("q1", "d2", 1), ("q1", "d3", 0)], "test": [("q2", "d3", 3)]}


def lines(rows):
    return "".join(json.dumps(row) + "\n" for row in rows)


def beir(folder, *, corpus=CORPUS, queries=QUERIES, qrels=QRELS):
    (folder / "qrels").mkdir(parents=True)
    (folder / "corpus.jsonl.gz").write_bytes(gzip.compress(lines(corpus).encode()))
    (folder / "queries.jsonl").write_text(lines(queries))
    for split, rows in qrels.items():
        text = "query-id\tcorpus-id\tscore\n" + "".join("\t".join(map(str, row)) + "\n" for row in rows)
        (folder / "qrels" / f"{split}.tsv").write_text(text)
    return folder


def test_documents_grades_and_splits_of_a_beir_folder(tmp_path):
    data = vs.read(beir(tmp_path / "set"))
    assert [(each.id, each.text, each.attributes["year"]) for each in data.documents] == [
        ("d1", "T one", 2019),
        ("d2", "two", None),
        ("d3", "one more", None),
    ]
    train, test = data.split("train"), data.split("test")
    assert train.judgements().relevance == {0: {"d1": 2.0, "d2": 1.0}}
    assert test.judgements().relevance == {0: {"d3": 3.0}}
    (record,) = train.records.to_pylist()
    assert (record["id"], record["grades"], record["scores"]) == ("q1", [2.0, 1.0], None)
    assert data.texts(record["negatives"]) == ["one more"]  # judged, and graded 0
    assert len(test.documents) == 3


def test_what_a_beir_folder_lacks_is_counted_and_told(tmp_path):
    told = []

    class Listener:
        def say(self, text):
            told.append(text)

        def task(self, *arguments, **options):
            from vecsmith.progress import SILENT

            return SILENT.task(*arguments, **options)

    qrels = {"test": [("q1", "gone", 1), ("q2", "d1", 1), ("q2", "gone", 1)]}
    assert vs.read(beir(tmp_path / "set", qrels=qrels), progress=Listener()).records.num_rows == 1
    assert "1 queries that nobody judged" in told[0]
    assert "2 judgements of documents that the corpus lacks" in told[0]
    assert "1 queries without an answer in the corpus" in told[0]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"qrels": {"test": [("q9", "d1", 1)]}}, r'qrels/test\.tsv, row 1: judges the query "q9"'),
        ({"qrels": {"test": [("q1", "d1", "yes")]}}, "is no judgement"),
        ({"qrels": {}}, "no qrels/SPLIT.tsv"),
        ({"corpus": [*CORPUS, CORPUS[0]]}, r'row 4: document id "d1" stands in row 1 too'),
        ({"corpus": [{"text": "a"}]}, 'row 1: no "_id"'),
        ({"corpus": [{"_id": "d1", "text": 5}]}, 'row 1, column "text": .5. is no text'),
        ({"corpus": [{"_id": "d1", "text": " "}]}, 'row 1: the document "d1" is empty'),
        ({"corpus": [{"_id": "d1", "text": "a", "url": "x"}]}, 'row 1, column "url": neither declared nor recognised'),
        ({"queries": [*QUERIES, {"_id": "q1", "text": "else"}]}, 'the id "q1" stands twice'),
        ({"queries": [{**QUERIES[0], "lang": "en"}, *QUERIES[1:]]}, 'column "lang": neither recognised nor left out'),
    ],
)
def test_a_broken_beir_folder_names_file_row_and_field(tmp_path, change, words):
    with pytest.raises(DataError, match=words):
        vs.read(beir(tmp_path / "set", **change))


def test_a_qrels_file_without_a_header_is_an_error_and_loses_no_judgement(tmp_path):
    folder = beir(tmp_path / "set")
    (folder / "qrels" / "test.tsv").write_text("q2\td3\t3\nq1\td1\t1\n")
    with pytest.raises(DataError, match="the first line is a judgement, where a header is expected"):
        vs.read(folder)


def test_other_fields_of_a_corpus_are_attributes_or_left_out(tmp_path):
    folder = beir(tmp_path / "set", corpus=[{"_id": "d1", "text": "a", "url": "x", "row": {"a": 1}}])
    for options in ({"attributes": ["url"], "ignore": ["row"]}, {"attributes": ["url"], "ignore": "*"}):
        data = vs.read(folder, **options)
        assert data.documents[0].attributes == {"url": "x"}
    with pytest.raises(DataError, match='column "row": an object'):
        vs.read(folder, attributes="*")


def test_files_in_qrels_that_are_no_splits_are_passed_over_and_named(tmp_path):
    folder = beir(tmp_path / "set")
    (folder / "qrels" / "codes.tsv").write_text("query-id\tcorpus-id\tcode\nq1\td1\tx\n")
    found = recognise(folder)
    assert set(found.files) == {"corpus", "queries", "train", "test"}
    assert "passed over: codes.tsv" in found.how


def mteb(folder, *, prefix="", suffix="-00000-of-00001.parquet", qrels="default", language=""):
    """As the hub has it: a folder of tables for each part."""
    parts = {
        "corpus": {"corpus": CORPUS},
        "queries": {"queries": QUERIES},
        qrels: {
            split: [{"query-id": q, "corpus-id": d, "score": s} for q, d, s in rows] for split, rows in QRELS.items()
        },
    }
    for part, splits in parts.items():
        (folder / f"{prefix}{part}").mkdir(parents=True)
        for split, rows in splits.items():
            rows = [{name: cell for name, cell in row.items() if name != "metadata"} for row in rows]
            rows = [{**row, "text": f"{language} {row['text']}".strip()} if "text" in row else row for row in rows]
            path = folder / f"{prefix}{part}" / f"{split}{suffix}"
            if path.suffix == ".parquet":
                pq.write_table(pa.Table.from_pylist(rows), path)
            else:
                path.write_text(lines(rows))
    return folder


@pytest.mark.parametrize("qrels", ["default", "qrels"])
@pytest.mark.parametrize("suffix", ["-00000-of-00001.parquet", ".jsonl"])
def test_an_mteb_folder_reads_as_the_same_set(tmp_path, suffix, qrels):
    data = vs.read(mteb(tmp_path / "set", suffix=suffix, qrels=qrels))
    same = vs.read(beir(tmp_path / "beir", corpus=[{**each, "metadata": {}} for each in CORPUS]))
    assert data.fingerprint() == same.fingerprint()
    assert recognise(tmp_path / "set").format == "mteb_retrieval"


def test_languages_are_read_together_or_one_by_one(tmp_path):
    for language in ("fr", "zh-CN"):
        mteb(tmp_path / "set", prefix=f"{language}-", qrels="qrels", language=language)
        mteb(tmp_path / "nested" / language, qrels="qrels", language=language)
    for folder in (tmp_path / "set", tmp_path / "nested"):
        data = vs.read(folder)
        assert data.documents.ids == ["fr/d1", "fr/d2", "fr/d3", "zh-CN/d1", "zh-CN/d2", "zh-CN/d3"]
        assert data.documents[0].attributes["language"] == "fr"
        assert data.split("test").judgements().relevance == {0: {"fr/d3": 3.0}, 1: {"zh-CN/d3": 3.0}}
        assert vs.read(folder, config="fr").records.num_rows == 2
        with pytest.raises(DataError, match='no configuration "de"; there are: fr, zh-CN'):
            vs.read(folder, config="de")


def test_the_card_of_an_mteb_set_says_which_files_are_what(tmp_path):
    folder = tmp_path / "set"
    (folder / "qrels").mkdir(parents=True)
    (folder / "corpus.jsonl").write_text(lines(CORPUS))
    (folder / "queries.jsonl").write_text(lines(QUERIES))
    rows = [{"query-id": q, "corpus-id": d, "score": s} for q, d, s in QRELS["test"]]
    (folder / "qrels" / "test.jsonl").write_text(lines(rows))
    card = """---
configs:
- config_name: default
  data_files: [{split: test, path: qrels/test.jsonl}]
- config_name: corpus
  data_files: [{split: corpus, path: corpus.jsonl}]
- config_name: queries
  data_files: [{split: queries, path: queries.jsonl}]
---
"""
    (folder / "README.md").write_text(card)
    (folder / "qrels" / "test.tsv").unlink(missing_ok=True)
    assert vs.read(folder, format="mteb_retrieval").judgements().relevance == {0: {"d3": 3.0}}


def test_instructions_go_before_their_queries(tmp_path):
    folder = mteb(tmp_path / "set", suffix=".jsonl")
    (folder / "instruction").mkdir()
    (folder / "instruction" / "test.jsonl").write_text(lines([{"query-id": "q2", "instruction": "Find"}]))
    assert vs.read(folder).split("test").records["instruction_query"].to_pylist() == ["Find"]


def test_several_retrieval_sets_in_one_folder_are_named(tmp_path):
    for name in ("adi", "med"):
        beir(tmp_path / name)
    with pytest.raises(DataError, match=r"retrieval sets \(adi, med\). Name one of them"):
        vs.read(tmp_path)


def test_real_sets_are_read_for_judging_and_training_alike(shared_data):
    from vecsmith.evaluation.task_data import read_beir

    folder = shared_data / "scifact"
    judged, data = read_beir(folder, "test"), vs.read(folder)
    test = data.split("test").judgements()
    assert (len(judged.document_ids), judged.document_ids) == (5183, test.document_ids)
    assert [normalise(text) for text in judged.document_texts] == [document.text for document in data.documents]
    by_text = dict(
        zip(map(normalise, judged.query_texts), (judged.relevance[place] for place in range(300)), strict=True)
    )
    assert len(by_text) == 300
    assert {text: test.relevance[place] for place, text in enumerate(test.query_texts)} == by_text
