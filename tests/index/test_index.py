"""The index against a dict and plain sorting; its limits and its messages."""

import itertools
import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from vecsmith.errors import ContractError, LimitExceeded, SchemaError, SpaceMismatch, UsageError, WhereError
from vecsmith.index.as_search import as_search
from vecsmith.index.index import Index
from vecsmith.index.where import field

SCHEMA = {"year": int, "kind": str, "tags": set}


@pytest.fixture
def index(tmp_path, tiny_model, documents):
    made = Index.create(tmp_path / "index", model=tiny_model(), schema=SCHEMA, durability="none")
    made.add(documents(60))
    return made


def plain_dense(documents, encoder, query, keep=lambda d: True):
    vectors = encoder.encode_document([d["text"] for d in documents]).astype(np.float64)
    scores = (vectors @ encoder.encode_query([query])[0].astype(np.float64)).astype(np.float32)
    found = [(-score, d["id"]) for score, d in zip(scores, documents, strict=True) if keep(d)]
    return [name for _, name in sorted(found)]


def test_dense_search_is_plain_sorting(index, documents):
    hits = index.search("open the red file", 60, mode="dense")
    scores = [round(score, 5) for score in hits.scores]
    assert scores == sorted(scores, reverse=True)
    expected = plain_dense(documents(60), index.model, "open the red file")
    by_id = dict(zip(hits.ids, hits.scores, strict=True))
    assert set(hits.ids) == set(expected)
    assert all(by_id[a] >= by_id[b] - 1e-6 for a, b in itertools.pairwise(expected))
    assert (hits.plan, hits.exact, hits.expected_recall, hits.passing, hits.total) == ("scan_all", True, 1.0, 60, 60)


def test_filters_hold_in_every_mode_and_fewer_than_k_come_back_only_if_fewer_pass(index, documents):
    keep = {d["id"] for d in documents(60) if d["year"] and d["year"] >= 2020 and "x" in d["tags"]}
    for where in ["year >= 2020 and 'x' in tags", (field("year") >= 2020) & field("tags").has("x")]:
        for mode in ("dense", "fused"):
            hits = index.search("open the red file", 50, mode=mode, where=where)
            assert set(hits.ids) == keep
            assert (hits.passing, hits.short) == (len(keep), True)
        few = index.search("open the red file", 3, mode="fused", where=where)
        assert (len(few), few.short) == (3, False)
        assert set(index.search("red", 50, mode="lexical", where=where).ids) <= keep


def test_equal_texts_share_one_vector_and_come_by_id(index, documents):
    texts = {d["text"] for d in documents(60)}
    assert index.stats()["vectors"] == len(texts) < 60
    hits = index.search("red file", 60, mode="dense")
    pairs = [(-score, name) for score, name in zip(hits.scores, hits.ids, strict=True)]
    assert pairs == sorted(pairs)


@pytest.mark.parametrize("mode", ["dense", "lexical", "fused"])
@pytest.mark.parametrize("weight", [None, 0.4])
def test_the_answer_does_not_depend_on_segments_or_compaction(tmp_path, tiny_model, documents, mode, weight):
    rows = documents(50)
    answers = []
    for number, cuts in enumerate([[50], [1, 20, 29], [10] * 5]):
        index = Index.create(tmp_path / f"i{number}", model=tiny_model(), schema=SCHEMA, durability="none")
        given = iter(rows)
        for count in cuts:
            index.add([next(given) for _ in range(count)])
        index.upsert([{**rows[3], "text": "hammer saw"}, {**rows[33], "text": "hammer saw"}])
        index.delete(["d7", "d40"])
        for _ in range(2):
            hits = index.search("open the red hammer", 12, mode=mode, weight=weight, where="kind = 'class'")
            answers.append((hits.ids, hits.scores, hits.texts, hits.fields))
            index.compact()
    assert all(answer == answers[0] for answer in answers)


def test_offset_leaves_out_the_best(index):
    whole = index.search("red saw", 20, mode="fused", weight=0.5)
    tail = index.search("red saw", 10, mode="fused", weight=0.5, offset=0)
    assert tail.ids == whole.ids[:10]
    assert index.search("red saw", 5, mode="dense", offset=3).ids == index.search("red saw", 8, mode="dense").ids[3:]


def test_many_queries_answer_as_one_by_one(index):
    queries = ["red", "open file", "drill"]
    together = index.search_many(queries, 5, weight=0.3)
    for query, result in zip(queries, together, strict=True):
        alone = index.search(query, 5, weight=0.3)
        assert (result.ids, result.scores) == (alone.ids, alone.scores)


