"""Bad input at the command line: one block on stderr that names what is wrong and the way out, and its exit code."""

import json
import shutil
import subprocess
import sys
import time

import pytest

from vecsmith.cli.main import run
from vecsmith.models.names import resolve_name

ROWS = "\n".join(
    f"what is thing {n}?,thing {n} is number {n * 7} of the list,{2000 + n},kind{n % 3}" for n in range(40)
)
TABLE = f"question,answer,year,kind\n{ROWS}\n"
COLUMNS = ["--query", "question", "--document", "answer", "--attributes", "year,kind"]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A good table, an index over it, and a folder for bad ones."""
    folder = tmp_path_factory.mktemp("bad")
    (folder / "good.csv").write_text(TABLE, encoding="utf-8")
    made = ["index", "create", str(folder / "index"), str(folder / "good.csv"), "--document", "answer"]
    made += ["--attributes", "question,year,kind"]
    assert run(made) == 0
    return folder


def refused(capsys, arguments, code, *words):
    """Run a command that must fail with this exit code and these words, in one block without a traceback."""
    capsys.readouterr()
    assert run([str(argument) for argument in arguments]) == code, capsys.readouterr().err
    err = capsys.readouterr().err
    assert "Traceback" not in err
    assert "bug in vecsmith" not in err
    for word in words:
        assert word in err, err


FILES = {
    "empty.csv": (b"", "empty"),
    "header.csv": (b"question,answer\n", "a header but no rows"),
    "binary.csv": (b"question,answer\n\x00\x01\x02,\xff\n", "binary.csv"),
    "latin.csv": ("question,answer\nqué,sí señor\n".encode("latin-1"), "not UTF-8"),
    "ragged.csv": (b"question,answer\na,b\nc\n", "row 2"),
    "twice.csv": (b"id,question,answer\n1,a b,c d\n1,e f,g h\n", '"1"'),
    "nan.csv": (b"question,answer,score\na b,c d,nan\n", 'column "score"'),
    "extra.csv": (b"question,answer,colour\na b,c d,red\n", '"colour"'),
    "broken.jsonl": (b'{"question": "a", "answer": "b"}\n{"question": \n', "row 2"),
}


@pytest.mark.parametrize("name", FILES)
def test_a_faulty_table_stops_forge_with_its_name(name, tmp_path, capsys):
    content, words = FILES[name]
    (tmp_path / name).write_bytes(content)
    command = ["forge", tmp_path / name, "--output", tmp_path / "out", "--minutes", "0.1"]
    refused(capsys, command, 3, name, words)
    assert not (tmp_path / "out" / "report.json").exists()


def test_a_missing_source_and_a_foreign_folder(tmp_path, place, capsys):
    refused(capsys, ["forge", tmp_path / "absent", "--output", tmp_path / "out"], 3, "no such file or folder")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("x")
    refused(capsys, ["forge", place / "good.csv", "--output", tmp_path / "mine"], 2, "files that are not forge's")


@pytest.mark.parametrize("count", [0, 9])
def test_too_few_documents(count, tmp_path, capsys):
    (tmp_path / "few").mkdir()
    for number in range(count):
        (tmp_path / "few" / f"{number}.txt").write_text(f"Text number {number} stands here alone.")
    words = "no document" if count == 0 else "9 documents found; forge needs at least 10"
    refused(capsys, ["forge", tmp_path / "few", "--output", tmp_path / "out", "--minutes", "0.1"], 3, words)


WHERE = {
    "colour = 'red'": "colour",
    "year = 'red'": "year",
    "kind = 3": "kind",
    "year > 2000; drop table documents": ";",
    "year in (select year from documents)": "subqueries",
    'kind = "kind1"': "single quotes",
    "year = null": "is null",
    "kind in ()": "an empty list",
    "kind = 'open": "column",
    "lower(kind) = 'a'": "column",
}


@pytest.mark.parametrize("where", WHERE)
def test_a_filter_that_cannot_be_says_where_and_why(where, place, capsys):
    refused(capsys, ["search", place / "index", "thing", "--where", where], 3, "where", WHERE[where])


@pytest.mark.parametrize("value", ["it''s", "Ünïcödé", "日本", "a\u202eb", "'' or 1=1 --", "🙂"])
def test_quotes_and_unicode_in_a_value_are_only_a_value(value, place, capsys):
    capsys.readouterr()
    assert run(["search", str(place / "index"), "thing", "--where", f"kind = '{value}'", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["passing"] == 0


def test_an_index_of_another_model_names_every_difference(place, tmp_path, capsys):
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding
    from tokenizers import Tokenizer

    from vecsmith.models.save import save

    tokenizer = Tokenizer.from_file(str(resolve_name("default") / "tokenizer.json"))
    other = SentenceTransformer(modules=[StaticEmbedding(tokenizer, embedding_dim=16)], device="cpu")
    save(other, tmp_path / "other")
    command = ["search", place / "index", "thing", "--model", tmp_path / "other"]
    refused(capsys, command, 4, "weights", "width")


def test_tampered_weights_and_a_missing_contract(tmp_path, capsys):
    shutil.copytree(resolve_name("default"), tmp_path / "model")
    weights = tmp_path / "model" / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1000] ^= 1
    weights.write_bytes(content)
    (tmp_path / "texts.txt").write_text("one text\n")
    command = ["encode", tmp_path / "model", tmp_path / "texts.txt", "--output", tmp_path / "vectors"]
    refused(capsys, command, 4, "model.safetensors")
    assert not (tmp_path / "vectors").exists()
    (tmp_path / "no-model").mkdir()
    refused(
        capsys, ["encode", tmp_path / "no-model", tmp_path / "texts.txt", "--output", tmp_path / "v"], 4, "no-model"
    )


def test_vectors_of_another_width_are_refused(place):
    import numpy as np

    from vecsmith.errors import SchemaError
    from vecsmith.index.index import Index

    document = [{"id": "x", "text": "a", "question": "q", "year": 1, "kind": "k"}]
    with Index.open(place / "index") as index, pytest.raises(SchemaError, match="3 wide"):
        index.add(document, vectors=np.ones((1, 3), np.float32))


RECIPE = (
    "name: r\ndata: [{path: good.csv, columns: {query: question, document: answer, ignore: [year, kind]}}]\nstages:\n"
)
STAGE = "  - objective: {retrieval: [{info_nce: {%s}}]}\n    train: {max_steps: 2, per_device_train_batch_size: 8}\n"


def test_recipes_that_cannot_be_trained(place, tmp_path, capsys):
    shutil.copy(place / "good.csv", tmp_path)
    (tmp_path / "typo.yaml").write_text(RECIPE + STAGE % "temprature: 0.05")
    train = ["train", tmp_path / "typo.yaml", "--output", tmp_path / "out"]
    refused(capsys, train, 3, "typo.yaml, line 4", '"temprature"', '"temperature"')
    (tmp_path / "none.csv").write_text("text\nonly a text\nand another text\n")
    none = RECIPE.replace("good.csv, columns: {query: question, document: answer, ignore: [year, kind]}", "none.csv")
    (tmp_path / "none.yaml").write_text(none + STAGE % "temperature: 0.05")
    refused(capsys, ["train", tmp_path / "none.yaml", "--output", tmp_path / "out"], 3, "no positives")
    one = "".join("the same question,the same answer\n" for _ in range(40))
    (tmp_path / "good.csv").write_text("question,answer,year,kind\n" + one.replace("answer\n", "answer,1,a\n"))
    (tmp_path / "masked.yaml").write_text(RECIPE + STAGE % "temperature: 0.05")
    refused(capsys, ["train", tmp_path / "masked.yaml", "--output", tmp_path / "out"], 3, "masked")


def test_two_writers_at_once_are_told_apart(place, capsys):
    from vecsmith.index.lock import WriterLock

    with WriterLock(place / "index"):
        refused(capsys, ["index", "delete", place / "index", "x"], 4, "writ")


def test_an_interrupt_leaves_a_word_and_its_code(place, tmp_path):
    import signal

    command = [sys.executable, "-m", "vecsmith", "forge", str(place / "good.csv"), *COLUMNS, "--output"]
    process = subprocess.Popen([*command, str(tmp_path / "out")], stderr=subprocess.PIPE, text=True)
    time.sleep(1.0)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    # Python ends itself by the signal where it came inside an exec of a text, such as a dataclass; a shell says 130.
    assert process.returncode in (0, 130, -signal.SIGINT), err
    assert "Traceback" not in err
