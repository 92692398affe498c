"""The steps of synthesis: what each asks about, and what becomes of an answer."""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import numpy as np
import xxhash

from vecsmith.data.pairs.answers import (
    SCHEMAS,
    BadAnswer,
    Choice,
    NewPair,
    NewPairs,
    fault_of,
    parse_answer,
    usable_texts,
)
from vecsmith.data.pairs.asking import Job
from vecsmith.data.pairs.extension import Extension
from vecsmith.data.pairs.prompts import Prompt

__all__ = ["STEPS", "Search", "Step"]

BLOCK = 1024
LONGEST_SHOWN = 8_000  # characters of a text that the model is shown
PAIRS = ("retrieval", "pair")

Record = dict[str, Any]
Search = Callable[[list[str], int], tuple[np.ndarray, np.ndarray]]


class Step(ABC):
    """One step over one dataset: `jobs` asks, `take` uses an answer; then `changed` and `added` hold the records.

    changed   number of a record -> what takes its place
    added     new records
    needs     what a dataset must hold, in words
    """

    needs = "it needs records with a query and a positive"

    def __init__(
        self,
        extension: Extension,
        *,
        count: int,
        side: str,
        limit: int | None,
        search: Search | None,
        k: int,
        seed: int,
    ) -> None:
        self.extension, self.count, self.side, self.limit = extension, count, side, limit
        self.search, self.k, self.seed = search, k, seed
        self.changed: dict[int, Record] = {}
        self.added: list[Record] = []
        self.answers_of = _answers_of(extension)

    def jobs(self, prompt: Prompt) -> Iterator[Job]:
        """What to ask, in the order of the records, the first `limit`."""
        return islice(self._jobs(prompt), self.limit)

    @abstractmethod
    def _jobs(self, prompt: Prompt) -> Iterator[Job]:
        """What to ask, in the order of the records, all of it."""

    @abstractmethod
    def take(self, job: Job, value: Any, made: Counter[str], dropped: Counter[str]) -> None:
        """Use the value of an answer."""

    def settle(self, dropped: Counter[str]) -> None:  # noqa: B027 most steps have nothing to settle
        """Called once, after the last answer."""

    def records(self) -> Iterator[tuple[int, Record]]:
        table = self.extension.dataset.records
        for start in range(0, table.num_rows, BLOCK):
            yield from enumerate(table.slice(start, BLOCK).to_pylist(), start)

    def shown(self, row: int) -> str:
        return self.extension.text(row)[:LONGEST_SHOWN]

    def read_texts(self, text: str, forbidden: set[int]) -> list[str]:
        """The usable texts of an answer to this step; raises BadAnswer."""
        parsed: Any = parse_answer(text, SCHEMAS[self.name])
        return usable_texts(parsed.texts, count=self.count, forbidden=forbidden, key=self.extension.first_key)

    name = ""


class Paraphrase(Step):
    """Other wordings of a text, each with the source's key."""

    name = "paraphrase"
    needs = "it needs records; of the document side, records with positives"

    def _jobs(self, prompt: Prompt) -> Iterator[Job]:
        uses: dict[int, list[tuple[int, int]]] = {}  # key of a text -> (record, row of the text) that it stands in
        for number, record in self.records():
            rows = [record["query"]] if self.side == "query" else record["positives"]
            for row in rows:
                uses.setdefault(self.extension.key_of(row), []).append((number, row))
        for key, places in uses.items():
            row = places[0][1]
            messages = prompt.messages(text=self.shown(row), count=self.count)
            yield Job(messages, lambda text, key=key: self.read_texts(text, {key}), (row, places))  # type: ignore[misc]

    def take(self, job: Job, value: Any, made: Counter[str], dropped: Counter[str]) -> None:
        source, places = job.about
        for text in value:
            if self.extension.find(text) is not None:
                dropped["texts that are there already"] += 1
                continue
            row = self.extension.row(text, same_as=source)
            made["paraphrases"] += 1
            for number, old in places:
                record = self.extension.dataset.records.slice(number, 1).to_pylist()[0]
                self.added.append(self._query(record, row) if self.side == "query" else _positive(record, old, row))

    @staticmethod
    def _query(record: Record, row: int) -> Record:
        return {**record, "query": row, "id": None}


