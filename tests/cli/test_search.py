"""`vecsmith search` as a stranger sees it, and what a cold process costs."""

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from vecsmith.cli.main import run
from vecsmith.index.index import Index

DOCUMENTS = [
    {"id": "email.parsedate", "text": "Convert a date string to a time tuple.\n\nMore on dates.", "package": "email"},
    {"id": "email.formatdate", "text": "Return a date string as specified by RFC 2822.", "package": "email"},
    {"id": "json.dumps", "text": "Serialise an object.", "package": "json", "heading": "The way out"},
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    index = Index.create(tmp_path / "index", schema={"package": str, "heading": str}, durability="none")
    index.add(DOCUMENTS)
    return index.path


def test_hits_show_score_id_first_line_and_the_last_line_says_how_sure(folder, capsys):
    assert run(["search", str(folder), "date string to", "--where", "package = 'email'", "--k", "2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[1] == "email.parsedate"
    assert lines[0].endswith("Convert a date string to a time tuple.")
    assert lines[1] == "      More on dates."
    assert lines[2].endswith("Return a date string as specified by RFC 2822.")
    assert lines[3].startswith("2 of 2 passing rows (3 in all), exact, ")
    assert lines[3].endswith(" ms")
    assert all(len(line) <= 80 for line in lines)


def test_a_heading_comes_before_the_text_and_fields_below(folder, capsys):
    assert run(["search", str(folder), "serialise", "--fields", "heading,package"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].endswith("json.dumps  The way out")
    assert lines[1:3] == ["      Serialise an object.", "      heading=The way out, package=json"]


def test_json_is_one_document_with_the_names_of_the_result(folder, capsys):
    assert run(["search", str(folder), "date", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {hit["id"] for hit in found["hits"]} == {"email.parsedate", "email.formatdate"}
    assert found["plan"] == "scan_all"
    assert (found["passing"], found["exact"], found["mode"]) == (3, True, "lexical")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nothingness"], "No row holds a word of the query."),
        (["date", "--where", "package = 'tar'"], "No row passes the filter."),
    ],
)
def test_no_hits_say_why(folder, capsys, arguments, words):
    assert run(["search", str(folder), *arguments]) == 0
    assert capsys.readouterr().out.splitlines()[0] == words


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--where", "packege = 'x'"], 3, 'did you mean "package"'),
        (["--where", "package = 'x'; drop"], 3, "column 14"),
        (["--mode", "dense"], 2, "has only a lexical side"),
        (["--fields", "packege"], 4, '"packege" is no field'),
        (["--k", "-1"], 2, "k is -1"),
    ],
)
def test_errors_are_one_block_with_their_exit_code(folder, capsys, arguments, code, words):
    assert run(["search", str(folder), "date", *arguments]) == code
    assert words in capsys.readouterr().err


def test_a_folder_that_is_no_index_is_a_usage_error(tmp_path, capsys):
    assert run(["search", str(tmp_path), "date"]) == 2
    assert "is no index; make one with: vecsmith index create" in capsys.readouterr().err


def test_control_characters_of_a_text_do_not_reach_the_terminal(tmp_path, capsys):
    index = Index.create(tmp_path / "index", schema={}, durability="none")
    index.add([{"id": "a", "text": "red \x1b[31m alarm"}])
    run(["search", str(index.path), "alarm"])
    assert "\x1b" not in capsys.readouterr().out


COLD = """
import sys
from vecsmith.cli.main import run
code = run(sys.argv[1:])
heavy = {"torch", "transformers", "sentence_transformers", "pandas", "pyarrow", "sklearn", "scipy", "bm25s", "datasets"}
print(sorted(heavy & {name.partition(".")[0] for name in sys.modules}), file=sys.stderr)
sys.exit(code)
"""


@pytest.fixture(scope="module")
def large(tmp_path_factory) -> Path:
    """80,000 documents with the default model, dense and lexical."""
    draw, rng = random.Random(0), np.random.default_rng(0)
    words = [f"word{number}" for number in range(20_000)]
    index = Index.create(
        tmp_path_factory.mktemp("large") / "index",
        model="default",
        schema={"package": str, "length": int},
        durability="none",
    )
    rows = (
        {
            "id": f"module{n}.name",
            "text": " ".join(draw.choices(words, k=12)),
            "package": f"p{n % 300}",
            "length": n % 500,
        }
        for n in range(80_000)
    )
    vectors = rng.standard_normal((80_000, index.settings["width"]), dtype=np.float32)
    assert index.add(rows, vectors) == 80_000
    return index.path


def test_a_cold_search_of_80_000_documents_takes_under_a_processor_second_and_no_heavy_package(large):
    arguments = ["search", str(large), "parse word1 and word2", "--where", "package in ('p1', 'p2') and length > 40"]
    spent = []
    for _ in range(3):
        command = [sys.executable, "-c", COLD, *arguments]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert process.stdout is not None
        assert process.stderr is not None
        output, errors = process.stdout.read(), process.stderr.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        process.stdout.close()
        process.stderr.close()
        assert process.returncode == 0, errors
        assert errors.strip() == "[]"
        assert "passing rows (80,000 in all), exact" in output
        spent.append(usage.ru_utime + usage.ru_stime)
    assert min(spent) < 1.0, spent
