"""A collection: files and folders as their publishers left them, each line of a YAML file saying how one is read.

    - name: SNLI
      path: {dev: nli_snli/snli_dev.tsv.gz, test: nli_snli/snli_test.tsv.gz}
      kind: pair
      query: premise
      document: hypothesis
      label: label
      expect: {rows: 19666, dev: 9842, test: 9824, classes: 3}

Paths are below a data root. What is neither name, path, expect nor note is an argument of `vecsmith.read`. `expect`
holds the counts that the publisher states; `read_line` counts, `Line.differences` compares.
"""

import difflib
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vecsmith.data.archives import count_images
from vecsmith.errors import RecipeError, UsageError
from vecsmith.progress import SILENT, Progress

if TYPE_CHECKING:
    from vecsmith.data.dataset import Dataset

__all__ = ["Collection", "Line", "LineRead", "known_collections", "load_collection", "read_line"]

COLLECTIONS = Path(__file__).with_name("collections")
OWN = ("name", "path", "expect", "note")
OPTIONS = (
    *("query", "document", "attributes", "group", "id", "score", "label", "negatives", "split", "weight", "ignore"),
    *("kind", "format", "delimiter", "quoting", "header", "score_range", "on_empty", "where", "unless", "each", "join"),
    "on_repeat",
)
EXPECTED = ("rows", "empty", "documents", "queries", "judgements", "positives", "classes", "images")


@dataclass(frozen=True)
class Line:
    """One thing that is read.

    name       unique in its collection
    files      split -> paths below the data root; "" where the file itself says the split, or there is none
    options    arguments of `vecsmith.read`; kind "images" counts the images of a zip archive or an IDX file
    expect     counts: of EXPECTED, or of the rows of a split
    note       for people: what is special, what is left to others
    """

    name: str
    files: Mapping[str, tuple[str, ...]]
    options: Mapping[str, Any] = field(default_factory=dict)
    expect: Mapping[str, int] = field(default_factory=dict)
    note: str = ""

    @property
    def folder(self) -> str:
        """The first part of its path."""
        return next(iter(self.files.values()))[0].partition("/")[0]

    @property
    def kind(self) -> str:
        return str(self.options.get("kind") or self.options.get("format") or "")

    def differences(self, counts: Mapping[str, int]) -> list[str]:
        """What was counted and is not as expected, in words; empty where all is."""
        return [
            f"{name}: {counts.get(name, 0):,}, not {number:,}"
            for name, number in self.expect.items()
            if counts.get(name, 0) != number
        ]


@dataclass(frozen=True)
class Collection:
    """Lines in the order of their file."""

    name: str
    lines: tuple[Line, ...]
    about: str = ""

    def line(self, name: str) -> Line:
        """The line of this name. UsageError: there is none."""
        for line in self.lines:
            if line.name == name:
                return line
        near = difflib.get_close_matches(name, [line.name for line in self.lines], n=1, cutoff=0.4)
        hint = f' Did you mean "{near[0]}"?' if near else ""
        raise UsageError(f'collection {self.name} has no line "{name}".{hint}')


@dataclass(frozen=True)
class LineRead:
    """What a line gave: `counts` as in `Line.expect`; `whole`: the limit was not reached; no dataset for images."""

    line: Line
    counts: Mapping[str, int]
    dataset: "Dataset | None"
    whole: bool = True


def known_collections() -> list[str]:
    """Names of the collections that ship with vecsmith."""
    return sorted(file.stem for file in COLLECTIONS.glob("*.yaml"))


def load_collection(name_or_path: str | os.PathLike[str]) -> Collection:
    """A collection that ships with vecsmith, by name, or a YAML file.

    raises    UsageError: no such collection; RecipeError: no collection, an unknown key, two lines of one name
    """
    import yaml

    known = known_collections()
    path = COLLECTIONS / f"{name_or_path}.yaml" if str(name_or_path) in known else Path(name_or_path)
    if not path.is_file():
        raise UsageError(f'no collection "{name_or_path}": no such name and no such file. Known: {", ".join(known)}')
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, OSError, ValueError, RecursionError) as error:
        raise RecipeError(f"no YAML: {error}", file=path) from error
    if not isinstance(content, dict) or not isinstance(content.get("lines"), list) or not content["lines"]:
        raise RecipeError("a collection has a list under the key `lines`", file=path)
    lines = tuple(_line(entry, path) for entry in content["lines"])
    counts = Counter(line.name for line in lines)
    if doubled := [name for name, count in counts.items() if count > 1]:
        raise RecipeError(f'two lines are called "{min(doubled)}"', file=path)
    return Collection(str(content.get("name", path.stem)), lines, str(content.get("about", "")))


