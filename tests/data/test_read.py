"""`vecsmith.read` from file to Dataset."""

from datetime import UTC, datetime

import pytest

import vecsmith as vs
from vecsmith.data.dataset import Dataset
from vecsmith.data.readers.tables import read_table
from vecsmith.errors import DataError

FAQ = """question,answer,product,year,added
how do I reset it?,Hold the button.,router,2024,2024-01-05
how do I stop it?,Hold the button.,router,2024,2024-01-05
what is inside?,"A fan, and a filter.",purifier,,2023-11-30
"""


@pytest.fixture
def faq(tmp_path):
    path = tmp_path / "faq.csv"
    path.write_text(FAQ, encoding="utf-8")
    return path


def test_a_table_becomes_documents_and_records(faq):
    data = vs.read(faq, query="question", document="answer", attributes=["product", "year", "added"])
    assert data.name == "faq"
    assert [document.text for document in data.documents] == ["Hold the button.", "A fan, and a filter."]
    assert data.documents[0].attributes == {
        "product": "router",
        "year": 2024,
        "added": datetime(2024, 1, 5, tzinfo=UTC),
    }
    assert data.documents[1].attributes["year"] is None
    assert data.texts(data.records["query"].to_numpy())[1] == "how do I stop it?"
    assert data.records["kind"].to_pylist() == ["retrieval"] * 3
    assert [len(found) for found in data.judgements().relevance.values()] == [1, 1, 1]


def test_memory_and_folder_hold_the_same(faq, tmp_path):
    here, there = vs.read(faq, attributes="*"), vs.read(faq, attributes="*", folder=tmp_path / "set")
    assert here.fingerprint() == there.fingerprint()
    assert vs.read(tmp_path / "set").fingerprint() == here.fingerprint()


def test_an_undeclared_column_leaves_no_folder(faq, tmp_path):
    with pytest.raises(DataError, match='column "product": neither declared nor recognised'):
        vs.read(faq, folder=tmp_path / "set")
    assert [path.name for path in tmp_path.iterdir()] == ["faq.csv"]


def test_a_fault_in_the_middle_leaves_no_folder(tmp_path):
    rows = "".join(f"q{row},d{row}\n" for row in range(30_000))
    (tmp_path / "t.csv").write_text(f"query,document\n{rows}q\n", encoding="utf-8")
    with pytest.raises(DataError, match="row 30001: 1 cells where the header has 2"):
        vs.read(tmp_path / "t.csv", folder=tmp_path / "set")
    assert [path.name for path in tmp_path.iterdir()] == ["t.csv"]


@pytest.mark.parametrize("between", [0, 40_000])
def test_a_repeated_id_names_both_rows(tmp_path, between):
    rows = ["one", *(f"d{row}" for row in range(between)), "one"]
    (tmp_path / "t.csv").write_text("id,text\n" + "".join(f"{name},text {row}\n" for row, name in enumerate(rows)))
    with pytest.raises(DataError, match=rf't\.csv, row {between + 2}: document id "one" stands in row 1 too'):
        vs.read(tmp_path / "t.csv")


def test_scored_pairs_are_records_without_documents(tmp_path):
    (tmp_path / "t.tsv").write_text("sentence1\tsentence2\tscore\na\tb\t5\nc\td\t0\n")
    data = vs.read(tmp_path / "t.tsv", score_range=(0, 5))
    assert len(data.documents) == 0
    assert data.records["scores"].to_pylist() == [[1.0], [0.0]]
    assert data.records["kind"].to_pylist() == ["scored"] * 2


def test_a_pair_judged_0_is_no_retrieval_record_but_its_document_stays(tmp_path):
    (tmp_path / "t.tsv").write_text("question\tsentence\tlabel\na\tb\t1\na\tc\t0\n")
    data = vs.read(tmp_path / "t.tsv", kind="retrieval")
    assert [document.text for document in data.documents] == ["b", "c"]
    assert data.texts(data.records["positives"].to_pylist()[0]) == ["b"]
    assert data.records.num_rows == 1


def test_labelled_texts_are_records_of_classes(tmp_path):
    (tmp_path / "t.csv").write_text("label,text\nsport,a\npolitics,b\n")
    data = vs.read(tmp_path / "t.csv")
    assert data.records["label"].to_pylist() == ["sport", "politics"]
    assert data.records["kind"].to_pylist() == ["class"] * 2
    assert data.texts(data.records["query"].to_numpy()) == ["a", "b"]


def test_several_positives_of_a_row_are_documents_of_their_own(tmp_path):
    (tmp_path / "t.jsonl").write_text('{"id": 7, "query": "q", "answer": ["a", "b"], "neg": ["c"]}\n')
    data = vs.read(tmp_path / "t.jsonl")
    assert data.documents.ids == ["7", "7#1"]
    (record,) = data.records.to_pylist()
    assert (data.texts(record["positives"]), data.texts(record["negatives"])) == (["a", "b"], ["c"])


def test_splits_groups_and_weights_come_from_their_columns(tmp_path):
    (tmp_path / "t.csv").write_text("query,document,split,group,weight\na,b,train,g,2\nc,d,test,,0.5\n")
    data = vs.read(tmp_path / "t.csv")
    assert data.splits == ["test", "train"]
    assert data.documents.table["group"].to_pylist() == data.records["group"].to_pylist() == ["g", None]
    assert data.records["weight"].to_pylist() == [2.0, 0.5]


def test_skipped_rows_are_told(tmp_path):
    (tmp_path / "t.csv").write_text("query,document\na,b\nc,\n,d\n")
    said = []

    class Listener:
        def task(self, *arguments, **options):
            from vecsmith.progress import SILENT

            return SILENT.task("reading")

        def say(self, text):
            said.append(text)

    data = vs.read(tmp_path / "t.csv", on_empty="skip", progress=Listener())
    assert (data.records.num_rows, len(data.documents)) == (1, 2)
    assert said == [
        f"{tmp_path}/t.csv: 1 rows without a document were skipped; 1 rows without a query gave their document only"
    ]


def test_a_folder_that_is_no_dataset_says_what_reads_it(tmp_path):
    with pytest.raises(DataError, match="a folder that holds no dataset"):
        vs.read(tmp_path)


def test_reading_keeps_the_rows_of_real_sets(shared_data):
    arxiv = read_table(shared_data / "arxiv_cs" / "arxiv_cs.jsonl.gz", attributes="*")
    assert arxiv.columns.describe().startswith(
        "title is the query; abstract is the document; id is the id; attributes:"
    )
    first = next(iter(arxiv))
    assert first.query == "First-Order Conditional Logic Revisited"
    quora = vs.read(shared_data / "quora_pairs" / "quora_dev.tsv.gz")
    assert quora.records.num_rows == 10_000
    assert sum(scores[0] for scores in quora.records["scores"].to_pylist()) == 5_000
    sick = vs.read(shared_data / "sick" / "SICK_train.txt", format="tsv", score_range=(1, 5), ignore="*")
    assert (sick.records.num_rows, isinstance(sick, Dataset)) == (4_500, True)
