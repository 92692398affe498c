"""`vecsmith train`: the plan, the run, and errors as one block with their exit code."""

import json

import pytest

from vecsmith.cli.main import run
from vecsmith.data.dataset import Dataset

RECIPE = """\
name: tiny
data: [{path: data}]
stages:
  - name: fit
    objective:
      retrieval: [{info_nce: {temperature: 0.05}}]
    train: {per_device_train_batch_size: 8, num_train_epochs: 1, learning_rate: 0.01}
"""


@pytest.fixture
def recipe(tmp_path):
    with Dataset.build(name="data") as builder:
        for number in range(20):
            builder.add_record(query=f"question {number}", positives=[f"the answer to number {number}"])
        dataset = builder.finish()
    dataset.save(tmp_path / "data")
    file = tmp_path / "tiny.yaml"
    file.write_text(RECIPE, encoding="utf-8")
    return file


def test_a_dry_run_prints_the_plan_and_writes_nothing(recipe, capsys, tmp_path):
    before = sorted(tmp_path.rglob("*"))
    assert run(["train", str(recipe), "--dry-run"]) == 0
    shown = capsys.readouterr().out
    assert "20 records of kind retrieval, 20 usable" in shown
    assert "2 steps of 8 (16 pairs; 4 records fill no batch), retrieval: info_nce" in shown
    assert sorted(tmp_path.rglob("*")) == before


def test_training_writes_the_model_and_says_where(recipe, capsys, tmp_path):
    assert run(["train", str(recipe), "--output", str(tmp_path / "out"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["output"] == str(tmp_path / "out")
    assert told["stages"][0]["steps"] == 2
    assert (tmp_path / "out" / "embedding.json").exists()


def test_vs_train_returns_a_loaded_model(recipe, tmp_path):
    from vecsmith.forging.train import train

    model = train(recipe, data=Dataset.open(tmp_path / "data"), output=tmp_path / "out", overrides=["seed=5"])
    assert model.contract.fingerprint
    assert model.encode(["a question"]).shape == (1, model.get_embedding_dimension())


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--set", "stages.0.objective.retrieval.0.info_nce.temprature=1"], 3, 'did you mean "temperature"?'),
        (["--set", "data=[{path: nowhere}]", "--dry-run"], 3, 'no data at "nowhere"'),
        ([], 2, "name the folder to make: --output DIR"),
    ],
)
def test_a_fault_is_one_block_with_its_exit_code(recipe, capsys, arguments, code, words):
    assert run(["train", str(recipe), *arguments]) == code
    shown = capsys.readouterr().err
    assert words in shown
    assert "Traceback" not in shown
