"""A retrieval set, or another library's training data, given to forge: its own queries, over one corpus."""

import json

import pytest

from vecsmith.data.dataset import Dataset
from vecsmith.data.source import open_source
from vecsmith.errors import UsageError
from vecsmith.forging.reading import whose_queries


@pytest.fixture
def shop(tmp_path):
    """Forty queries with an answer each, twenty of them published as test; one stands on both sides."""
    folder = tmp_path / "shop"
    (folder / "qrels").mkdir(parents=True)
    corpus = [{"_id": f"d{n}", "text": f"answer {n}", "kind": "a"} for n in range(40)] + [{"_id": "empty", "text": ""}]
    queries = [{"_id": f"q{n}", "text": f"query {n % 39}"} for n in range(40)]
    for name, rows in (("corpus", corpus), ("queries", queries)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    for split, numbers in (("train", range(20)), ("test", range(20, 40))):
        lines = "".join(f"q{n}\td{n}\t1\n" for n in numbers)
        (folder / "qrels" / f"{split}.tsv").write_text("query-id\tcorpus-id\tscore\n" + lines)
    return folder


def written(source):
    with Dataset.build(name="set") as builder:
        source.write(builder)
        return builder.finish()


def test_the_published_test_side_stays_and_dev_is_dealt_from_train(shop):
    source = open_source(shop, attributes=["kind"])
    settled, leaks = source.settle(written(source))
    sizes = {side: settled.split(side).records.num_rows for side in ("train", "dev", "test")}
    assert (sizes["test"], sizes["train"] + sizes["dev"], leaks.records) == (19, 20, {"dev": 0, "test": 1})
    assert all(len(settled.split(side).documents) == 40 for side in sizes)
    assert source.describe()["words"] == "4 files, 40 documents"
    assert source.describe()["notes"] == ["passed over, documents without text: 1 (shop)"]
    assert settled.documents[0].attributes == {"kind": "a"}


def test_a_set_without_sides_is_dealt_by_its_queries(shop):
    (shop / "qrels" / "train.tsv").unlink()
    source = open_source(shop, ignore=["kind"])
    settled, _ = source.settle(written(source))
    assert set(settled.splits) <= {"train", "dev", "test"}
    assert settled.records.num_rows == 20


def test_a_limit_keeps_the_first_documents_and_what_they_answer(shop):
    data = written(open_source(shop, ignore=["kind"], limit=5))
    assert (len(data.documents), data.records.num_rows) == (5, 5)


def test_the_manifest_of_a_set_changes_with_its_files(shop):
    before = open_source(shop, ignore=["kind"]).manifest()
    (shop / "queries.jsonl").write_text((shop / "queries.jsonl").read_text() + '{"_id": "new", "text": "new"}\n')
    assert open_source(shop, ignore=["kind"]).manifest() != before


def test_columns_of_a_table_are_refused_for_a_set(shop):
    with pytest.raises(UsageError, match="has no columns: --group is for tables"):
        open_source(shop, group="kind")


def test_training_data_of_flagembedding_is_a_source(tmp_path):
    row = {"query": "q", "pos": ["a"], "neg": ["b"]}
    (tmp_path / "t.jsonl").write_text(json.dumps(row) + "\n")
    source = open_source(tmp_path / "t.jsonl")
    assert (source.kind, len(written(source).documents)) == ("set", 2)


def test_the_verdict_says_that_queries_and_judgements_are_those_of_the_set(shop):
    description = open_source(shop, ignore=["kind"]).describe()
    assert whose_queries(description, 19, None) == "19 queries of the set, by its own judgements"
