"""What the verbs of `vecsmith data` read: the options of a source, and the dataset with where its records stood."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vecsmith.errors import UsageError
from vecsmith.progress import Progress

if TYPE_CHECKING:
    from vecsmith.data.dataset import Dataset
    from vecsmith.data.pairs.read_records import Origin

__all__ = ["Data", "SourceOptions", "names", "opened", "parsed_range"]

Data = Annotated[
    str,
    typer.Argument(metavar="DATA", help="A table, a folder of data, a saved dataset; with --collection, its line."),
]


class SourceOptions:
    """The types of the options that say how DATA is read."""

    Query = Annotated[str | None, typer.Option(help="Column of a table: the query, or the left text.")]
    Document = Annotated[str | None, typer.Option(help="Column of a table: the document, the right or only text.")]
    Label = Annotated[str | None, typer.Option(help="Column of a table: the label.")]
    Score = Annotated[str | None, typer.Option(help="Column of a table: the score.")]
    ScoreRange = Annotated[str | None, typer.Option(help="Scale of scores, such as 0,5; or found: read twice.")]
    SplitColumn = Annotated[str | None, typer.Option("--split-column", help="Column of a table: the split.")]
    Ignore = Annotated[str | None, typer.Option(help="Columns to leave out, comma separated; * for all others.")]
    Kind = Annotated[str | None, typer.Option(help="What the records are: retrieval, pair, scored, class, plain.")]
    Format = Annotated[str | None, typer.Option(help="The format, where the name does not say it.")]
    Split = Annotated[str | None, typer.Option(help="Only this split.")]
    Limit = Annotated[int | None, typer.Option(help="At most so many rows of each table.", min=1)]
    Collection = Annotated[str | None, typer.Option(help="DATA is a line of this collection: published_sets.")]
    DataRoot = Annotated[Path | None, typer.Option(help="With --collection: its folder; else VECSMITH_DATA.")]


@contextmanager
def opened(
    data: str,
    options: dict[str, Any],
    *,
    split: str | None = None,
    limit: int | None = None,
    collection: str | None = None,
    data_root: Path | None = None,
    progress: Progress,
) -> Iterator[tuple["Dataset", "Origin"]]:
    """The records of DATA in a folder that goes at the end, and where each stood.

    options    of `read_records`: query, document, label, score, ...; None: not given
    raises     UsageError: options of a table beside a collection, whose lines have their own; DataError
    """
    import os
    import tempfile

    import numpy as np
    import pyarrow.compute as pc

    from vecsmith.data.collection import load_collection
    from vecsmith.data.pairs.read_records import read_line_records, read_records

    with tempfile.TemporaryDirectory(prefix="vecsmith-data-") as temporary:
        folder = Path(temporary) / "read"
        if collection is None:
            dataset, origin = read_records(data, folder=folder, limit=limit, progress=progress, **options)
        else:
            if given := [name for name, value in options.items() if value is not None]:
                raise UsageError(
                    f"--{given[0].replace('_', '-')} beside --collection, whose lines say how they are read"
                )
            root = data_root or Path(os.environ.get("VECSMITH_DATA", ""))
            if str(root) == ".":
                raise UsageError("a collection needs the folder of its data: --data-root DIR, or VECSMITH_DATA")
            line = load_collection(collection).line(data)
            dataset, origin = read_line_records(line, root, folder=folder, limit=limit, progress=progress)
        if split is None:
            yield dataset, origin
            return
        kept = np.flatnonzero(pc.equal(dataset.records["split"], split).fill_null(False).to_numpy(zero_copy_only=False))
        yield dataset.split(split), lambda number: origin(int(kept[number]))


def parsed_range(text: str | None) -> tuple[float, float] | str | None:
    """`"0,5"` as two numbers, `"found"` as it is. UsageError: anything else."""
    if text is None or text == "found":
        return text
    try:
        low, high = map(float, text.split(","))
    except ValueError as error:
        raise UsageError(f"--score-range is {text!r}; it is two numbers, such as 0,5, or found") from error
    return low, high


def names(text: str | None) -> list[str] | str | None:
    """`"a, b"` as a list; `"*"` as it is."""
    found = [name.strip() for name in text.split(",") if name.strip()] if text else None
    return "*" if found == ["*"] else found
