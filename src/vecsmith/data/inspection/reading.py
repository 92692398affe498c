"""From a path to a dataset, leniently: what `vecsmith.read` would refuse for want of a word is settled here by what the
file shows, and said. A table's columns that nobody named are kept as attributes, the scale of scores is what they span,
pairs with a label in words are pairs, and a table without a text column is read row by row."""

import math
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from vecsmith.data.dataset import Dataset
from vecsmith.data.formats import FORMAT_NAMES, Found, find
from vecsmith.data.readers.rows import open_rows
from vecsmith.data.readers.table_columns import KNOWN, Columns
from vecsmith.data.readers.table_formats import table_format
from vecsmith.data.readers.table_lines import read_lines
from vecsmith.data.readers.tables import Table, read_table
from vecsmith.errors import DataError, VecsmithError
from vecsmith.progress import SILENT, Progress, Task

__all__ = ["Part", "Reading", "read_leniently"]

SAMPLE = 1000
# What reads a format whatever nobody declared.
LENIENT: dict[str, dict[str, Any]] = {
    "saved_dataset": {},
    **{name: {"attributes": "*", "on_empty": "skip"} for name in ("arrow_dataset", "sentence_transformers")},
    **{name: {"attributes": "*", "ignore": "*", "on_empty": "skip"} for name in ("beir", "mteb_retrieval")},
}
KINDS = {
    "retrieval": "queries and their answers",
    "pair": "pairs of texts",
    "scored": "pairs of texts with a score",
    "class": "texts with a label",
    "plain": "texts",
}


@dataclass(frozen=True)
class Part:
    """A column, what it became ("query", "attribute", "left out", ...), and why."""

    column: str
    part: str
    why: str


@dataclass
class Reading:
    """What a path was read as.

    words      what it is, for people
    parts      of a table's columns
    files      (name, split or role, rows or None)
    notes      what was settled, a line each
    faults     what was passed over, and the way out
    options    the arguments of `vecsmith.read` that read it so
    """

    words: str
    kind: str
    dataset: Dataset
    parts: tuple[Part, ...] = ()
    files: tuple[tuple[str, str, int | None], ...] = ()
    notes: list[str] = field(default_factory=list)
    faults: list[tuple[str, str]] = field(default_factory=list)
    options: Mapping[str, Any] = field(default_factory=dict)


def read_leniently(
    path: Path,
    folder: Path,
    options: Mapping[str, Any],
    *,
    limit: int | None = None,
    count_tokens: Callable[[str], int] | None = None,
    progress: Progress = SILENT,
) -> Reading:
    """Read a path for looking at.

    folder         where the dataset is written
    options        arguments of `vecsmith.read` that were given
    limit          at most so many rows of each file of a table
    count_tokens   for a folder of documents, which is cut into passages
    raises         DataError: nothing there, or a file that cannot be read as what it is
    """
    found = _found(path, options.get("format"))
    if found.format == "table":
        return _tables(path, folder, found, dict(options), limit, progress)
    if found.format == "documents":
        return _documents(path, folder, count_tokens, limit, progress)
    if found.format == "unknown":
        hint = "" if path.is_dir() else ". Say what it is: --format (tables: csv, tsv, jsonl, parquet)"
        raise DataError(f"{found.how}{hint}", file=path)
    from vecsmith.data.read import read

    listening, faults = _Listening(progress), []
    given = {name: value for name, value in options.items() if value is not None}
    chosen = {**LENIENT.get(found.format, {"ignore": "*", "on_empty": "skip"}), **given}
    try:
        dataset = read(path, folder=folder, progress=listening, **chosen)
    except DataError as error:
        if found.format != "beir" or "stands in" not in str(error):
            raise
        faults.append((f"an id names two documents: {_place_of(error)}", 'the first of each stays: on_repeat="first"'))
        dataset = read(path, folder=folder, progress=listening, **chosen, on_repeat="first")
    lost = [note for note in listening.notes if "without" in note]
    faults += [(note.removeprefix(f"{path}: "), "fill them at the source; they were left out") for note in lost]
    notes = [note.removeprefix(f"{path}: ") for note in listening.notes if note not in lost]
    files = tuple((file.name, role, None) for role, paths in found.files.items() for file in paths)
    kind = ", ".join(sorted(dataset.records["kind"].unique().to_pylist()))
    words = f"{FORMAT_NAMES.get(found.format, found.format)} ({found.how})"
    return Reading(words, kind, dataset, files=files, notes=notes, faults=faults, options=chosen)


