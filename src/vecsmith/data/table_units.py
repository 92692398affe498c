"""The rows of a table as documents with their queries."""

import hashlib
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from vecsmith.data.inputs import content_id
from vecsmith.data.pairs.columns import column_pair
from vecsmith.data.pairs.pretext import sentence_pair
from vecsmith.data.readers.found import Found
from vecsmith.data.readers.splits import side_of
from vecsmith.data.readers.tables import Table, TableRow
from vecsmith.data.split import split_of
from vecsmith.data.units import SHARES, Unit

__all__ = ["cuts", "table_manifest", "table_units"]

TITLES = {"title", "heading", "headline", "name", "subject"}


def table_units(table: Table, *, limit: int | None, seed: int, found: Found) -> Iterator[Unit]:
    """One unit per document of a row: asked for by the query column, or by a sentence cut from it where there is none.

    The side is the row's own (`split` column), else goes by the hash of its group, query or text. A row scored 0
    keeps its document and gives no query. Rows without text are counted in `found`.
    """
    found.files = 1
    for row in islice(table, limit):
        for number, text in enumerate(row.documents):
            found.documents += 1
            yield _unit(table, row, number, text, seed)
    if table.skipped:
        found.skip("row without text", table.path.name, table.skipped)


def cuts(table: Table) -> bool:
    """Whether judged and served texts differ: queries are cut from the text, or are its titles, which users search
    for too."""
    return table.columns.query is None or _is_titled(table)


def _is_titled(table: Table) -> bool:
    return (table.columns.query or "").strip().lower() in TITLES


def table_manifest(path: Path) -> str:
    """32 hex digits over name, size and time of change; the file is not opened."""
    info = path.stat()
    return hashlib.sha256(f"{path.name}\t{info.st_size}\t{info.st_mtime_ns}".encode()).hexdigest()[:32]


def _unit(table: Table, row: TableRow, number: int, text: str, seed: int) -> Unit:
    if table.columns.query is None:
        pair = sentence_pair(text, seed=seed)
    else:
        pair = column_pair(row.query, text) if row.score is None or row.score > 0 else None
    side = side_of(row.split.lower()) if row.split else None
    # Without an id, equal documents are one, named by their content; but what is cut has two contents, so it needs one.
    name = row.id or (f"{table.path.name}#{row.row}" if cuts(table) else None)
    return Unit(
        id=name if number == 0 or name is None else f"{name}#{number}",
        served=f"{row.query}\n{text}" if _is_titled(table) and row.query else text,
        judged=pair.positive if pair else text,
        attributes=row.attributes,
        pair=pair,
        group=row.group,
        split=side or split_of(row.group or content_id(row.query or text), SHARES, seed),
        negatives=row.negatives if pair else (),
        score=row.score,
        origin=(str(table.path), row.row),
    )
