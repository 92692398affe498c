"""`vecsmith parity`."""

import json

import numpy as np
import pytest

from vecsmith.cli.main import run


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A static model of a few words, written by hand, with a query prompt."""
    from safetensors.numpy import save_file
    from tokenizers import Tokenizer, models, pre_tokenizers

    folder = tmp_path_factory.mktemp("cli") / "model"
    folder.mkdir()
    words = [
        "[UNK]",
        "The",
        "the",
        "cat",
        "THE",
        "CAT",
        "stone",
        "wall",
        "bridge",
        "Hold",
        "reset",
        "button",
        "router",
        "how",
        "q",
    ]
    tokenizer = Tokenizer(models.WordLevel({word: n for n, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(folder / "tokenizer.json"))
    table = np.random.default_rng(0).normal(size=(len(words), 6)).astype(np.float32)
    save_file({"embedding.weight": table}, str(folder / "model.safetensors"))
    entry = {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.StaticEmbedding"}
    (folder / "modules.json").write_text(json.dumps([entry]))
    (folder / "config_sentence_transformers.json").write_text(json.dumps({"prompts": {"query": "q "}}))
    return str(folder)


@pytest.fixture
def bare(model):
    """What a server gives for a text alone."""
    from vecsmith.models.static import StaticEncoder

    encoder = StaticEncoder.open(model)
    return lambda texts: encoder.encode(texts)


def test_the_same_model_exits_with_0_and_a_difference_with_1(model, bare, serving, capsys):
    assert run(["parity", model, model, "--reader", "sentence-transformers"]) == 0
    assert "verdict: same" in capsys.readouterr().out
    with serving(bare) as server:
        assert run(["parity", model, server.url]) == 1
        table = capsys.readouterr().out
        assert "cause:   prompt: it does not add the prompt" in table
        assert run(["parity", model, server.url + "/embed", "--prompts", "text"]) == 0


def test_json_is_one_document(model, bare, serving, tmp_path, capsys):
    (tmp_path / "texts.txt").write_text("the cat\nstone bridge\n")
    with serving(bare) as server:
        assert run(["parity", model, server.url, "--texts", str(tmp_path / "texts.txt"), "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert (found["verdict"], found["cause"]["kind"], len(found["probes"])) == ("different", "prompt", 18)


def test_a_key_stands_in_no_output(model, bare, serving, capsys, monkeypatch):
    monkeypatch.setenv("MY_KEY", "s3cret-value")
    with serving(bare, key="s3cret-value") as server:
        command = ["parity", model, server.url, "--prompts", "text"]
        assert run([*command, "--token-env", "MY_KEY", "--header-env", "X-Team=MY_KEY", "--json"]) == 0
        assert run(command) == 3
        server.key = "another"
        assert run([*command, "--token-env", "MY_KEY"]) == 3
    printed = capsys.readouterr()
    assert "s3cret" not in printed.out + printed.err
    assert "--token-env NAME" in printed.err


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["http://127.0.0.1:9/embed"], 3, "connection refused"),
        (["http://me:pw@host/embed"], 2, "keep the key in an environment variable"),
        (["no-such-model"], 2, 'no model "no-such-model"'),
        (["python:json"], 2, "is not python:MODULE:OBJECT"),
        (["http://h/embed", "--token-env", "NO_SUCH_KEY"], 2, "NO_SUCH_KEY is not set"),
        (["http://h/embed", "--header-env", "s3cret value"], 2, "--header-env takes HEADER=NAME"),
        (["http://h/embed", "--texts", "no-such.txt"], 3, "no-such.txt: no such file"),
    ],
)
def test_what_cannot_be_compared_is_said_in_one_block(model, capsys, arguments, code, words):
    assert run(["parity", model, *arguments]) == code
    message = capsys.readouterr().err
    assert words in message
    assert "Traceback" not in message
    assert "s3cret" not in message
    assert "pw@" not in message
