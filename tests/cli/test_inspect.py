"""`vecsmith inspect` as a person sees it."""

import json
import zipfile

import pytest

import vecsmith as vs
from vecsmith.cli.main import run

ROWS = [("which plane takes off?", "A plane is taking off.", "5.0", "train")]
ROWS += [(f"question {n}", f"answer {n}", "2.5", "train") for n in range(30)]
ROWS += [("question 3", "answer 77", "0", "test"), ("a new one", "with \x07 in it", "1", "test")]


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "pairs.tsv"
    path.write_text(
        "sentence1\tsentence2\tscore\tsplit\n" + "".join("\t".join(row) + "\n" for row in ROWS), encoding="utf-8"
    )
    return path


def test_what_needs_action_stands_first_and_lines_fit_80_columns(table, capsys):
    assert run(["inspect", str(table)]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[1] == "a table (values between tabs) of pairs of texts with a score"
    assert out[3] == "Needs action"
    assert out[4] == "  1. 1 of 2 (50 %) records of test have a text that stands in train too (1 text)"
    assert any("is the scale another? --score-range" in line for line in out)
    assert any("with \\x07 in it" in line for line in out)  # shown as an escape, not rung
    assert max(map(len, out[1:])) <= 80


def test_json_is_one_document_with_the_same_names(table, capsys):
    assert run(["inspect", str(table), "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert content["kind"] == "scored"
    assert content["counts"]["records"] == 33
    assert content["columns"][0] == {"column": "sentence1", "part": "left text", "why": "by its name"}
    assert content["findings"][0]["act"] is True
    assert {"lengths", "copies", "scripts", "leaks", "splits", "signs"} <= content.keys()


def test_columns_may_be_named_and_rows_chosen(table, capsys):
    assert run(["inspect", str(table), "--where", "split=train", "--score-range", "0,5", "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert content["counts"]["records"] == 31
    assert run(["inspect", str(table), "--document", "sentence9"]) == 3
    assert 'no column "sentence9"; did you mean' in capsys.readouterr().err


def test_a_first_line_that_is_a_row_is_taken_as_one(tmp_path, capsys):
    path = tmp_path / "reviews.tsv"
    path.write_text("".join(f"this film was rather {n} than good\t{n % 2}\n" for n in range(40)), encoding="utf-8")
    assert run(["inspect", str(path), "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert content["counts"]["records"] == 40
    assert "the first line looks like a row" in content["notes"][0]
    assert run(["inspect", str(path), "--header", "text,label", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["labels"]["classes"] == 2


def test_a_text_file_with_tabs_is_a_table_and_a_table_without_text_is_read_row_by_row(tmp_path, capsys):
    path = tmp_path / "numbers.txt"
    path.write_text("age\tincome\tlabel\n39\t100\trich\n40\t2\tpoor\n", encoding="utf-8")
    assert run(["inspect", str(path), "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert content["kind"] == "class"
    assert content["columns"][0]["column"] == "{*}"
    assert set(content["attributes"]) == {"age", "income"}


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ([], 2, "give a file or folder to look at, or --suite"),
        (["nowhere.csv"], 3, "no such file"),
        (["x.csv", "--suite", "published_sets"], 2, "or --suite"),
        (["x.csv", "--limit", "0"], 2, "at least 1 row"),
        (["--suite", "nothing"], 2, "no collection"),
    ],
)
def test_mistakes_end_as_one_block(arguments, code, words, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VECSMITH_DATA", str(tmp_path))
    assert run(["inspect", *arguments]) == code
    err = capsys.readouterr().err
    assert words in err
    assert "Traceback" not in err


def test_models_and_indexes_are_named_with_the_command_that_looks_into_them(tmp_path, capsys):
    (tmp_path / "modules.json").write_text("[]", encoding="utf-8")
    assert run(["inspect", str(tmp_path)]) == 0
    assert f"a model. vecsmith doctor {tmp_path}" in " ".join(capsys.readouterr().out.split())
    (tmp_path / "catalog.sqlite").write_text("", encoding="utf-8")
    assert run(["inspect", str(tmp_path)]) == 0
    assert "an index." in capsys.readouterr().out


def test_a_name_of_a_model_is_one_too(capsys):
    assert run(["inspect", "default"]) == 0
    assert "a model by name. vecsmith doctor default" in capsys.readouterr().out


def test_images_are_counted_and_not_looked_at(tmp_path, capsys):
    with zipfile.ZipFile(tmp_path / "images.zip", "w") as archive:
        archive.writestr("train/cat/1.jpg", b"")
        archive.writestr("test/dog/2.jpg", b"")
    (tmp_path / "README.md").write_text("# Images", encoding="utf-8")
    for path in (tmp_path, tmp_path / "images.zip"):
        assert run(["inspect", str(path)]) == 0
        assert "2 images in 2 folders (1 test, 1 train)" in capsys.readouterr().out


def test_a_saved_dataset_is_looked_at_like_its_table(table, tmp_path, capsys):
    vs.read(table, attributes="*", score_range=(0, 5)).save(tmp_path / "saved")
    contents = []
    for path in (table, tmp_path / "saved"):
        assert run(["inspect", str(path), "--json"]) == 0
        contents.append(json.loads(capsys.readouterr().out))
    for name in ("counts", "leaks", "copies", "scripts", "lengths", "scores"):
        assert contents[0][name] == contents[1][name]


def test_prose_with_commas_is_no_table(tmp_path, capsys):
    path = tmp_path / "notes.txt"
    path.write_text("One, two, three.\nA line of prose without any.\nAnd, another.\n", encoding="utf-8")
    assert run(["inspect", str(path)]) == 0
    assert "documents, cut into passages" in capsys.readouterr().out


def test_a_folder_of_several_tables_asks_for_one(tmp_path, capsys):
    for name in ("users.csv", "films.csv"):
        (tmp_path / name).write_text("id,text\n1,x\n", encoding="utf-8")
    assert run(["inspect", str(tmp_path)]) == 3
    err = capsys.readouterr().err
    assert "films.csv, users.csv" in err
    assert "Name one" in err


def test_a_suite_is_read_line_by_line_and_differences_fail(tmp_path, capsys):
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "a.tsv").write_text("text\tlabel\nx\ta\ny\tb\n", encoding="utf-8")
    suite = tmp_path / "suite.yaml"
    suite.write_text(
        "lines:\n  - {name: good, path: set/a.tsv, kind: class, expect: {rows: 2, classes: 2}}\n"
        "  - {name: wrong, path: set/a.tsv, kind: class, expect: {rows: 3}}\n"
        "  - {name: gone, path: set/b.tsv}\n",
        encoding="utf-8",
    )
    assert run(["inspect", "--suite", str(suite), "--data-root", str(tmp_path)]) == 1
    out = capsys.readouterr().out
    assert "3 lines of 1 folders, 1 as they should be" in out
    assert "wrong: rows: 2, not 3" in out
    assert "no such file" in out
    assert run(["inspect", "--suite", str(suite), "--line", "good", "--data-root", str(tmp_path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out.strip())["labels"]["classes"] == 2
