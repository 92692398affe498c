"""Packed files (.gz .xz .bz2 .zst) as a stream of bytes, unpacked as they are read and never without bound.

A few kilobytes can unpack to terabytes, so two limits hold whatever the file claims: bytes in all, and bytes out for
each byte in. Members that stand one after another are one stream, as each of the four formats says; what is cut off or
followed by something else is an error.
"""

import bz2
import io
import lzma
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from vecsmith.errors import DataError, LimitExceeded

__all__ = ["ENDINGS", "RATIO_FROM", "RATIO_LIMIT", "UNPACKED_LIMIT", "packing_of", "unpacked", "unpacked_name"]

UNPACKED_LIMIT = 8 << 30  # bytes of one file
RATIO_LIMIT = 1000  # bytes out for each byte in
RATIO_FROM = 16 << 20  # bytes out before the ratio counts: below it nothing is in danger, and blank texts pack well
DICTIONARY_LIMIT = 192 << 20  # bytes that unpacking .xz may ask for; its highest preset asks for 65 MB

ENDINGS = {".gz": "gzip", ".xz": "xz", ".bz2": "bzip2", ".zst": "zstd"}
MAGIC = {b"\x1f\x8b": "gzip", b"\xfd7zXZ\x00": "xz", b"\x28\xb5\x2f\xfd": "zstd"}
BLOCK = 1 << 18
CUT = "the file ends in the middle"


def packing_of(head: bytes) -> str | None:
    """gzip, xz, bzip2 or zstd by the first bytes of a file (10 are enough); None: not packed."""
    if head[:3] == b"BZh" and head[4:10] in (b"1AY&SY", b"\x17rE8P\x90"):  # a block, or the end of an empty stream
        return "bzip2"
    return next((name for magic, name in MAGIC.items() if head.startswith(magic)), None)


def unpacked_name(name: str) -> str:
    """A file name without the ending that says how it is packed.

    >>> unpacked_name("train.jsonl.zst"), unpacked_name("train.csv")
    ('train.jsonl', 'train.csv')
    """
    ending = next((ending for ending in ENDINGS if name.lower().endswith(ending)), "")
    return name[: len(name) - len(ending)]


def unpacked(raw: BinaryIO, packing: str, path: Path) -> io.BufferedReader:
    """The unpacked bytes of an open file; `path` is for messages.

    raises while reading    DataError: damaged, cut off, or followed by something else; LimitExceeded: see above
    """
    return io.BufferedReader(_Unpacking(raw, packing, path), BLOCK)


class _Unpacking(io.RawIOBase):
    def __init__(self, raw: BinaryIO, packing: str, path: Path) -> None:
        self._raw, self._packing, self._path = raw, packing, path
        self._out = 0
        self._read: Callable[[int], bytes] = _zstd(raw) if packing == "zstd" else _Members(raw, packing).read

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            data = self._read(len(buffer))
        except lzma.LZMAError as error:
            if "Memory usage limit" in str(error):
                raise LimitExceeded(
                    f"{self._path}: unpacking asks for more than {DICTIONARY_LIMIT >> 20} MB of memory. "
                    "Pack it again: xz -9 asks for 65 MB"
                ) from error
            raise self._damaged(error) from error
        except (EOFError, OSError, zlib.error) as error:
            raise self._damaged(error) from error
        self._out += len(data)
        self._check()
        buffer[: len(data)] = data
        return len(data)

    def _damaged(self, error: Exception) -> DataError:
        return DataError(f"damaged {self._packing} file ({error}). Fetch or pack it again", file=self._path)

    def _check(self) -> None:
        if self._out > UNPACKED_LIMIT:
            raise LimitExceeded(
                f"{self._path}: unpacks to more than {_size(UNPACKED_LIMIT)}, where reading stops. Unpack it yourself "
                "if you trust it, or split it"
            )
        if self._out > RATIO_FROM and self._out > RATIO_LIMIT * max(1, self._raw.tell()):
            raise LimitExceeded(
                f"{self._path}: {self._out:,} bytes came out of {self._raw.tell():,}, more than {RATIO_LIMIT:,} to 1, "
                "where reading stops: no text packs so well. Unpack it yourself if you trust it"
            )


class _Members:
    """Members of a gzip, xz or bzip2 file one after another, with at most as much out at a time as is asked for."""

    def __init__(self, raw: BinaryIO, packing: str) -> None:
        self._raw, self._packing = raw, packing
        self._start: Callable[[], Any] = {
            "gzip": lambda: zlib.decompressobj(wbits=16 + zlib.MAX_WBITS),
            "xz": lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=DICTIONARY_LIMIT),
            "bzip2": bz2.BZ2Decompressor,
        }[packing]
        self._member: Any = self._start()
        self._waiting = b""  # packed bytes that were read and not yet handed over

    def read(self, most: int) -> bytes:
        while True:
            if self._member.eof and not self._next_member():
                return b""
            if not self._waiting and self._needs_input:
                self._waiting = self._raw.read(BLOCK)
                if not self._waiting:
                    raise EOFError(CUT)
            data = self._member.decompress(self._waiting, most)
            self._waiting = b"" if self._packing != "gzip" else self._member.unconsumed_tail
            if data:
                return bytes(data)

    @property
    def _needs_input(self) -> bool:
        return self._packing == "gzip" or bool(self._member.needs_input)

    def _next_member(self) -> bool:
        """Whether another member follows; zeros may fill up the last block of a tape or disk."""
        rest = self._member.unused_data or b""
        while not rest.strip(b"\0"):
            rest = self._raw.read(BLOCK)
            if not rest:
                return False
        rest = rest.lstrip(b"\0") if self._packing == "gzip" else rest
        while len(rest) < 10 and (more := self._raw.read(BLOCK)):
            rest += more
        if packing_of(rest[:10]) != self._packing:
            raise OSError(f"after its end something else follows: {rest[:8]!r}")
        self._member, self._waiting = self._start(), rest
        return True


def _zstd(raw: BinaryIO) -> Callable[[int], bytes]:
    import pyarrow as pa

    class Source(io.RawIOBase):
        """Arrow closes what it reads from; the file stays open for its position."""

        def readable(self) -> bool:
            return True

        def readinto(self, buffer: Any) -> int:
            data = raw.read(len(buffer))
            buffer[: len(data)] = data
            return len(data)

    stream = pa.CompressedInputStream(pa.PythonFile(Source(), mode="r"), "zstd")
    return lambda most: bytes(stream.read(most))


def _size(count: int) -> str:
    return f"{count >> 30} GiB" if count >= 1 << 30 else f"{count:,} bytes"
