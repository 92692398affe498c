"""The docstrings of the standard library and of the installed packages: real documents that every machine has.

Files are parsed, never imported (`docstring_parse`), by two worker processes where there is enough to do.
"""

import hashlib
import json
import os
import subprocess
import sys
import sysconfig
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import xxhash

from vecsmith.data.readers.docstring_packages import SHARES, package_of, package_split
from vecsmith.data.readers.docstring_parse import parse_file
from vecsmith.data.readers.found import Found
from vecsmith.errors import DataError, UsageError
from vecsmith.progress import SILENT, Progress, Task

__all__ = ["Docstring", "ModuleFile", "docstring_manifest", "list_modules", "read_docstrings"]

_Parsed = tuple[str | None, list[Any]]

_POOL_FROM = 400  # files; below it, starting workers costs more than they save
_SKIPPED_FOLDERS = {"__pycache__", "site-packages", "dist-packages", "vecsmith"}  # ours: an editable install has none


@dataclass(frozen=True, slots=True)
class Docstring:
    """One docstring as a document."""

    id: str  # dotted name, unique: "json.decoder.JSONDecoder.decode"; the second of a name gets "#2"
    text: str
    identifier: str  # the last part of the name: "decode"
    parent: str  # the part before it: "JSONDecoder"; "" for a top-level module
    package: str
    module: str
    kind: str  # module, class, function, method

    @property
    def has_example(self) -> bool:
        """Whether it shows a doctest prompt."""
        return ">>> " in self.text

    @property
    def attributes(self) -> dict[str, object]:
        """The typed columns of an index over docstrings; `length` in characters."""
        return {
            "package": self.package,
            "kind": self.kind,
            "module": self.module,
            "length": len(self.text),
            "has_example": self.has_example,
        }


@dataclass(frozen=True, slots=True)
class ModuleFile:
    """A Python file, the module it holds and its size in bytes."""

    path: str
    module: str
    package: str
    size: int


def read_docstrings(
    source: str = "installed",
    *,
    roots: Sequence[str | Path] | None = None,
    limit: int | None = None,
    seed: int = 0,
    workers: int = 2,
    found: Found | None = None,
    progress: Progress = SILENT,
) -> Iterator[Docstring]:
    """Every docstring, in the order of module names and of their files.

    source    "stdlib" (the standard library) or "installed" (that and the installed packages)
    roots     folders of top-level packages to read instead of `source`
    limit     at most so many, a sample decided by `seed` that keeps several packages on every side of the split and
              takes no more than a quarter of a side from one package
    workers   processes for a full reading; 1 parses in this one
    found     filled with the files read, and with those that were too large, unreadable or no Python
    """
    found = Found() if found is None else found
    files = list_modules(source, roots)
    with progress.task("read docstrings", total=len(files) if limit is None else limit) as task:
        parsed = _parse_all(files, workers, task) if limit is None else _sample(files, limit, seed, task)
        yield from _named(parsed, found)


def list_modules(source: str = "installed", roots: Sequence[str | Path] | None = None) -> list[ModuleFile]:
    """Python files below the roots of `source`, sorted by module name; links and hidden folders are not followed."""
    if roots is None:
        roots = _roots(source)
    files: dict[str, ModuleFile] = {}
    for root in map(str, roots):
        if not os.path.isdir(root):
            raise DataError("no such folder of packages", file=root)
        for folder, folders, names in os.walk(root):
            folders[:] = [
                name for name in folders if name not in _SKIPPED_FOLDERS and name[0] != "." and "-" not in name
            ]
            for name in names:
                if name.endswith(".py"):
                    path = os.path.join(folder, name)
                    module = _module_name(os.path.relpath(path, root))
                    if module and not os.path.islink(path):
                        files.setdefault(module, ModuleFile(path, module, package_of(module), os.stat(path).st_size))
    return [files[module] for module in sorted(files)]


