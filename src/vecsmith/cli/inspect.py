"""`vecsmith inspect`: what a file or folder holds, how it is read, and what in it needs action."""

import json as json_module
import tempfile
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vecsmith.cli.options import JSON, progress_for

if TYPE_CHECKING:
    from vecsmith.data.collection import Line
    from vecsmith.data.inspection.reading import Reading
    from vecsmith.models.static import StaticEncoder
    from vecsmith.progress import Progress

__all__ = ["command"]


def command(
    path: Annotated[str | None, typer.Argument(metavar="[PATH]", help="A file or folder.")] = None,
    query: Annotated[str | None, typer.Option(help="Column that holds the query, or the left text.")] = None,
    document: Annotated[
        str | None, typer.Option(help="Column that holds the document, the right or only text.")
    ] = None,
    attributes: Annotated[str | None, typer.Option(help="Columns to look at as attributes, comma separated.")] = None,
    ignore: Annotated[str | None, typer.Option(help="Columns to leave out, comma separated.")] = None,
    label: Annotated[str | None, typer.Option(help="Column that holds the label.")] = None,
    score: Annotated[str | None, typer.Option(help="Column that holds the score.")] = None,
    score_range: Annotated[str | None, typer.Option(help="The scale of the scores, such as 0,5.")] = None,
    group: Annotated[str | None, typer.Option(help="Column of what must stay on one side of a split.")] = None,
    id: Annotated[str | None, typer.Option(help="Column that holds the id.")] = None,
    split: Annotated[str | None, typer.Option(help="Column that holds the split.")] = None,
    kind: Annotated[str | None, typer.Option(help="retrieval, pair, scored, class or plain.")] = None,
    format: Annotated[str | None, typer.Option(help="The format, where the name does not say it.")] = None,
    where: Annotated[list[str] | None, typer.Option(help="Only rows of this value: COLUMN=VALUE; may repeat.")] = None,
    header: Annotated[
        str | None, typer.Option(help="Names of the columns, comma separated, where the first line is a row.")
    ] = None,
    limit: Annotated[int | None, typer.Option(help="Read at most so many rows of each file.")] = None,
    suite: Annotated[
        str | None, typer.Option(help="Read every line of a collection and compare its counts (published_sets).")
    ] = None,
    line: Annotated[str | None, typer.Option(help="With --suite: look at the data of this line.")] = None,
    data_root: Annotated[
        Path | None, typer.Option(help="With --suite: where its paths start; else VECSMITH_DATA.")
    ] = None,
    json: JSON = False,
) -> int:
    """Say what a file or folder holds, how it is read, and what needs action.

    \b
    vecsmith inspect faq.csv --query question --document answer
    vecsmith inspect --suite published_sets --data-root data

    Counts, lengths, copies, classes, attributes, scripts, leaks between splits.
    """
    from vecsmith.errors import UsageError

    if (path is None) == (suite is None):
        raise UsageError("give a file or folder to look at, or --suite with a collection")
    if limit is not None and limit < 1:
        raise UsageError(f"--limit is {limit}; at least 1 row is needed")
    progress = progress_for(json)
    if suite is not None:
        return _suite(suite, line, data_root, limit, progress, json)
    assert path is not None
    if (other := _other_folder(Path(path))) is not None:
        told = f"{path}\n{textwrap.fill(other, 80, break_on_hyphens=False, break_long_words=False)}"
        print(json_module.dumps({"path": path, "words": other}, ensure_ascii=False) if json else told)
        return 0
    options: dict[str, Any] = {
        **{"query": query, "document": document, "label": label, "score": score, "group": group, "id": id},
        **{"split": split, "kind": kind, "format": format, "score_range": _range(score_range)},
        **{
            "attributes": _names(attributes),
            "ignore": _names(ignore),
            "where": _values(where),
            "header": _names(header),
        },
    }

    def read(folder: Path, encoder: "StaticEncoder") -> "Reading":
        from vecsmith.data.inspection.reading import read_leniently

        return read_leniently(
            Path(path), folder, options, limit=limit, count_tokens=encoder.count_tokens, progress=progress
        )

    return _inspect(path, read, progress, json)


