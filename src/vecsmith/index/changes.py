"""What a change of an index does between taking the lock and committing: add, upsert, delete."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vecsmith.errors import SchemaError
from vecsmith.index.documents import AnyDocument, Block, blocks_of, infer_schema
from vecsmith.index.schema import Schema
from vecsmith.index.snapshot import Snapshot
from vecsmith.index.writer import Encode, Writer
from vecsmith.progress import SILENT, Progress

if TYPE_CHECKING:
    from vecsmith.index.where import Field
    from vecsmith.index.where_tree import Tree

log = logging.getLogger("vecsmith")

__all__ = ["delete_documents", "put_documents"]


def put_documents(
    writer: Writer,
    documents: "Iterable[AnyDocument | Mapping[str, Any]]",
    vectors: "NDArray[Any] | None",
    encode: Encode | None,
    *,
    on_unknown: str,
    replace: bool,
    progress: Progress,
) -> int:
    """Commit documents as one generation and return their number; see `Index.add` and `Index.upsert`."""
    blocks: Iterable[Block] = blocks_of(documents, vectors)
    total = getattr(documents, "__len__", lambda: None)()
    with writer.writing() as base, progress.task("Index", total=total, unit="documents") as task:
        if writer.settings["schema"] is None:
            blocks = list(blocks)
            writer.settings["schema"] = infer_schema(blocks).to_json()
        schema = Schema.from_json(writer.settings["schema"])
        count = writer.add_blocks(blocks, schema, encode, on_unknown, task.advance)
        if count:
            _meet_existing(writer, base, replace)
            writer.commit()
            if writer.clipped:
                say = log.warning if progress is SILENT else progress.say
                say(
                    f"{writer.clipped:,} components lay outside the index's ranges and were cut to them; where these "
                    "are many, calibrate the model on texts of this kind and build the index again"
                )
    return count


def _meet_existing(writer: Writer, base: Snapshot, replace: bool) -> None:
    """Refuse ids that exist, or mark their old rows deleted."""
    ids = writer.new_ids()
    found = base.find(ids)
    if not (found >= 0).any():
        return
    if not replace:
        raise SchemaError(
            f"{listed([ids[int(place)] for place in np.flatnonzero(found >= 0)])} in {writer.folder} already; nothing "
            "was added. Use upsert to replace them"
        )
    writer.delete_rows(found[found >= 0])


def delete_documents(
    writer: Writer, ids: Sequence[str] | None, where: "str | Tree | Field | None", strict: bool
) -> tuple[int, int]:
    """Commit the deletion; returns rows deleted and ids that were not there. See `Index.delete`."""
    with writer.writing() as base:
        missing: list[str] = []
        rows = np.arange(base.starts[-1])
        if ids is not None:
            wanted = list(dict.fromkeys(ids))
            found = base.find(wanted)
            missing = [name for name, row in zip(wanted, found, strict=True) if row < 0]
            rows = found[found >= 0]
        if missing and strict:
            raise SchemaError(f"{listed(missing)} not in {writer.folder}; nothing was deleted")
        if ids is None or where is not None:
            rows = rows[base.allowed(where)[rows]]
        if len(rows):
            writer.delete_rows(rows)
            writer.commit()
    return len(rows), len(missing)


def listed(ids: Sequence[str]) -> str:
    """`5 ids are`, with the first 5 of them."""
    shown = ", ".join(f'"{name}"' for name in ids[:5]) + (", ..." if len(ids) > 5 else "")
    return f"{len(ids):,} {'id is' if len(ids) == 1 else 'ids are'} ({shown})"
