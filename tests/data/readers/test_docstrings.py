"""Docstrings read with `ast` are those that Python itself holds."""

import email.message
import importlib
import inspect
import json
import json.decoder
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vecsmith.data.readers import docstrings
from vecsmith.data.readers.docstring_packages import package_split
from vecsmith.data.readers.docstring_parse import MAX_BYTES, parse_docstrings, parse_file
from vecsmith.data.readers.docstrings import docstring_manifest, list_modules, read_docstrings
from vecsmith.data.readers.found import Found
from vecsmith.errors import DataError, UsageError


@pytest.fixture(scope="module")
def stdlib():
    return {docstring.id: docstring for docstring in read_docstrings("stdlib", workers=1)}


def test_docstrings_are_those_that_python_holds(stdlib):
    checked = 0
    for name in ("json.decoder", "email.message", "argparse", "textwrap", "fractions", "configparser", "zipfile"):
        module = importlib.import_module(name)
        for qualified in [key for key in stdlib if key.startswith(f"{name}.") and "#" not in key]:
            if stdlib[qualified].module != name:
                continue
            value = module
            for part in qualified.removeprefix(f"{name}.").split("."):
                value = inspect.getattr_static(value, part, None)
            value = getattr(value, "__func__", value)
            if value is not None and (text := getattr(value, "__doc__", None)):
                assert stdlib[qualified].text == inspect.cleandoc(text).strip(), qualified
                checked += 1
    assert checked > 150


def test_there_are_thousands_with_attributes_of_one_type(stdlib):
    assert len(stdlib) > 6000
    assert stdlib["json"].attributes == {
        "package": "json",
        "kind": "module",
        "module": "json",
        "length": len(inspect.cleandoc(json.__doc__).strip()),
        "has_example": True,
    }
    assert stdlib["json.decoder.JSONDecoder.decode"].kind == "method"
    assert stdlib["json.decoder.JSONDecoder"].kind == "class"
    assert stdlib["json.loads"].kind == "function"
    assert stdlib["email.message.Message"].text == inspect.cleandoc(email.message.Message.__doc__).strip()


def test_workers_give_what_one_process_gives(monkeypatch):
    monkeypatch.setattr(docstrings, "_POOL_FROM", 1)
    monkeypatch.setattr(docstrings.os, "cpu_count", lambda: 3)
    root, found = Path(email.message.__file__).parent, Found()
    alone = list(read_docstrings(roots=[root], workers=1))
    assert list(read_docstrings(roots=[root], workers=3, found=found)) == alone
    assert found.documents == len(alone) > 200


def test_a_reader_that_is_left_early_leaves_no_process_behind(monkeypatch):
    monkeypatch.setattr(docstrings, "_POOL_FROM", 1)
    monkeypatch.setattr(docstrings.os, "cpu_count", lambda: 2)
    started = []
    popen = subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", lambda *a, **k: started.append(popen(*a, **k)) or started[-1])
    reader = read_docstrings(roots=[Path(email.message.__file__).parent])
    next(reader)
    reader.close()
    assert [process.poll() is not None for process in started] == [True, True]


def test_nothing_is_imported():
    script = (
        "import sys; from vecsmith.data.readers.docstrings import read_docstrings\n"
        "before = set(sys.modules); docs = list(read_docstrings('stdlib', limit=300))\n"
        "new = [name for name in set(sys.modules) - before if 'sysconfig' not in name]\n"
        "print(len(docs), new, 'numpy' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    count, rest = run.stdout.strip().split(" ", 1)
    assert 250 <= int(count) <= 300
    assert rest == "[] False"


def test_a_sample_is_deterministic_and_keeps_packages_on_every_side():
    first = list(read_docstrings("stdlib", limit=400))
    assert first == list(read_docstrings("stdlib", limit=400))
    assert len(first) == 400
    packages = {docstring.package for docstring in first}
    for side in ("train", "dev", "test"):
        assert sum(package_split(package) == side for package in packages) >= 4
    assert {docstring.id for docstring in read_docstrings("stdlib", limit=400, seed=1)} != {d.id for d in first}


@given(st.integers(1, 60))
def test_a_limit_is_never_passed(limit):
    assert len(list(read_docstrings(roots=[inspect.getsourcefile(json).removesuffix("__init__.py")], limit=limit))) <= (
        limit + 2  # every side may give one
    )


def test_definitions_are_found_wherever_they_stand():
    source = b'''
"""Top."""
if True:
    class A:
        """a"""
        def f(self):
            """f"""
            def inner():
                """inner"""
try:
    def g(): "g"
except ImportError:
    def g():
        """other g"""
async def h():
    """
    h

      more
    """
'''
    assert parse_docstrings(source) == [
        ("", "module", "Top."),
        ("A", "class", "a"),
        ("A.f", "method", "f"),
        ("A.f.inner", "function", "inner"),
        ("g", "function", "g"),
        ("g", "function", "other g"),
        ("h", "function", "h\n\n  more"),
    ]


def test_files_that_cannot_be_read_are_counted_and_the_rest_is_read(tmp_path):
    (tmp_path / "pkg").mkdir()
    (tmp_path / "pkg" / "__init__.py").write_text('"""Package."""\ndef f():\n    """one"""\ndef f():\n    """two"""')
    (tmp_path / "pkg" / "broken.py").write_text('def """x"""')
    (tmp_path / "pkg" / "nul.py").write_bytes(b'"""x\0"""')
    (tmp_path / "pkg" / "latin.py").write_bytes(b'"""caf\xe9"""')
    (tmp_path / "pkg" / "deep.py").write_text('"""x"""\nx = ' + "(" * 5000 + ")" * 5000)
    (tmp_path / "pkg" / "huge.py").write_text('"""x"""\n' + "#" * MAX_BYTES)
    (tmp_path / "pkg" / "half.py").write_text('"""half \\ud800 of a pair \\d"""')
    found = Found()
    texts = {docstring.id: docstring.text for docstring in read_docstrings(roots=[tmp_path], found=found)}
    assert texts == {"pkg": "Package.", "pkg.f": "one", "pkg.f#2": "two", "pkg.half": "half ? of a pair \\d"}
    assert dict(found.skipped) == {"no Python": 4, "too large": 1}
    assert parse_file(str(tmp_path / "gone.py")) == ("unreadable", [])


def test_the_manifest_changes_when_a_package_is_added(tmp_path):
    (tmp_path / "one.py").write_text('"""One."""')
    before = docstring_manifest(roots=[tmp_path])
    (tmp_path / "two.py").write_text('"""Two."""')
    assert docstring_manifest(roots=[tmp_path]) != before
    assert [file.module for file in list_modules(roots=[tmp_path])] == ["one", "two"]


def test_an_unknown_source_or_root_is_named(tmp_path):
    with pytest.raises(UsageError, match='docstrings of "mars" are unknown; "stdlib" and "installed" exist'):
        list(read_docstrings("mars"))
    with pytest.raises(DataError, match="no such folder of packages"):
        list(read_docstrings(roots=[tmp_path / "none"]))
