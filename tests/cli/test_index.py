"""`vecsmith index`: from a table to an index, its changes and its check."""

import json
from pathlib import Path

import pytest

from vecsmith.cli.main import run

TABLE = """question,answer,product,year
how to reset,Hold the button for ten seconds to reset the router.,router,2020
how to pair,Press both keys to pair the phone.,phone,2019
how to mute,Turn the wheel to zero to mute the phone.,phone,2021
"""


@pytest.fixture
def table(tmp_path: Path) -> Path:
    (tmp_path / "faq.csv").write_text(TABLE)
    return tmp_path / "faq.csv"


@pytest.fixture
def made(tmp_path, table, capsys) -> Path:
    folder = tmp_path / "index"
    columns = ["--document", "answer", "--attributes", "product,year"]
    assert run(["index", "create", str(folder), str(table), *columns, "--no-dense"]) == 0
    output = capsys.readouterr().out
    assert "added: 3" in output
    assert f'Next: vecsmith search {folder} "what you look for"' in output
    return folder


def last_json(capsys) -> dict:
    return json.loads(capsys.readouterr().out)


def test_a_table_becomes_an_index_with_typed_attributes(made, capsys):
    assert run(["search", str(made), "reset", "--where", "year >= 2020", "--json"]) == 0
    hits = last_json(capsys)["hits"]
    assert [hit["fields"] for hit in hits] == [{"product": "router", "year": 2020}]


def test_a_folder_of_documents_becomes_an_index_with_vectors(tmp_path, capsys):
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.md").write_text("# Router\n\nHold the button to reset it.\n\n# Phone\n\nPress both keys.\n")
    assert run(["index", "create", str(tmp_path / "index"), str(tmp_path / "docs"), "--json"]) == 0
    stats = last_json(capsys)
    assert stats["documents"] == stats["added"] > 0
    assert stats["model"]["name"] == "default"
    assert (
        run(["search", str(tmp_path / "index"), "how do I reset it", "--where", "heading is not null", "--json"]) == 0
    )
    assert "reset" in last_json(capsys)["hits"][0]["text"]


def test_adding_twice_is_refused_and_upsert_replaces(made, table, capsys):
    add = ["index", "add", str(made), str(table), "--document", "answer", "--attributes", "product,year"]
    assert run(add) == 4
    assert "already; nothing was added. Use upsert" in capsys.readouterr().err
    assert run([*add, "--upsert", "--json"]) == 0
    assert (last_json(capsys)["documents"]) == 3


def test_delete_compact_gc_and_verify(made, capsys):
    assert run(["index", "delete", str(made), "ghost", "--json"]) == 0
    found = last_json(capsys)
    assert (found["deleted"], found["missing"]) == (0, 1)
    assert run(["index", "delete", str(made), "--where", "year < 2020", "--json"]) == 0
    assert last_json(capsys)["deleted"] == 1
    assert run(["index", "compact", str(made), "--json"]) == 0
    assert last_json(capsys)["compacted"] is True
    assert run(["index", "gc", str(made), "--grace-seconds", "0", "--json"]) == 0
    assert last_json(capsys)["documents"] == 2
    assert run(["index", "verify", str(made), "--deep"]) == 0
    assert "2 documents" in capsys.readouterr().out


def test_verify_names_a_changed_file_and_exits_4(made, capsys):
    (path,) = (made / "segments").glob("*/texts.utf8")
    path.write_bytes(path.read_bytes().replace(b"router", b"toaster"[:6]))
    assert run(["index", "verify", str(made)]) == 4
    errors = capsys.readouterr().err
    assert "1 problem" in errors
    assert "texts.utf8: its content changed" in errors


def test_an_empty_index_takes_a_declared_schema(tmp_path, capsys):
    assert run(["index", "create", str(tmp_path / "i"), "--schema", "year=int,tags=set", "--no-dense", "--json"]) == 0
    assert last_json(capsys)["fields"] == {"year": "int", "tags": "set"}
    assert run(["index", "create", str(tmp_path / "j"), "--schema", "year"]) == 2
    assert '"year" has no type; write year=string' in capsys.readouterr().err
