"""`vecsmith encode`."""

import io
import json
from pathlib import Path

import numpy as np
import pytest

from vecsmith.cli.main import run
from vecsmith.models.shards import Shards


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A static model of four words, written by hand."""
    from safetensors.numpy import save_file
    from tokenizers import Tokenizer, models, pre_tokenizers

    folder = tmp_path_factory.mktemp("cli") / "model"
    folder.mkdir()
    tokenizer = Tokenizer(models.WordLevel({"[UNK]": 0, "stone": 1, "bridge": 2, "q": 3}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(folder / "tokenizer.json"))
    save_file({"embedding.weight": np.eye(4, dtype=np.float32)}, str(folder / "model.safetensors"))
    entry = {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.StaticEmbedding"}
    (folder / "modules.json").write_text(json.dumps([entry]))
    (folder / "config_sentence_transformers.json").write_text(json.dumps({"prompts": {"query": "q "}}))
    return str(folder)


def test_lines_become_rows_and_an_empty_line_is_one_too(model, tmp_path, capsys):
    (tmp_path / "a.txt").write_bytes(b"stone\n\nbridge\r\nstone bridge")
    assert run(["encode", model, str(tmp_path / "a.txt"), "--output", str(tmp_path / "v")]) == 0
    expected = [[0, 1, 0, 0], [0, 0, 0, 0], [0, 0, 1, 0], [0, 0.5, 0.5, 0]]
    assert Shards.open(tmp_path / "v").array().tolist() == expected
    assert "4 vectors of width 4" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.csv", 'id,text\n1,stone\n2,"bridge"\n'),
        ("a.tsv", "id\ttext\n1\tstone\n2\tbridge\n"),
        ("a.jsonl", '{"id": 1, "text": "stone"}\n{"id": 2, "text": "bridge"}\n'),
    ],
)
def test_a_column_of_a_table_is_encoded(model, tmp_path, capsys, name, text):
    (tmp_path / name).write_text(text)
    command = ["encode", model, str(tmp_path / name), "--output", str(tmp_path / "v"), "--column", "text"]
    assert run([*command, "--prompt", "query", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["rows"], found["width"], found["prompt"]) == (2, 4, "q ")
    assert Shards.open(tmp_path / "v").array().tolist() == [[0, 0.5, 0, 0.5], [0, 0, 0.5, 0.5]]


def test_stdin_is_read(model, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"stone\nbridge\n")))
    assert run(["encode", model, "-", "--output", str(tmp_path / "v")]) == 0
    assert Shards.open(tmp_path / "v").rows == 2


def refused(capsys, arguments: list[str]) -> tuple[int, str]:
    code = run(["encode", *arguments])
    return code, capsys.readouterr().err


def test_what_cannot_be_encoded_is_said_in_one_block(model, tmp_path, capsys):
    (tmp_path / "a.csv").write_text("id,text\n1,stone\n")
    (tmp_path / "a.jsonl").write_text('{"text": "stone"}\n{"text": null}\n')
    (tmp_path / "a.txt").write_bytes(b"stone\n\xff\xfe\n")
    out = ["--output", str(tmp_path / "v")]
    cases = [
        ([model, str(tmp_path / "none.txt"), *out], 3, "no such file"),
        ([model, str(tmp_path / "a.csv"), *out], 2, "is a table; name the column to encode: --column NAME"),
        ([model, str(tmp_path / "a.csv"), "--column", "txt", *out], 3, 'did you mean "text"?'),
        ([model, str(tmp_path / "a.jsonl"), "--column", "text", *out], 3, "row 2"),
        ([model, str(tmp_path / "a.txt"), *out], 3, "row 2: byte 1 of the line is no UTF-8"),
        ([model, str(tmp_path / "a.txt"), "--column", "text", *out], 2, "has no columns"),
        (["all-MiniLM-L9", str(tmp_path / "a.txt"), *out], 2, "Did you mean all-MiniLM-L6-v2?"),
        ([str(tmp_path), str(tmp_path / "a.txt"), *out], 4, "has no modules.json"),
    ]
    for arguments, code, words in cases:
        found, message = refused(capsys, arguments)
        assert (found, words in message, "Traceback" in message) == (code, True, False), message


def test_the_same_command_goes_on(model, tmp_path, capsys):
    (tmp_path / "a.txt").write_text("stone\n" * 5 + "bridge\n" * 5)
    command = ["encode", model, str(tmp_path / "a.txt"), "--output", str(tmp_path / "v"), "--shard-rows", "4"]
    assert run(command) == run(command) == 0
    before = {path.name for path in Path(tmp_path / "v").iterdir()}
    assert "vectors-000002.npy" in before
    assert run([*command, "--prompt", "query"]) == 4
    assert "was begun with the prompt '', not 'q '" in capsys.readouterr().err
