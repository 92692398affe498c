"""Lines of a collection are judged as tasks of a suite are."""

import pytest

from vecsmith.data.collection import load_collection
from vecsmith.errors import UsageError
from vecsmith.evaluation.collections import collection_named, collection_tasks
from vecsmith.evaluation.evaluate import evaluate
from vecsmith.evaluation.task_data import Labelled, Pairs


@pytest.fixture
def collection(tmp_path):
    rows = [
        f"a text about {'cats' if n % 2 else 'ships'} number {n}\t{'animal' if n % 2 else 'vessel'}" for n in range(40)
    ]
    for name, part in (("train", rows[:30]), ("test", rows[30:])):
        (tmp_path / f"{name}.tsv").write_text("text\tlabel\n" + "\n".join(part) + "\n", encoding="utf-8")
    (tmp_path / "pairs.tsv").write_text("a\tb\tscore\nx y\tx y\t5\nx y\tz\t0\nv w\tv\t3\n", encoding="utf-8")
    path = tmp_path / "own.yaml"
    path.write_text(
        "lines:\n"
        "  - {name: topics, path: {train: train.tsv, test: test.tsv}, kind: class, document: text, label: label}\n"
        "  - {name: alike, path: pairs.tsv, kind: scored, query: a, document: b, score: score, score_range: [0, 5]}\n"
        "  - {name: texts, path: train.tsv, kind: plain, document: text}\n",
        encoding="utf-8",
    )
    return path


def test_lines_become_tasks_of_their_kind(collection):
    tasks = collection_tasks(load_collection(collection), None, collection.parent)
    read = {task.name: call() for task, call in tasks}
    assert isinstance(read["topics"], Labelled)
    assert (len(read["topics"].texts), len(read["topics"].train_texts)) == (10, 30)
    assert isinstance(read["alike"], Pairs)
    assert read["alike"].scores == pytest.approx([1.0, 0.0, 0.6])
    assert "texts" not in read


def test_a_model_is_judged_on_a_line(collection):
    report = evaluate("default", str(collection), tasks=["topics"], data_root=collection.parent)
    assert report.scores == {"topics": 1.0}


def test_a_line_without_a_judge_is_refused_in_words(collection):
    with pytest.raises(UsageError, match="texts is read as plain, which no judge takes"):
        evaluate("default", str(collection), tasks=["texts"], data_root=collection.parent)
    with pytest.raises(UsageError, match='no line "topic"'):
        evaluate("default", str(collection), tasks=["topic"], data_root=collection.parent)


def test_what_is_no_collection_is_left_to_suites(tmp_path):
    assert collection_named("small_english") is None
    assert collection_named(tmp_path / "nothing.yaml") is None
    (tmp_path / "suite.yaml").write_text("tasks: []", encoding="utf-8")
    assert collection_named(tmp_path / "suite.yaml") is None


def test_a_set_gives_the_same_score_by_its_line_and_by_its_task(shared_data):
    by_line = evaluate("default", "published_sets", tasks=["STS 2013"], data_root=shared_data)
    by_task = evaluate("default", "small_english", tasks=["STS13"], data_root=shared_data)
    assert by_line.scores["STS 2013"] == pytest.approx(by_task.scores["STS13"], abs=1e-6)
