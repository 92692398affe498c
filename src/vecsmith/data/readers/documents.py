"""A folder of documents: which files are read, how their bytes become text, and what is passed over and why."""

import hashlib
import os
import re
import stat
import tokenize
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vecsmith.data.passages import Block
from vecsmith.data.readers.code_blocks import Definition, code_blocks, definitions
from vecsmith.data.readers.found import Found
from vecsmith.data.readers.html_blocks import html_blocks
from vecsmith.data.readers.text_blocks import markdown_blocks, plain_blocks, rst_blocks
from vecsmith.errors import DataError

__all__ = [
    "MAX_BYTES",
    "SUFFIXES",
    "FileEntry",
    "SourceFile",
    "decode",
    "documents_manifest",
    "list_files",
    "read_folder",
]

SUFFIXES = {
    ".txt": "text", ".text": "text", ".md": "markdown", ".markdown": "markdown", ".rst": "rst",
    ".html": "html", ".htm": "html", ".py": "python",
}  # fmt: skip
MAX_BYTES = 64 * 1024 * 1024  # of one file; a larger one is no document but data

_CHARSET = re.compile(rb"""<meta[^>]+charset\s*=\s*["']?\s*([A-Za-z0-9_.:-]+)""", re.IGNORECASE)
_BYTE_ORDER_MARKS = (
    (b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe\x00\x00", "utf-32"), (b"\x00\x00\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class FileEntry:
    """A file that can be read: its name in the source ("guide/start.md", always with /), size and time of change."""

    name: str
    path: str
    size: int
    changed: int  # nanoseconds


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file as text: decoded, with its title and blocks; `definitions` of a Python file, else empty."""

    name: str
    text: str
    title: str
    blocks: list[Block]
    definitions: list[Definition]
    format: str

    @property
    def folder(self) -> str:
        """The folder inside the source, "" at its top."""
        return self.name.rpartition("/")[0]


def read_folder(
    path: str | Path,
    *,
    strict: bool | None = None,
    found: Found | None = None,
    order: Callable[[str], Any] | None = None,
) -> Iterator[SourceFile]:
    """The documents of a folder, or of one file, in the order of their names.

    order    sort key of names instead of the names themselves
    strict   a file that is empty, binary, wrongly encoded or unreadable raises DataError; otherwise it is counted and
             named in `found`. Default: strict for a single file, else not
    found    filled with the files read and everything passed over: links, hidden and unsupported files
    raises   DataError: no such file or folder, or a bad file where strict
    """
    found = Found() if found is None else found
    strict = not Path(path).is_dir() if strict is None else strict
    entries = list_files(path, found)
    for entry in sorted(entries, key=lambda entry: order(entry.name)) if order else entries:
        try:
            document = _read_file(entry)
        except DataError as error:
            if strict:
                raise
            found.skip(_reason(error), entry.name)
            continue
        if document.format == "python" and not document.definitions and not _parses(document):
            found.skip("read as plain text: no Python", entry.name)
        found.files += 1
        yield document


def list_files(path: str | Path, found: Found | None = None) -> list[FileEntry]:
    """The readable files below `path`, sorted by name; what is passed over is counted in `found`.

    Links are not followed, wherever they lead: a link inside the folder leads to a file that is read anyway.
    """
    found = Found() if found is None else found
    path = Path(path)
    if path.is_file():
        if path.suffix.lower() not in SUFFIXES:
            raise DataError(f'suffix "{path.suffix}"; documents end in {", ".join(SUFFIXES)}', file=path)
        info = path.stat()
        return [FileEntry(path.name, str(path), info.st_size, info.st_mtime_ns)]
    if not path.is_dir():
        raise DataError("there is no such file or folder. Check the path", file=path)
    entries: list[FileEntry] = []
    waiting = [(str(path), "")]
    while waiting:
        folder, prefix = waiting.pop()
        try:
            with os.scandir(folder) as listing:
                items = sorted(listing, key=lambda item: item.name)
        except OSError:
            found.skip("unreadable", _utf8(prefix) or folder)
            continue
        for item in items:
            if not _wanted(item, prefix, found):
                continue
            if item.is_dir(follow_symlinks=False):
                waiting.append((item.path, f"{prefix}{item.name}/"))
            elif _supported(item, prefix, found):
                info = item.stat(follow_symlinks=False)
                entries.append(FileEntry(_utf8(prefix + item.name), item.path, info.st_size, info.st_mtime_ns))
    return sorted(entries, key=lambda entry: entry.name)


def documents_manifest(path: str | Path) -> str:
    """32 hex digits over names, sizes and times of change of the readable files; no file is opened."""
    digest = hashlib.sha256()
    for entry in list_files(path):
        digest.update(f"{entry.name}\t{entry.size}\t{entry.changed}\n".encode())
    return digest.hexdigest()[:32]


def decode(data: bytes, *, format: str = "text", file: str | Path | None = None) -> str:
    """The text of a file, as written: line ends are kept, so that offsets are those of the file.

    By byte order mark, else by what an HTML or Python file declares, else UTF-8.
    raises   DataError: empty, binary (a NUL byte and no mark) or not in that encoding, with the first bad place
    """
    encoding = next((name for mark, name in _BYTE_ORDER_MARKS if data.startswith(mark)), None)
    if encoding is None and b"\0" in data:
        raise DataError("binary: it holds NUL bytes. Only text is read", file=file)
    encoding = encoding or _declared(data, format)
    try:
        text = data.decode(encoding)
    except (UnicodeDecodeError, LookupError) as error:
        place = f" at byte {error.start}" if isinstance(error, UnicodeDecodeError) else ""
        raise DataError(f"wrongly encoded: no {encoding}{place}. Save it as UTF-8", file=file) from error
    if not text.strip():
        raise DataError("empty: it holds no text", file=file)
    return text.encode("utf-8", "replace").decode() if format == "html" else text


def _declared(data: bytes, format: str) -> str:
    if format == "html" and (found := _CHARSET.search(data[:2048])):
        return found.group(1).decode("ascii")
    if format == "python":
        try:
            return tokenize.detect_encoding(iter(data.splitlines(keepends=True)[:2]).__next__)[0]
        except (SyntaxError, StopIteration):
            return "utf-8"
    return "utf-8"


def _wanted(item: os.DirEntry[str], prefix: str, found: Found) -> bool:
    """Whether an entry is a folder or plain file in sight; what is not is counted."""
    name = _utf8(prefix + item.name)
    if item.is_symlink():
        found.skip("link, not followed", name)
    elif item.name.startswith(".") or item.name == "__pycache__":
        found.skip("hidden", name)
    elif not item.is_dir(follow_symlinks=False) and not item.is_file(follow_symlinks=False):
        found.skip("no plain file", name)
    else:
        return True
    return False


def _supported(item: os.DirEntry[str], prefix: str, found: Found) -> bool:
    """Whether a plain file is of a kind that is read."""
    suffix = os.path.splitext(item.name)[1].lower()
    if suffix not in SUFFIXES:
        found.skip(f"unsupported: {_utf8(suffix) or 'no suffix'}", _utf8(prefix + item.name))
        return False
    return True


def _read_file(entry: FileEntry) -> SourceFile:
    format = SUFFIXES[os.path.splitext(entry.path)[1].lower()]
    text = decode(_bytes(entry), format=format, file=entry.name)
    title, parts = "", list[Definition]()
    if format == "html":
        title, blocks = html_blocks(text)
    elif format == "python":
        try:
            parts = definitions(text)
            blocks = list(code_blocks(text, parts))
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            blocks = list(plain_blocks(text))
    else:
        blocks = list({"text": plain_blocks, "markdown": markdown_blocks, "rst": rst_blocks}[format](text))
    if not blocks:
        raise DataError("empty: it holds no text", file=entry.name)
    headings = [block for block in blocks if block.level and block.text and format != "python"]
    top = min(headings, key=lambda block: block.level, default=None)
    stem = os.path.splitext(entry.name.rpartition("/")[2])[0]
    return SourceFile(entry.name, text, title or (" ".join(top.text.split()) if top else stem), blocks, parts, format)


def _bytes(entry: FileEntry) -> bytes:
    """The bytes of a plain file; a link or pipe that took its place since it was listed is not opened."""
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        with open(os.open(entry.path, flags), "rb") as file:
            info = os.fstat(file.fileno())
            if not stat.S_ISREG(info.st_mode):
                raise DataError("unreadable: no plain file", file=entry.name)
            if info.st_size > MAX_BYTES:
                raise DataError(f"too large: {info.st_size:,} bytes, at most {MAX_BYTES:,}", file=entry.name)
            return file.read(info.st_size)  # a bound beyond the size would be allocated in full
    except OSError as error:
        raise DataError(f"unreadable: {error.strerror or error}", file=entry.name) from error


def _parses(document: SourceFile) -> bool:
    return any(block.lines for block in document.blocks)  # code blocks are cut at lines, plain ones are not


def _reason(error: DataError) -> str:
    """The first word of the message, which `decode` and `_bytes` begin with the kind of fault."""
    return str(error).removeprefix(f"{error.file}: ").partition(":")[0]


def _utf8(name: str) -> str:
    """A file name as text; bytes that are no UTF-8 as \\xNN."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")
