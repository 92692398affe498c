"""The index: documents with vectors, terms and attributes, found by meaning, by words or by both, under filters."""

import copy
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vecsmith.errors import ContractError, UsageError
from vecsmith.index.catalog import Catalog
from vecsmith.index.changes import delete_documents, put_documents
from vecsmith.index.creation import create_folder
from vecsmith.index.documents import AnyDocument, check_vectors
from vecsmith.index.maker import check_contract, given_vectors, open_maker, open_stored
from vecsmith.index.result import Collected, Deleted, Hit, Result
from vecsmith.index.schema import Schema
from vecsmith.index.snapshot import Snapshot
from vecsmith.index.tokens import TOKENIZER
from vecsmith.index.verify import Problem, verify_files
from vecsmith.index.writer import Writer
from vecsmith.progress import SILENT, Progress

if TYPE_CHECKING:
    from vecsmith.contract.contract import Contract
    from vecsmith.index.where import Field
    from vecsmith.index.where_tree import Tree
    from vecsmith.models.encoder import Encoder

__all__ = ["Collected", "Deleted", "Hit", "Index", "Result"]

Float = NDArray[np.float32]
GRACE_SECONDS = 600.0


class Index:
    """An index folder, seen at one generation; `refresh` moves to the newest, own changes do so by themselves.

    Many processes may read while one writes. Made by `Index.create` or `Index.open`; a context manager.
    """

    def __init__(self, path: Path, model: "Encoder | None", durability: str) -> None:
        if durability not in ("full", "none"):
            raise UsageError(
                f'durability is "{durability}"; "full" survives a power cut, "none" is for what can be made again'
            )
        self.path = path
        self._durable = durability == "full"
        self._catalog = Catalog(path, durable=self._durable)
        self._encoder = model
        self.refresh()

    @classmethod
    def create(
        cls,
        path: str | os.PathLike[str],
        *,
        model: "str | os.PathLike[str] | Encoder | Any | None" = None,
        schema: "Mapping[str, object] | Schema | None" = None,
        lexical: bool = True,
        dense: bool | None = None,
        width: int | None = None,
        metric: str | None = None,
        precision: str = "float32",
        durability: str = "full",
    ) -> "Index":
        """Make an empty index in a folder that does not exist yet.

        model        makes the vectors: a path, a name, an encoder, or what `vs.load` gives. It is copied into the index
                     up to 100 MB, else its path and fingerprint are kept. None: no model; texts are searched by words,
                     vectors are brought by the caller
        schema       attributes and their types, `{"year": int, "tags": set}`; None infers them at the first add
        lexical      index the words
        dense        index vectors; by default where there is a model or a width
        width        of vectors that the caller brings; by default that of the first ones
        metric       "cosine" (vectors are stored at unit length) or "ip"; by default what the model says
        precision    how vectors are stored: "float32", or "int8" by the ranges in the model's contract, a quarter of
                     the size; they are turned back for every score
        durability   "full", or "none": no fsync, for tests and for loads that can be repeated
        raises       UsageError: neither side, or the folder exists
        """
        encoder = create_folder(
            Path(path), model, schema, lexical=lexical, dense=dense, width=width, metric=metric, precision=precision
        )
        return cls(Path(path), encoder, durability)

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        model: "str | os.PathLike[str] | Encoder | Any | None" = None,
        *,
        durability: str = "full",
    ) -> "Index":
        """Open an index at its newest generation.

        model    takes the place of the stored one, which is opened only when a text must become a vector
        raises   UsageError: no index; SpaceMismatch: another model made its vectors; Damaged; SchemaError: newer format
        """
        encoder = None if model is None else open_maker(model)
        index = cls(Path(path), encoder, durability)
        if encoder is not None:
            check_contract(index.contract, encoder.contract, index.path)
        return index

    def __enter__(self) -> "Index":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Nothing is held between calls but maps, which go with the object."""

    def __len__(self) -> int:
        return self._snapshot.total

    @property
    def generation(self) -> int:
        return self._snapshot.generation

    @property
    def schema(self) -> Schema:
        return self._snapshot.schema

    @property
    def settings(self) -> Mapping[str, Any]:
        return self._snapshot.settings

    @property
    def contract(self) -> "Contract | None":
        """What made the vectors; None where no model did."""
        stored = self._snapshot.pin.contract
        if stored is None:
            return None
        from vecsmith.contract.contract import Contract

        return Contract.from_json(dict(stored), str(self.path))

    @property
    def model(self) -> "Encoder":
        """The encoder of texts, opened on first use.

        raises   UsageError: the index has none; ContractError, SpaceMismatch: it is gone or another one now
        """
        if self._encoder is None:
            self._encoder = open_stored(self.path, self.settings["model"], self.contract)
        return self._encoder

    def refresh(self) -> int:
        """Move to the newest generation; returns its number."""
        self._snapshot = Snapshot(self.path, self._catalog.pin())
        if self.settings["lexical"] and self.settings["tokenizer"] != TOKENIZER:
            raise ContractError(
                f"{self.path} was split into words by {self.settings['tokenizer']}, this vecsmith has {TOKENIZER}; "
                "build the index again"
            )
        return self.generation

    def snapshot(self) -> "Index":
        """The same index, held at the generation now seen, whatever this object or other processes do."""
        return copy.copy(self)

    def set_defaults(self, *, mode: str | None = None, weight: float | None = None) -> None:
        """How to search where the caller does not say: mode, and dense share of fused scores (None: fuse by ranks)."""
        if weight is not None and not 0 <= weight <= 1:
            raise UsageError(f"weight is {weight}; it must lie in 0..1 (the share of the dense side)")
        if mode is not None:
            self._snapshot._check(0, 0, mode, None)
        writer = self._writer()
        with writer.writing():
            writer.catalog.change_settings({**writer.settings, "defaults": {"mode": mode, "weight": weight}})
        self.refresh()

    def add(
        self,
        documents: "Iterable[AnyDocument | Mapping[str, Any]]",
        vectors: "NDArray[Any] | None" = None,
        *,
        on_unknown: str = "error",
        progress: Progress = SILENT,
    ) -> int:
        """Add documents; on any error none of them is added.

        documents    `Document`s, or mappings `{"id", "text", attributes...}`; read once, in bounded memory
        vectors      float [n, width], one per document, or the `Shards` of an encoding by the same model (codes only
                     with the index's own ranges); by default the model encodes each distinct text once
        on_unknown   "error" or "ignore": an attribute that is no field of the schema
        returns      the number of documents added; they are durable
        raises       SchemaError: an id that exists or stands twice, a vector or attribute that does not fit;
                     SpaceMismatch: shards of another model, prompt or quantiser; Locked; DiskFull
        """
        return self._put(documents, vectors, on_unknown, replace=False, progress=progress)

    def upsert(
        self,
        documents: "Iterable[AnyDocument | Mapping[str, Any]]",
        vectors: "NDArray[Any] | None" = None,
        *,
        on_unknown: str = "error",
        progress: Progress = SILENT,
    ) -> int:
        """`add` that replaces documents whose ids exist; both happen in one generation."""
        return self._put(documents, vectors, on_unknown, replace=True, progress=progress)

    def delete(
        self,
        ids: Sequence[str] | None = None,
        *,
        where: "str | Tree | Field | None" = None,
        strict: bool = False,
    ) -> Deleted:
        """Delete by ids, by filter, or ids under a filter.

        strict   an id that is not there is an error, not a count
        raises   UsageError: neither given; SchemaError: missing ids under `strict`; Locked
        """
        if ids is None and where is None:
            raise UsageError("delete needs ids, where, or both")
        if isinstance(ids, str):
            raise UsageError(f'ids is the text "{ids}"; pass a list of ids')
        deleted = Deleted(*delete_documents(self._writer(), ids, where, strict))
        self.refresh()
        return deleted

    def search(
        self,
        query: "str | NDArray[Any] | None",
        k: int = 10,
        *,
        mode: str | None = None,
        where: "str | Tree | Field | None" = None,
        vector: "NDArray[Any] | None" = None,
        weight: float | None = None,
        fields: Sequence[str] | None = None,
        offset: int = 0,
    ) -> Result:
        """The k best documents for a query.

        query    a text, or a vector [width]
        k        0 or more; fewer come back only where fewer pass (`result.short`)
        mode     "dense", "lexical" or "fused"; by default the index's (`set_defaults`), else fused where it can be
        where    a filter, as text or made with `field`
        vector   the query's vector where it is known already, beside its text
        weight   dense share of fused scores, 0..1; by default the index's; without one, fusion is by ranks
        fields   attributes to return; None: all
        offset   leave out that many of the best
        raises   WhereError; SchemaError: a vector that does not fit; UsageError: a mode this index has not
        """
        if query is not None and not isinstance(query, str):
            query, vector = None, query
        given = None if vector is None else np.asarray(vector)[None]
        return self._search([query], given, k, mode, weight, where, fields, offset)[0]

    def search_many(
        self,
        queries: Sequence[str],
        k: int = 10,
        *,
        mode: str | None = None,
        where: "str | Tree | Field | None" = None,
        vectors: "NDArray[Any] | None" = None,
        weight: float | None = None,
        fields: Sequence[str] | None = None,
        offset: int = 0,
    ) -> list[Result]:
        """`search` for many texts under one filter, encoded and scored together."""
        if isinstance(queries, str):
            raise UsageError("search_many takes a list of queries; for one text use search")
        return self._search(list(queries), vectors, k, mode, weight, where, fields, offset) if len(queries) else []

    def compact(self, *, progress: Progress = SILENT) -> bool:
        """Merge all segments into one without the deleted rows; False where there was nothing to merge."""
        writer = self._writer()
        with writer.writing() as base:
            if len(base.segments) < 2 and all(alive is None for alive in base.alive):
                return False
            with progress.task("Compact", total=base.total, unit="rows") as task:
                writer.merge(task.advance)
            writer.commit()
        self.refresh()
        return True

    def gc(self, *, grace_seconds: float = GRACE_SECONDS) -> Collected:
        """Remove files that none of the last 5 generations names and that were given up `grace_seconds` ago."""
        writer = self._writer()
        with writer.writing():
            return Collected(*writer.collect(grace_seconds))

    def verify(self, *, deep: bool = False, progress: Progress = SILENT) -> list[Problem]:
        """What is wrong with the files of all kept generations; empty where nothing is.

        deep   also of the open generation: ids lost or twice, attributes at odds, 1,000 vectors against fresh ones
        """
        model = self.model if deep and self.settings["model"] is not None else None
        return verify_files(
            self.path, self._catalog, self._snapshot, model if deep else None, deep=deep, progress=progress
        )

    def stats(self) -> dict[str, Any]:
        """Sizes and counts, for people and programs."""
        segments = self._snapshot.segments
        return {
            "documents": len(self),
            "deleted": self._snapshot.starts[-1] - len(self),
            "segments": len(segments),
            "vectors": sum(len(segment.part.vectors) for segment in segments) if self.settings["dense"] else 0,
            "width": self.settings["width"],
            "metric": self.settings["metric"],
            "precision": self.settings.get("precision", "float32"),
            "lexical": self.settings["lexical"],
            "model": self.settings["model"],
            "defaults": self.settings["defaults"],
            "fields": self.schema.types,
            "generation": self.generation,
            "bytes": sum(file["bytes"] for live in self._snapshot.pin.segments for file in live.body["files"].values()),
        }

    def _writer(self) -> Writer:
        return Writer(self.path, durable=self._durable)

    def _put(
        self,
        documents: "Iterable[AnyDocument | Mapping[str, Any]]",
        vectors: "NDArray[Any] | None",
        on_unknown: str,
        *,
        replace: bool,
        progress: Progress,
    ) -> int:
        if isinstance(documents, (str, bytes, Mapping)):
            raise UsageError(f"documents is a {type(documents).__name__}; pass a list or iterable of documents")
        encode = self._encode_documents if self.settings["model"] is not None or self._encoder is not None else None
        count = put_documents(
            self._writer(),
            documents,
            given_vectors(self.path, self.contract, vectors),
            encode,
            on_unknown=on_unknown,
            replace=replace,
            progress=progress,
        )
        self.refresh()
        return count

    def _search(
        self,
        texts: "list[str | None]",
        vectors: "NDArray[Any] | None",
        k: int,
        mode: str | None,
        weight: float | None,
        where: "str | Tree | Field | None",
        fields: Sequence[str] | None,
        offset: int,
    ) -> list[Result]:
        snapshot, defaults = self._snapshot, self.settings["defaults"]
        mode = mode or self._default_mode(texts, vectors)
        snapshot._check(k, offset, mode, fields)
        if mode == "fused" and weight is None:
            weight = defaults["weight"]
        spent = 0.0
        if mode != "lexical" and len(snapshot):
            if vectors is None:
                start = time.perf_counter()
                vectors = self.model.encode_query([text or "" for text in texts])
                spent = 1000 * (time.perf_counter() - start)
            names = [f"query {place}" for place in range(len(texts))]
            cosine = self.settings["metric"] == "cosine"
            vectors = check_vectors(vectors, snapshot.width, cosine=cosine, names=names)
        found = snapshot.search_many(
            texts, vectors, k, mode=mode, weight=weight, where=where, fields=fields, offset=offset
        )
        for result in found:
            result.timings["encode"] = round(spent / len(texts), 3)
        return found

    def _default_mode(self, texts: "list[str | None]", vectors: "NDArray[Any] | None") -> str:
        """The index's own default; else fused where both sides can be asked, else the side that can."""
        settings = self.settings
        can_dense = settings["dense"] and (
            vectors is not None or settings["model"] is not None or self._encoder is not None
        )
        can_lexical = settings["lexical"] and texts[0] is not None
        wished = settings["defaults"]["mode"]
        if wished is not None and (wished == "lexical" or can_dense) and (wished == "dense" or can_lexical):
            return str(wished)
        if can_dense and can_lexical:
            return "fused"
        return "lexical" if can_lexical else "dense"

    def _encode_documents(self, texts: Sequence[str]) -> Float:
        return self.model.encode_document(list(texts))