def _place_of(error: DataError) -> str:
    """Where a repeated id stands, without the path and the advice."""
    return str(error).removeprefix(f"{error.file}, ").partition("; ")[0]


def _found(path: Path, format: str | None) -> Found:
    """The format, by name or else by content. DataError: a folder of several tables."""
    found = find(path, format=format)
    if format is None and path.is_dir() and found.format == "documents":
        tables = sorted(entry.name for entry in path.iterdir() if entry.is_file() and table_format(entry))
        if tables:
            raise DataError(
                f"a folder of {len(tables):,} tables that are not the splits of one set ({', '.join(tables[:6])}"
                f"{', ...' if len(tables) > 6 else ''}). Name one of them",
                file=path,
            )
    unnamed = format is None and found.format in ("documents", "unknown") and table_format(path) is None
    return (_by_content(path) if unnamed and path.is_file() else None) or found


def _by_content(path: Path) -> Found | None:
    """A table whose name does not say so: its first lines have equally many tabs, or commas."""
    try:
        lines = list(islice(read_lines(path), 50))
    except VecsmithError:
        return None
    for mark, format, name, few in (("\t", "tsv", "tabs", {0}), (",", "csv", "commas", {0, 1})):
        counts = {line.count(mark) for line in lines}
        if len(lines) > 1 and len(counts) == 1 and counts.isdisjoint(few):
            how = f"{path.name} has {counts.pop() + 1} cells between {name} in each line, whatever its name says"
            return Found("table", {"": (path,)}, how, format)
    return None


def _documents(
    path: Path, folder: Path, count_tokens: Callable[[str], int] | None, limit: int | None, progress: Progress
) -> Reading:
    from vecsmith.data.source import open_source

    source = open_source(path, count_tokens=count_tokens or len, limit=limit)
    with Dataset.build(name=path.name, folder=folder) as builder:
        source.write(builder, progress=progress)
        dataset = builder.finish()
    told = source.describe()
    words = f"documents, cut into passages: {told['words']}"
    notes = [f"queries are made from the text itself: {source.query_words()}"]
    way_out = "is one of them the data? Name it, and say what it is: --format csv, tsv, jsonl, json, lines or lists"
    faults = [(note, way_out) for note in told["notes"]]
    return Reading(words, "retrieval", dataset, notes=notes, faults=faults)


def _tables(
    path: Path, folder: Path, found: Found, options: dict[str, Any], limit: int | None, progress: Progress
) -> Reading:
    if isinstance(found.parts, str):
        options["format"] = found.parts
    first = next(iter(found.files.values()))[0]
    settled, notes = _settle(first, options)
    tables: list[tuple[str, Table]] = []
    for split, paths in found.files.items():
        for file in paths:
            tables.append((split, read_table(file, **settled, progress=progress)))  # noqa: PERF401
    columns = tables[0][1].columns
    files, skipped = [], Counter[str]()
    with Dataset.build(name=path.name.split(".")[0], folder=folder) as builder:
        for split, table in tables:
            builder.declare_attributes(table.columns.attributes, readings=table.readings)
            count = 0
            for row in islice(table, limit):
                row.split = row.split or split or None
                table.write_row(builder, row)
                count += 1
            files.append((table.path.name, split, count))
            skipped["rows without a text were left out"] += table.skipped
            skipped["rows without a query gave their document only"] += table.without_query
        dataset = builder.finish()
    if limit is not None and any(rows == limit for _, _, rows in files):
        notes.append(f"only the first {limit:,} rows of each file were read (--limit)")
    faults = [
        (f"{count:,} {words}", 'fill them at the source, or read them so: on_empty="skip"')
        for words, count in skipped.items()
        if count
    ]
    kind = tables[0][1].kind
    delimited = {"csv": "values between commas", "tsv": "values between tabs", "jsonl": "JSON, an object per line"}
    words = f"a table ({delimited.get(tables[0][1].format, tables[0][1].format)}) of {KINDS[kind]}"
    return Reading(words, kind, dataset, _parts(columns, settled, options, kind), tuple(files), notes, faults, settled)


