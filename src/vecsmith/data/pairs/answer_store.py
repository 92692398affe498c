"""Answers that were paid for, kept in a file of JSON lines as they come: a killed run asks nothing twice."""

import fcntl
import hashlib
import json
import os
import threading
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from vecsmith.atomic import disk_errors
from vecsmith.data.pairs.prompts import Message
from vecsmith.errors import Damaged, Locked

__all__ = ["AnswerStore", "request_key"]

HEADER = {"format": "vecsmith.answers", "version": 1}


def request_key(model: str, messages: Sequence[Message], attempt: int) -> str:
    """The name of a request: 32 hex digits over the model, what is said to it and the number of the attempt."""
    said = json.dumps([model, [[m["role"], m["content"]] for m in messages], attempt], ensure_ascii=True)
    return hashlib.sha256(said.encode()).hexdigest()[:32]


class AnswerStore:
    """key -> answer, appended to a file; safe for several threads of one process.

    path      the file; made where it is not there; None keeps answers in memory only
    raises    Locked: another process writes it; Damaged: a line in its middle is no answer
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._memory: dict[str, dict[str, Any]] = {}
        self._places: dict[str, int] = {}
        self._file = None
        if path is None:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = open(path, "a+b")  # noqa: SIM115  closed in close()
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._read(path)
        except BlockingIOError:
            self._file.close()
            raise Locked(f"{path}: another run writes it; wait for it, or name another file of answers") from None
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> "AnswerStore":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __len__(self) -> int:
        return len(self._places) + len(self._memory)

    def get(self, key: str) -> dict[str, Any] | None:
        """`{"text": ...}` or `{"refused": reason}` of a request that was answered; None: it was not."""
        with self._lock:
            if self._file is None or key not in self._places:
                return self._memory.get(key)
            self._file.seek(self._places[key])
            return dict(json.loads(self._file.readline()))

    def put(self, key: str, *, text: str | None = None, refused: str | None = None) -> None:
        """Keep an answer, or why there is none; it is in the file when this returns."""
        entry = {"key": key, **({"text": text} if refused is None else {"refused": refused})}
        with self._lock:
            if self._file is None:
                self._memory[key] = entry
                return
            with disk_errors(self.path or ""):
                self._places[key] = self._file.seek(0, os.SEEK_END)
                self._file.write(json.dumps(entry, ensure_ascii=True).encode() + b"\n")
                self._file.flush()

    def close(self) -> None:
        """Close the file, flushed to the disk; the lock goes with it."""
        if self._file is not None and not self._file.closed:
            os.fsync(self._file.fileno())
            self._file.close()

    def _read(self, path: Path) -> None:
        """Where each answer stands; half a line at the end, as a kill leaves it, is cut off."""
        assert self._file is not None
        self._file.seek(0)
        place = 0
        for number, line in enumerate(self._file):
            if not line.endswith(b"\n"):
                break
            entry = _entry(line)
            if number == 0 and (entry is None or entry != HEADER):
                raise Damaged(f"{path} holds no answers of vecsmith; name another file")
            if number and (entry is None or "key" not in entry):
                raise Damaged(
                    f"{path}, line {number + 1}: no answer; the file was changed. Name another file of answers"
                )
            if number and entry is not None:
                self._places[str(entry["key"])] = place
            place += len(line)
        self._file.truncate(place)
        if place == 0:
            self._file.write(json.dumps(HEADER).encode() + b"\n")
            self._file.flush()


def _entry(line: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
