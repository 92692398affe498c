"""Ask a language model many things: a few at a time, each answer kept, bad ones asked again, in order of the jobs."""

import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from vecsmith.data.pairs.answer_store import AnswerStore, request_key
from vecsmith.data.pairs.answers import BadAnswer, Unavailable
from vecsmith.data.pairs.prompts import Message
from vecsmith.errors import DataError
from vecsmith.progress import SILENT, Progress

__all__ = ["Ask", "Asking", "Job"]

MOST_IN_A_ROW = 5  # requests without an answer, before the run is given up
MOST_EQUAL = 8  # different requests in a row with one answer
SHOWN = 2_000  # characters of a bad answer that are sent back

Ask = Callable[[list[Message]], str]


@dataclass(frozen=True)
class Job:
    """One thing to ask: `read` makes a value of the answer or raises BadAnswer; `about` is the caller's own."""

    messages: list[Message]
    read: Callable[[str], Any]
    about: Any = None


@dataclass
class Asking:
    """Asks jobs of `ask`.

    ask           (messages) -> text; raises BadAnswer (refused, cut short), Unavailable (later it may answer), and any
                  other error where nothing will come of going on
    store         keeps every answer by `model`, messages and attempt
    tries         answers to one job at most, 1 to 10; the reason of a bad one is told to the model
    concurrency   requests under way at once, 1 to 64
    failed        reason -> jobs without a usable answer
    retried       reason -> bad answers, those mended by a later one too
    requests, reused    sent, and found in the store
    """

    ask: Ask
    store: AnswerStore
    model: str
    tries: int = 3
    concurrency: int = 4
    failed: Counter[str] = field(default_factory=Counter)
    retried: Counter[str] = field(default_factory=Counter)
    requests: int = 0
    reused: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def answers(
        self, jobs: Iterable[Job], *, texts: bool = True, total: int | None = None, progress: Progress = SILENT
    ) -> Iterator[tuple[Job, Any]]:
        """(job, value) of the jobs that were answered, in their order, whatever the concurrency.

        texts     answers are texts, so that the same one to many jobs says that the endpoint is broken
        raises    DataError: five requests in a row without an answer, or eight jobs in a row answered alike
        """
        silent, equal, last = 0, 0, None
        with progress.task("asking", total=total, unit="requests") as task:
            for job, value in self._in_order(jobs):
                task.advance()
                if isinstance(value, Unavailable):
                    silent += 1
                    self.failed["no answer"] += 1
                    if silent >= MOST_IN_A_ROW:
                        raise DataError(f"{value}; so did {silent} requests in a row. {self._kept()}") from value
                    continue
                silent = 0
                if isinstance(value, BadAnswer):
                    self.failed[value.reason] += 1
                    continue
                equal, last = (equal + 1, last) if value == last else (1, value)
                if texts and equal >= MOST_EQUAL:
                    raise DataError(
                        f"{self.model} gave {equal} different requests in a row the same answer: {str(value)[:80]!r}. "
                        f"Its answers are of no use; look at the endpoint and the prompts (--dry-run). {self._kept()}"
                    )
                yield job, value

    def _in_order(self, jobs: Iterable[Job]) -> Iterator[tuple[Job, Any]]:
        waiting: deque[tuple[Job, Future[Any]]] = deque()
        pool = ThreadPoolExecutor(self.concurrency, thread_name_prefix="asking")
        try:
            for job in jobs:
                waiting.append((job, pool.submit(self._one, job)))
                if len(waiting) >= 2 * self.concurrency:
                    first, future = waiting.popleft()
                    yield first, future.result()
            while waiting:
                first, future = waiting.popleft()
                yield first, future.result()
        finally:
            # What is under way is paid for: it is waited for and kept. What waits is not begun.
            pool.shutdown(wait=True, cancel_futures=True)

    def _one(self, job: Job) -> Any:
        """The value of a job; BadAnswer or Unavailable as a value, where there is none."""
        messages = list(job.messages)
        last = BadAnswer("empty")
        for attempt in range(self.tries):
            try:
                text = self._text(messages, attempt)
            except Unavailable as error:
                return error
            except BadAnswer as error:
                last = error
                continue
            try:
                return job.read(text)
            except BadAnswer as error:
                last = error
                self._count(error.reason)
                messages = [*job.messages, *_again(text, error)]
        return last

    def _text(self, messages: list[Message], attempt: int) -> str:
        """The answer to one request, from the store where it was given before."""
        key = request_key(self.model, messages, attempt)
        kept = self.store.get(key)
        if kept is None:
            self._count(None)
            try:
                text = self.ask(messages)
            except BadAnswer as error:
                self.store.put(key, refused=error.reason)
                raise
            if not isinstance(text, str):
                raise DataError(f"{self.model} answered {type(text).__name__}; a callable answers with text")
            self.store.put(key, text=text)
            return text
        with self._lock:
            self.reused += 1
        if "refused" in kept:
            raise BadAnswer(str(kept["refused"]))
        return str(kept["text"])

    def _count(self, reason: str | None) -> None:
        """A bad answer, or (None) a request."""
        with self._lock:
            if reason is None:
                self.requests += 1
            else:
                self.retried[reason] += 1

    def _kept(self) -> str:
        where = f" in {self.store.path}" if self.store.path else ""
        return f"{len(self.store):,} answers are kept{where}; the same command goes on from them"


def _again(text: str, error: BadAnswer) -> list[Message]:
    return [
        {"role": "assistant", "content": text[:SHOWN]},
        {
            "role": "user",
            "content": f"This answer could not be used ({error}). Answer again: one JSON object as asked for.",
        },
    ]