def test_hits_carry_texts_and_fields(index, documents):
    row = documents(60)[5]
    hit = next(hit for hit in index.search(row["text"], 60, mode="dense") if hit.id == "d5")
    assert hit.text == row["text"]
    assert hit.fields == {"year": row["year"], "kind": row["kind"], "tags": sorted(row["tags"])}
    assert index.search("red", 1, fields=["kind"])[0].fields.keys() == {"kind"}
    assert json.dumps(index.search("red", 1).to_json())


def test_an_upsert_replaces_and_a_delete_counts_what_is_missing(index):
    assert index.upsert([{"id": "d1", "text": "drill"}, {"id": "new", "text": "drill"}]) == 2
    assert len(index) == 61
    assert index.search("drill", 1, mode="lexical", where=field("year").is_null())[0].text == "drill"
    assert index.delete(["d1", "new", "ghost", "ghost"]) == (2, 1)
    assert index.delete(["d1"]) == (0, 1)
    assert index.delete(where="year = 2019").deleted > 0
    assert index.search("red", 60, mode="dense", where="year = 2019").plan == "empty"
    with pytest.raises(SchemaError, match=r'2 ids are \("ghost", "spook"\) not in .*nothing was deleted'):
        index.delete(["d2", "ghost", "spook"], strict=True)
    assert len(index.search("red", 60, mode="dense").ids) == len(index)


def test_a_snapshot_stays_while_the_index_moves(index):
    held = index.snapshot()
    before = held.search("red", 60, mode="dense").ids
    index.delete(where="kind = 'class'")
    index.compact()
    assert held.search("red", 60, mode="dense").ids == before
    assert len(index.search("red", 60, mode="dense")) == len(index) < 60


def test_vectors_of_the_caller_are_searched_by_vector(tmp_path):
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((30, 5))
    index = Index.create(tmp_path / "index", width=5, durability="none")
    index.add([{"id": f"v{i}", "text": f"word{i}"} for i in range(30)], vectors)
    hits = index.search(vectors[7], 3)
    assert hits.mode == "dense"
    assert hits.ids[0] == "v7"
    assert hits.scores[0] == pytest.approx(1.0)
    assert index.search("word7", 3).mode == "lexical"
    assert index.search("word7", 3, vector=vectors[8]).mode == "fused"
    with pytest.raises(UsageError, match="has no model, so a text cannot become a vector"):
        index.search("word7", 3, mode="dense")


def test_inner_product_keeps_lengths(tmp_path):
    index = Index.create(tmp_path / "index", width=2, metric="ip", lexical=False, durability="none")
    index.add([{"id": "short"}, {"id": "long"}, {"id": "none"}], np.array([[1.0, 0.0], [3.0, 0.0], [0.0, 0.0]]))
    assert index.search(np.array([1.0, 0.0]), 3).scores == [3.0, 1.0, 0.0]


def test_an_index_of_words_alone_needs_no_model(tmp_path, documents):
    index = Index.create(tmp_path / "index", schema=SCHEMA, durability="none")
    index.add(documents(20))
    assert index.contract is None
    hits = index.search("hammer", 20)
    assert hits.mode == "lexical"
    assert all("hammer" in text for text in hits.texts)
    assert index.search("unheard", 5).ids == []
    with pytest.raises(UsageError, match="has only a lexical side"):
        index.search("hammer", mode="fused")
    with pytest.raises(ContractError, match="was made without a model"):
        Index.open(tmp_path / "index", model=_Stranger())


class _Stranger:
    """An encoder that only has a contract."""

    dimension = 8

    @property
    def contract(self):
        from vecsmith.contract.contract import Contract

        return Contract({"weights": "x"}, {"width": 8, "normalised": True, "dtype": "float32"}, {"name": "stranger"})

    def encode_document(self, texts):
        raise AssertionError(texts)


def test_the_model_travels_with_the_index_and_another_one_is_refused(index, tiny_model, tmp_path):
    moved = tmp_path / "moved"
    index.path.rename(moved)
    opened = Index.open(moved)
    assert opened.search("red", 3).ids
    assert Index.open(moved, model=tiny_model(name="copy")).search("red", 3).ids
    with pytest.raises(SpaceMismatch, match=r"(?s)weights.*re-embed|weights.*vecsmith") as caught:
        Index.open(moved, model=tiny_model(seed=9))
    assert "weights" in caught.value.fields


