"""Texts and records that stand more than once, the same or nearly, and those that contradict each other."""

from dataclasses import dataclass

import numpy as np

__all__ = ["Repeats", "contradicting", "groups_of_equal", "mix", "record_keys", "repeats_of"]

EXAMPLES = 3


@dataclass(frozen=True)
class Repeats:
    """Of n things: `extra` are copies of another one, `distinct_repeated` stand more than once.

    examples    numbers of things, one of each of the most repeated, with how often it stands: ((number, times), ...)
    """

    things: int
    extra: int
    distinct_repeated: int
    examples: tuple[tuple[int, int], ...]


def mix(values: np.ndarray) -> np.ndarray:
    """Integers [n] to uint64 [n] that look random: splitmix64, a bijection."""
    with np.errstate(over="ignore"):
        z = values.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))


def record_keys(
    queries: np.ndarray, positive_owners: np.ndarray, positives: np.ndarray, symmetric: np.ndarray
) -> np.ndarray:
    """uint64 [m]: equal for records with the same texts.

    queries         [m] keys of the queries
    positive_owners, positives    [p]: number of the record, key of the text; the order of positives says nothing
    symmetric       bool [m]: where true, the two sides may change places
    """
    sums = np.zeros(len(queries), dtype=np.uint64)
    with np.errstate(over="ignore"):
        np.add.at(sums, positive_owners, mix(positives))
        left = mix(queries)
        return np.where(symmetric, left + sums, mix(left) + sums * np.uint64(0x2545F4914F6CDD1D))


def repeats_of(values: np.ndarray, order: np.ndarray) -> Repeats:
    """Which of the values [n] stand more than once.

    order    [n]: of equal things the one with the lowest is the example, and examples come in its order
    """
    places = _repeated(values)
    if not len(places):
        return Repeats(len(values), 0, 0, ())
    _, inverse, counts = np.unique(values[places], return_inverse=True, return_counts=True)
    first = np.full(len(counts), -1, dtype=np.int64)
    ranked = np.argsort(order[places], kind="stable")[::-1]
    first[inverse[ranked]] = places[ranked]  # the last one written, the lowest, stays
    best = np.lexsort((order[first], -counts))[:EXAMPLES]
    examples = tuple((int(first[place]), int(counts[place])) for place in best)
    return Repeats(len(values), len(places) - len(counts), len(counts), examples)


def _repeated(values: np.ndarray) -> np.ndarray:
    """Places of values that stand more than once, found with one sorted copy in memory."""
    ranked = np.sort(values)
    twice = np.unique(ranked[1:][ranked[1:] == ranked[:-1]])
    return np.flatnonzero(np.isin(values, twice)) if len(twice) else np.zeros(0, dtype=np.int64)


def groups_of_equal(values: np.ndarray, order: np.ndarray, most: int = EXAMPLES) -> list[np.ndarray]:
    """Numbers of some things that share a value with another, a group each, at most four of a group."""
    repeats = repeats_of(values, order)
    groups = []
    for number, _ in repeats.examples[:most]:
        group = np.flatnonzero(values == values[number])
        groups.append(group[np.argsort(order[group], kind="stable")][:4])
    return groups


def contradicting(keys: np.ndarray, answers: np.ndarray, order: np.ndarray) -> tuple[int, list[tuple[int, int]]]:
    """Things with one key and more than one answer.

    keys, answers    [n]
    returns          how many keys, and pairs of numbers (one key, two answers) as examples
    """
    places = _repeated(keys)
    if not len(places):
        return 0, []
    _, key = np.unique(keys[places], return_inverse=True)
    _, answer = np.unique(answers[places], return_inverse=True)
    inside = np.lexsort((order[places], answer, key))
    change = np.flatnonzero((np.diff(key[inside]) == 0) & (np.diff(answer[inside]) != 0))
    ranked = places[inside]
    pairs = [(int(ranked[place]), int(ranked[place + 1])) for place in change]
    first: dict[int, tuple[int, int]] = {}
    for pair in pairs:
        first.setdefault(int(keys[pair[0]]), pair)
    shown = sorted(first.values(), key=lambda pair: int(order[pair[0]]))
    return len(first), shown[:EXAMPLES]
