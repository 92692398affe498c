"""A source as a dataset that remembers of each record the file and row it came from, for the messages about it."""

from array import array
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from vecsmith.data.dataset import Dataset
from vecsmith.data.dataset_builder import DatasetBuilder
from vecsmith.data.formats import find
from vecsmith.data.readers.tables import read_table
from vecsmith.errors import DataError, UsageError
from vecsmith.progress import SILENT, Progress

if TYPE_CHECKING:
    from vecsmith.data.collection import Line

__all__ = ["read_line_records", "read_records"]

Origin = Callable[[int], tuple[str, int]]


def read_records(
    path: str | Path,
    *,
    folder: Path | None = None,
    name: str | None = None,
    limit: int | None = None,
    progress: Progress = SILENT,
    **options: Any,
) -> tuple[Dataset, Origin]:
    """What `vecsmith.read` reads, and where each record stood.

    folder     where the dataset is written, in bounded memory; None: in memory
    limit      at most so many rows of each file; tables only
    options    as of `vecsmith.read`; score_range may be "found": the least and greatest score of all files
    raises     as `vecsmith.read`; UsageError: a limit or "found" where there is no table
    """
    from vecsmith.data.read import write_found

    path = Path(path)
    given = {key: value for key, value in options.items() if value is not None}
    format, config = given.get("format"), given.pop("config", None)
    declared = path.is_file() and format is None and (given.get("query") or given.get("document"))
    found = find(path, format="table" if declared else format, config=config)
    if found.format == "saved_dataset":
        dataset = Dataset.open(path)
        return dataset, lambda number: (str(path), number + 1)
    if found.format == "table":
        return _tables({split: [*files] for split, files in found.files.items()}, given, name, folder, limit, progress)
    if limit is not None or given.get("score_range") == "found":
        raise UsageError(f'limit and score_range="found" are for tables; {found.how}')
    if found.format in ("documents", "unknown"):
        raise DataError(f"no dataset: {found.how}", file=path)
    given.pop("format", None)
    with Dataset.build(name=name or path.name.split(".")[0], folder=folder) as builder:
        noting = _Noting(builder)
        options = {key: given.get(key) for key in ("attributes", "ignore", "on_empty", "kind", "score_range", *given)}
        write_found(cast(DatasetBuilder, noting), found, format, options, progress)
        return builder.finish(), noting.origin


def read_line_records(
    line: "Line", root: Path, *, folder: Path | None = None, limit: int | None = None, progress: Progress = SILENT
) -> tuple[Dataset, Origin]:
    """What a line of a collection names; scored pairs are kept whole, also those scored 0, as graded data."""
    files = {split: [root / path for path in paths] for split, paths in line.files.items()}
    options = dict(line.options)
    if options.get("format") == "beir":
        return read_records(next(iter(files.values()))[0], folder=folder, name=line.name, progress=progress, **options)
    if options.get("kind") == "retrieval" and "score" in options:
        options["kind"] = "scored"
    return _tables(files, {"ignore": "*", **options}, line.name, folder, limit, progress)


def _tables(
    files: Mapping[str, list[Path]],
    options: Mapping[str, Any],
    name: str | None,
    folder: Path | None,
    limit: int | None,
    progress: Progress,
) -> tuple[Dataset, Origin]:
    first = next(iter(files.values()))[0]
    name = name or (first.name if sum(map(len, files.values())) == 1 else first.parent.name).split(".")[0]
    options = _scaled(files, {**options})
    with Dataset.build(name=name, folder=folder) as builder:
        noting = _Noting(builder)
        for split, paths in files.items():
            for path in paths:
                table = read_table(path, **options, progress=progress)
                builder.declare_attributes(table.columns.attributes, readings=table.readings)
                for number, row in enumerate(table):
                    if number == limit:
                        break
                    row.split = row.split or split or None
                    table.write_row(cast(DatasetBuilder, noting), row)
        return builder.finish(), noting.origin


def _scaled(files: Mapping[str, list[Path]], options: dict[str, Any]) -> dict[str, Any]:
    """The options with the scale that the scores of all files together have, where it is to be found."""
    if options.get("score_range") != "found":
        return options
    del options["score_range"]
    spans = [read_table(path, **options).score_span() for paths in files.values() for path in paths]
    ends = [end for span in spans if span is not None for end in span]
    return {**options, "score_range": (min(ends), max(ends))} if ends and min(ends) < max(ends) else options


class _Noting:
    """A builder that notes where each record came from: a number per record and per file, 12 bytes a record."""

    def __init__(self, builder: DatasetBuilder) -> None:
        self._builder = builder
        self._files: list[str] = []
        self._file, self._row = array("i"), array("q")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._builder, name)

    def add_record(self, *, origin: tuple[str, int] | None = None, **record: Any) -> None:
        self._builder.add_record(origin=origin, **record)
        file, row = origin or (self._builder.name, len(self._row) + 1)
        if not self._files or self._files[-1] != file:
            self._files.append(file)
        self._file.append(len(self._files) - 1)
        self._row.append(row)

    def origin(self, number: int) -> tuple[str, int]:
        """File and row of a record by its number."""
        return self._files[self._file[number]], self._row[number]
