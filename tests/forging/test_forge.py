"""The whole way on small real sources: what is left behind, what is kept, what is refused."""

import shutil
import subprocess
import sys
import time

import pytest
from sentence_transformers import SentenceTransformer

import vecsmith as vs
from vecsmith.cli.main import run
from vecsmith.errors import DataError, NotEnoughData, UsageError
from vecsmith.models.static import StaticEncoder


@pytest.fixture(scope="module")
def forged(pages, tmp_path_factory):
    output = tmp_path_factory.mktemp("forged") / "out"
    return output, vs.forge(pages, output=output, minutes=0.5)


def test_everything_promised_is_left_behind(forged):
    output, report = forged
    for name in ("model", "index", "recipe.yaml", "recipe.lock.yaml", "report.json", "report.html"):
        assert (output / name).exists(), name
    names = [arm["name"] for arm in report["arms"]]
    assert sorted(names) == ["BM25", "default", "default + BM25", "default, fitted", "default, fitted + BM25"]
    assert all(arm["measures"]["ndcg@10"]["low"] <= arm["measures"]["ndcg@10"]["mean"] for arm in report["arms"])
    assert "made from your headings" in report["verdict"]["lines"][0]
    assert len(report["examples"]) == 3
    assert report["examples"][2]["where"] is not None


def test_the_winner_is_what_the_index_serves(forged):
    output, report = forged
    winner = next(arm for arm in report["arms"] if arm["name"] == report["verdict"]["winner"])
    with vs.Index.open(output / "index") as index:
        assert index.settings["defaults"]["mode"] == winner["kind"]
        assert len(index) == report["index"]["documents"]
        hits = index.search("parse a date", k=5, where="folder = '' and start >= 0")
        assert len(hits.ids) == 5


def test_no_group_stands_on_two_sides(forged):
    data = vs.Dataset.open(forged[0] / "work" / "data")
    sides = {}
    for document in data.documents:
        if document.split != "left_out":
            sides.setdefault(document.group, set()).add(document.split)
    assert all(len(found) == 1 for found in sides.values())
    texts = {side: set(data.split(side).documents.inputs.tolist()) for side in ("train", "test")}
    assert not texts["train"] & texts["test"]


def test_plain_sentence_transformers_loads_the_model_with_the_same_vectors(forged):
    texts = ["parse a date", "Zufall", ""]
    plain = SentenceTransformer(str(forged[0] / "model")).encode(texts)
    assert (plain == vs.load(forged[0] / "model").encode(texts)).all()
    assert abs(StaticEncoder.open(forged[0] / "model").encode(texts) - plain).max() < 2e-6


def test_the_recipe_it_leaves_trains(forged, capsys):
    assert run(["train", str(forged[0] / "recipe.yaml"), "--dry-run"]) == 0
    assert "steps" in capsys.readouterr().out


def test_an_unchanged_rerun_does_nothing(pages, forged):
    output, report = forged
    before = {path: path.stat().st_mtime_ns for path in output.rglob("*") if path.is_file()}
    start = time.monotonic()
    again = vs.forge(pages, output=output, minutes=0.5)
    assert again == report
    assert time.monotonic() - start < 10
    changed = {
        path.name for path in output.rglob("*") if path.is_file() and before.get(path) != path.stat().st_mtime_ns
    }
    assert changed <= {".forge.lock"}


def test_a_small_change_upserts_the_index_and_keeps_the_model(pages, forged, tmp_path):
    source, output = tmp_path / "pages", tmp_path / "out"
    shutil.copytree(pages, source)
    first = vs.forge(source, output=output, minutes=0.5)
    extra = "# notes\n\n## quokka husbandry\n\nThe quokka is fed with leaves twice a day, and never with bread.\n"
    (source / "notes.md").write_text(extra, encoding="utf-8")
    second = vs.forge(source, output=output, minutes=0.5)
    assert second["index"]["documents"] == first["index"]["documents"] + 1
    if first["verdict"]["winner"] == second["verdict"]["winner"]:
        assert not second["index"]["anew"]
        assert (second["index"]["added"], second["index"]["changed"], second["index"]["deleted"]) == (1, 0, 0)
    with vs.Index.open(output / "index") as index:
        assert "notes.md#0" in index.search("quokka leaves", k=3).ids


def test_a_killed_run_goes_on_from_the_last_finished_step(table, tmp_path):
    output = tmp_path / "out"
    command = [sys.executable, "-m", "vecsmith", "forge", str(table), "--query", "question", "--document", "answer"]
    command += ["--attributes", "package,length", "--output", str(output), "--minutes", "0.3"]
    for seconds in (3, 6, 9):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(seconds)
        process.kill()
        process.wait()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Winner:" in done.stdout or "Too small to tell" in done.stdout
    assert 'column "question"' in done.stdout
    assert not list(output.glob("*.tmp-*")) + list((output / "work").glob("*.tmp-*"))