def _line(entry: Any, file: Path) -> Line:
    if not isinstance(entry, dict) or not {"name", "path"} <= entry.keys():
        raise RecipeError(f"a line has at least name and path; got {entry!r:.80}", file=file)
    for key in entry:
        if key not in (*OWN, *OPTIONS):
            near = difflib.get_close_matches(str(key), (*OWN, *OPTIONS), n=1)
            hint = f'; did you mean "{near[0]}"?' if near else f" (known: {', '.join((*OWN, *OPTIONS))})"
            raise RecipeError(f'line "{entry["name"]}": unknown key "{key}"{hint}', file=file)
    paths = entry["path"] if isinstance(entry["path"], dict) else {"": entry["path"]}
    files = {str(split): (value,) if isinstance(value, str) else tuple(value) for split, value in paths.items()}
    if not all(files.values()):
        raise RecipeError(f'line "{entry["name"]}": a path without a file', file=file)
    options = {key: value for key, value in entry.items() if key in OPTIONS}
    if "score_range" in options:
        options["score_range"] = tuple(options["score_range"])
    return Line(str(entry["name"]), files, options, dict(entry.get("expect") or {}), str(entry.get("note") or ""))


def read_line(
    line: Line,
    root: Path,
    *,
    limit: int | None = None,
    folder: Path | None = None,
    progress: Progress = SILENT,
) -> LineRead:
    """Read what a line names.

    root      the data root
    limit     read at most so many rows of each file; tables only
    folder    where the dataset is written; None: in memory
    raises    DataError: a file is missing, or is not as the line says
    """
    files = {split: [root / path for path in paths] for split, paths in line.files.items()}
    if line.kind == "images":
        return LineRead(line, count_images([path for paths in files.values() for path in paths]), None)
    if line.options.get("format") == "beir":
        from vecsmith.data.read import read

        path = next(iter(files.values()))[0]
        dataset = read(path, name=line.name, folder=folder, progress=progress, **line.options)
        return LineRead(line, _judged_counts(path, dataset), dataset)
    return _read_tables(line, files, limit, folder, progress)


def _read_tables(
    line: Line, files: Mapping[str, list[Path]], limit: int | None, folder: Path | None, progress: Progress
) -> LineRead:
    from vecsmith.data.dataset import Dataset
    from vecsmith.data.readers.tables import read_table

    options = {"ignore": "*", **line.options}
    if options.get("attributes") == "*":
        options["ignore"] = line.options.get("ignore", ())
    rows: Counter[str] = Counter()
    whole = True
    with Dataset.build(name=line.name, folder=folder) as builder:
        for split, paths in files.items():
            for path in paths:
                table = read_table(path, **options, progress=progress)
                builder.declare_attributes(table.columns.attributes, readings=table.readings)
                for row in _until(table, limit):
                    if row is None:
                        whole = False
                        break
                    row.split = row.split or split or None
                    rows["rows"] += 1
                    rows[row.split or ""] += 1
                    rows["positives"] += row.score is not None and row.score > 0
                    table.write_row(builder, row)
                rows["empty"] += table.skipped
        dataset = builder.finish()
    return LineRead(line, _counts(dataset, rows), dataset, whole)


def _until(rows: Any, limit: int | None) -> Iterator[Any]:
    """Rows up to the limit, then None where there are more."""
    for number, row in enumerate(rows):
        if number == limit:
            yield None
            return
        yield row


def _counts(dataset: "Dataset", rows: Counter[str]) -> dict[str, int]:
    counts = {name: count for name, count in rows.items() if name}
    counts["documents"] = len(dataset.documents)
    counts["queries"] = len(dataset.records["query"].unique())
    counts["classes"] = len(dataset.records["label"].drop_null().unique())
    return counts


def _judged_counts(folder: Path, dataset: "Dataset") -> dict[str, int]:
    """Documents read, rows of the queries and of the judgements, judged queries of each split."""
    from vecsmith.data.readers.beir import beir_files, read_judgements, read_texts

    files = beir_files(folder)
    counts = {"documents": len(dataset.documents), "queries": sum(1 for _ in read_texts(files.queries, titles=False))}
    counts["judgements"] = 0
    for split, paths in files.judgements.items():
        judged = [query for path in paths for _, query, _, _ in read_judgements(path)]
        counts["judgements"] += len(judged)
        counts[split] = len(set(judged))
    return counts
