"""The one way vecsmith writes files: whole or not at all.

Everything is written beside its target, flushed to the disk and renamed. A reader sees the old content or the new,
a killed writer leaves at most a `.tmp-` name that the next writer of the same target removes.
"""

import errno
import glob
import json
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from vecsmith.errors import DiskFull

__all__ = [
    "disk_errors",
    "fsync_folder",
    "fsync_tree",
    "new_folder",
    "open_atomic",
    "recover_folder",
    "write_bytes",
    "write_json",
    "write_text",
]

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextmanager
def disk_errors(path: str | os.PathLike[str]) -> Iterator[None]:
    """Turn "no space left", quota and file-size errors into `DiskFull` that names the path and what is free."""
    try:
        yield
    except Exception as error:  # libraries in Rust and C++ say the same in errors of their own
        number = None if isinstance(error, DiskFull) else _full_number(error)
        if number is None:
            raise
        raise DiskFull(_room(Path(path), number), path=Path(path)) from error


def _full_number(error: Exception) -> int | None:
    """The system's number for "no room" that an error stands for; None: it stands for something else."""
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno if error.errno in FULL else None
    words = str(error)
    if "PytorchStreamWriter failed" in words:  # torch.save, which does not say why
        return errno.ENOSPC
    return next((n for n in FULL if f"[Errno {n}]" in words or f"(os error {n})" in words), None)


def _room(path: Path, number: int) -> str:
    folder = next((p for p in [path, *path.parents] if p.is_dir()), Path("/"))
    free = shutil.disk_usage(folder).free
    return (
        f"{path}: {os.strerror(number).lower()}; {free:,} bytes are free in {folder}. "
        "What was there before is unchanged. Make room, then run the same command again"
    )


@contextmanager
def open_atomic(path: str | os.PathLike[str], mode: str = "wb", *, durable: bool = True) -> Iterator[IO[Any]]:
    """Open a new file that takes the name `path` only when the block ends without an error.

    mode      "wb" or "w" (UTF-8, \\n kept)
    durable   fsync file and folder before returning; off only for what can be made again
    raises    DiskFull: no room; `path` is as it was
    """
    target = Path(path)
    temporary = _temporary(target)
    try:
        with disk_errors(target):
            _sweep(target)
            text = "b" not in mode
            with open(temporary, mode, encoding="utf-8" if text else None, newline="" if text else None) as file:
                yield file
                file.flush()
                if durable:
                    os.fsync(file.fileno())
            os.replace(temporary, target)
            if durable:
                fsync_folder(target.parent)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise


def write_bytes(path: str | os.PathLike[str], data: bytes, *, durable: bool = True) -> None:
    """Replace the content of `path` by `data`, atomically."""
    with open_atomic(path, "wb", durable=durable) as file:
        file.write(data)


def write_text(path: str | os.PathLike[str], text: str, *, durable: bool = True) -> None:
    """Replace the content of `path` by `text` in UTF-8, atomically."""
    # A file name that is no UTF-8 is half surrogate pairs in Python; as \\udcff it can be written, and JSON reads it.
    write_bytes(path, text.encode("utf-8", "backslashreplace"), durable=durable)


def write_json(path: str | os.PathLike[str], value: object, *, durable: bool = True) -> None:
    """Replace the content of `path` by `value` as indented JSON; NaN and infinity are errors: JSON has neither."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n", durable=durable)


@contextmanager
def new_folder(path: str | os.PathLike[str], *, replace: bool = False) -> Iterator[Path]:
    """A temporary folder that takes the name `path` when the block ends without an error; all files fsynced first.

    replace   an existing folder is exchanged: a kill between the two renames leaves it under `.old-`, which the next
              call puts back; without it an existing `path` raises FileExistsError
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    recover_folder(target)
    if target.exists() and not replace:
        raise FileExistsError(f"{target} exists already")
    _sweep(target)
    temporary = _temporary(target)
    old = target.with_name(f"{target.name}.old-")
    try:
        with disk_errors(target):
            temporary.mkdir()
            yield temporary
            fsync_tree(temporary)
            if target.exists():
                os.rename(target, old)
            os.rename(temporary, target)
            fsync_folder(target.parent)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        recover_folder(target)
        raise
    shutil.rmtree(old, ignore_errors=True)


def recover_folder(path: str | os.PathLike[str]) -> None:
    """Finish what a killed `new_folder(replace=True)` left: put the old folder back, or drop it."""
    target = Path(path)
    old = target.with_name(f"{target.name}.old-")
    if old.exists():
        if target.exists():
            shutil.rmtree(old, ignore_errors=True)
        else:
            os.rename(old, target)


def fsync_folder(path: str | os.PathLike[str]) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def fsync_tree(path: str | os.PathLike[str]) -> None:
    """Make every file and name under a folder durable."""
    for folder, _, files in os.walk(path):
        for name in files:
            descriptor = os.open(os.path.join(folder, name), os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        fsync_folder(folder)


def _sweep(target: Path) -> None:
    """Remove what killed writers of the same target left; the files of a writer that still runs stay."""
    for leftover in target.parent.glob(f"{glob.escape(target.name)}.tmp-*"):
        if _is_running(leftover.name.rpartition(".tmp-")[2].partition("-")[0]):
            continue
        if leftover.is_dir():
            shutil.rmtree(leftover, ignore_errors=True)
        else:
            with suppress(OSError):
                leftover.unlink()


def _temporary(target: Path) -> Path:
    return target.with_name(f"{target.name}.tmp-{os.getpid()}-{uuid.uuid4().hex[:8]}")


def _is_running(pid: str) -> bool:
    if not pid.isdigit():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
