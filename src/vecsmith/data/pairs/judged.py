"""Judged pairs gathered by query: what answers it, and what does not and is equal to nothing that does."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["Judged", "judged_groups"]


@dataclass
class Judged:
    """A query with its texts: `first` is its record; positives and negatives are rows of inputs."""

    first: dict[str, Any]
    positives: list[int]
    negatives: list[int]


def judged_groups(records: Iterable[Judged], keys: np.ndarray, dropped: Counter[str]) -> Iterator[Judged]:
    """One group per query, dataset and split, in the order of their first record; of groups with a positive.

    records    as they come; those of one query need not stand together
    keys       int64 [inputs]: equal key = the same thing
    dropped    counts what is left out: pairs that repeat another by key, positives that are their own query, negatives
               that are a positive of the same query in any dataset or split, queries without a positive
    """
    groups: dict[tuple[int, str, str | None], Judged] = {}
    answers: dict[int, set[int]] = {}  # key of a query -> keys of all that answers it
    for record in records:
        query = int(record.first["query"])
        place = (query, record.first["dataset"], record.first["split"])
        group = groups.setdefault(place, Judged(record.first, [], []))
        group.positives += record.positives
        group.negatives += record.negatives
        answers.setdefault(int(keys[query]), set()).update(keys[record.positives].tolist())
    for group in groups.values():
        query_key = int(keys[group.first["query"]])
        own = _distinct(group.positives, keys, {query_key}, "positives equal to their query", dropped)
        if not own:
            dropped["queries without a positive"] += 1
            continue
        forbidden = answers[query_key] | {query_key}
        others = _distinct(group.negatives, keys, forbidden, "negatives equal to a positive or their query", dropped)
        yield Judged(group.first, own, others)


def _distinct(texts: list[int], keys: np.ndarray, forbidden: set[int], why: str, dropped: Counter[str]) -> list[int]:
    """The texts, each key once, without forbidden keys."""
    kept: dict[int, int] = {}
    for text in texts:
        key = int(keys[text])
        if key in forbidden:
            dropped[why] += 1
        elif key in kept:
            dropped["pairs given twice"] += 1
        else:
            kept[key] = text
    return list(kept.values())