class Augment(Step):
    """New pairs on neighbouring topics."""

    name = "augment"

    def _jobs(self, prompt: Prompt) -> Iterator[Job]:
        for _, record in self.records():
            if record["kind"] in PAIRS and record["positives"]:
                query, passage = record["query"], record["positives"][0]
                messages = prompt.messages(query=self.shown(query), passage=self.shown(passage), count=self.count)
                forbidden = {self.extension.key_of(query), self.extension.key_of(passage)}
                yield Job(messages, lambda text, f=forbidden: self._read(text, f), record)  # type: ignore[misc]

    def _read(self, text: str, forbidden: set[int]) -> list[NewPair]:
        kept, reasons = [], []
        for pair in parse_answer(text, NewPairs).pairs[: self.count]:
            fault = fault_of(pair.query) or fault_of(pair.passage)
            if fault is None:
                keys = {self.extension.first_key(pair.query), self.extension.first_key(pair.passage)}
                fault = (
                    "equals its source" if keys & forbidden else "query and passage are one" if len(keys) < 2 else None
                )
            kept += [pair] if fault is None else []
            reasons += [fault] if fault is not None else []
        if not kept:
            raise BadAnswer(reasons[0])
        return kept

    def take(self, job: Job, value: Any, made: Counter[str], dropped: Counter[str]) -> None:
        for pair in value:
            if self.extension.find(pair.query) is not None or self.extension.find(pair.passage) is not None:
                dropped["texts that are there already"] += 1
                continue
            made["pairs"] += 1
            query, passage = self.extension.row(pair.query), self.extension.row(pair.passage)
            self.added.append(_fresh(job.about, query, [passage]))


class HardNegatives(Step):
    """Passages that look as if they answered; none has the key of the query or of anything known to answer it."""

    name = "hard-negatives"

    def _jobs(self, prompt: Prompt) -> Iterator[Job]:
        for number, record in self.records():
            if record["kind"] in PAIRS and record["positives"]:
                query, passage = record["query"], record["positives"][0]
                messages = prompt.messages(query=self.shown(query), passage=self.shown(passage), count=self.count)
                key = self.extension.key_of(query)
                forbidden = {key} | self.answers_of.get(key, set())
                forbidden |= {self.extension.key_of(row) for row in record["negatives"]}
                yield Job(messages, lambda text, f=forbidden: self.read_texts(text, f), (number, record))  # type: ignore[misc]

    def take(self, job: Job, value: Any, made: Counter[str], dropped: Counter[str]) -> None:
        number, record = job.about
        rows = [self.extension.row(text) for text in value]
        made["negatives"] += len(rows)
        self.changed[number] = _with_negatives(record, rows, dropped)


class Queries(Step):
    """Queries for passages; with `search`, only those whose passage is among the first k found."""

    name = "queries"
    needs = "it needs documents, or records with texts"

    def _jobs(self, prompt: Prompt) -> Iterator[Job]:
        seen: set[int] = set()
        for row, about in self._passages():
            key = self.extension.key_of(row)
            if key not in seen:
                seen.add(key)
                messages = prompt.messages(passage=self.shown(row), count=self.count)
                yield Job(messages, lambda text, key=key: self.read_texts(text, {key}), (row, about))  # type: ignore[misc]

    def _passages(self) -> Iterator[tuple[int, Record]]:
        dataset = self.extension.dataset
        same = {"dataset": dataset.name, "weight": 1.0}
        if len(dataset.documents):
            table = dataset.documents.table.select(["input", "group", "split"])
            for start in range(0, table.num_rows, BLOCK):
                for cells in table.slice(start, BLOCK).to_pylist():
                    yield cells.pop("input"), {**same, **cells}
            return
        for _, record in self.records():
            for row in record["positives"] if record["kind"] not in ("class", "plain") else [record["query"]]:
                yield row, {name: record.get(name) for name in ("dataset", "weight", "group", "split")}

    def take(self, job: Job, value: Any, made: Counter[str], dropped: Counter[str]) -> None:
        passage, about = job.about
        key = self.extension.key_of(passage)
        for text, found in zip(value, self._found(value), strict=True):
            if key not in found and self.search is not None:
                dropped[f"queries that do not find their passage in the first {self.k}"] += 1
            elif self.extension.find(text) is not None:
                dropped["texts that are there already"] += 1
            else:
                made["queries"] += 1
                self.added.append(_fresh(about, self.extension.row(text), [passage]))

    def _found(self, texts: list[str]) -> list[set[int]]:
        if self.search is None:
            return [set() for _ in texts]
        rows, _ = self.search(texts, self.k)
        return [{self.extension.key_of(int(row)) for row in found if row >= 0} for found in rows]


