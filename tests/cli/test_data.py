"""`vecsmith data transform` and `synthesise` from the command line."""

import importlib.util
import json
from pathlib import Path

import pytest

from vecsmith.cli.main import run
from vecsmith.data.dataset import Dataset

spec = importlib.util.spec_from_file_location("chat_server", Path(__file__).parents[1] / "chat_server.py")
chat_server = importlib.util.module_from_spec(spec)
spec.loader.exec_module(chat_server)


@pytest.fixture
def table(tmp_path):
    file = tmp_path / "pairs.tsv"
    file.write_text(
        "premise\thypothesis\tlabel\na man sleeps\ta man rests\tentailment\na man sleeps\the runs\tcontradiction\n"
    )
    return ["data", "transform", str(file), "--query", "premise", "--document", "hypothesis", "--label", "label"]


def test_a_table_becomes_a_dataset_that_is_not_overwritten(table, tmp_path, capsys):
    out = str(tmp_path / "out")
    assert run([*table, "--to", "scored", "--output", out]) == 0
    assert "2 records of scored" in capsys.readouterr().out
    assert Dataset.open(out).records["scores"].to_pylist() == [[1.0], [0.0]]
    assert run([*table, "--to", "triplets", "--output", out]) == 2
    assert "is there already" in capsys.readouterr().err
    assert run([*table, "--to", "triplets", "--output", out, "--replace", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["written"] == 1


def test_a_label_nobody_knows_ends_with_its_row(table, tmp_path, capsys):
    with open(table[2], "a") as file:
        file.write("x\ty\tperhaps\n")
    assert run([*table, "--to", "scored", "--output", str(tmp_path / "out")]) == 3
    assert 'pairs.tsv, row 3: label "perhaps" is none that has a grade' in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_model_adds_queries_and_no_key_is_written(table, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("CHAT_KEY", "s3cret-value")
    assert run([*table, "--to", "retrieval", "--output", str(tmp_path / "in")]) == 0
    command = ["data", "synthesise", str(tmp_path / "in"), "--step", "queries", "--json"]
    assert run([*command, "--dry-run"]) == 0
    assert "a man rests" in capsys.readouterr().out
    reply = lambda messages: json.dumps({"queries": ["who rests", "is somebody at rest"]})  # noqa: E731
    with chat_server.chatting(reply, key="s3cret-value") as server:
        command += ["--endpoint", server.url, "--model", "tiny", "--key-env", "CHAT_KEY"]
        assert run([*command, "--output", str(tmp_path / "out")]) == 0
        found = json.loads(capsys.readouterr().out.splitlines()[-1])
        assert (found["made"], found["requests"]) == ({"queries": 2}, 1)
        again = ["--output", str(tmp_path / "again"), "--answers", str(tmp_path / "out.answers.jsonl")]
        assert run([*command, *again]) == 0
        assert json.loads(capsys.readouterr().out)["requests"] == 0
    for file in tmp_path.rglob("*"):
        assert file.is_dir() or b"s3cret" not in file.read_bytes()
    assert len(Dataset.open(tmp_path / "out").records) == 3


def test_what_is_missing_is_named(tmp_path, capsys):
    assert run(["data", "synthesise", "x.csv", "--step", "queries"]) == 2
    assert "name --endpoint URL, --model NAME and --output DIR" in capsys.readouterr().err