def test_labels_judge_on_the_users_own_queries(pages, forged, tmp_path):
    ids = vs.Dataset.open(forged[0] / "work" / "served").documents.ids
    labels = tmp_path / "labels.tsv"
    rows = [f"query number {n}\t{identifier}\t1" for n, identifier in enumerate(ids[:40])]
    labels.write_text("query\tdocument_id\trelevance\n" + "\n".join(rows) + "\n", encoding="utf-8")
    report = vs.forge(pages, output=tmp_path / "out", labels=labels, minutes=0.3)
    assert report["verdict"]["lines"][0] == "Judged on your 40 judgements of 40 queries."


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("a\tb\n", r"labels\.tsv, row 1: 2 columns"),
        ("q\td\tmany\n", r'labels\.tsv, row 1, column "relevance": found \'many\''),
        ("q\td\tnan\n", r"expected a finite number"),
        ("", "no judgements"),
    ],
)
def test_bad_labels_are_named(pages, tmp_path, content, words):
    labels = tmp_path / "labels.tsv"
    labels.write_text(content, encoding="utf-8")
    with pytest.raises(DataError, match=words):
        vs.forge(pages, output=tmp_path / "out", labels=labels)


def test_labels_of_other_documents_are_refused_with_an_example(pages, tmp_path):
    labels = tmp_path / "labels.tsv"
    labels.write_text("q\tno-such-id\t1\n", encoding="utf-8")
    with pytest.raises(NotEnoughData, match=r'for example "no-such-id"; ids here look like ".*#'):
        vs.forge(pages, output=tmp_path / "out", labels=labels, minutes=0.3)


def documents(folder, count):
    folder.mkdir()
    for number in range(count):
        text = f"Document {number} tells of topic {number}. It has a second sentence about item {number * 7}."
        (folder / f"{number}.txt").write_text(text, encoding="utf-8")
    return folder


def test_ten_documents_build_an_index_and_say_that_they_are_few(tmp_path):
    report = vs.forge(documents(tmp_path / "ten", 10), output=tmp_path / "out", minutes=0.2)
    assert report["index"]["documents"] == 10
    assert not report["verdict"]["enough"]
    assert any("Too small to tell" in line for line in report["verdict"]["lines"])


def test_nine_documents_are_an_error_with_the_way_out(tmp_path):
    with pytest.raises(NotEnoughData, match="9 documents found; forge needs at least 10"):
        vs.forge(documents(tmp_path / "nine", 9), output=tmp_path / "out", minutes=0.2)


def test_no_document_is_an_error_that_names_what_was_passed_over(tmp_path):
    (tmp_path / "none").mkdir()
    (tmp_path / "none" / "photo.jpeg").write_bytes(b"\xff\xd8")
    with pytest.raises(NotEnoughData, match=r"no document found .*jpeg"):
        vs.forge(tmp_path / "none", output=tmp_path / "out", minutes=0.2)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"minutes": 0}, "minutes is 0"),
        ({"prefer": "luck"}, 'prefer is "luck"'),
        ({"gate": "perfect"}, 'gate is "perfect"'),
        ({"models": ["default", "default"]}, "given twice"),
        ({"models": []}, "no start model"),
        ({"models": ["defualt"]}, "Did you mean default"),
        ({"query": "question"}, "has no columns"),
        ({"group": "colour"}, '"file" and "folder" exist'),
    ],
)
def test_contradictory_options_are_refused(pages, tmp_path, options, words):
    with pytest.raises(UsageError, match=words):
        vs.forge(pages, output=tmp_path / "out", **options)


def test_a_missing_source_is_named(tmp_path):
    with pytest.raises(DataError, match="no such file or folder"):
        vs.forge(tmp_path / "absent", output=tmp_path / "out")


def test_a_dry_run_prints_the_plan_and_writes_nothing(pages, tmp_path, capsys):
    assert run(["forge", str(pages), "--output", str(tmp_path / "out"), "--dry-run", "--minutes", "0.5"]) == 0
    out = capsys.readouterr().out
    for word in ("Source", "Pairs", "heading", "Judge", "steps of", "Time"):
        assert word in out
    assert not (tmp_path / "out").exists()


def test_a_gate_is_an_exit_code(pages, tmp_path, capsys):
    documents(tmp_path / "few", 12)
    code = run(
        ["forge", str(tmp_path / "few"), "--output", str(tmp_path / "out"), "--gate", "better", "--minutes", "0.2"]
    )
    assert code == 1
    assert "Gate better: failed" in capsys.readouterr().out


def test_unknown_tokens_warn_whichever_run_encoded_them(tmp_path):
    folder = tmp_path / "thai"
    folder.mkdir()
    for number in range(12):
        (folder / f"{number}.txt").write_text(
            f"ภาษาไทย ข้อความ ทดสอบ {number}. ประโยคที่สอง ของ เอกสาร นี้ {number}.", encoding="utf-8"
        )
    first = vs.forge(folder, output=tmp_path / "out", minutes=0.2)
    assert any("tokens are unknown to default" in line for line in first["warnings"])
    again = vs.forge(folder, output=tmp_path / "out", minutes=0.2, gate="not-worse")  # only the report is made anew
    assert again["warnings"] == first["warnings"]
