"""Real small sources: the standard library's docstrings as markdown files and as a table."""

import csv
import json
from pathlib import Path

import pytest

MODULES = """
    argparse ast asyncio base64 bisect calendar cgi codecs collections configparser contextlib copy csv datetime
    decimal difflib email enum fileinput fnmatch fractions ftplib functools gettext glob gzip hashlib heapq html
    http imaplib inspect io ipaddress json locale logging mailbox mimetypes numbers optparse pathlib pickle random
    shutil smtplib sqlite3 statistics string subprocess tarfile tempfile textwrap threading tkinter traceback
    typing unittest urllib uuid wave weakref xml zipfile
""".split()  # noqa: SIM905


def docstrings():
    from vecsmith.data.readers.docstrings import read_docstrings

    wanted = set(MODULES)
    return [d for d in read_docstrings("stdlib") if d.package in wanted and 60 <= len(d.text) <= 3000]


@pytest.fixture(scope="session")
def pages(tmp_path_factory) -> Path:
    """About sixty markdown files, one per package of the standard library, a heading per docstring."""
    folder = tmp_path_factory.mktemp("pages")
    by_package: dict[str, list] = {}
    for docstring in docstrings():
        by_package.setdefault(docstring.package, []).append(docstring)
    for package, entries in by_package.items():
        parts = [f"# {package}\n"]
        parts += [f"## {entry.id.rpartition('.')[2].replace('_', ' ')}\n\n{entry.text}\n" for entry in entries[:25]]
        (folder / f"{package}.md").write_text("\n".join(parts), encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def table(tmp_path_factory) -> Path:
    """A csv of questions (names) and answers (docstrings) with an attribute."""
    path = tmp_path_factory.mktemp("table") / "faq.csv"
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["question", "answer", "package", "length"])
        for entry in docstrings()[:900]:
            words = entry.id.rpartition(".")[2].replace("_", " ")
            writer.writerow([f"what does {words} do?", entry.text, entry.package, len(entry.text)])
    return path


@pytest.fixture
def read_json():
    return lambda path: json.loads(Path(path).read_text(encoding="utf-8"))
