"""Documents as callers bring them, checked and cut into blocks of columns."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from vecsmith.errors import SchemaError
from vecsmith.index.schema import Schema

__all__ = ["AnyDocument", "Block", "blocks_of", "check_vectors", "infer_schema"]

Float = NDArray[np.float32]
BLOCK_ROWS = 4096
_OWN_KEYS = ("id", "text", "group", "split", "input", "vector")


class AnyDocument(Protocol):
    """What `data.dataset.Document` offers."""

    @property
    def id(self) -> str: ...

    @property
    def text(self) -> str: ...

    @property
    def attributes(self) -> dict[str, Any]: ...


@dataclass(frozen=True)
class Block:
    """Some thousand documents as columns; `first` is the number of the first one, `vectors` float32 [n, d] or None."""

    first: int
    ids: list[str]
    texts: list[str]
    attributes: list[Mapping[str, Any]]
    vectors: Float | None = None

    def columns(self, schema: Schema, on_unknown: str) -> dict[str, list[object]]:
        """The attributes in their stored form.

        raises   SchemaError: an unknown field or a value that does not fit, with the document
        """
        return schema.check(schema.columns_of(self.attributes, self.ids, on_unknown=on_unknown), self.ids)


def blocks_of(
    documents: "Iterable[AnyDocument | Mapping[str, Any]]", vectors: "NDArray[Any] | Sequence[Any] | None"
) -> Iterator[Block]:
    """Blocks of at most 4,096 documents.

    documents   `Document`s, or mappings with `id`, `text` and attributes, either beside them or under `attributes`
    vectors     one row per document, in their order, or None
    raises      SchemaError: no id, an id or text that is no string, another number of vectors than documents
    """
    given = iter(documents)
    first = 0
    while chunk := list(islice(given, BLOCK_ROWS)):
        ids, texts, attributes = [], [], []
        for number, document in enumerate(chunk, first):
            name, text, values = _parts(document, number)
            ids.append(name)
            texts.append(text)
            attributes.append(values)
        part = None if vectors is None else np.asarray(vectors[first : first + len(chunk)])
        if part is not None and len(part) != len(chunk):
            raise SchemaError(f"{len(vectors):,} vectors for more documents than that; pass one vector per document")  # type: ignore[arg-type]
        yield Block(first, ids, texts, attributes, part)
        first += len(chunk)
    if vectors is not None and len(vectors) != first:
        raise SchemaError(f"{len(vectors):,} vectors for {first:,} documents; pass one vector per document")


def infer_schema(blocks: Sequence[Block]) -> Schema:
    """The schema that fits all attributes of a first batch; fields that are null throughout are left out."""
    ids = [name for block in blocks for name in block.ids]
    rows = [values for block in blocks for values in block.attributes]
    names = dict.fromkeys(name for values in rows for name, value in values.items() if value is not None)
    return Schema.infer({name: [values.get(name) for values in rows] for name in names}, ids)


def check_vectors(
    vectors: "NDArray[Any]", width: int | None, *, cosine: bool, names: Sequence[str], first: int = 0
) -> Float:
    """Vectors as they are stored: float32 [n, width], of unit length for cosine.

    names    how messages call each row: ids, or "query 3"
    first    number of the first row in the whole batch
    raises   SchemaError: two axes or numbers missing, another width, NaN or infinity, length 0 under cosine
    """
    found = np.asarray(vectors)
    if found.ndim != 2 or found.dtype not in (np.float16, np.float32, np.float64):
        raise SchemaError(
            f"vectors are {found.dtype} of shape {found.shape}; expected float16, float32 or float64 of shape "
            f"[{len(names)}, {width or 'width'}]"
        )
    if width is not None and found.shape[1] != width:
        raise SchemaError(f"vectors are {found.shape[1]} wide; this index holds vectors of width {width}")
    found = np.ascontiguousarray(found, dtype=np.float32)
    finite = np.isfinite(found)
    if not finite.all():
        row = int((~finite).any(axis=1).argmax())
        column = int((~finite[row]).argmax())
        raise SchemaError(
            f"row {first + row} ({names[row]}): component {column} of its vector is {found[row, column]}; vectors must "
            "be finite. Nothing was written"
        )
    if not cosine:
        return found
    lengths = np.sqrt(np.einsum("ij,ij->i", found.astype(np.float64), found.astype(np.float64)))
    if len(lengths) and not lengths.all():
        row = int((lengths == 0).argmax())
        raise SchemaError(
            f"row {first + row} ({names[row]}): its vector is all zeros, which has no direction; cosine needs one. "
            "Leave the text out, or say more in it"
        )
    return (found / lengths[:, None]).astype(np.float32)


def _parts(document: "AnyDocument | Mapping[str, Any]", number: int) -> tuple[str, str, Mapping[str, Any]]:
    if isinstance(document, Mapping):
        name, text = document.get("id"), document.get("text", "")
        values = {key: value for key, value in document.items() if key not in (*_OWN_KEYS, "attributes")}
        values |= document.get("attributes") or {}
    else:
        name, text, values = document.id, document.text, document.attributes
    if not isinstance(name, str) or not name:
        raise SchemaError(
            f"row {number}: its id is {name!r}; every document needs a text of at least one character as id"
        )
    if not isinstance(text, str):
        raise SchemaError(f"row {number} ({name}): its text is {type(text).__name__}; expected str")
    return name, text, values
