"""One way to say how far a job is: bars for people, JSON lines for programs, silence for libraries.

Anything that may run over two seconds takes `progress: Progress = SILENT` and reports through it. Progress goes to
stderr; results go to stdout.
"""

import json
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol, TextIO

from vecsmith.terminal import printable

__all__ = ["SILENT", "Bars", "JsonEvents", "Progress", "Task"]


class Task(Protocol):
    """A running step: `advance` by units done, `note` a short changing remark."""

    def advance(self, amount: int = 1) -> None: ...

    def note(self, text: str) -> None: ...


class Progress(Protocol):
    """Where steps report to."""

    def task(self, name: str, total: int | None = None, unit: str = "it") -> AbstractContextManager[Task]:
        """A context manager that yields a `Task`; `total` in units, None where it is not known."""
        ...

    def say(self, text: str) -> None:
        """One line that stays, for what a person must not miss."""
        ...


class _SilentTask:
    def advance(self, amount: int = 1) -> None:
        pass

    def note(self, text: str) -> None:
        pass


class _Silent:
    @contextmanager
    def task(self, name: str, total: int | None = None, unit: str = "it") -> Iterator[Task]:
        yield _SilentTask()

    def say(self, text: str) -> None:
        pass


SILENT: Progress = _Silent()


class Bars:
    """tqdm bars on a terminal; where stderr is no terminal, one line at the start and end of each step."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self.stream = stream or sys.stderr

    @contextmanager
    def task(self, name: str, total: int | None = None, unit: str = "it") -> Iterator[Task]:
        name = printable(name)
        if not self.stream.isatty():
            yield from self._plain(name, total, unit)
            return
        from tqdm import tqdm

        with tqdm(
            total=total, desc=name, unit=unit, file=self.stream, dynamic_ncols=True, mininterval=0.2, leave=True
        ) as bar:
            yield _BarTask(bar)

    def _plain(self, name: str, total: int | None, unit: str) -> Iterator[Task]:
        start, task = time.monotonic(), _CountingTask()
        self.stream.write(f"{name} ...\n")
        self.stream.flush()
        yield task
        count = f"{task.done:,} {unit}, " if task.done else ""
        remark = f" ({task.text})" if task.text else ""
        self.stream.write(f"{name}: {count}{time.monotonic() - start:.1f} s{printable(remark)}\n")
        self.stream.flush()

    def say(self, text: str) -> None:
        from tqdm import tqdm

        tqdm.write(printable(text), file=self.stream)


class _BarTask:
    def __init__(self, bar: "object") -> None:
        self.bar = bar

    def advance(self, amount: int = 1) -> None:
        self.bar.update(amount)  # type: ignore[attr-defined]

    def note(self, text: str) -> None:
        self.bar.set_postfix_str(printable(text))  # type: ignore[attr-defined]


class _CountingTask:
    def __init__(self) -> None:
        self.done, self.text = 0, ""

    def advance(self, amount: int = 1) -> None:
        self.done += amount

    def note(self, text: str) -> None:
        self.text = text


class JsonEvents:
    """One JSON object per line on stderr: {"event": start|progress|end|say, "task", "done", "total", "seconds"}."""

    def __init__(self, stream: TextIO | None = None, every_seconds: float = 1.0) -> None:
        self.stream, self.every_seconds = stream or sys.stderr, every_seconds

    def _write(self, **event: object) -> None:
        self.stream.write(printable(json.dumps(event, ensure_ascii=False)) + "\n")
        self.stream.flush()

    @contextmanager
    def task(self, name: str, total: int | None = None, unit: str = "it") -> Iterator[Task]:
        task = _EventTask(self, name, total, unit)
        self._write(event="start", task=name, total=total, unit=unit)
        yield task
        self._write(event="end", task=name, done=task.done, total=total, unit=unit, seconds=task.seconds())

    def say(self, text: str) -> None:
        self._write(event="say", text=text)


class _EventTask:
    def __init__(self, events: JsonEvents, name: str, total: int | None, unit: str) -> None:
        self.events, self.name, self.total, self.unit = events, name, total, unit
        self.done, self.text = 0, ""
        self.start = self.last = time.monotonic()

    def seconds(self) -> float:
        return round(time.monotonic() - self.start, 3)

    def advance(self, amount: int = 1) -> None:
        self.done += amount
        now = time.monotonic()
        if now - self.last >= self.events.every_seconds:
            self.last = now
            self.events._write(
                event="progress",
                task=self.name,
                done=self.done,
                total=self.total,
                seconds=self.seconds(),
                note=self.text,
            )

    def note(self, text: str) -> None:
        self.text = text
