"""Files packed as their names say (.gz .xz .bz2 .zst), whole or not at all."""

import bz2
import gzip
import json
import lzma
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from vecsmith.atomic import open_atomic

__all__ = ["packed_file", "write_json_lines"]


@contextmanager
def packed_file(path: Path) -> Iterator[IO[bytes]]:
    """A new binary file that takes its name when the block ends without an error; equal contents give equal bytes."""
    with open_atomic(path, "wb", durable=False) as file:
        ending = path.suffix.lower()
        if ending == ".gz":
            with gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0) as packed:
                yield packed  # type: ignore[misc]
        elif ending == ".xz":
            with lzma.LZMAFile(file, "wb") as packed:
                yield packed
        elif ending == ".bz2":
            with bz2.BZ2File(file, "wb") as packed:
                yield packed
        elif ending == ".zst":
            import pyarrow as pa

            stream = pa.CompressedOutputStream(pa.PythonFile(_Kept(file), mode="w"), "zstd")
            with stream:
                yield stream
        else:
            yield file


class _Kept:
    """A file that Arrow writes to and does not close."""

    closed = False

    def __init__(self, file: IO[bytes]) -> None:
        self.write, self.flush = file.write, file.flush

    def close(self) -> None:
        pass


def write_json_lines(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """One object per line; keys of None are left out."""
    with packed_file(path) as file:
        for row in rows:
            kept = {name: value for name, value in row.items() if value is not None}
            file.write(json.dumps(kept, ensure_ascii=False, default=str).encode("utf-8") + b"\n")
