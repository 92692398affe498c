"""One writer at a time: a kernel lock on the file LOCK that dies with its process.

The file's content (process, host, time) is only for the message of who comes second. The descriptor is closed in every
forked child: a child that kept it would hold the lock after its parent's death.
"""

import errno
import fcntl
import json
import os
import socket
import time
from pathlib import Path

from vecsmith.errors import Locked, UsageError

__all__ = ["WriterLock"]

_held: set[int] = set()


def _close_in_child() -> None:
    for descriptor in _held:
        os.close(descriptor)
    _held.clear()


os.register_at_fork(after_in_child=_close_in_child)


class WriterLock:
    """A context manager: inside it this process is the only writer of `folder`.

    raises   Locked, at once: another writer, with its process and age; UsageError: no locks on this file system
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / "LOCK"
        self._descriptor: int | None = None

    def __enter__(self) -> "WriterLock":
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            words = self._holder(descriptor)
            os.close(descriptor)
            if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
                raise Locked(
                    f"{self.path.parent}: {words}. One process writes at a time; wait for it, or end it"
                ) from None
            raise UsageError(
                f"{self.path}: this file system has no locks ({error.strerror}); write the index on a local disk"
            ) from error
        _held.add(descriptor)
        self._descriptor = descriptor
        content = json.dumps({"pid": os.getpid(), "host": socket.gethostname(), "since": time.time()})
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, content.encode(), 0)
        return self

    def __exit__(self, *_: object) -> None:
        descriptor, self._descriptor = self._descriptor, None
        if descriptor in _held:  # not in a forked child, where it is closed already
            _held.discard(descriptor)
            os.close(descriptor)

    @staticmethod
    def _holder(descriptor: int) -> str:
        try:
            holder = json.loads(os.pread(descriptor, 4096, 0))
            age = max(0.0, time.time() - holder["since"])
            return f"process {holder['pid']} on {holder['host']} has been writing for {age:.1f} s"
        except (ValueError, KeyError, TypeError):  # it has the lock and has not said who it is yet
            return "another process is writing"
