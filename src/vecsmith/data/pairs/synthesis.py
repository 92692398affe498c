"""A language model adds to a dataset: paraphrases, neighbouring pairs, hard negatives, queries, better positives.

QZhou-Embedding's three steps of synthesis (abstract and README: paraphrase, augmentation, hard negatives; its prompts
are not published), query generation with a round trip, and relabelling as Gecko does it (Lee et al. 2024, arXiv
2403.20327, section 3.2: the best of the retrieved passages takes the place of the positive). What is kept of an answer
is decided here, never by the model: schema, keys, round trip.
"""

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vecsmith.data.dataset import Dataset
from vecsmith.data.pairs.answer_store import AnswerStore
from vecsmith.data.pairs.asking import Ask, Asking, Job
from vecsmith.data.pairs.extension import Extension
from vecsmith.data.pairs.prompts import Prompt, load_prompts
from vecsmith.data.pairs.record_rows import RecordRows
from vecsmith.data.pairs.synthesis_steps import STEPS, Search, Step
from vecsmith.errors import NotEnoughData, UsageError
from vecsmith.progress import SILENT, Progress

__all__ = ["SynthesisReport", "synthesise"]

BLOCK = 4096


@dataclass
class SynthesisReport:
    """What was asked, answered, made and left out.

    asked       things asked about; answered: those with a usable answer
    requests    sent in this run; reused: found among the answers of earlier ones
    made        what came out: paraphrases, pairs, negatives, queries, replaced positives
    dropped     reason -> texts of usable answers that were left out
    failed      reason -> things without a usable answer; retried: reason -> bad answers, mended ones too
    prompt      16 hex digits of the prompt's words
    """

    step: str
    model: str
    prompt: str
    asked: int = 0
    answered: int = 0
    requests: int = 0
    reused: int = 0
    records: int = 0
    made: Counter[str] = field(default_factory=Counter)
    dropped: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    retried: Counter[str] = field(default_factory=Counter)

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers and words, for JSON."""
        counters = ("made", "dropped", "failed", "retried")
        plain = {name: value for name, value in vars(self).items() if name not in counters}
        return {**plain, **{name: dict(sorted(getattr(self, name).items())) for name in counters}}


def synthesise(
    dataset: Dataset,
    step: str,
    ask: Ask,
    *,
    model: str,
    count: int = 2,
    side: str = "query",
    limit: int | None = None,
    search: Search | None = None,
    k: int = 10,
    prompts: str | Path | None = None,
    answers: Path | None = None,
    tries: int = 3,
    concurrency: int = 4,
    seed: int = 0,
    progress: Progress = SILENT,
) -> tuple[Dataset, SynthesisReport]:
    """The dataset with what a language model added; the same answers give the same dataset, whatever the concurrency.

    step          paraphrase       each distinct text of `side` in `count` other wordings, in records of their own; they
                                   share their source's key (`inputs.same_as`), so that none is a negative of another
                  augment          `count` new pairs beside each record's query and positive
                  hard-negatives   up to `count` negatives more for each record with a positive
                  queries          `count` queries for each passage; with `search`, only those that find it again
                  relabel          the best of the `k` passages that `search` finds takes the positive's place, and one
                                   that does not answer becomes a negative; records of one positive only
    ask           (messages) -> text: a `models.chat.ChatEndpoint`, or any callable. Called by several threads
    model         names what answers; answers of one model are not taken for another's
    side          of paraphrase: "query" or "document"
    limit         ask about the first so many things; None: all
    search        (texts, k) -> (rows of `dataset.inputs` int64 [n, k], scores [n, k]), best first
    prompts       a YAML file; steps it does not name keep the prompts that ship with vecsmith
    answers       a file that keeps every answer, so that a killed run goes on; None: in memory
    tries         answers to one thing at most; bad ones are told why, then counted by reason
    returns       the dataset in memory over the old inputs (`save` it), and the counts
    raises        UsageError: an unknown step or option, or a step that lacks `search`; NotEnoughData: nothing to ask
                  about; DataError: the endpoint is broken (five requests in a row without an answer, eight answered
                  alike), or a prompt lacks what it needs; Locked: another run writes the answers
    """
    chosen = _step(dataset, step, ask, count=count, side=side, limit=limit, search=search, k=k, seed=seed)
    if not 1 <= tries <= 10 or not 1 <= concurrency <= 64:
        raise UsageError(f"tries {tries} must be 1 to 10, concurrency {concurrency} 1 to 64")
    prompt = load_prompts(prompts)[step]
    report = SynthesisReport(step, model, prompt_id(prompt))
    with AnswerStore(answers) as store:
        asking = Asking(ask, store, model, tries=tries, concurrency=concurrency, retried=report.retried)
        asking.failed = report.failed
        try:
            for job, value in asking.answers(
                _counted(chosen.jobs(prompt), report), texts=step != "relabel", progress=progress
            ):
                report.answered += 1
                chosen.take(job, value, report.made, report.dropped)
        finally:
            report.requests, report.reused = asking.requests, asking.reused
    if not report.asked:
        raise NotEnoughData(f"dataset {dataset.name}: nothing to ask about; {chosen.needs}")
    chosen.settle(report.dropped)
    rows = RecordRows()
    for record in _records(dataset, chosen):
        rows.add(**record)
    report.records = rows.count
    return chosen.extension.finish(rows), report


def first_messages(dataset: Dataset, step: str, *, count: int = 2, shown: int = 2, **options: Any) -> list[Any]:
    """The messages that `synthesise` would send first; nothing is sent."""
    prompts, limit = options.pop("prompts", None), options.pop("limit", None)
    chosen = _step(dataset, step, None, count=count, limit=min(shown, limit or shown), **options)
    return [job.messages for job in chosen.jobs(load_prompts(prompts)[step])]


def prompt_id(prompt: Prompt) -> str:
    """16 hex digits of a prompt's words."""
    return hashlib.sha256(f"{prompt.system}\n\n{prompt.user}".encode()).hexdigest()[:16]


def _step(
    dataset: Dataset,
    step: str,
    ask: Ask | None,
    *,
    count: int = 2,
    side: str = "query",
    limit: int | None = None,
    search: Search | None = None,
    k: int = 10,
    seed: int = 0,
) -> Step:
    if step not in STEPS:
        raise UsageError(f'"{step}" is no step; known: {", ".join(STEPS)}')
    if side not in ("query", "document"):
        raise UsageError(f'side is "{side}"; it is query or document')
    if not 1 <= count <= 20 or not 1 <= k <= 100 or (limit is not None and limit < 1):
        raise UsageError(f"count {count} must be 1 to 20, k {k} 1 to 100, and limit {limit} at least 1")
    if step == "relabel" and search is None:
        raise UsageError(
            "relabel chooses among passages that are found; it needs search=, on the command line --search"
        )
    return STEPS[step](Extension(dataset), count=count, side=side, limit=limit, search=search, k=k, seed=seed)


def _counted(jobs: Iterator[Job], report: SynthesisReport) -> Iterator[Job]:
    for job in jobs:
        report.asked += 1
        yield job


def _records(dataset: Dataset, step: Step) -> Iterator[dict[str, Any]]:
    """The old records, changed where the step changed them, then the new."""
    for start in range(0, dataset.records.num_rows, BLOCK):
        for number, record in enumerate(dataset.records.slice(start, BLOCK).to_pylist(), start):
            yield step.changed.get(number, record)
    yield from step.added
