"""What an index consists of, generation by generation: one SQLite file, one transaction per generation.

A generation lists segments and, for each, the tombstones that hide some of its rows. Readers pin one in a short read
transaction and then need the catalog no more. Every row carries an xxh3 of its content, and a generation those of the
rows it names: a flipped bit that SQLite itself cannot see is `Damaged`, never another answer.
"""

import json
import os
import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import xxhash

from vecsmith.errors import Damaged, DiskFull, Locked, SchemaError, UsageError

__all__ = ["FILE_NAME", "Catalog", "LiveSegment", "Pin"]

FILE_NAME = "catalog.sqlite"
FORMAT = 1
KEPT_GENERATIONS = 5
WAIT_SECONDS = 30.0

_TABLES = """
create table meta(key text primary key, body text not null, hash text not null);
create table segments(name text primary key, body text not null, hash text not null);
create table tombstones(name text primary key, body text not null, hash text not null);
create table generations(number integer primary key, body text not null, hash text not null);
create table retired(name text primary key, kind text not null, at real not null);
"""


@dataclass(frozen=True)
class LiveSegment:
    """One segment as a generation sees it.

    name        folder under `segments/`
    body        {"rows", "vectors", "width", "files": {name: {"bytes", "xxh3"}}}
    tombstones  {"name", "dead", "bytes", "xxh3"}, or None where every row lives
    """

    name: str
    body: Mapping[str, Any]
    tombstones: Mapping[str, Any] | None


@dataclass(frozen=True)
class Pin:
    """A generation and the settings that held when it was read."""

    generation: int
    segments: tuple[LiveSegment, ...]
    settings: Mapping[str, Any]
    contract: Mapping[str, Any] | None


class Catalog:
    """The catalog of one index folder; opens the file for each call, so that no transaction outlives it."""

    def __init__(self, folder: Path, *, durable: bool = True) -> None:
        self.folder, self.durable = folder, durable
        self.path = folder / FILE_NAME

    def create(self, settings: Mapping[str, Any], contract: Mapping[str, Any] | None) -> None:
        """Write a new catalog with the empty generation 0."""
        connection = sqlite3.connect(self.path, isolation_level=None)
        try:
            connection.executescript(_TABLES)
            with _transaction(connection):
                for key, value in {"format": FORMAT, "settings": settings, "contract": contract}.items():
                    _put(connection, "meta", key, value)
                _put(connection, "generations", 0, {"created": time.time(), "segments": []})
        finally:
            connection.close()

    def pin(self) -> Pin:
        """The newest generation, read in one transaction.

        raises   UsageError: no index here; Damaged; SchemaError: a newer format; Locked: 30 s of another's commit
        """
        with self._connect() as connection, _transaction(connection, "begin"):
            meta = dict(_rows(connection, "meta", self.path))
            if meta.get("format") != FORMAT:
                raise SchemaError(
                    f"{self.folder} has format {meta.get('format')}, known here is {FORMAT}; upgrade vecsmith"
                )
            number = connection.execute("select max(number) from generations").fetchone()[0]
            if number is None:
                raise Damaged(f"{self.path} has no generation; restore it from a backup")
            return Pin(number, self._segments(connection, number), meta["settings"], meta["contract"])

    def commit(
        self,
        base: int,
        live: "list[LiveSegment]",
        *,
        settings: Mapping[str, Any] | None = None,
    ) -> int:
        """Make a new generation on top of `base`; returns its number. Older than the last 5 are forgotten.

        raises   Locked: another generation came between; DiskFull: nothing changed
        """
        with self._connect() as connection, _transaction(connection):
            newest = connection.execute("select max(number) from generations").fetchone()[0]
            if newest != base:
                raise Locked(
                    f"{self.folder} went on from generation {base} to {newest} meanwhile; run the change again"
                )
            named = []
            for segment in live:
                marks = segment.tombstones
                hashes = [_put(connection, "segments", segment.name, segment.body)]
                hashes += [_put(connection, "tombstones", marks["name"], marks)] if marks else []
                named.append([segment.name, marks["name"] if marks else None, hashes])
            _put(connection, "generations", base + 1, {"created": time.time(), "segments": named})
            if settings is not None:
                _put(connection, "meta", "settings", settings)
            _retire(connection, base + 2 - KEPT_GENERATIONS, self.path)
            return base + 1

    def change_settings(self, settings: Mapping[str, Any]) -> None:
        """Replace the settings; generations stay as they are."""
        with self._connect() as connection, _transaction(connection):
            _put(connection, "meta", "settings", settings)

    def known_names(self) -> tuple[set[str], dict[str, float]]:
        """Names that a kept generation uses, and name -> time since when no kept generation does."""
        with self._connect() as connection, _transaction(connection, "begin"):
            used = {name for table in ("segments", "tombstones") for name, _ in _rows(connection, table, self.path)}
            retired = dict(connection.execute("select name, at from retired").fetchall())
            return used, retired

    def kept_segments(self) -> list[LiveSegment]:
        """The segments of all kept generations, one entry for each pair of segment and tombstones."""
        with self._connect() as connection, _transaction(connection, "begin"):
            numbers = [number for number, _ in _rows(connection, "generations", self.path)]
            found = [live for number in sorted(numbers) for live in self._segments(connection, number)]
        return list(
            {(live.name, live.tombstones["name"] if live.tombstones else None): live for live in found}.values()
        )

    def forget(self, names: list[str]) -> None:
        """Drop retired names whose files are gone."""
        with self._connect() as connection, _transaction(connection):
            connection.executemany("delete from retired where name = ?", [(name,) for name in names])

    def check(self) -> list[str]:
        """What SQLite's own check and the row hashes find wrong; empty where nothing is."""
        try:
            with self._connect() as connection, _transaction(connection, "begin"):
                found = [row[0] for row in connection.execute("pragma quick_check").fetchall() if row[0] != "ok"]
                for number, _ in _rows(connection, "generations", self.path):
                    self._segments(connection, number)
                return [f"{self.path}: {text}" for text in found]
        except Damaged as error:
            return [str(error)]

    def _segments(self, connection: sqlite3.Connection, number: int) -> tuple[LiveSegment, ...]:
        body = dict(_rows(connection, "generations", self.path))[number]
        segments = dict(_rows(connection, "segments", self.path))
        tombstones = dict(_rows(connection, "tombstones", self.path))
        live = []
        for name, marks, hashes in body["segments"]:
            if name not in segments or (marks is not None and marks not in tombstones):
                raise Damaged(
                    f"{self.path}: generation {number} names {marks or name}, which has no row; restore a backup"
                )
            found = [_hash("segments", name, _text(segments[name]))]
            found += [_hash("tombstones", marks, _text(tombstones[marks]))] if marks else []
            if found != hashes:
                raise Damaged(f"{self.path}: segment {name} is not the one of generation {number}; restore a backup")
            live.append(LiveSegment(name, segments[name], tombstones[marks] if marks else None))
        return tuple(live)

    @contextmanager
    def _connect(self) -> Iterator[sqlite3.Connection]:
        if not self.path.is_file():
            raise self._absent()
        address = f"file:{quote(str(self.path.absolute()))}"
        if os.access(self.folder, os.W_OK) and os.access(self.path, os.W_OK):
            address += "?mode=rw"
        elif self.path.with_name(f"{FILE_NAME}-journal").exists():
            raise Damaged(
                f"{self.path}: a writer was killed and left a journal; open the index once where it can be written"
            )
        else:
            address += "?mode=ro&immutable=1"
        connection = None
        try:
            connection = sqlite3.connect(address, uri=True, timeout=WAIT_SECONDS, isolation_level=None)
            connection.execute(f"pragma synchronous={'full' if self.durable else 'off'}")
            yield connection
        except sqlite3.Error as error:
            raise self._translate(error) from error
        except UnicodeDecodeError as error:
            raise Damaged(
                f"{self.path} holds bytes that are no text: it was changed; restore it from a backup, or build the "
                "index again"
            ) from error
        finally:
            if connection is not None:
                connection.close()

    def _absent(self) -> Exception:
        if (self.folder / "segments").is_dir():
            return Damaged(
                f"{self.path} is missing beside segments/; restore it from a backup, or build the index again"
            )
        what = "is no index" if self.folder.exists() else "does not exist"
        return UsageError(f"{self.folder} {what}; make one with: vecsmith index create {self.folder} SOURCE")

    def _translate(self, error: sqlite3.Error) -> Exception:
        words, name = str(error), getattr(error, "sqlite_errorname", "")
        if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
            return Locked(f"{self.path} was locked for {WAIT_SECONDS:.0f} s by another process ({words}); try again")
        if name.startswith(("SQLITE_FULL", "SQLITE_IOERR_WRITE", "SQLITE_IOERR_FSYNC", "SQLITE_IOERR_TRUNCATE")):
            return DiskFull(
                f"{self.path}: {words}; the last generation stands. Make room, run it again", path=self.path
            )
        return Damaged(f"{self.path} cannot be read: {words}; restore it from a backup, or build the index again")


