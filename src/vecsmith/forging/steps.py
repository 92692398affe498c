"""Steps that are done once: each is keyed by a hash of everything it depends on, and skipped while that is the same.

A folder of forge holds `forge.json`: the steps done, their keys and seconds. A step is recorded only after its output
is whole on disk, so a killed run goes on from the last finished step.
"""

import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from vecsmith.atomic import write_json
from vecsmith.errors import Damaged, Locked, UsageError
from vecsmith.progress import SILENT, Progress

__all__ = ["Steps", "key_of"]

STATE = "forge.json"
FORMAT = 1


def key_of(*parts: object) -> str:
    """16 hex digits of everything a step depends on; parts are JSON values.

    >>> key_of("read", {"a": 1, "b": 2}) == key_of("read", {"b": 2, "a": 1})
    True
    """
    import xxhash

    text = json.dumps(parts, sort_keys=True, ensure_ascii=False, default=str)
    return xxhash.xxh3_64_hexdigest(text.encode("utf-8", "surrogatepass"))


class Steps:
    """The steps of one output folder; holds its lock while open.

    folder    made if absent; a folder with other content is refused
    raises    UsageError: the folder is not forge's; Locked: another forge works in it; Damaged: forge.json unreadable
    """

    def __init__(self, folder: Path, *, progress: Progress = SILENT) -> None:
        self.folder, self.progress = folder, progress
        self.reran: list[str] = []
        self.kept: list[str] = []
        self.done: dict[str, dict[str, Any]] = {}
        _require_ours(folder)
        folder.mkdir(parents=True, exist_ok=True)

    @contextmanager
    def open(self) -> Iterator["Steps"]:
        """Hold the folder's lock for the block."""
        descriptor = os.open(self.folder / ".forge.lock", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                holder = os.pread(descriptor, 64, 0).decode("ascii", "replace").strip() or "unknown"
                raise Locked(
                    f"{self.folder}: another forge (process {holder}) is working here; wait for it, or end it"
                ) from error
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, str(os.getpid()).encode("ascii"), 0)
            self.done = _read_state(self.folder)
            if not (self.folder / STATE).exists():
                self._write()
            yield self
        finally:
            os.close(descriptor)

    def run(self, name: str, key: str, work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """The result of a step: from the record where its key is unchanged, else by doing the work.

        work      writes its files atomically and returns a small JSON value, kept in forge.json
        returns   that value
        """
        record = self.done.get(name)
        if record is not None and record["key"] == key:
            self.kept.append(name)
            self.progress.say(f"{name}: done before, kept")
            return record["result"]
        if record is not None:
            self.progress.say(f"{name}: what it depends on changed, done again")
        start = time.monotonic()
        result = work()
        self.done[name] = {"key": key, "seconds": round(time.monotonic() - start, 2), "result": result}
        self._write()
        self.reran.append(name)
        return result

    def seconds(self, name: str) -> float:
        """Wall seconds that the step took when it was done; 0.0 where it never was."""
        return float(self.done.get(name, {}).get("seconds", 0.0))

    def _write(self) -> None:
        write_json(self.folder / STATE, {"format": FORMAT, "steps": self.done})


def _require_ours(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file; --output names a folder")
    foreign = folder.exists() and any(entry.name != ".forge.lock" for entry in folder.iterdir())
    if foreign and not (folder / STATE).exists():
        raise UsageError(
            f"{folder} holds files that are not forge's (no {STATE} in it); choose another --output, or empty it"
        )


def _read_state(folder: Path) -> dict[str, dict[str, Any]]:
    path = folder / STATE
    if not path.exists():
        return {}
    try:
        state = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, UnicodeDecodeError) as error:
        raise Damaged(f"{path} cannot be read as JSON ({error}); remove {folder} and run again") from error
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        found = state.get("format") if isinstance(state, dict) else type(state).__name__
        raise Damaged(f"{path} has format {found!r}; this version writes {FORMAT}. Use another --output")
    return state["steps"]
