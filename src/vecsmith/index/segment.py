"""A segment: rows that were committed together, in files that are written once and mapped.

    rows.f32          64-byte header, then float32 [v, width]: one vector per distinct input (per distinct vector where
                      the caller brought vectors)
    rows.i8, ranges.f32   in its place in an index of int8 codes: the codes, and float32 [2, width] that they stand for
    vector_of.u32     row -> vector
    ids.keys.u64      xxh3-64 of the ids, ascending     ids.rows.u32   and their rows: finds ids in bulk
    attributes.bin    ids and typed attributes (attributes.py)
    texts.utf8/.u64   texts
    lexical/          postings.py; absent in an index without a lexical side

The catalog holds the size and xxh3-128 of every file. Room for the approximate engine: codes and lists will lie beside
rows.f32, which then is in list order; `vector_of` already parts row order from vector order.
"""

import json
import struct
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import xxhash
from numpy.typing import NDArray

from vecsmith.errors import Damaged, SchemaError
from vecsmith.index.attributes import Attributes, write_attributes
from vecsmith.index.engine import Part
from vecsmith.index.flat import Texts, TextWriter, map_array, write_array
from vecsmith.index.postings import Postings, PostingsBuilder
from vecsmith.index.schema import Schema

__all__ = ["Segment", "SegmentBuilder", "file_hash", "id_keys"]

_HEADER = struct.Struct("<8sIIIQ8s28x")  # magic, version, bytes per component, width, vectors, metric: 64 bytes
_MAGIC = b"VSROWS\0\1"
Float = NDArray[np.float32]


class SegmentBuilder:
    """Takes blocks of rows and writes a segment's files into a folder that exists; memory holds ids, attributes and
    postings, never texts or vectors.

    width     of the vectors, None for an index without a dense side
    metric    "cosine" or "ip", for the header
    ranges    float32 [2, width] of int8 codes; None: vectors are float32
    """

    def __init__(
        self,
        folder: Path,
        schema: Schema,
        *,
        width: int | None,
        metric: str,
        lexical: bool,
        ranges: "Float | None" = None,
    ) -> None:
        self.folder, self.schema, self.width, self.metric = folder, schema, width, metric
        self._ids: list[str] = []
        self._columns: dict[str, list[object]] = {name: [] for name in schema.fields}
        self._texts = TextWriter(folder, "texts")
        self._postings = PostingsBuilder() if lexical else None
        self._vector_of: list[NDArray[np.uint32]] = []
        self._known: dict[bytes, int] = {}
        self._norm = 0.0
        self._dtype = "<f4" if ranges is None else "i1"
        self._rows_path = folder / ("rows.f32" if ranges is None else "rows.i8")
        if ranges is not None:
            write_array(folder / "ranges.f32", ranges, "<f4")
        self._rows_file = open(self._rows_path, "wb")  # noqa: SIM115  closed by finish() or close()
        self._rows_file.write(b"\0" * _HEADER.size)

    def __len__(self) -> int:
        return len(self._ids)

    def unknown(self, keys: Sequence[bytes]) -> list[int]:
        """Places of the first of each key that has no vector yet."""
        seen: set[bytes] = set()
        places = []
        for place, key in enumerate(keys):
            if key not in self._known and key not in seen:
                seen.add(key)
                places.append(place)
        return places

    def add_vectors(self, keys: Sequence[bytes], vectors: "Float | NDArray[np.int8]") -> None:
        """Store the vectors of new keys, float32 or codes."""
        for key in keys:
            self._known[key] = len(self._known)
        if len(vectors):
            wide = np.asarray(vectors, dtype=np.float32)
            self._norm = max(self._norm, float(np.sqrt(np.einsum("ij,ij->i", wide, wide).max())))
        self._rows_file.write(np.ascontiguousarray(vectors, dtype=self._dtype).tobytes())

    def add(
        self,
        ids: Sequence[str],
        texts: Sequence[str],
        columns: Mapping[str, Sequence[object]],
        keys: Sequence[bytes],
        *,
        with_postings: bool = True,
    ) -> None:
        """Add rows; the vectors of their keys are there already (no keys without a dense side)."""
        self._ids += ids
        for name, values in self._columns.items():
            values += columns[name]
        self._texts.add(texts)
        if self.width is not None:
            self._vector_of.append(np.array([self._known[key] for key in keys], dtype="<u4"))
        if self._postings is not None and with_postings:
            self._postings.add(texts)

    def finish(self, postings: Postings | None = None) -> dict[str, Any]:
        """Write what is left; returns the catalog's body.

        postings   takes the place of those collected (compaction merges them)
        """
        self.close()
        vectors = len(self._known)
        size = np.dtype(self._dtype).itemsize
        with open(self._rows_path, "r+b") as file:
            file.write(_HEADER.pack(_MAGIC, 1, size, self.width or 0, vectors, self.metric.encode().ljust(8, b"\0")))
        vector_of = np.concatenate(self._vector_of) if self._vector_of else np.empty(0, dtype="<u4")
        write_array(self.folder / "vector_of.u32", vector_of, "<u4")
        keys = id_keys(self._ids)
        order = np.argsort(keys, kind="stable")
        write_array(self.folder / "ids.keys.u64", keys[order], "<u8")
        write_array(self.folder / "ids.rows.u32", order, "<u4")
        write_attributes(self.folder, self._columns, self.schema, self._ids)
        if postings is None and self._postings is not None:
            postings = self._postings.finish()
        if postings is not None:
            postings.write(self.folder / "lexical")
        body = {"rows": len(self._ids), "vectors": vectors, "width": self.width, "norm": round(self._norm, 6)}
        files = {
            path.relative_to(self.folder).as_posix(): {"bytes": path.stat().st_size, "xxh3": file_hash(path)}
            for path in sorted(self.folder.rglob("*"))
            if path.is_file()
        }
        (self.folder / "segment.json").write_text(json.dumps({**body, "files": files}, indent=1), encoding="utf-8")
        return {**body, "files": files}

    def close(self) -> None:
        """Close the files; for a builder that is given up."""
        self._rows_file.close()
        self._texts.close()


