"""Examples in front of queries: how they are written, chosen, cut, and kept from telling the answer.

LG-ANNA-Embedding (arXiv 2506.07438) after bge-en-icl (Li et al., 2024, arXiv 2409.15700), whose format, numbers and
truncation these are. [ours]: draws by (seed, key), the filter by key, which graded pairs may be examples, `suffix` as
an option, and that a query too long for the model is cut before its suffix.
"""

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from vecsmith.errors import NotEnoughData

if TYPE_CHECKING:
    from vecsmith.data.columns import RecordColumns
    from vecsmith.data.dataset import Dataset

__all__ = ["ExamplePool", "InContext", "TokenRuler", "asked", "example_prefix", "fixed_prompt", "written_query"]

GOOD = 0.8  # [ours] a graded pair at or above is an example of a right response
MASK = 2**63 - 1


@dataclass(frozen=True)
class InContext:
    """How examples are put in front of the queries of a dataset.

    task            what the queries ask for, in a sentence; an instruction of a record stands in its place
    count           an epoch's query sees 0 to so many, each number as often; 0 must stay, so that none works too
    query_tokens    an example's query is cut after so many tokens
    passage_tokens  its response after so many
    room            tokens of the model's length that examples leave free
    suffix          behind the query. A prompt cannot stand behind a text: at inference append it, or train with ""
    """

    task: str
    count: int = 5
    query_tokens: int = 64
    passage_tokens: int = 96
    room: int = 512
    suffix: str = "\n<response>"

    def __post_init__(self) -> None:
        for name in ("count", "query_tokens", "passage_tokens", "room"):
            value = getattr(self, name)
            if not isinstance(value, int) or value < (0 if name == "count" else 1):
                raise ValueError(f"{name} is {value}; a whole number from {0 if name == 'count' else 1} was expected")
        if not isinstance(self.task, str) or not isinstance(self.suffix, str):
            raise ValueError("task and suffix are texts")

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> "InContext":
        """From a recipe's `in_context`. ValueError: a key that is none of these, no task, a number out of range."""
        known = [field.name for field in fields(cls)]
        for name in options:
            if name not in known:
                near = difflib.get_close_matches(name, known, n=1)
                hint = f'; did you mean "{near[0]}"?' if near else ""
                raise ValueError(f'unknown key "{name}" in in_context{hint} (known: {", ".join(known)})')
        if not options.get("task"):
            raise ValueError('in_context has no "task": say in a sentence what the queries ask for')
        return cls(**options)


@dataclass(frozen=True)
class TokenRuler:
    """How a model counts and cuts texts.

    count        text -> its number of tokens, special ones not among them
    cut          (text, limit) -> its longest beginning of at most so many tokens
    max_length   tokens that the model reads, special ones not among them; None is no limit
    """

    count: Callable[[str], int]
    cut: Callable[[str, int], str]
    max_length: int | None = None


def asked(task: str, query: str, suffix: str = "\n<response>") -> str:
    r"""A query as the model sees it, without examples.

    >>> asked("Find the answer.", "Who?")
    '<instruct>Find the answer.\n<query>Who?\n<response>'
    """
    return f"<instruct>{task}\n<query>{query}{suffix}"


def example_prefix(examples: Sequence[tuple[str, str]], task: str, options: InContext, ruler: TokenRuler) -> str:
    """Examples as one text to stand before a query, each followed by a blank line; "" for none.

    examples   (query, response); both are cut first. The text stops growing before the example with which it would
               leave fewer than `room` tokens of the model's length
    """
    prefix = ""
    for query, response in examples:
        query, response = ruler.cut(query, options.query_tokens), ruler.cut(response, options.passage_tokens)
        longer = f"{prefix}{asked(task, query)}{response}\n\n"
        if ruler.max_length is not None and ruler.count(longer) > ruler.max_length - options.room:
            break
        prefix = longer
    return prefix