def docstring_manifest(source: str = "installed", roots: Sequence[str | Path] | None = None) -> str:
    """32 hex digits over module names, file sizes and the Python version: changes when a package comes, goes or is
    upgraded; no file is opened."""
    digest = hashlib.sha256(f"{sys.version_info[:3]}\n".encode())
    for file in list_modules(source, roots):
        digest.update(f"{file.module}\t{file.size}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()[:32]


def _roots(source: str) -> list[str]:
    """The folders of `source`, without repeats."""
    paths = sysconfig.get_paths()
    if source == "stdlib":
        return [paths["stdlib"]]
    if source == "installed":
        return list(dict.fromkeys([paths["stdlib"], paths["purelib"], paths["platlib"]]))
    raise UsageError(f'docstrings of "{source}" are unknown; "stdlib" and "installed" exist')


def _module_name(relative: str) -> str:
    """email/mime/text.py -> email.mime.text; a package is its `__init__`; "" for an `__init__` at the root."""
    parts = relative[: -len(".py")].split(os.sep)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _parse_all(files: list[ModuleFile], workers: int, task: Task) -> Iterator[tuple[ModuleFile, _Parsed]]:
    """Every file with what it holds, in order: file i by worker i % workers."""
    workers = min(workers, os.cpu_count() or 1) if len(files) >= _POOL_FROM else 1
    if workers == 1:
        for file in files:
            yield file, parse_file(file.path)
            task.advance()
        return
    pool = [_Worker(files[start::workers]) for start in range(workers)]
    try:
        for place, file in enumerate(files):
            yield file, pool[place % workers].next_answer(file)
            task.advance()
    finally:
        for worker in pool:
            worker.stop()


class _Worker:
    """A process that parses its share of the files and writes one line for each."""

    def __init__(self, files: list[ModuleFile]) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "vecsmith.data.readers.docstring_parse"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write("\0".join(file.path for file in files).encode("utf-8", "surrogateescape"))
        self.process.stdin.close()  # the worker reads all paths before it writes: neither waits for the other
        self.answers = self.process.stdout

    def next_answer(self, file: ModuleFile) -> _Parsed:
        line = self.answers.readline()
        if not line:
            raise DataError(f"the process that parses docstrings ended (status {self.process.wait()})", file=file.path)
        error, entries = json.loads(line)
        return error, entries

    def stop(self) -> None:
        self.process.kill()
        self.answers.close()
        self.process.wait()


def _sample(files: list[ModuleFile], limit: int, seed: int, task: Task) -> Iterator[tuple[ModuleFile, _Parsed]]:
    """Files of hashed packages and modules until each side of the split has its share of `limit`."""

    def order(name: str) -> int:
        return xxhash.xxh3_64_intdigest(name.encode("utf-8", "surrogateescape"), seed=seed)

    packages = {name: list(group) for name, group in groupby(sorted(files, key=_by_package), key=_by_package)}
    left = {side: max(1, round(limit * share)) for side, share in SHARES.items()}
    most = {side: max(1, quota // 4) for side, quota in left.items()}  # of one package
    chosen: list[tuple[ModuleFile, _Parsed]] = []
    for package in sorted(packages, key=order):
        side = package_split(package)
        room = min(left[side], most[side])
        left[side] -= room
        for file in sorted(packages[package], key=lambda file: order(file.module)):
            if room == 0:
                break
            error, entries = parse_file(file.path)
            chosen.append((file, (error, entries[:room])))
            task.advance(len(entries[:room]))
            room -= len(entries[:room])
        left[side] += room
    yield from sorted(chosen, key=lambda item: item[0].module)


def _by_package(file: ModuleFile) -> str:
    return file.package


def _named(parsed: Iterator[tuple[ModuleFile, _Parsed]], found: Found) -> Iterator[Docstring]:
    """Documents with unique names."""
    seen: Counter[str] = Counter()
    for file, (error, entries) in parsed:
        found.files += 1
        if error:
            found.skip(error, file.path)
        for qualified, kind, text in entries:
            name = f"{file.module}.{qualified}" if qualified else file.module
            seen[name] += 1
            found.documents += 1
            before, _, identifier = name.rpartition(".")
            yield Docstring(
                id=name if seen[name] == 1 else f"{name}#{seen[name]}",
                text=text,
                identifier=identifier,
                parent=before.rpartition(".")[2],
                package=file.package,
                module=file.module,
                kind=kind,
            )
