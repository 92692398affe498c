"""Lines of a text file, plain or packed, as they stream: UTF-8, cut at line feeds only, every fault with its place."""

import difflib
import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from vecsmith.data.readers.unpacking import ENDINGS, packing_of, unpacked
from vecsmith.errors import DataError, LimitExceeded

__all__ = ["check_file", "open_bytes", "read_lines"]

LONGEST_LINE = 64 << 20  # bytes
LOOK = 4096
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
BINARY = {
    b"PAR1": "a parquet file; name it .parquet",
    b"PK\x03\x04": "a zip archive (or a spreadsheet); unpack it, or save the sheet as csv",
    b"%PDF": "a PDF",
    b"SQLite format 3": "an SQLite database",
    b"ARROW1": "an Arrow file; name it .arrow",
    b"\xff\xfe": "UTF-16 text; convert it: iconv -f UTF-16 -t UTF-8",
    b"\xfe\xff": "UTF-16 text; convert it: iconv -f UTF-16 -t UTF-8",
}


def check_file(path: Path) -> None:
    """Raises DataError where there is no such file, a folder, or nothing in it."""
    if not path.exists():
        folder = path.parent
        names = [entry.name for entry in folder.iterdir()] if folder.is_dir() else []
        near = difflib.get_close_matches(path.name, names, n=1)
        hint = f"; did you mean {near[0]}?" if near else "" if folder.is_dir() else f"; nor is there a folder {folder}"
        raise DataError(f"no such file{hint or '. Check the path'}", file=path)
    if path.is_dir():
        raise DataError("this is a folder; a table is one file", file=path)
    if path.stat().st_size == 0:
        raise DataError("the file is empty; a table needs a header or a row", file=path)


@contextmanager
def open_bytes(path: Path) -> Iterator[tuple[io.BufferedReader, Callable[[], int]]]:
    """The bytes of a file, unpacked where it is packed, and a function that says how far the packed file has been read.

    raises    DataError: a packed file that is cut or damaged, or a name that promises one where there is none
              LimitExceeded: see `unpacking.py`
    """
    with open(path, "rb") as raw:
        packing = packing_of(raw.peek(10)[:10])
        ending = path.suffix.lower()
        if ending in ENDINGS and packing != ENDINGS[ending]:
            found = f"a {packing} file" if packing else f"no {ENDINGS[ending]} file"
            raise DataError(f"the name ends in {ending}, but this is {found}. Rename it, or pack it again", file=path)
        yield (raw if packing is None else unpacked(raw, packing, path)), raw.tell


def read_lines(path: Path, told: Callable[[int], None] | None = None, *, header: int = 0) -> Iterator[str]:
    r"""Lines without their "\n"; nothing else ends a line.

    told      called now and then with the bytes of the file read since the last call
    header    lines before row 1, for messages
    raises    DataError: binary content, or bytes that are not UTF-8 (offset in the unpacked file, and row)
              LimitExceeded: a line over 64 MB
    """
    with open_bytes(path) as (file, position):
        _refuse_binary(file.peek(LOOK)[:LOOK], path)
        offset = reported = 0
        number = 0
        while line := file.readline(LONGEST_LINE + 1):
            number += 1
            if len(line) > LONGEST_LINE:
                raise LimitExceeded(f"{path}, line {number}: longer than {LONGEST_LINE >> 20} MB; is this a table?")
            if number == 1 and line.startswith(BYTE_ORDER_MARK):
                offset, line = 3, line[3:]
            try:
                text = line.decode("utf-8")
            except UnicodeDecodeError as error:
                raise _undecodable(line, error, offset, number - header, path) from error
            if "\0" in text:
                raise DataError("a NUL byte; this is no text file", file=path, row=number - header or None)
            offset += len(line)
            if told is not None and number % 4096 == 0:
                told(position() - reported)
                reported = position()
            yield text.removesuffix("\n")
        if told is not None:
            told(position() - reported)


def _undecodable(line: bytes, error: UnicodeDecodeError, offset: int, row: int, path: Path) -> DataError:
    try:
        guess = line.decode("cp1252")
        guess = f'; as Windows-1252 it would read "{guess[max(0, error.start - 10) : error.start + 10].strip()}"'
    except UnicodeDecodeError:
        guess = ""
    return DataError(
        f"byte {offset + error.start} is 0x{line[error.start]:02x}, which is not UTF-8{guess}. "
        "Convert the file: iconv -f WINDOWS-1252 -t UTF-8",
        file=path,
        row=row or None,
    )


def _refuse_binary(head: bytes, path: Path) -> None:
    for magic, name in BINARY.items():
        if head.startswith(magic):
            raise DataError(f"this is {name}, not the text table that its name says", file=path)
    if b"\0" in head:
        raise DataError("this is a binary file (NUL bytes), not a table of text", file=path)