@contextmanager
def _transaction(connection: sqlite3.Connection, begin: str = "begin immediate") -> Iterator[None]:
    connection.execute(begin)
    try:
        yield
        connection.execute("commit")
    except BaseException:
        if connection.in_transaction:
            connection.execute("rollback")
        raise


def _put(connection: sqlite3.Connection, table: str, key: str | int, value: object) -> str:
    """Write one row and return its hash."""
    text = _text(value)
    digest = _hash(table, key, text)
    connection.execute(f"insert or replace into {table} values (?, ?, ?)", (key, text, digest))
    return digest


def _rows(connection: sqlite3.Connection, table: str, path: Path) -> Iterator[tuple[Any, Any]]:
    """(key, value) of every row whose hash holds."""
    for key, text, digest in connection.execute(f"select * from {table}").fetchall():
        if not isinstance(text, str) or _hash(table, key, text) != digest:
            raise Damaged(f"{path}: row {key!r} of {table} was changed; restore it from a backup")
        yield key, json.loads(text)


def _retire(connection: sqlite3.Connection, oldest: int, path: Path) -> None:
    """Forget generations before `oldest`, and note which segments and tombstones nobody names any more."""
    connection.execute("delete from generations where number < ?", (oldest,))
    used = {
        name
        for _, body in _rows(connection, "generations", path)
        for segment, marks, _ in body["segments"]
        for name in (segment, marks)
    }
    for table in ("segments", "tombstones"):
        for (name,) in connection.execute(f"select name from {table}").fetchall():
            if name not in used:
                connection.execute(f"delete from {table} where name = ?", (name,))
                connection.execute("insert or replace into retired values (?, ?, ?)", (name, table, time.time()))


def _text(value: object) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def _hash(table: str, key: str | int, text: str) -> str:
    return xxhash.xxh3_64_hexdigest(f"{table}|{key}|{text}".encode("utf-8", "surrogatepass"))
