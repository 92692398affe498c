"""What a path holds: which of the field's formats, of what kind, and which files and columns say so.

    >>> recognise(Path("scifact"))  # doctest: +SKIP
    Recognised(format="beir", kind="retrieval", columns={...}, files={"corpus": ..., "test": ...}, how="...")

Nothing is read but names, descriptions and the first rows. `vecsmith.read` reads what is recognised here.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from vecsmith.data.layout import DESCRIPTION
from vecsmith.data.readers.arrow_datasets import arrow_files, is_arrow_dataset
from vecsmith.data.readers.beir import beir_files, is_beir
from vecsmith.data.readers.documents import SUFFIXES
from vecsmith.data.readers.folders import Files, card_configs, folder_configs, split_files, stem_of, tables_in
from vecsmith.data.readers.mteb_retrieval import mteb_sets
from vecsmith.data.readers.row_formats import ROW_FORMAT_COLUMNS, first_row, row_format_of
from vecsmith.data.readers.rows import ROW_FORMATS
from vecsmith.data.readers.table_columns import Columns
from vecsmith.data.readers.table_formats import FORMATS, table_format
from vecsmith.data.readers.table_lines import check_file
from vecsmith.errors import DataError, UsageError

__all__ = ["FORMAT_NAMES", "Found", "Recognised", "find", "recognise"]

FORMAT_NAMES = {
    "table": "a table",
    "sentence_transformers": "a table whose columns count by their order, as sentence-transformers reads them",
    "flagembedding": "training data of FlagEmbedding",
    "tevatron": "training data of Tevatron",
    "messages": "training data in chat messages, as ms-swift reads them",
    "beir": "a retrieval set in the layout of BEIR",
    "mteb_retrieval": "a retrieval set as mteb publishes them",
    "arrow_dataset": "a data set that Hugging Face datasets saved",
    "saved_dataset": "a dataset that vecsmith saved",
    "documents": "documents",
    "unknown": "nothing that is known here",
}
RETRIEVAL_COLUMNS = {"id": "_id", "document": "text", "query": "text", "score": "score"}


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
    files: Mapping[str, tuple[Path, ...]] = field(default_factory=dict)
    how: str = ""


@dataclass(frozen=True)
class Found:
    """The format and the files of a path, before any column is looked at.

    parts    what its reader wants besides: RetrievalFiles of a retrieval set (a tuple of them of mteb), the files of a
             corpus of Tevatron
    """

    format: str
    files: Mapping[str, tuple[Path, ...]]
    how: str
    parts: Any = None


def recognise(path: str | Path, *, format: str | None = None, config: str | None = None, **columns: Any) -> Recognised:
    """Say what a file or folder holds, by its names and first rows.

    format     one of FORMAT_NAMES, or a way of writing rows (csv, tsv, jsonl, parquet, ...) for a table whose name
               does not say it; None: find out
    config     a configuration or language, where a folder has several
    columns    as for `vecsmith.read`: query, document, ...; columns that nobody declared are listed, not refused
    raises     DataError: nothing there, or first rows that cannot be read; UsageError: an unknown format.
               What is there and is no format of these is no error: format "unknown", and `how` says why
    """
    path = Path(path)
    found = find(path, format=format, config=config)
    if found.format in ("table", "sentence_transformers", "arrow_dataset"):
        return _of_table(found, format, columns)
    if found.format in ROW_FORMAT_COLUMNS:
        return _of_rows(found)
    if found.format in ("beir", "mteb_retrieval"):
        return Recognised(found.format, "retrieval", RETRIEVAL_COLUMNS, found.files, found.how)
    return Recognised(found.format, None, {}, found.files, found.how)


def find(path: Path, *, format: str | None = None, config: str | None = None) -> Found:
    """The format of a path and its files; see `recognise` for the arguments."""
    known = {*FORMAT_NAMES, *ROW_FORMATS} - {"unknown"}
    if format is not None and format not in known:
        raise UsageError(f'format is "{format}"; known: {", ".join(sorted(known))}')
    if path.is_dir():
        return _find_folder(path, format, config)
    check_file(path)
    kind = table_format(path) or (format if format in ROW_FORMATS else None)
    if format == "documents" or (format is None and path.suffix.lower() in SUFFIXES):
        return Found("documents", {"": (path,)}, f"{path.name} is a document, by its ending")
    if kind is None:
        endings = ", ".join(FORMATS)
        return Found("unknown", {"": (path,)}, f"the ending of {path.name} is no format's; tables end in {endings}")
    return _with_row_format({"": (path,)}, f"{path.name} is a table ({format or kind})", format, path.parent)


def _find_folder(path: Path, format: str | None, config: str | None) -> Found:
    if format == "saved_dataset" or (format is None and (path / DESCRIPTION).exists()):
        return Found("saved_dataset", {"": (path,)}, f"{path.name} holds {DESCRIPTION}, so vecsmith saved it")
    if format == "arrow_dataset" or is_arrow_dataset(path):
        how = f"{path.name} was saved by Hugging Face datasets ({_splits(files := arrow_files(path))})"
        found = _with_row_format(files, how, format, path)
        return Found("arrow_dataset", files, how) if found.format == "table" else found
    if format == "beir" or (format is None and is_beir(path)):
        files_of = beir_files(path)
        how = f"{path.name} has corpus, queries and qrels ({_splits(files_of.judgements)}), as BEIR lays them out"
        if files_of.passed_over:
            how += f"; passed over: {', '.join(files_of.passed_over)}"
        return Found("beir", files_of.named(), how, files_of)
    card = card_configs(path)
    if format in (None, "mteb_retrieval") and (sets := mteb_sets(path, card or folder_configs(path), config)):
        splits = _splits({split: () for each in sets for split in each.judgements})
        how = f"{path.name} has tables of documents, queries and judgements ({splits}), as mteb publishes them"
        how += f", in {len(sets)} languages" if len(sets) > 1 else ""
        names = {f"{each.prefix}{role}": files for each in sets for role, files in each.named().items()}
        return Found("mteb_retrieval", names, how, sets)
    if format == "mteb_retrieval":
        return _nothing(path, "no tables of documents, queries and judgements (corpus, queries, qrels) are in it")
    return _find_tables(path, format, config, card)


def _find_tables(path: Path, format: str | None, config: str | None, card: dict[str, Files]) -> Found:
    """Tables in splits; else documents; else what is wrong with the tables."""
    if card:
        names = ", ".join(card)
        if config is None and len(card) > 1 and "default" not in card:
            return _nothing(path, f"its card names several configurations ({names}). Say which: config=...")
        chosen = config or ("default" if "default" in card else next(iter(card)))
        if chosen not in card:
            raise DataError(f'no configuration "{chosen}"; the card names: {names}', file=path)
        how = f"the card of {path.name} names these tables ({_splits(card[chosen])})"
        return _with_row_format(card[chosen], how, format, path)
    places = [path / config] if config else [path, path / "data"]
    tables = next((tables for place in places if (tables := tables_in(place))), [])
    corpus = [table for table in tables if stem_of(table) == "corpus"]
    splits = split_files([table for table in tables if table not in corpus], path)
    if splits and "" not in splits:
        return _with_row_format(splits, f"{path.name} has tables of splits ({_splits(splits)})", format, path)
    inner = {} if tables or config else folder_configs(path)
    by_folder = {name: tuple(file for group in files.values() for file in group) for name, files in inner.items()}
    if by_folder and (named := split_folders(by_folder)):
        return _with_row_format(named, f"{path.name} has folders of splits ({_splits(named)})", format, path)
    if sets := [entry.name for entry in sorted(path.iterdir()) if entry.is_dir() and is_beir(entry)]:
        return _nothing(path, f"it has folders that are retrieval sets ({', '.join(sets)}). Name one of them")
    endings = {each.suffix.lower() for each in islice(path.rglob("*"), 10_000) if each.stem.lower() != "readme"}
    if endings & {*SUFFIXES}:
        return Found("documents", {"": (path,)}, f"{path.name} is a folder of documents")
    if splits:
        return _with_row_format(splits, f"{path.name} has one table, {splits[''][0].name}", format, path)
    if tables:
        names = ", ".join(table.name for table in tables[:5]) + (", ..." if len(tables) > 5 else "")
        return _nothing(path, f"it has tables that are not the splits of one data set ({names}). Name one of them")
    if inner:
        return _nothing(path, f"it has several folders of tables ({', '.join(inner)}). Name one: config=...")
    if any((path / name).is_file() for name in ("README.md", "README.rst", "README.txt")):
        return Found("documents", {"": (path,)}, f"{path.name} is a folder of documents")
    return _nothing(path, "no file that is known here is in it")


def split_folders(folders: Mapping[str, tuple[Path, ...]]) -> Files | None:
    """Folders whose names are splits (train/, test/) as split -> files; None: another is among them."""
    from vecsmith.data.readers.splits import SPLITS, side_of

    if not all(name.lower() in SPLITS for name in folders):
        return None
    return {side_of(name): files for name, files in folders.items()}


def _with_row_format(files: Mapping[str, tuple[Path, ...]], how: str, format: str | None, folder: Path) -> Found:
    """Tables, or training data of another library, by the keys of the first row or as `format` says."""
    file = next(iter(files.values()))[0]
    rows = format if format in ROW_FORMATS else None
    kind = format if format in FORMAT_NAMES else None
    if kind is None or kind == "arrow_dataset":
        is_nested = rows is None and table_format(file) in ("jsonl", "json", "parquet", "arrow")
        kind = row_format_of(first_row(file)) if is_nested else "table"
    if kind == "table":
        return Found("table", files, how)
    how += f", {FORMAT_NAMES[kind]}" + ("" if kind == format else ", by its keys")
    corpus = tuple(each for each in tables_in(folder) if stem_of(each) == "corpus") if kind == "tevatron" else ()
    if corpus and file not in corpus:
        how += f"; its documents are in {corpus[0].name}"
    return Found(kind, files, how, corpus)


def _of_table(found: Found, format: str | None, columns: dict[str, Any]) -> Recognised:
    from vecsmith.data.readers.tables import read_table

    file = next(iter(found.files.values()))[0]
    options = {**columns, "ignore": columns.get("ignore") or "*", "format": format if format in ROW_FORMATS else None}
    if found.format == "sentence_transformers":
        options = {**by_order(list(first_row(file, options["format"]))), **options}
    try:
        table = read_table(file, **options)
    except DataError as error:
        return Recognised(found.format, None, {}, found.files, f"{found.how}; {_words(error, file)}")
    parts = named_columns(table.columns)
    if not columns.get("ignore") and "ignored" in parts:
        parts["undeclared"] = tuple(name for name in parts.pop("ignored") if name != "*")
    kind = "triplet" if table.columns.negatives and table.kind != "scored" else table.kind
    parts = {role: value for role, value in parts.items() if value}
    return Recognised(found.format, kind, parts, found.files, f"{found.how}: {table.columns.describe()}")


def _of_rows(found: Found) -> Recognised:
    cells = first_row(next(iter(found.files.values()))[0])
    columns = {role: name for role, name in ROW_FORMAT_COLUMNS[found.format].items() if cells.get(name) is not None}
    kind = "scored" if "score" in columns else "triplet" if cells.get(columns.get("negatives", "")) else "retrieval"
    if "document" not in columns and found.format == "messages":
        kind = "plain"
    if str(cells.get("type") or "").startswith("symmetric") and kind == "retrieval":
        kind = "pair"
    return Recognised(found.format, kind, columns, found.files, found.how)


def by_order(names: list[str]) -> dict[str, Any]:
    """The parts of columns by their order, as sentence-transformers takes them: a label column apart, the first other
    is the anchor, the second what belongs to it, the rest negatives. One text alone is a text with a label."""
    labels = [name for name in names if name.lower() in ("label", "labels", "score", "scores")]
    texts = [name for name in names if name not in labels]
    parts: dict[str, Any] = {"label": labels[0]} if labels else {}
    if len(texts) < 2:
        return {**parts, "document": texts[0] if texts else None}
    return {**parts, "query": texts[0], "document": texts[1], "negatives": texts[2:] or None}


def named_columns(columns: Columns) -> dict[str, str | tuple[str, ...]]:
    """Role -> column, without the roles that no column has."""
    roles = ("query", "document", "id", "group", "score", "label", "split", "weight", "negatives", "attributes")
    return {role: value for role in (*roles, "ignored") if (value := getattr(columns, role))}


def _nothing(path: Path, why: str) -> Found:
    return Found("unknown", {}, f"{path.name} is a folder, but {why}")


def _splits(files: Mapping[str, Any]) -> str:
    return ", ".join(name for name in files if name) or "no splits"


def _words(error: DataError, file: Path) -> str:
    """A message without its file, which the sentence before names."""
    return str(error).removeprefix(f"{file}, ").removeprefix(f"{file}: ")
