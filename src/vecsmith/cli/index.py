"""`vecsmith index`: make an index, change it, check it."""

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vecsmith.cli.options import JSON, progress_for
from vecsmith.errors import Damaged, UsageError
from vecsmith.progress import Progress

if TYPE_CHECKING:
    from vecsmith.data.dataset import Dataset
    from vecsmith.index.index import Index

__all__ = ["app"]

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Folder = Annotated[Path, typer.Argument(metavar="INDEX", help="The index folder.")]
Source = Annotated[
    str,
    typer.Argument(help="A table, a folder of documents, a saved dataset, or docstrings:stdlib."),
]
DocumentColumn = Annotated[str | None, typer.Option("--document", help="Column of a table that holds the text.")]
Attributes = Annotated[str | None, typer.Option(help="Columns of a table to filter by: product,year.")]
Limit = Annotated[int | None, typer.Option(help="At most that many documents.")]


@app.callback()
def group() -> None:
    """Create, change, check and compact an index.

    vecsmith index create out/index faq.csv --document answer --attributes product,year

    vecsmith index add out/index more.csv --document answer --attributes product,year --upsert
    """


@app.command()
def create(
    index: Folder,
    source: Annotated[
        str | None,
        typer.Argument(help="What to index at once: as SOURCE of `index add`. Without it, the index is empty."),
    ] = None,
    model: Annotated[str, typer.Option(help="Makes the vectors: a model folder or a name.")] = "default",
    schema: Annotated[
        str | None, typer.Option(help="Attributes: year=int,tags=set. By default those of SOURCE.")
    ] = None,
    lexical: Annotated[bool, typer.Option(help="Index the words.")] = True,
    dense: Annotated[bool, typer.Option(help="Index vectors.")] = True,
    precision: Annotated[
        str, typer.Option(help="How to store vectors: float32, or int8 by the ranges of a calibrated model.")
    ] = "float32",
    document: DocumentColumn = None,
    attributes: Attributes = None,
    limit: Limit = None,
    as_json: JSON = False,
) -> None:
    """Make an index.

    vecsmith index create out/index docs/

    vecsmith index create out/index faq.csv --document answer --attributes product,year --model all-MiniLM-L6-v2
    """
    from vecsmith.index.index import Index

    progress = progress_for(as_json)
    declared: dict[str, Any] | None = _schema(schema) if schema is not None else None
    chosen = model if dense else None
    if source is None:
        made = Index.create(index, model=chosen, schema=declared, lexical=lexical, dense=dense, precision=precision)
        _report(made, {}, as_json)
        return
    with _dataset(source, document, attributes, limit, model, progress) as dataset:
        types = declared if declared is not None else schema_of(dataset)
        made = Index.create(index, model=chosen, schema=types, lexical=lexical, dense=dense, precision=precision)
        count = made.add(dataset.documents, on_unknown="ignore" if declared is not None else "error", progress=progress)
    _report(made, {"added": count}, as_json)


@app.command()
def add(
    index: Folder,
    source: Source,
    upsert: Annotated[bool, typer.Option("--upsert", help="Replace documents whose ids exist.")] = False,
    document: DocumentColumn = None,
    attributes: Attributes = None,
    limit: Limit = None,
    as_json: JSON = False,
) -> None:
    """Add documents; on any error none of them is added.

    vecsmith index add out/index more/

    vecsmith index add out/index faq.csv --document answer --attributes product,year --upsert
    """
    from vecsmith.index.index import Index

    progress = progress_for(as_json)
    with Index.open(index) as opened:
        stored = opened.settings["model"]
        model = str(index / "model") if stored and stored["copied"] else "default"
        with _dataset(source, document, attributes, limit, model, progress) as dataset:
            put = opened.upsert if upsert else opened.add
            count = put(dataset.documents, progress=progress)
        _report(opened, {"added": count}, as_json)


@app.command()
def delete(
    index: Folder,
    ids: Annotated[list[str] | None, typer.Argument(help="Ids of documents.")] = None,
    where: Annotated[str | None, typer.Option(help='A filter: "year < 2019". With ids: only those that pass.')] = None,
    strict: Annotated[bool, typer.Option("--strict", help="An id that is not there is an error.")] = False,
    as_json: JSON = False,
) -> None:
    """Delete documents by id or by filter.

    vecsmith index delete out/index faq#12 faq#13

    vecsmith index delete out/index --where "year < 2019"
    """
    from vecsmith.index.index import Index

    with Index.open(index) as opened:
        deleted = opened.delete(ids or None, where=where, strict=strict)
        _report(opened, deleted._asdict(), as_json)


@app.command()
def compact(index: Folder, as_json: JSON = False) -> None:
    """Merge all segments into one, without deleted rows.

    vecsmith index compact out/index

    vecsmith index compact out/index --json
    """
    from vecsmith.index.index import Index

    with Index.open(index) as opened:
        _report(opened, {"compacted": opened.compact(progress=progress_for(as_json))}, as_json)


