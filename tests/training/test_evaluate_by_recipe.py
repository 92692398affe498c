"""A recipe's `evaluate`, and the keys that have nothing behind them yet."""

import pytest

import vecsmith as vs
from vecsmith.errors import RecipeError
from vecsmith.evaluation.report import Report

RECIPE = """\
name: small
seed: 1
data: [{path: faq.csv, columns: {query: question, document: answer}}]
stages:
  - name: fit
    objective: {retrieval: [info_nce]}
    train: {per_device_train_batch_size: 8, max_steps: 2}
"""


@pytest.fixture
def folder(tmp_path):
    rows = [f"what is thing {n}?,thing {n} is number {n * 7} of the list" for n in range(32)]
    (tmp_path / "faq.csv").write_text("question,answer\n" + "\n".join(rows) + "\n")
    return tmp_path


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        ("merge: {method: uniform}\n", r'recipe\.yaml, line 8: "merge" is not there yet'),
        ("evaluate: [{suite: smal_english}]\n", r'recipe\.yaml, line 8: no suite "smal_english"'),
        ("evaluate: [{suite: small_english}]\n", r"needs data: set --data-root or VECSMITH_DATA"),
    ],
)
def test_what_cannot_be_done_is_refused_before_training(folder, extra, words, monkeypatch):
    monkeypatch.delenv("VECSMITH_DATA", raising=False)
    (folder / "recipe.yaml").write_text(RECIPE + extra)
    with pytest.raises(RecipeError, match=words):
        vs.train(folder / "recipe.yaml", output=folder / "out")
    assert not (folder / "out").exists()


def test_an_objective_named_as_a_wrapper_is_refused_with_its_line(folder):
    (folder / "recipe.yaml").write_text(RECIPE + "    wrap: [{info_nce: {}}]\n")
    with pytest.raises(RecipeError, match=r"line 8: info_nce is an objective; name it in the stage's objective"):
        vs.train(folder / "recipe.yaml", output=folder / "out")


def test_the_suites_of_a_recipe_judge_the_model(shared_data, folder):
    (folder / "recipe.yaml").write_text(RECIPE + "evaluate: [{suite: small_english, tasks: [STSBenchmark]}]\n")
    vs.train(folder / "recipe.yaml", output=folder / "out", data_root=shared_data)
    report = Report.read(folder / "out" / "evaluation" / "small_english" / "report.json")
    assert 0.4 < report.scores["STSBenchmark"] < 1
