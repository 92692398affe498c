"""Are the files on disk the ones a contract was written for? Sizes at every open, hashes once per machine.

What was verified is remembered in the user's cache folder by path, size and modification time.
"""

import errno
import hashlib
import os
import time
from collections.abc import Mapping
from pathlib import Path

from vecsmith.contract.cache import add_to_cache, read_cache
from vecsmith.errors import Tampered

__all__ = ["file_hash", "hash_files", "verify_files"]

NO_SUCH_FILE = (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG)
SETTLED_SECONDS = 2.0  # a file changed more recently than this may change again within one tick of its clock


def file_hash(path: str | os.PathLike[str]) -> str:
    """sha256 of a file, read in blocks."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def hash_files(folder: Path, names: list[str]) -> dict[str, dict[str, object]]:
    """Size and sha256 of each named file of a folder: {"model.safetensors": {"size": ..., "sha256": ...}}."""
    return {name: {"size": (folder / name).stat().st_size, "sha256": file_hash(folder / name)} for name in names}


def verify_files(folder: Path, expected: Mapping[str, Mapping[str, object]]) -> None:
    """Raise unless every file has the size and hash that the contract names.

    expected  relative name -> {"size": bytes, "sha256": hex}
    raises    Tampered: a file is missing, or differs in size or content (all such files are named)
    """
    wrong = [words for name, entry in expected.items() if (words := _size_differs(folder / name, name, entry))]
    if not wrong:
        wrong = _contents_differ(folder, expected)
    if wrong:
        raise Tampered(
            f"{folder} is not the model that its embedding.json was written for: {'; '.join(wrong)}. "
            "Copy the model again from where it came; if you changed it on purpose, load it with vs.load(PATH, "
            "verify=False) and save it to a new folder, which writes a new contract"
        )


def _size_differs(path: Path, name: str, entry: Mapping[str, object]) -> str:
    try:
        size = path.stat().st_size
    except ValueError:  # a name with half a character
        return f"{name} is missing"
    except OSError as error:
        if error.errno not in NO_SUCH_FILE:
            raise
        return f"{name} is missing"
    return "" if size == entry["size"] else f"{name} has {size:,} bytes, not {entry['size']:,}"


def _contents_differ(folder: Path, expected: Mapping[str, Mapping[str, object]]) -> list[str]:
    known = {path: entry for path, entry in read_cache("verified").items() if len(entry) == 3}
    fresh: dict[str, list[object]] = {}
    wrong: list[str] = []
    for name, entry in expected.items():
        path = Path(os.path.abspath(folder / name))
        stat = path.stat()
        stamp = [stat.st_size, stat.st_mtime_ns]
        remembered = known.get(str(path))
        if remembered is not None and remembered[:2] == stamp:
            found = str(remembered[2])
        else:
            found = file_hash(path)
            if time.time() - stat.st_mtime > SETTLED_SECONDS:
                fresh[str(path)] = [*stamp, found]
        if found != entry["sha256"]:
            wrong.append(f"{name} has sha256 {found[:12]}, not {str(entry['sha256'])[:12]}")
    if fresh:
        add_to_cache("verified", fresh)
    return wrong
