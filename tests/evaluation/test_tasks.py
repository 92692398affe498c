"""Suites as data, and the reading of what their tasks name."""

import gzip

import pytest

from vecsmith.errors import DataError, NotEnoughData, RecipeError, UsageError
from vecsmith.evaluation.task_data import read_beir, read_task
from vecsmith.evaluation.tasks import Task, known_suites, load_suite, root_of

PAIRS = {"left": "a", "right": "b", "score": "s"}


def write_suite(tmp_path, text):
    path = tmp_path / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_suite_that_ships_has_seven_tasks_with_published_scores():
    assert "small_english" in known_suites()
    suite = load_suite("small_english")
    assert [task.name for task in suite.tasks] == [
        "STSBenchmark",
        "SICK-R",
        "STS12",
        "STS13",
        "STS14",
        "STS15",
        "SciFact",
    ]
    assert all("all-MiniLM-L6-v2" in task.published for task in suite.tasks)


def test_a_task_that_the_suite_lacks_is_named_with_the_nearest():
    with pytest.raises(UsageError, match=r'no task "SciFacts"\. Did you mean "SciFact"'):
        load_suite("small_english").only(["SciFacts"])
    with pytest.raises(UsageError, match="Suites: small_english"):
        load_suite("large_english")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("tasks: [", "no YAML"),
        ("name: x", "list of tasks"),
        ("tasks: [{name: x, kind: scored}]", "at least name, kind and path"),
        ("tasks: [{name: x, kind: guess, path: p}]", 'kind is "guess"'),
        ("tasks: [{name: x, kind: scored, path: p, columns: {left: a, right: b}}]", "columns lack score"),
        ("tasks: [{name: x, kind: retrieval, path: p, splt: test}]", 'did you mean "split"'),
        ("tasks: [{name: x, kind: retrieval, path: p}, {name: x, kind: retrieval, path: q}]", 'called "x"'),
    ],
)
def test_a_suite_that_is_wrong_says_where(tmp_path, text, words):
    with pytest.raises(RecipeError, match=words):
        load_suite(write_suite(tmp_path, text))


def test_the_data_root_is_asked_for(tmp_path, monkeypatch):
    monkeypatch.delenv("VECSMITH_DATA", raising=False)
    with pytest.raises(UsageError, match="--data-root"):
        root_of(None)
    with pytest.raises(UsageError, match="is no folder"):
        root_of(tmp_path / "absent")
    monkeypatch.setenv("VECSMITH_DATA", str(tmp_path))
    assert root_of(None) == tmp_path


def test_pairs_are_read_from_several_tables_with_quotes_as_plain_characters(tmp_path):
    (tmp_path / "one.txt").write_text('a\tb\ts\tyear\n"Yes\tno"\t5\t2012\nx\ty\t0\t2013\n', encoding="utf-8")
    with gzip.open(tmp_path / "two.tsv.gz", "wt", encoding="utf-8") as file:
        file.write("a\tb\ts\tyear\nthird\tfourth\t2.5\t2012\n")
    paths = ("one.txt", "two.tsv.gz")
    task = Task("t", "scored", paths, columns=PAIRS, where={"year": "2012"}, score_range=(0.0, 5.0))
    pairs = read_task(task, tmp_path)
    assert (pairs.left, pairs.right, pairs.scores) == (['"Yes', "third"], ['no"', "fourth"], [1.0, 0.5])
    with pytest.raises(NotEnoughData, match="no row"):
        read_task(Task("t", "scored", paths, columns=PAIRS, where={"year": "1999"}, score_range=(0.0, 5.0)), tmp_path)
    with pytest.raises(DataError):
        read_task(Task("t", "scored", ("absent.tsv",), columns=PAIRS), tmp_path)


def test_labelled_texts_are_parted_by_their_split(tmp_path):
    (tmp_path / "c.csv").write_text("text,label,split\nred,x,train\nblue,y,test\ngrey,x,dev\n", encoding="utf-8")
    task = Task("t", "classification", ("c.csv",), columns={"text": "text", "label": "label"})
    data = read_task(task, tmp_path)
    assert (data.texts, data.labels, data.train_texts, data.train_labels) == (["blue"], ["y"], ["red"], ["x"])


def write_beir(folder, *, qrels="query-id\tcorpus-id\tscore\nq1\td1\t2\nq1\tgone\t1\n", corpus=None):
    (folder / "qrels").mkdir(parents=True)
    lines = corpus or '{"_id": "d1", "title": "T", "text": "one "}\n{"_id": "d2", "text": "two"}\n'
    (folder / "corpus.jsonl").write_text(lines, encoding="utf-8")
    queries = '{"_id": "q1", "text": "first"}\n{"_id": "q2", "text": "unjudged"}\n'
    (folder / "queries.jsonl").write_text(queries, encoding="utf-8")
    (folder / "qrels" / "test.tsv").write_text(qrels, encoding="utf-8")
    return folder


def test_a_retrieval_folder_gives_judged_queries_and_every_document(tmp_path):
    data = read_beir(write_beir(tmp_path / "set"), "test")
    assert (data.query_ids, data.query_texts) == (["q1"], ["first"])
    assert data.document_ids == ["d1", "d2"]
    assert data.document_texts == ["T one", "two"]
    assert data.relevance == {0: {"d1": 2.0, "gone": 1.0}}
    same = read_beir(write_beir(tmp_path / "copy"), "test")
    other = read_beir(write_beir(tmp_path / "other", qrels="q\td\ts\nq1\td2\t2\n"), "test")
    assert data.digest() == same.digest() != other.digest()


def test_judgements_may_have_the_four_columns_of_trec_eval(tmp_path):
    data = read_beir(write_beir(tmp_path / "set", qrels="q\titer\td\ts\nq1\t0\td2\t3\n"), "test")
    assert data.relevance == {0: {"d2": 3.0}}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"qrels": "q\td\ts\nq9\td1\t1\n"}, 'query "q9", which queries.jsonl lacks'),
        ({"qrels": "q\td\ts\nq1\td1\tyes\n"}, "is no judgement"),
        ({"corpus": '{"_id": "d1", "text": "a"}\n{"_id": "d1", "text": "b"}\n'}, 'id "d1" stands twice'),
        ({"corpus": '{"text": "a"}\n'}, 'no "_id"'),
    ],
)
def test_a_retrieval_folder_that_is_wrong_names_file_and_row(tmp_path, change, words):
    with pytest.raises(DataError, match=words):
        read_beir(write_beir(tmp_path / "set", **change), "test")


def test_a_split_that_is_missing_is_said(tmp_path):
    with pytest.raises(DataError, match=r"no dev.tsv"):
        read_beir(write_beir(tmp_path / "set"), "dev")


@pytest.mark.parametrize(
    ("part", "words"),
    [
        ("path: null", "path is None"),
        ("path: [1]", "path is"),
        ("path: x.tsv\n    columns: null", "columns is None; it is a mapping"),
        ("path: x.tsv\n    score_range: [0]", "score_range is .* two numbers"),
    ],
)
def test_a_part_of_the_wrong_type_is_named(tmp_path, part, words):
    (tmp_path / "s.yaml").write_text(f"name: s\ntasks:\n  - name: t\n    kind: scored\n    {part}\n", encoding="utf-8")
    with pytest.raises(RecipeError, match=words):
        load_suite(tmp_path / "s.yaml")