def test_a_large_model_stays_where_it_is_and_is_missed_when_gone(tmp_path, tiny_model, documents, monkeypatch):
    monkeypatch.setattr("vecsmith.index.maker.MOST_COPIED_BYTES", 10)
    folder = tiny_model()
    Index.create(tmp_path / "index", model=folder, schema=SCHEMA, durability="none").add(documents(5))
    assert not (tmp_path / "index" / "model").exists()
    assert Index.open(tmp_path / "index").search("red", 2, mode="dense").ids
    folder.rename(tmp_path / "away")
    with pytest.raises(ContractError, match="no longer at"):
        Index.open(tmp_path / "index").search("red", 2, mode="dense")
    assert Index.open(tmp_path / "index", model=tmp_path / "away").search("red", 2, mode="dense").ids
    tiny_model(9).rename(folder)
    with pytest.raises(SpaceMismatch, match="weights"):
        Index.open(tmp_path / "index").search("red", 2, mode="dense")


def test_defaults_are_kept_in_the_index(index):
    index.set_defaults(mode="fused", weight=0.0)
    again = Index.open(index.path)
    assert again.search("red", 5).ids == again.search("red", 5, mode="lexical").ids[:5]
    index.set_defaults(mode="lexical")
    assert Index.open(index.path).search("red", 5).mode == "lexical"
    with pytest.raises(UsageError, match=r"weight is 2"):
        index.set_defaults(weight=2)


def test_a_schema_is_inferred_once_and_then_fixed(tmp_path, documents):
    index = Index.create(tmp_path / "index", durability="none")
    index.add(documents(10))
    assert index.schema.types == {"year": "int", "kind": "string", "tags": "set"}
    with pytest.raises(SchemaError, match='"d11": "colour" is no field'):
        index.add([{"id": "d11", "text": "red", "colour": "red"}])
    assert index.add([{"id": "d11", "text": "red", "colour": "red"}], on_unknown="ignore") == 1


BAD_VECTORS = [
    (np.array([[1.0, 0.0], [np.nan, 1.0]]), r"row 1 \(b\): component 0 of its vector is nan"),
    (np.array([[1.0, np.inf], [0.0, 1.0]]), r"row 0 \(a\): component 1 of its vector is inf"),
    (np.array([[1.0, 0.0], [0.0, 0.0]]), r"row 1 \(b\): its vector is all zeros"),
    (np.ones((2, 3)), r"vectors are 3 wide; this index holds vectors of width 2"),
    (np.ones((2, 2), dtype=np.int64), r"vectors are int64 of shape \(2, 2\); expected float16"),
    (np.ones(2), r"vectors are float64 of shape"),
    (np.ones((3, 2)), r"3 vectors for 2 documents"),
    (np.ones((1, 2)), r"1 vectors for more documents"),
]


@pytest.mark.parametrize(("vectors", "words"), BAD_VECTORS)
def test_vectors_that_do_not_fit_are_refused_and_nothing_is_written(tmp_path, vectors, words):
    index = Index.create(tmp_path / "index", width=2, durability="none")
    with pytest.raises(SchemaError, match=words):
        index.add([{"id": "a", "text": "x"}, {"id": "b", "text": "y"}], vectors)
    assert (len(index), index.generation) == (0, 0)
    assert not list((tmp_path / "index" / "segments").iterdir())
    assert not (tmp_path / "index" / "tmp").exists()


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([{"id": "a"}, {"id": "b"}, {"id": "a"}], r'id "a" stands in rows 0 and 2'),
        ([{"id": "d1"}, {"id": "d2"}], r'2 ids are \("d1", "d2"\) in .* already; nothing was added. Use upsert'),
        ([{"id": ""}], r"row 0: its id is ''"),
        ([{"id": 7}], r"row 0: its id is 7"),
        ([{"id": "a", "text": 7}], r"row 0 \(a\): its text is int"),
        ([{"id": "a", "year": "old"}], r'"a".*"year"'),
        ([{"id": "a", "yeer": 2}], r'"yeer" is no field of this index; did you mean "year"'),
    ],
)
def test_documents_that_do_not_fit_are_refused_and_nothing_is_written(tmp_path, documents, rows, words):
    index = Index.create(tmp_path / "index", schema=SCHEMA, durability="none")
    index.add(documents(5))
    with pytest.raises(SchemaError, match=words):
        index.add([{"text": "x", **row} for row in rows])
    assert (len(index), index.generation) == (5, 1)
    assert len(list((index.path / "segments").iterdir())) == 1