def written_query(
    query: str, examples: Sequence[tuple[str, str]], options: InContext, ruler: TokenRuler, *, task: str | None = None
) -> str:
    """Examples, instruction, query and suffix, within the model's length: examples go first, from the last.

    task   in place of `options.task`

    Only where the query does not fit without any example is it cut itself, so that its suffix stays.
    """
    task = task or options.task
    target = asked(task, query, options.suffix)
    kept = list(examples)
    while kept:
        text = example_prefix(kept, task, options, ruler) + target
        if ruler.max_length is None or ruler.count(text) <= ruler.max_length:
            return text
        kept.pop()
    if ruler.max_length is not None and (over := ruler.count(target) - ruler.max_length) > 0:
        target = asked(task, ruler.cut(query, max(ruler.count(query) - over, 1)), options.suffix)
    return target


def fixed_prompt(examples: Sequence[tuple[str, str]], options: InContext, ruler: TokenRuler) -> str:
    """The same examples for every query of a task at inference: the text for `model.prompts["query"]`.

    It ends where the query begins; `options.suffix` belongs behind the query. Documents carry no examples, so an index
    outlives a change of them.
    """
    return f"{example_prefix(examples, options.task, options, ruler)}<instruct>{options.task}\n<query>"


class ExamplePool:
    """The records of a dataset as examples for its own queries: give it the train split only."""

    def __init__(self, dataset: "Dataset", columns: "RecordColumns") -> None:
        """raises NotEnoughData: records of kind `plain`, which have no response; graded pairs of which none is good"""
        self.dataset, self.columns = dataset, columns
        if columns.kind == "plain":
            raise NotEnoughData(f"dataset {columns.name}: records of kind plain have no response to show in an example")
        self.records = columns.usable
        if columns.kind == "scored" and columns.scores is not None:
            first = np.array([scores[0] if len(scores := columns.scores.row(row)) else 0.0 for row in self.records])
            self.records = self.records[first >= GOOD]
            if not len(self.records):
                raise NotEnoughData(f"dataset {columns.name}: no graded pair reaches {GOOD}; none can be an example")
        self.names = dataset.records.column("label") if columns.kind == "class" else None
        keys = columns.keys[columns.query]
        self.order = np.argsort(keys, kind="stable")  # records by the key of their query
        self.sorted_keys = keys[self.order]

    def draw(self, query: int, seed: int, count: int) -> list[int]:
        """Records for a query: k of them, k in 0..count equally likely; fewer where the data have no more.

        query   a row of `inputs`. The draw is a function of (seed, its key), so a query in two rows has the same ones

        Never one whose query or response is, by key, the query itself or any positive or negative of its records; no
        two of one query.
        """
        columns = self.columns
        rng = np.random.default_rng([seed & MASK, int(columns.keys[query]) & MASK])
        wanted, chosen = int(rng.integers(count + 1)), []
        banned = self.telling(query, seed) if wanted else set()
        for place in rng.integers(len(self.records), size=8 * wanted + 16 if wanted else 0).tolist():
            record = int(self.records[place])
            shown = {int(columns.keys[each]) for each in self._shown(record)}
            if shown & banned:
                continue
            banned.add(int(columns.keys[columns.query[record]]))
            chosen.append(record)
            if len(chosen) == wanted:
                break
        return chosen

    def telling(self, query: int, seed: int) -> set[int]:
        """Keys of the query and of every positive and negative of its records; of class data the one drawn by seed."""
        columns, key = self.columns, self.columns.keys[query]
        own = self.order[np.searchsorted(self.sorted_keys, key) : np.searchsorted(self.sorted_keys, key, "right")]
        lists = [columns.positives.row(row) for row in own] + [columns.negatives.row(row) for row in own]
        inputs = np.concatenate([np.zeros(0, np.int64), *lists]).astype(np.int64)
        if columns.kind == "class" and len(usable := own[np.isin(own, columns.usable)]):
            inputs = np.concatenate([inputs, columns.positives_of(usable, seed).ravel()])
        return {int(key), *columns.keys[inputs[inputs >= 0]].tolist()}

    def example(self, record: int) -> tuple[str, str]:
        """(query, response) of a record: its first positive, of class data the name of its class."""
        if self.names is not None:
            name = self.names[int(self.columns.rows[record])].as_py()
            return self.dataset.texts(self._shown(record))[0], str(name)
        query, response = self.dataset.texts(self._shown(record))
        return query, response

    def _shown(self, record: int) -> list[int]:
        """Rows of inputs that an example of this record shows."""
        query = int(self.columns.query[record])
        return [query] if self.names is not None else [query, int(self.columns.positives.row(record)[0])]
