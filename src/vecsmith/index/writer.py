"""Changes of an index: everything is written beside what stands, then one catalog transaction makes it the newest.

    write segment files under tmp/ -> fsync -> rename to segments/ -> tombstones -> commit

A writer killed before the commit leaves files that no generation names; the next writer sweeps them.
"""

import shutil
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xxhash
from numpy.typing import NDArray

from vecsmith.atomic import disk_errors, fsync_folder, fsync_tree
from vecsmith.errors import SchemaError, VecsmithError
from vecsmith.index.catalog import Catalog, LiveSegment
from vecsmith.index.documents import Block, check_vectors
from vecsmith.index.lock import WriterLock
from vecsmith.index.postings import merge_postings
from vecsmith.index.schema import Schema
from vecsmith.index.segment import Segment, SegmentBuilder, id_keys
from vecsmith.index.snapshot import Snapshot
from vecsmith.index.tombstones import write_dead

if TYPE_CHECKING:
    from vecsmith.models.quantise import Quantiser

__all__ = ["Writer"]

Float = NDArray[np.float32]
Encode = Callable[[Sequence[str]], Float]

SEGMENT_ROWS = 131_072  # an add of more rows makes several segments, so that its memory stays flat
READ_ROWS = 4096


class Writer:
    """The one writer of an index, for the length of a `with` block; `commit` may be called once."""

    def __init__(self, folder: Path, *, durable: bool = True) -> None:
        self.folder, self.durable = folder, durable
        self.catalog = Catalog(folder, durable=durable)
        self._lock = WriterLock(folder)
        self._new: list[LiveSegment] = []
        self._builders: list[SegmentBuilder] = []
        self._dead: dict[str, NDArray[np.bool_]] = {}
        self._replaced = False
        self.clipped = 0  # components outside the ranges of the index's codes

    @contextmanager
    def writing(self) -> Iterator[Snapshot]:
        """Take the lock, sweep what killed writers left, and give the newest generation; on an error nothing stays.

        raises   Locked; DiskFull
        """
        with self._lock, disk_errors(self.folder):
            self._sweep()
            self.base = Snapshot(self.folder, self.catalog.pin())
            self.settings: dict[str, Any] = dict(self.base.settings)
            try:
                yield self.base
            except BaseException:
                # What the catalog names is committed and stays, even where the error came after the commit; what
                # cannot be removed now, the next writer sweeps.
                with suppress(VecsmithError, OSError):
                    self._sweep()
                raise
            finally:
                for builder in self._builders:
                    builder.close()
                shutil.rmtree(self.folder / "tmp", ignore_errors=True)

    def add_blocks(
        self,
        blocks: Iterable[Block],
        schema: Schema,
        encode: Encode | None,
        on_unknown: str,
        advance: Callable[[int], None],
    ) -> int:
        """Write blocks of documents as new segments, not yet committed; returns the number of rows.

        encode   texts -> vectors, for blocks without vectors
        """
        builder: SegmentBuilder | None = None
        count = 0
        for block in blocks:
            columns = block.columns(schema, on_unknown)
            if self.settings["dense"] and self.settings["width"] is None and block.vectors is not None:
                self.settings["width"] = int(np.asarray(block.vectors).shape[-1])
            if builder is None:
                builder = self._builder(schema)
            keys = self._add_vectors(builder, block, encode) if self.settings["dense"] else []
            builder.add(block.ids, block.texts, columns, keys)
            count += len(block.ids)
            advance(len(block.ids))
            if len(builder) >= SEGMENT_ROWS:
                self._place(builder, builder.finish())
                builder = None
        if builder is not None:
            self._place(builder, builder.finish())
        self._refuse_repeats()
        return count

    def _add_vectors(self, builder: SegmentBuilder, block: Block, encode: Encode | None) -> list[bytes]:
        """Store the vectors of a block, each distinct text (or vector, where the caller brought them) once."""
        cosine, width = self.settings["metric"] == "cosine", self.settings["width"]
        vectors: NDArray[Any]
        if block.vectors is not None:
            if block.vectors.dtype == np.int8 and self._quantiser() is not None:  # of shards that the door has compared
                vectors = block.vectors
            else:
                checked = check_vectors(block.vectors, width, cosine=cosine, names=block.ids, first=block.first)
                vectors = self._stored(checked, block.vectors)
            keys = [xxhash.xxh3_128_digest(row.tobytes()) for row in vectors]
            new = builder.unknown(keys)
            builder.add_vectors([keys[place] for place in new], vectors[new])
            return keys
        keys = [xxhash.xxh3_128_digest(text.encode("utf-8", "surrogatepass")) for text in block.texts]
        new = builder.unknown(keys)
        if new:
            if encode is None:
                raise SchemaError("this index has no model; pass one vector per document: add(documents, vectors=...)")
            vectors = np.asarray(encode([block.texts[place] for place in new]))
            names = [block.ids[place] for place in new]
            checked = check_vectors(vectors, width, cosine=cosine, names=names, first=block.first)
            vectors = self._stored(checked, vectors)
            builder.add_vectors([keys[place] for place in new], vectors)
        return keys

    def _stored(self, checked: Float, given: NDArray[Any]) -> NDArray[Any]:
        """Vectors as the index keeps them: float32, or codes by the ranges of its contract."""
        quantiser = self._quantiser()
        if quantiser is None:
            return checked
        # Normalising anew what has length 1 moves last digits, and with them a code here and there: as they came, their
        # codes are those that the model's own `encode` and `encode_to` give.
        plain = np.asarray(given, dtype=np.float32)
        is_unit = np.abs(np.linalg.norm(plain, axis=1, keepdims=True) - 1) < 1e-5
        codes, clipped = quantiser.quantise(np.where(is_unit, plain, checked))
        self.clipped += clipped
        return codes

    def _quantiser(self) -> "Quantiser | None":
        """How vectors are stored; None: as float32."""
        if self.settings.get("precision", "float32") == "float32":
            return None
        from vecsmith.contract.contract import Contract
        from vecsmith.models.quantise import quantiser_of

        return quantiser_of(Contract.from_json(dict(self.base.pin.contract or {}), str(self.folder)))

    def delete_rows(self, rows: NDArray[np.int64]) -> None:
        """Mark rows of the base generation as deleted, not yet committed."""
        for segment, alive, start in zip(self.base.segments, self.base.alive, self.base.starts, strict=False):
            inside = rows[(rows >= start) & (rows < start + segment.rows)] - start
            if len(inside):
                dead = self._dead.get(segment.name)
                if dead is None:
                    dead = np.zeros(segment.rows, dtype=bool) if alive is None else ~alive
                dead[inside] = True
                self._dead[segment.name] = dead

    def merge(self, advance: Callable[[int], None]) -> None:
        """Write all living rows of the base generation as one new segment that takes the place of all."""
        schema = self.base.schema
        builder = self._builder(schema)
        for segment, rows in self.base.live_rows():
            for low in range(0, len(rows), READ_ROWS):
                self._copy(builder, segment, rows[low : low + READ_ROWS], schema)
                advance(len(rows[low : low + READ_ROWS]))
        parts = [
            (s.postings, alive) for s, alive in zip(self.base.segments, self.base.alive, strict=True) if s.postings
        ]
        postings = merge_postings(parts) if self.settings["lexical"] else None
        if len(builder):
            self._place(builder, builder.finish(postings))
        self._replaced = True

    def _copy(self, builder: SegmentBuilder, segment: Segment, rows: NDArray[np.int64], schema: Schema) -> None:
        keys: list[bytes] = []
        if self.settings["dense"]:
            vectors = segment.part.vectors[segment.part.vector_of[rows]]
            keys = [xxhash.xxh3_128_digest(row.tobytes()) for row in vectors]
            new = builder.unknown(keys)
            builder.add_vectors([keys[place] for place in new], vectors[new])
        columns = {name: segment.attributes.values(name, rows) for name in schema.fields}
        builder.add(segment.ids(rows), segment.texts(rows), columns, keys, with_postings=False)

    def commit(self, settings: Mapping[str, Any] | None = None) -> int:
        """Make what was written the newest generation; returns its number."""
        live = [] if self._replaced else list(self.base.pin.segments)
        for place, segment in enumerate(live):
            if segment.name in self._dead:
                dead = self._dead[segment.name]
                name = f"{segment.name}-{self.base.generation + 1}-{uuid.uuid4().hex[:8]}.bits"
                marks = write_dead(self.folder / "tombstones", name, dead, durable=self.durable)
                live[place] = LiveSegment(segment.name, segment.body, marks)
        live = [segment for segment in live if not _is_dead(segment)]
        changed = settings if settings is not None else self.settings
        return self.catalog.commit(
            self.base.generation, [*live, *self._new], settings=changed if changed != dict(self.base.settings) else None
        )

    def _builder(self, schema: Schema) -> SegmentBuilder:
        folder = self.folder / "tmp" / uuid.uuid4().hex
        folder.mkdir(parents=True)
        width = self.settings["width"] if self.settings["dense"] else None
        metric, lexical = self.settings["metric"], self.settings["lexical"]
        quantiser = self._quantiser()
        ranges = None if quantiser is None else quantiser.ranges
        builder = SegmentBuilder(folder, schema, width=width, metric=metric, lexical=lexical, ranges=ranges)
        self._builders = [builder]  # those before it are finished
        return builder

    def _place(self, builder: SegmentBuilder, body: dict[str, Any]) -> None:
        """Give a finished segment its name under segments/; it counts only from the commit on."""
        target = self.folder / "segments" / builder.folder.name
        if self.durable:
            fsync_tree(builder.folder)
        builder.folder.rename(target)
        if self.durable:
            fsync_folder(target.parent)
        self._new.append(LiveSegment(target.name, body, None))

    def _refuse_repeats(self) -> None:
        """An id that stands in two new segments; within one, `write_attributes` has refused it."""
        segments = [Segment(self.folder / "segments" / new.name, new.body, self.schema_written) for new in self._new]
        for place, segment in enumerate(segments):
            ids = segment.ids(np.arange(segment.rows))
            for earlier in segments[:place]:
                found = earlier.find(id_keys(ids), ids)
                if (found >= 0).any():
                    at = int((found >= 0).argmax())
                    before = sum(s.rows for s in segments[:place])
                    first = sum(s.rows for s in segments[: segments.index(earlier)]) + int(found[at])
                    raise SchemaError(
                        f'the id "{ids[at]}" stands in rows {first} and {before + at}; ids are distinct, drop one'
                    )

    @property
    def schema_written(self) -> Schema:
        return Schema.from_json(self.settings["schema"])

    def new_ids(self) -> list[str]:
        """The ids of all rows written so far."""
        found: list[str] = []
        for new in self._new:
            segment = Segment(self.folder / "segments" / new.name, new.body, self.schema_written)
            found += segment.ids(np.arange(segment.rows))
        return found

    def collect(self, grace_seconds: float) -> tuple[int, int]:
        """Delete files that no kept generation has named for `grace_seconds`; returns files' folders and bytes."""
        used, retired = self.catalog.known_names()
        count = size = 0
        gone = []
        for name, since in retired.items():
            if name in used or time.time() - since < grace_seconds:
                continue
            for path in (self.folder / "segments" / name, self.folder / "tombstones" / name):
                if path.exists():
                    count, size = count + 1, size + _size(path)
                    _remove(path)
            gone.append(name)
        self.catalog.forget(gone)
        return count, size

    def _sweep(self) -> None:
        """Remove what no commit ever named: the leavings of killed writers."""
        shutil.rmtree(self.folder / "tmp", ignore_errors=True)
        used, retired = self.catalog.known_names()
        for room in ("segments", "tombstones"):
            for path in (self.folder / room).iterdir():
                if path.name not in used and path.name not in retired:
                    _remove(path)


def _is_dead(segment: LiveSegment) -> bool:
    return segment.tombstones is not None and segment.tombstones["dead"] == segment.body["rows"]


def _size(path: Path) -> int:
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return sum(file.stat().st_size for file in files)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
