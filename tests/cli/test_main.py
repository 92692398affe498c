import subprocess
import sys
from types import SimpleNamespace

import pytest

from vecsmith.cli import main as door
from vecsmith.errors import DataError, Locked, MissingExtra


def test_help_names_every_verb(capsys):
    assert door.run(["--help"]) == 0
    out = capsys.readouterr().out
    assert all(f"\n  {verb} " in out for verb in door.VERBS)
    assert max(map(len, out.splitlines())) <= 80


def test_a_misspelt_verb_names_the_nearest(capsys):
    assert door.run(["serch"]) == 2
    assert 'no command "serch". Did you mean "search"?' in capsys.readouterr().err


@pytest.mark.parametrize("verb", door.VERBS)
def test_every_verb_has_help_that_opens_with_examples(verb, capsys):
    assert door.run([verb, "--help"]) == 0
    out = capsys.readouterr().out
    assert f"vecsmith {verb}" in out.split("Options")[0]


def test_a_missing_argument_is_a_usage_error(capsys):
    assert door.run(["forge"]) == 2
    assert "Missing argument" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (DataError("empty", file="a.csv", row=3, column="answer"), 3, 'vecsmith: a.csv, row 3, column "answer": empty'),
        (Locked("held"), 4, "vecsmith: held"),
        (MissingExtra("search", "BM25"), 5, 'pip install "vecsmith[search]"'),
        (KeyboardInterrupt(), 130, "goes on from the last finished step"),
        (MemoryError(), 6, "out of memory"),
        (ZeroDivisionError("x"), 70, "this is a bug in vecsmith: ZeroDivisionError"),
    ],
)
def test_errors_become_one_block_and_an_exit_code(error, code, words, monkeypatch, capsys):
    def command() -> None:
        raise error

    monkeypatch.setattr(door, "import_module", lambda name: SimpleNamespace(command=command))
    assert door.run(["doctor"]) == code
    err = capsys.readouterr().err
    assert words in err
    assert "Traceback" not in err


def test_debug_shows_the_traceback():
    out = subprocess.run(
        [sys.executable, "-m", "vecsmith", "--debug", "forge", "absent-folder", "--output", "x"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert out.returncode == 3
    assert "Traceback" in out.stderr


def test_a_closed_pipe_ends_quietly():
    out = subprocess.run(
        f"{sys.executable} -m vecsmith --help | head -n 1", shell=True, capture_output=True, text=True, check=False
    )
    assert out.stderr == ""