class Relabel(Step):
    """The best of the passages found takes the positive's place."""

    name = "relabel"
    needs = "it needs records with a query and one positive"

    def _jobs(self, prompt: Prompt) -> Iterator[Job]:
        assert self.search is not None
        waiting = []
        for number, record in self.records():
            if record["kind"] in PAIRS and len(record["positives"]) == 1:
                waiting.append((number, record))
            if len(waiting) == 64:
                yield from self._ask(prompt, waiting)
                waiting = []
        yield from self._ask(prompt, waiting)

    def _ask(self, prompt: Prompt, records: list[tuple[int, Record]]) -> Iterator[Job]:
        if not records or self.search is None:
            return
        found, _ = self.search([self.extension.text(record["query"]) for _, record in records], self.k)
        for (number, record), rows in zip(records, found, strict=True):
            choices = self._choices(record, [int(row) for row in rows if row >= 0])
            if len(choices) < 2:
                continue  # nothing to choose
            listed = "\n\n".join(f"[{place}] {self.shown(row)}" for place, row in enumerate(choices, start=1))
            messages = prompt.messages(query=self.shown(record["query"]), passages=listed, count=len(choices))
            yield Job(messages, lambda text, n=len(choices): _choice(text, n), (number, record, choices))  # type: ignore[misc]

    def _choices(self, record: Record, rows: list[int]) -> list[int]:
        """The passages, each key once, the positive among them, in an order that says nothing: by a hash of keys."""
        query = self.extension.key_of(record["query"])
        distinct = {self.extension.key_of(row): row for row in [*rows[::-1], *record["positives"]]}
        distinct.pop(query, None)
        order = sorted(distinct, key=lambda key: xxhash.xxh3_64_intdigest(f"{self.seed} {query} {key}".encode()))
        return [distinct[key] for key in order]

    def take(self, job: Job, value: Any, made: Counter[str], dropped: Counter[str]) -> None:
        number, record, choices = job.about
        best = choices[value.best - 1]
        old, new = self.extension.key_of(record["positives"][0]), self.extension.key_of(best)
        made["positives kept" if old == new else "positives replaced"] += 1
        known = self.answers_of.setdefault(self.extension.key_of(record["query"]), set())
        known.add(new)
        negatives = []
        for row in [*record["negatives"], *([choices[value.negative - 1]] if value.negative else [])]:
            if self.extension.key_of(row) in known:
                dropped["negatives that answer their query"] += 1
            elif row not in negatives:
                negatives.append(row)
        made["negatives"] += max(0, len(negatives) - len(record["negatives"]))
        cells = {"scores": None, "teacher_scores": None, "grades": None} if old != new else {}
        fewer = {**record, "positives": [best] if old != new else record["positives"], **cells}
        kept = [row for row in record["negatives"] if row in negatives]
        if len(kept) < len(record["negatives"]):
            fewer |= {"negatives": kept, "scores": None, "teacher_scores": None}
        self.changed[number] = _with_negatives(fewer, [row for row in negatives if row not in kept], dropped)

    def settle(self, dropped: Counter[str]) -> None:
        """What a later record of the same query took for its positive is no negative of an earlier one."""
        for number, record in self.changed.items():
            known = self.answers_of[self.extension.key_of(record["query"])]
            kept = [row for row in record["negatives"] if self.extension.key_of(row) not in known]
            if len(kept) < len(record["negatives"]):
                dropped["negatives that answer their query"] += len(record["negatives"]) - len(kept)
                self.changed[number] = {**record, "negatives": kept, "scores": None, "teacher_scores": None}


STEPS: dict[str, type[Step]] = {step.name: step for step in (Paraphrase, Augment, HardNegatives, Queries, Relabel)}


def _choice(text: str, count: int) -> Choice:
    choice = parse_answer(text, Choice)
    for number in (choice.best, choice.negative):
        if number is not None and not 1 <= number <= count:
            raise BadAnswer("a number that no passage has", f"{number}, of 1 to {count}")
    if choice.best == choice.negative:
        raise BadAnswer("one passage as best and as negative")
    return choice


def _answers_of(extension: Extension) -> dict[int, set[int]]:
    """Key of a query -> keys of all that is known to answer it, in any record."""
    records = extension.dataset.records
    found: dict[int, set[int]] = {}
    for start in range(0, records.num_rows, BLOCK):
        block = records.slice(start, BLOCK).select(["query", "positives"]).to_pylist()
        for record in block:
            answers = found.setdefault(extension.key_of(record["query"]), set())
            answers.update(extension.key_of(row) for row in record["positives"])
    return found


def _fresh(about: Record, query: int, positives: list[int]) -> Record:
    kept = {name: about.get(name) for name in ("dataset", "weight", "group", "split", "instruction_query")}
    kept["instruction_document"] = about.get("instruction_document")
    return {**kept, "query": query, "positives": positives, "negatives": [], "kind": about.get("kind") or "retrieval"}


def _positive(record: Record, old: int, new: int) -> Record:
    """The record with one positive, in another wording; its scores are those of the positive it had."""
    cells: Record = {"positives": [new], "id": None, "grades": None}
    place = record["positives"].index(old)
    for name in ("scores", "teacher_scores"):
        if record[name] is not None:
            listed = record[name]
            cells[name] = [listed[place], *listed[len(record["positives"]) :]]
    return {**record, **cells}


def _with_negatives(record: Record, rows: list[int], dropped: Counter[str]) -> Record:
    """The record with negatives more; they score 0. A teacher has not scored them, so that its scores go."""
    if not rows:
        return record
    changed = {**record, "negatives": [*record["negatives"], *rows]}
    if record["scores"] is not None:
        changed["scores"] = [*record["scores"], *[0.0] * len(rows)]
    if record["teacher_scores"] is not None:
        changed["teacher_scores"] = None
        dropped["teacher scores of records whose negatives are new"] += 1
    return changed