@app.command()
def gc(
    index: Folder,
    grace_seconds: Annotated[
        float, typer.Option(help="Spare files given up less long ago: readers may map them.")
    ] = 600,
    as_json: JSON = False,
) -> None:
    """Remove files that none of the last five generations needs.

    vecsmith index gc out/index

    vecsmith index gc out/index --grace-seconds 0
    """
    from vecsmith.index.index import Index

    with Index.open(index) as opened:
        _report(opened, opened.gc(grace_seconds=grace_seconds)._asdict(), as_json)


@app.command()
def verify(
    index: Folder,
    deep: Annotated[bool, typer.Option("--deep", help="Also look up all ids and encode 1,000 rows anew.")] = False,
    as_json: JSON = False,
) -> None:
    """Hold every file to its size and hash; exit code 4 where one differs.

    vecsmith index verify out/index

    vecsmith index verify out/index --deep
    """
    from vecsmith.index.index import Index

    with Index.open(index) as opened:
        problems = opened.verify(deep=deep, progress=progress_for(as_json))
        if as_json:
            print(json.dumps({"index": str(index), "problems": [str(problem) for problem in problems]}))
        elif not problems:
            print(f"{index}: {len(opened):,} documents, generation {opened.generation}, nothing wrong")
    if problems:
        words = "\n".join(f"  {problem}" for problem in problems)
        count = f"{len(problems)} {'problem' if len(problems) == 1 else 'problems'}"
        raise Damaged(f"{index}: {count}\n{words}\nRestore these files from a backup, or build the index again")


@contextmanager
def _dataset(
    source: str, document: str | None, attributes: str | None, limit: int | None, model: str, progress: Progress
) -> Iterator["Dataset"]:
    """The documents of a source, with typed attributes; what is read is kept in a folder that goes at the end."""
    from vecsmith.data.dataset import Dataset
    from vecsmith.data.layout import DESCRIPTION
    from vecsmith.data.source import open_source
    from vecsmith.models.encoder import open_encoder

    if (Path(source) / DESCRIPTION).is_file():
        yield Dataset.open(source)
        return
    is_table = not source.startswith("docstrings:") and Path(source).is_file()
    encoder = None if is_table else open_encoder(model)
    names = [name.strip() for name in attributes.split(",") if name.strip()] if attributes is not None else None
    opened = open_source(
        source,
        document=document,
        attributes=names,
        limit=limit,
        max_tokens=min(256, encoder.max_length) if encoder is not None else 256,
        count_tokens=encoder.count_tokens if encoder is not None else None,
    )
    with tempfile.TemporaryDirectory(prefix="vecsmith-") as folder:
        with Dataset.build(name="read", folder=Path(folder) / "read") as builder:
            builder.declare_attributes(opened.attributes, readings=opened._readings)
            for unit in opened.units(progress=progress):
                builder.add_document(unit.id, unit.served, unit.attributes, unit.group, unit.split, origin=unit.origin)
            dataset = builder.finish()
        yield dataset


def schema_of(dataset: "Dataset") -> dict[str, str]:
    """Field -> type of the attributes of a dataset."""
    kinds = {"string": "string", "int64": "int", "double": "float", "bool": "bool"}
    found = {}
    for name, kind in dataset.documents.attributes.items():
        words = str(kind)
        found[name] = "set" if words.startswith("list") else "timestamp" if "timestamp" in words else kinds[words]
    return found


def _schema(text: str) -> dict[str, str]:
    pairs = [part.partition("=") for part in text.split(",") if part.strip()]
    wrong = [name for name, equals, kind in pairs if not equals or not kind.strip()]
    if wrong:
        raise UsageError(
            f'--schema: "{wrong[0]}" has no type; write {wrong[0].strip()}=string (or int, float, bool, set)'
        )
    return {name.strip(): kind.strip() for name, _, kind in pairs}


def _report(index: "Index", done: dict[str, object], as_json: bool) -> None:
    """What was done and how the index stands now."""
    if as_json:
        print(json.dumps({"index": str(index.path), **done, **index.stats()}, ensure_ascii=False))
        return
    stats = index.stats()
    for name, value in done.items():
        print(f"{name}: {value:,}" if isinstance(value, int) and not isinstance(value, bool) else f"{name}: {value}")
    sides = [side for side in ("dense", "lexical") if index.settings[side]]
    print(
        f"{index.path}: {stats['documents']:,} documents, {' and '.join(sides)}, generation {stats['generation']}, "
        f"segments: {stats['segments']}, {stats['bytes'] / 1e6:.1f} MB"
    )
    print(f'Next: vecsmith search {index.path} "what you look for"')
