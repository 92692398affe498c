"""Folders of documents: what is read, and that nothing is passed over in silence."""

import os
import shutil

import pytest

from vecsmith.data.readers.documents import decode, documents_manifest, list_files, read_folder
from vecsmith.data.readers.found import NAMED, Found
from vecsmith.errors import DataError


@pytest.fixture
def folder(tmp_path):
    files = {
        "b.txt": b"Plain text.\n\nMore.",
        "a.md": b"# Guide\n\nRead me.",
        "sub/page.html": b"<title>Page</title><h1>Head</h1><p>Body",
        "sub/code.py": b'def f():\n    """Do f."""\n    return 1\n',
        "sub/notes.rst": b"Notes\n=====\n\nText.",
    }
    for name, data in files.items():
        (tmp_path / "docs" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "docs" / name).write_bytes(data)
    return tmp_path / "docs"


def read(folder, **options):
    found = Found()
    return list(read_folder(folder, found=found, **options)), found


def test_every_kind_is_read_in_the_order_of_names(folder):
    files, found = read(folder)
    assert [(file.name, file.title, file.folder) for file in files] == [
        ("a.md", "Guide", ""),
        ("b.txt", "b", ""),
        ("sub/code.py", "code", "sub"),
        ("sub/notes.rst", "Notes", "sub"),
        ("sub/page.html", "Page", "sub"),
    ]
    assert found.files == 5
    assert not found.skipped


def test_files_that_cannot_be_read_are_counted_and_named(folder):
    (folder / "empty.txt").write_bytes(b" \n")
    (folder / "binary.md").write_bytes(b"\x7fELF\0\0")
    (folder / "latin.txt").write_bytes("caf\u00e9 au lait".encode("latin-1"))
    (folder / "void.html").write_bytes(b"<script>x</script>")
    files, found = read(folder)
    assert len(files) == 5
    names = {reason: entry["names"] for reason, entry in found.describe().items()}
    assert names == {"empty": ["empty.txt", "void.html"], "binary": ["binary.md"], "wrongly encoded": ["latin.txt"]}


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "lone.txt: empty: it holds no text"),
        (b"a\0b", "binary: it holds NUL bytes. Only text is read"),
        (b"ab\xff", "wrongly encoded: no utf-8 at byte 2. Save it as UTF-8"),
    ],
)
def test_a_single_bad_file_is_an_error_that_names_it(tmp_path, data, words):
    (tmp_path / "lone.txt").write_bytes(data)
    with pytest.raises(DataError, match=words):
        list(read_folder(tmp_path / "lone.txt"))


def test_unsupported_hidden_and_linked_files_are_counted(folder, tmp_path):
    outside = tmp_path / "secret.txt"
    outside.write_text("secret")
    (folder / "leak.txt").symlink_to(outside)
    (folder / "loop").symlink_to(folder)
    (folder / ".git").mkdir()
    (folder / ".git" / "config.txt").write_text("hidden")
    (folder / "paper.PDF").write_bytes(b"%PDF")
    (folder / "Makefile").write_text("all:")
    os.mkfifo(folder / "pipe.txt")
    files, found = read(folder)
    assert len(files) == 5
    assert dict(found.skipped) == {
        "link, not followed": 2,
        "hidden": 1,
        "unsupported: .pdf": 1,
        "unsupported: no suffix": 1,
        "no plain file": 1,
    }


def test_a_link_that_takes_the_place_of_a_file_is_not_opened(folder, tmp_path):
    listed = list_files(folder)
    (tmp_path / "secret.txt").write_text("secret")
    (folder / "b.txt").unlink()
    (folder / "b.txt").symlink_to(tmp_path / "secret.txt")
    from vecsmith.data.readers.documents import _read_file

    with pytest.raises(DataError, match=r"b.txt: unreadable"):
        _read_file(listed[1])


def test_a_python_file_that_does_not_parse_is_read_as_text(folder):
    (folder / "old.py").write_text("print 'x'\n\nprint 'y'\n")
    files, found = read(folder)
    assert found.names["read as plain text: no Python"] == ["old.py"]
    assert not next(file for file in files if file.name == "old.py").definitions


def test_encodings_are_taken_from_marks_and_declarations():
    assert decode("é".encode("utf-16")) == "é"
    assert decode(b"\xef\xbb\xbfx") == "x"
    assert decode("<meta charset='latin-1'>é".encode("latin-1"), format="html").endswith("é")
    assert decode("# coding: latin-1\n# é".encode("latin-1"), format="python").endswith("é")
    assert decode(b"one\r\ntwo") == "one\r\ntwo"


def test_an_unknown_encoding_is_named():
    with pytest.raises(DataError, match="wrongly encoded: no klingon"):
        decode(b"<meta charset=klingon>x", format="html")


def test_a_missing_path_or_a_file_of_another_kind_is_an_error(tmp_path):
    with pytest.raises(DataError, match="no such file or folder"):
        list_files(tmp_path / "none")
    (tmp_path / "x.doc").write_bytes(b"x")
    with pytest.raises(DataError, match=r'suffix ".doc"; documents end in .txt'):
        list_files(tmp_path / "x.doc")


def test_the_manifest_changes_with_any_file(folder, tmp_path):
    before = documents_manifest(folder)
    assert before == documents_manifest(folder)
    (folder / "b.txt").write_text("Plain text.\n\nLess.")
    assert documents_manifest(folder) != before
    shutil.copytree(folder, tmp_path / "copy")
    assert documents_manifest(tmp_path / "copy") == documents_manifest(folder)  # times are copied too


def test_names_are_kept_for_a_bounded_number_of_files():
    found = Found()
    for number in range(1000):
        found.skip("empty", f"{number}.txt")
    assert found.describe()["empty"]["count"] == 1000
    assert len(found.describe()["empty"]["names"]) == NAMED