def _settle(path: Path, given: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Arguments of `read_table` that read the file whatever it lacks, and what was settled, in words."""
    options = {name: value for name, value in given.items() if value is not None}
    options.setdefault("on_empty", "skip")
    notes: list[str] = []
    if "header" not in options and (first := _first_line(path, options)) and not _is_header(first):
        options["header"] = False
        notes.append(
            "the first line looks like a row, so the columns are called 1, 2, ...; name them: --header text,label,..."
        )
    sample = _sample(path, options)
    names = list(dict.fromkeys(name for cells in sample for name in cells))
    if "attributes" not in options and "*" not in options.get("ignore", ()):
        options["attributes"] = "*"
        nested = [name for name in names if any(_is_nested(cells.get(name)) for cells in sample)]
        if nested and "ignore" not in options:
            options["ignore"] = tuple(nested)
            notes.append(f"left out, as they hold objects: {', '.join(nested)}")
    table = _readable(path, options, sample, names, notes)
    columns = table.columns
    if table.kind == "plain" and "document" not in options and _is_code(sample, columns.document):
        longest = _longest(sample, names)
        if longest is not None:
            options["document"] = longest
            notes.append(f"{columns.document} has few short values, so {longest}, with the longest texts, is taken")
            table = read_table(path, **options)
    if columns.label and _is_title(columns.query) and not given.get("query") and "kind" not in options:
        options["document"] = f"{{{columns.query}}}\n{{{columns.document}}}"
        notes.append(f"{columns.query} and {columns.document} are read together, as the text that has the label")
        table = read_table(path, **options)
    score = table.columns.score or (table.columns.label if table.kind == "scored" else None)
    if score is not None and "score_range" not in options:
        low, high = _span(path, options, score)
        if low < 0 or high > 1:
            options["score_range"] = (low, high)
            notes.append(
                f"scores from {low:g} to {high:g} are brought to 0..1; is the scale another? --score-range LOW,HIGH"
            )
    return options, notes


def _sample(path: Path, options: Mapping[str, Any]) -> list[dict[str, Any]]:
    how = {name: options[name] for name in ("format", "delimiter", "quoting", "header") if name in options}
    return [cells for _, cells in islice(open_rows(path, **how), SAMPLE)]


def _readable(
    path: Path, options: dict[str, Any], sample: list[dict[str, Any]], names: list[str], notes: list[str]
) -> Table:
    """The table, with what it lacks put into the options."""
    try:
        return read_table(path, **options)
    except DataError as error:
        if "no column is recognised as the text" in str(error):
            longest = _longest(sample, names)
            options["document"], options["attributes"] = longest or "{*}", "*"
            notes.append(
                f"no column has a name that texts have; {longest} has the longest texts, so it is taken"
                if longest
                else "no column is known to be the text, so each row is read as one text of names and values"
            )
        elif "does not say which pairs belong together" in str(error):
            options["kind"] = "pair"
            table = read_table(path, **options)
            if not _is_title(table.columns.query):
                notes.append("labels in words do not say which pairs belong together: pairs with a label")
                return table
            columns = table.columns
            options["document"] = f"{{{columns.query}}}\n{{{columns.document}}}"
            options["kind"] = "class"
            notes.append(f"{columns.query} and {columns.document} are read together, as the text that has the label")
        else:
            raise
        return read_table(path, **options)


def _is_code(sample: list[dict[str, Any]], column: str | None) -> bool:
    """Whether a column holds a few short values again and again, whatever its name is."""
    values = [str(cells.get(column or "")) for cells in sample]
    return len(values) >= 100 and len(set(values)) <= 20 and max(map(len, values)) <= 30


def _is_title(column: str | None) -> bool:
    return column is not None and column.strip().lower() == "title"


def _first_line(path: Path, options: Mapping[str, Any]) -> list[str]:
    """The cells of the first line of a delimited file; empty for other formats."""
    if (options.get("format") or table_format(path)) not in ("csv", "tsv"):
        return []
    how = {name: options[name] for name in ("format", "delimiter", "quoting") if name in options}
    return [str(cell) for _, cells in islice(open_rows(path, header=False, **how), 1) for cell in cells.values()]


def _is_header(cells: list[str]) -> bool:
    """Whether cells are names of columns: short, and no numbers."""
    return all(len(cell) <= 60 and not re.fullmatch(r"[-+]?[\d.,]+", cell.strip()) for cell in cells)


def _is_nested(value: Any) -> bool:
    return isinstance(value, dict) or (
        isinstance(value, list) and any(isinstance(member, dict | list) for member in value)
    )


def _longest(sample: list[dict[str, Any]], names: list[str]) -> str | None:
    """The column with the longest texts, if most of them have several words."""
    sizes = {
        name: sum(len(value) for cells in sample if isinstance(value := cells.get(name), str) and " " in value)
        for name in names
    }
    best = max(sizes, key=lambda name: sizes[name], default=None)
    return best if best is not None and sizes[best] > 20 * len(sample) else None


def _span(path: Path, options: Mapping[str, Any], score: str) -> tuple[float, float]:
    """Least and greatest whole number around the scores of a file."""
    how = {name: options[name] for name in ("format", "delimiter", "quoting", "header") if name in options}
    low, high = 0.0, 1.0
    for _, cells in open_rows(path, **how):
        try:
            value = float(cells.get(score) or 0)
        except (TypeError, ValueError):
            continue
        if math.isfinite(value):
            low, high = min(low, value), max(high, value)
    return float(math.floor(low)), float(math.ceil(high))


def _parts(columns: Columns, settled: Mapping[str, Any], given: Mapping[str, Any], kind: str) -> tuple[Part, ...]:
    found = []
    for role in KNOWN:
        name = getattr(columns, role)
        if name is None:
            continue
        why = "as you said" if given.get(role) == name else "by its name" if settled.get(role) != name else "settled"
        found.append(Part(name.replace("\n", " "), _role(role, kind), why))
    lists = (("negatives", "negative", columns.negatives), ("attributes", "attribute", columns.attributes))
    for role, part, names in lists:
        said = given.get(role) or ()
        said = (said,) if isinstance(said, str) else said
        why = "by its name" if role == "negatives" else "nobody named it"
        found += [Part(name, part, "as you said" if name in said or "*" in said else why) for name in names]
    said = given.get("ignore") or ()
    found += [Part(name, "left out", "as you said" if said else "it holds objects") for name in columns.ignored]
    return tuple(found)


def _role(role: str, kind: str) -> str:
    if kind in ("pair", "scored"):
        role = {"query": "left text", "document": "right text"}.get(role, role)
    return "text" if role == "document" and kind in ("class", "plain") else role


class _Listening:
    """Progress that also keeps what was said."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self.notes: list[str] = []

    @contextmanager
    def task(self, name: str, total: int | None = None, unit: str = "it") -> Iterator[Task]:
        with self._progress.task(name, total, unit) as task:
            yield task

    def say(self, text: str) -> None:
        self.notes.append(text)
