"""What a path holds: which of the field's formats, of what kind, and which files and columns say so.

    >>> recognise(Path("scifact"))  # doctest: +SKIP
    Recognised(format="beir", kind="retrieval", columns={...}, files={"corpus": ..., "test": ...}, how="...")

Nothing is read but names and the first rows. `vecsmith.read` reads what is recognised here.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from vecsmith.data.layout import DESCRIPTION
from vecsmith.data.readers.beir import beir_files, is_beir
from vecsmith.data.readers.documents import SUFFIXES
from vecsmith.data.readers.table_columns import Columns
from vecsmith.data.readers.table_formats import FORMATS, table_format
from vecsmith.data.readers.table_lines import check_file
from vecsmith.errors import DataError, UsageError

__all__ = ["FORMAT_NAMES", "Found", "Recognised", "find", "recognise"]

Files = Mapping[str, tuple[Path, ...]]

FORMAT_NAMES = {
    "table": "a table",
    "beir": "a retrieval set in the layout of BEIR",
    "saved_dataset": "a dataset that vecsmith saved",
    "documents": "documents",
    "unknown": "nothing that is known here",
}


@dataclass(frozen=True)
class Recognised:
    """What a path holds.

    format     a key of FORMAT_NAMES
    kind       pair, triplet, scored, class, retrieval or plain; None where the rows do not say it
    columns    role -> column, several as a tuple: query, document, negatives, score, label, id, group, split, ...;
               "undeclared": columns without a part, which reading refuses until they are declared
    files      role (corpus, queries) or split -> files; "" where files belong to no split
    how        a sentence for people: what it is, and what told so
    """

    format: str
    kind: str | None = None
    columns: Mapping[str, str | tuple[str, ...]] = field(default_factory=dict)
    files: Files = field(default_factory=dict)
    how: str = ""


@dataclass(frozen=True)
class Found:
    """The format and the files of a path, before any column is looked at; `parts` is what its reader wants."""

    format: str
    files: Files
    how: str
    parts: Any = None


def recognise(path: str | Path, *, format: str | None = None, **columns: Any) -> Recognised:
    """Say what a file or folder holds, by its names and first rows.

    format     one of FORMAT_NAMES, or csv, tsv, jsonl, parquet for a table whose name does not say it; None: find out
    columns    as for `vecsmith.read`: query, document, ...; columns that nobody declared are listed, not refused
    raises     DataError: nothing there, or first rows that cannot be read; UsageError: an unknown format.
               What is there and is no format of these is no error: format "unknown", and `how` says why
    """
    path = Path(path)
    found = find(path, format=format)
    if found.format == "table":
        return _of_table(found, format, columns)
    if found.format == "beir":
        return Recognised("beir", "retrieval", {"id": "_id", "document": "text"}, found.files, found.how)
    return Recognised(found.format, None, {}, found.files, found.how)


def find(path: Path, *, format: str | None = None) -> Found:
    """The format of a path and its files; see `recognise` for the arguments."""
    known = {*FORMAT_NAMES, *FORMATS.values()} - {"unknown"}
    if format is not None and format not in known:
        raise UsageError(f'format is "{format}"; known: {", ".join(sorted(known))}')
    if path.is_dir():
        return _find_folder(path, format)
    check_file(path)
    if format is None and path.suffix.lower() in SUFFIXES:
        return Found("documents", {"": (path,)}, f"{path.name} is a document, by its ending")
    kind = table_format(path)
    if kind is None and format is None:
        endings = ", ".join(FORMATS)
        return Found("unknown", {"": (path,)}, f"the ending of {path.name} is no format's; tables end in {endings}")
    return Found("table", {"": (path,)}, f"{path.name} is a table ({format or kind})")


def _find_folder(path: Path, format: str | None) -> Found:
    if format == "saved_dataset" or (format is None and (path / DESCRIPTION).exists()):
        return Found("saved_dataset", {"": (path,)}, f"{path.name} holds {DESCRIPTION}, so vecsmith saved it")
    if format == "beir" or (format is None and is_beir(path)):
        files = beir_files(path)
        how = f"{path.name} has corpus, queries and qrels ({', '.join(files.judgements)}), as BEIR lays them out"
        if files.passed_over:
            how += f"; passed over: {', '.join(files.passed_over)}"
        return Found("beir", files.named(), how, files)
    endings = {entry.suffix.lower() for entry in islice(path.rglob("*"), 10_000)}
    if endings & {*SUFFIXES}:
        return Found("documents", {"": (path,)}, f"{path.name} is a folder of documents")
    return Found("unknown", {"": (path,)}, f"{path.name} is a folder without any file that is known here")


def _of_table(found: Found, format: str | None, columns: dict[str, Any]) -> Recognised:
    from vecsmith.data.readers.tables import read_table

    files = [file for paths in found.files.values() for file in paths]
    options = {**columns, "ignore": columns.get("ignore") or "*", "format": format}
    try:
        table = read_table(files[0], **options)
    except DataError as error:
        return Recognised("table", None, {}, found.files, f"{found.how}; {_words(error, files[0])}")
    parts = named_columns(table.columns)
    if not columns.get("ignore") and "ignored" in parts:
        parts["undeclared"] = parts.pop("ignored")
    kind = "triplet" if table.columns.negatives and table.kind != "scored" else table.kind
    return Recognised("table", kind, parts, found.files, f"{found.how}: {table.columns.describe()}")


def named_columns(columns: Columns) -> dict[str, str | tuple[str, ...]]:
    """Role -> column, without the roles that no column has."""
    roles = ("query", "document", "id", "group", "score", "label", "split", "weight", "negatives", "attributes")
    return {role: value for role in (*roles, "ignored") if (value := getattr(columns, role))}


def _words(error: DataError, file: Path) -> str:
    """A message without its file, which the sentence before names."""
    return str(error).removeprefix(f"{file}, ").removeprefix(f"{file}: ")