def _inspect(path: str, read: "Callable[[Path, StaticEncoder], Reading]", progress: "Progress", as_json: bool) -> int:
    from vecsmith.cli.inspect_text import inspection_lines
    from vecsmith.data.inspection.findings import Finding, findings_of
    from vecsmith.data.inspection.inspect import inspect_dataset
    from vecsmith.models.names import resolve_name
    from vecsmith.models.static import StaticEncoder

    encoder = StaticEncoder.open(resolve_name("default"))
    with tempfile.TemporaryDirectory(prefix="vecsmith-inspect-") as temporary:
        reading = read(Path(temporary) / "dataset", encoder)
        unknown: list[float] = []

        def count_tokens(texts: Sequence[str]) -> Any:
            unknown.append(encoder.unknown_share(texts[:: 1 + len(texts) // 500]))
            return encoder.count(list(texts))

        inspection = inspect_dataset(reading.dataset, count_tokens=count_tokens, progress=progress)
        if "{*}" in str(reading.options.get("document")):  # the names of the columns stand in every text
            inspection = replace(inspection, openings=())
        faults = [Finding(True, *fault) for fault in reading.faults]
        findings = faults + findings_of(inspection, unknown_share=max(unknown, default=0.0))
    if as_json:
        content = {
            "path": path,
            "words": reading.words,
            "kind": reading.kind,
            "columns": [asdict(part) for part in reading.parts],
            "files": [dict(zip(("name", "part", "rows"), file, strict=True)) for file in reading.files],
            "notes": reading.notes,
            "findings": [asdict(finding) for finding in findings],
            **inspection.to_json(),
        }
        print(json_module.dumps(content, indent=2, ensure_ascii=False))
    else:
        print("\n".join(inspection_lines(path, reading, inspection, findings)))
    return 0


def _suite(
    name: str, line: str | None, data_root: Path | None, limit: int | None, progress: "Progress", as_json: bool
) -> int:
    """Read every line and say whether its counts are as they should be; or look at the data of one line."""
    from vecsmith.cli.inspect_suite import check_lines
    from vecsmith.data.collection import load_collection
    from vecsmith.evaluation.tasks import root_of

    collection, root = load_collection(name), root_of(data_root)
    if line is None:
        return check_lines(collection, root, limit, progress, as_json)
    chosen = collection.line(line)
    return _inspect(line, lambda folder, _: _reading_of(chosen, root, limit, folder, progress), progress, as_json)


def _reading_of(line: "Line", root: Path, limit: int | None, folder: Path, progress: "Progress") -> "Reading":
    from vecsmith.data.collection import read_line
    from vecsmith.data.inspection.reading import KINDS, Part, Reading
    from vecsmith.errors import UsageError

    read = read_line(line, root, limit=limit, folder=folder, progress=progress)
    if read.dataset is None:
        raise UsageError(f"{line.name} holds images: {dict(read.counts)}; texts and tables are looked at here")
    files = tuple((path, split, None) for split, paths in line.files.items() for path in paths)
    parts = tuple(
        Part(str(value), role, "by the suite")
        for role, value in line.options.items()
        if role in ("query", "document", "label", "score", "split", "group", "id", "each") and value
    )
    notes = [note for note in (line.note, *(f"counted {found}" for found in line.differences(read.counts))) if note]
    words = KINDS.get(line.kind, "a retrieval set in the layout of BEIR")
    return Reading(words, line.kind, read.dataset, parts, files, notes, options=line.options)


def _other_folder(path: Path) -> str | None:
    """What a path is that holds no text to look at, and the command that looks into it."""
    if not path.exists():
        from vecsmith.models.names import known_names

        is_model = str(path) in ("default", *known_names())
        return (
            f"a model by name. vecsmith doctor {path} checks it, vecsmith eval {path} judges it" if is_model else None
        )
    if (images := _images(path)) is not None:
        return images
    if (path / "catalog.sqlite").is_file():
        return (
            f"an index. vecsmith doctor {path} checks it, vecsmith search {path} QUERY searches it, "
            f"vecsmith index --help changes it"
        )
    if (path / "modules.json").is_file():
        return f"a model. vecsmith doctor {path} checks it and its contract, vecsmith eval {path} judges it"
    if (path / "report.json").is_file() and (path / "index" / "catalog.sqlite").is_file():
        return f"an output of vecsmith forge: report.html, a model and an index. vecsmith doctor {path} checks both"
    if (path / "manifest.json").is_file() and not (path / "dataset.json").is_file():
        return "vectors in shards, as vecsmith encode writes them; manifest.json says of which texts and model"
    return None


def _images(path: Path) -> str | None:
    """What zip archives hold, alone or beside a readme."""
    from vecsmith.data.archives import count_images

    entries = [entry for entry in path.iterdir() if entry.is_file()] if path.is_dir() else [path]
    archives = [entry for entry in entries if entry.suffix.lower() == ".zip"]
    others = [entry for entry in entries if entry not in archives and not entry.name.lower().startswith("readme")]
    if not archives or others or not (counts := count_images(archives)).get("images"):
        return None
    parts = ", ".join(
        f"{count:,} {name}" for name, count in sorted(counts.items()) if name not in ("images", "classes")
    )
    return (
        f"{counts['images']:,} images in {counts['classes']:,} folders{f' ({parts})' if parts else ''}; "
        "images are counted here and not looked at"
    )


def _names(text: str | None) -> list[str] | str | None:
    names = [name.strip() for name in text.split(",") if name.strip()] if text else None
    return "*" if names == ["*"] else names


def _range(text: str | None) -> tuple[float, float] | None:
    from vecsmith.errors import UsageError

    if text is None:
        return None
    try:
        low, high = map(float, text.split(","))
    except ValueError as error:
        raise UsageError(f"--score-range is {text!r}; it is two numbers, such as 0,5") from error
    return low, high


def _values(pairs: list[str] | None) -> dict[str, list[str]] | None:
    from vecsmith.errors import UsageError

    found: dict[str, list[str]] = {}
    for pair in pairs or []:
        name, equals, value = pair.partition("=")
        if not equals:
            raise UsageError(f"--where is {pair!r}; it is COLUMN=VALUE, such as lang=de")
        found.setdefault(name.strip(), []).append(value.strip())
    return found or None