def test_an_id_that_stands_in_two_segments_of_one_add_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr("vecsmith.index.writer.SEGMENT_ROWS", 4)
    monkeypatch.setattr("vecsmith.index.documents.BLOCK_ROWS", 2)
    index = Index.create(tmp_path / "index", schema={}, durability="none")
    assert index.add([{"id": str(i), "text": "red"} for i in range(9)]) == 9
    assert index.stats()["segments"] == 3
    rows = [{"id": name, "text": "red"} for name in "abcdefghb"]
    for put in (index.add, index.upsert):
        with pytest.raises(SchemaError, match='id "b" stands in rows 1 and 8'):
            put(rows)
    assert len(index) == 9


def test_bad_calls_say_what_is_wrong(index):
    with pytest.raises(UsageError, match="k is -1"):
        index.search("red", -1)
    with pytest.raises(LimitExceeded, match="at most 1,000,000"):
        index.search("red", 10**7)
    with pytest.raises(UsageError, match='no mode "sparse"'):
        index.search("red", mode="sparse")
    with pytest.raises(SchemaError, match=r'"yeer" is no field.*"year"'):
        index.search("red", fields=["yeer"])
    with pytest.raises(WhereError, match="yeer"):
        index.search("red", where="yeer = 3")
    with pytest.raises(SchemaError, match="vectors are 3 wide"):
        index.search(np.ones(3))
    with pytest.raises(SchemaError, match=r"query 0.*all zeros"):
        index.search(np.zeros(8))
    with pytest.raises(UsageError, match="pass a list or iterable"):
        index.add("text")
    with pytest.raises(UsageError, match="pass a list of ids"):
        index.delete("d1")
    with pytest.raises(UsageError, match="delete needs ids, where, or both"):
        index.delete()
    with pytest.raises(UsageError, match="takes a list of queries"):
        index.search_many("red")
    assert index.search_many([]) == []
    assert index.search("red", 0).ids == []


def test_what_is_no_index_is_told_apart(tmp_path, index):
    with pytest.raises(UsageError, match=r"does not exist; make one with: vecsmith index create"):
        Index.open(tmp_path / "nowhere")
    (tmp_path / "other").mkdir()
    with pytest.raises(UsageError, match="is no index"):
        Index.open(tmp_path / "other")
    with pytest.raises(UsageError, match="exists already"):
        Index.create(index.path)
    with pytest.raises(UsageError, match="needs a dense side"):
        Index.create(tmp_path / "none", lexical=False)
    with pytest.raises(UsageError, match='metric is "l2"'):
        Index.create(tmp_path / "none", width=3, metric="l2")


def test_an_empty_index_answers_nothing(tmp_path, tiny_model):
    index = Index.create(tmp_path / "index", model=tiny_model(), schema=SCHEMA, durability="none")
    assert index.search("red").ids == []
    assert index.search("red", where="year = 2019").plan == "empty"
    assert index.add([]) == 0
    assert index.compact() is False
    assert index.generation == 0


def test_deleting_all_leaves_an_empty_index_that_takes_more(index, documents):
    index.delete(where=field("kind").is_in(["function", "class"]))
    assert (len(index), index.stats()["segments"]) == (0, 0)
    assert index.search("red", mode="fused").ids == []
    index.add(documents(3))
    assert len(index.search("red", 10, mode="dense")) == 3


def test_the_judge_sees_an_index_as_rows_and_scores(index, documents):
    listed = [f"d{n}" for n in range(59, 9, -1)]
    rows, scores = as_search(index, listed, mode="dense")(["red file", "saw"], 60)
    for query, found, value in zip(["red file", "saw"], rows, scores, strict=True):
        hits = index.search(query, 60, mode="dense")
        expected = [(name, score) for name, score in zip(hits.ids, hits.scores, strict=True) if name in listed]
        assert [listed[row] for row in found[:50]] == [name for name, _ in expected]
        assert value[:50].tolist() == [score for _, score in expected]
        assert (found[50:] == -1).all()
        assert np.isneginf(value[50:]).all()


def test_threads_that_share_an_index_answer_as_one(index):
    filters = [None, "year >= 2019", "kind = 'class'", "'x' in tags", "year is null", "year < 2019"]
    asked = [(query, where) for query in ("red file", "open the saw") for where in filters] * 3
    again = Index.open(index.path)

    def ask(pair):
        found = again.search(pair[0], 10, where=pair[1], weight=0.5)
        return found.ids, found.scores

    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(ask, asked))
    assert together == [ask(pair) for pair in asked]