class Segment:
    """The mapped files of one segment; immutable, shared by all snapshots of a process."""

    _open: ClassVar[weakref.WeakValueDictionary[Path, "Segment"]] = weakref.WeakValueDictionary()

    def __init__(self, folder: Path, body: Mapping[str, Any], schema: Schema) -> None:
        for name, written in body["files"].items():
            _check_size(folder / name, written["bytes"])
        self.folder, self.name = folder, folder.name
        self.rows: int = body["rows"]
        self.width: int | None = body["width"]
        vector_of: NDArray[np.uint32] = map_array(folder / "vector_of.u32", "<u4")
        line = _line(folder, body) if "rows.i8" in body["files"] else None
        vectors = _map_rows(folder / ("rows.f32" if line is None else "rows.i8"), body, "<f4" if line is None else "i1")
        self.part = Part(vectors, vector_of, body["norm"] * 1.0001, line)
        self.texts = Texts(folder, "texts")
        self.attributes = Attributes.open(folder, schema)
        self.postings = Postings.open(folder / "lexical") if "lexical/keys.u64" in body["files"] else None
        self._keys: NDArray[np.uint64] = map_array(folder / "ids.keys.u64", "<u8")
        self._key_rows: NDArray[np.uint32] = map_array(folder / "ids.rows.u32", "<u4")

    @classmethod
    def open(cls, folder: Path, body: Mapping[str, Any], schema: Schema) -> "Segment":
        """Map a segment, or share the maps that this process has of it.

        raises   Damaged: a file that is missing, or of another size than was written
        """
        key = folder.absolute()
        found = cls._open.get(key)
        if found is None or found.attributes.schema != schema:
            found = cls(folder, body, schema)
            cls._open[key] = found
        return found

    def ids(self, rows: "Sequence[int] | NDArray[Any]") -> list[str]:
        """The ids of some rows."""
        return self.attributes.ids(rows)

    def find(self, keys: NDArray[np.uint64], ids: Sequence[str]) -> NDArray[np.int64]:
        """The row of each id (with its key), -1 where it is not here: int64 [m]."""
        found = np.full(len(keys), -1, dtype=np.int64)
        if not len(self._keys):
            return found
        place = np.searchsorted(self._keys, keys)
        hit = np.flatnonzero(self._keys[np.minimum(place, len(self._keys) - 1)] == keys)
        rows = self._key_rows[place[hit]].astype(np.int64)
        names = self.ids(rows)
        same = np.array([name == ids[int(which)] for name, which in zip(names, hit, strict=True)], dtype=np.bool_)
        found[hit[same]] = rows[same]
        for which in hit[~same]:  # several ids share a key: one in 2^64 pairs
            for at in range(int(place[which]) + 1, len(self._keys)):
                if self._keys[at] != keys[which]:
                    break
                if self.ids([int(self._key_rows[at])])[0] == ids[which]:
                    found[which] = self._key_rows[at]
        return found


def id_keys(ids: Sequence[str]) -> NDArray[np.uint64]:
    """xxh3-64 of each id: uint64 [n]."""
    hashes = (xxhash.xxh3_64_intdigest(name.encode("utf-8", "surrogatepass")) for name in ids)
    return np.fromiter(hashes, dtype=np.uint64, count=len(ids))


def file_hash(path: Path) -> str:
    """xxh3-128 of a file, read in blocks."""
    digest = xxhash.xxh3_128()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _check_size(path: Path, expected: int) -> None:
    try:
        found = path.stat().st_size
    except FileNotFoundError:
        raise Damaged(f"{path} is missing; restore it from a backup, or build the index again") from None
    if found != expected:
        raise Damaged(
            f"{path} has {found:,} bytes, {expected:,} were written; restore it from a backup, or build again"
        )


def _line(folder: Path, body: Mapping[str, Any]) -> tuple[Float, Float]:
    """Offsets and steps of int8 codes."""
    from vecsmith.models.quantise import steps_of

    return steps_of(np.array(map_array(folder / "ranges.f32", "<f4").reshape(2, body["width"])))


def _map_rows(path: Path, body: Mapping[str, Any], dtype: str) -> NDArray[Any]:
    with open(path, "rb") as file:
        magic, version, size, width, count, _ = _HEADER.unpack(file.read(_HEADER.size))
    if magic != _MAGIC or (size, width, count) != (np.dtype(dtype).itemsize, body["width"] or 0, body["vectors"]):
        raise Damaged(
            f"{path}: its header is not that of {body['vectors']:,} vectors; restore it or build the index again"
        )
    if version != 1:
        raise SchemaError(f"{path} has version {version}, known here is 1; upgrade vecsmith")
    return map_array(path, dtype, offset=_HEADER.size).reshape(count, width)
