"""Cut an order of rows into batches: by rows or by tokens, buckets by themselves, no group twice in a batch."""

from collections.abc import Callable

import numpy as np

__all__ = ["apart", "cut"]

SORTED_BATCHES = 64  # so many batches' rows are sorted by length at a time: alike in length, yet not the same company


def cut(
    order: np.ndarray,
    size: int,
    *,
    groups: np.ndarray | None = None,
    buckets: np.ndarray | None = None,
    tokens: np.ndarray | None = None,
    budget: int | None = None,
) -> list[np.ndarray]:
    """The full batches of an order; a bucket too small for one gives its rows as a single smaller batch.

    order    int64 [n], places of the arrays below, in the order they are dealt
    size     rows of a batch; with a budget the most rows
    groups   int64, -1 for none: no two rows of a batch share one
    buckets  int64: rows of a batch share one
    tokens   int64, tokens of a row; with `budget`, a batch has rows of similar length and is closed where one more
             row would make rows x longest row pass the budget, though never with fewer than two rows
    returns  int64 arrays of places, each of at least two (where size allows); what stands in none is left out

    >>> [batch.tolist() for batch in cut(np.arange(7), 3)]
    [[0, 1, 2], [3, 4, 5]]
    >>> lengths = np.array([2, 4, 2, 4, 2, 2])
    >>> [batch.tolist() for batch in cut(np.arange(6), 100, tokens=lengths, budget=8)]
    [[1, 3], [0, 2, 4, 5]]
    """
    if buckets is not None:
        ranked = order[np.argsort(buckets[order], kind="stable")]
        parts = np.split(ranked, np.flatnonzero(np.diff(buckets[ranked])) + 1)
    else:
        parts = [order]
    batches: list[np.ndarray] = []
    for part in parts:
        if len(part) < min(2, size):
            continue
        if tokens is not None and budget is not None:
            batches += _by_tokens(part, size, groups, tokens, budget)
        else:
            batches += _by_rows(part, min(size, len(part)), groups)
    return batches


def _by_rows(order: np.ndarray, size: int, groups: np.ndarray | None) -> list[np.ndarray]:
    if groups is None:
        full = len(order) // size
        return list(order[: full * size].reshape(full, size))
    batches = apart(order, groups, lambda _: size)
    full_ones = [batch for batch in batches if len(batch) == size]
    return full_ones or [batch for batch in batches[:1] if len(batch) > 1]


def _by_tokens(
    order: np.ndarray, size: int, groups: np.ndarray | None, tokens: np.ndarray, budget: int
) -> list[np.ndarray]:
    """Block after block, longest first; rows that filled no batch join the next block."""
    capacity = np.clip(budget // np.maximum(tokens, 1), 2, max(size, 2))
    block = SORTED_BATCHES * max(2, min(size, int(budget // max(tokens[order].mean(), 1))))
    done: list[np.ndarray] = []
    rest = order[:0]
    for start in range(0, len(order), block):
        waiting = np.concatenate([rest, order[start : start + block]])
        waiting = waiting[np.argsort(-tokens[waiting], kind="stable")]
        full, rest = _fill(waiting, capacity, groups)
        done += full
    last = _fill(rest, np.minimum(capacity, max(len(rest), 2)), groups)[0][:1] if len(rest) > 1 else []
    return done or last


def _fill(waiting: np.ndarray, capacity: np.ndarray, groups: np.ndarray | None) -> tuple[list[np.ndarray], np.ndarray]:
    """Full batches, and the rows left; a batch holds as many rows as its first, the longest, allows."""
    if groups is None:
        batches, start = [], 0
        while start < len(waiting) and start + (room := int(capacity[waiting[start]])) <= len(waiting):
            batches.append(waiting[start : start + room])
            start += room
        return batches, waiting[start:]
    dealt = apart(waiting, groups, lambda place: int(capacity[place]))
    full = [batch for batch in dealt if len(batch) == capacity[batch[0]]]
    left = [batch for batch in dealt if len(batch) != capacity[batch[0]]]
    return full, np.concatenate(left) if left else waiting[:0]


def apart(order: np.ndarray, groups: np.ndarray, room: Callable[[int], int]) -> list[np.ndarray]:
    """Cut `order` into batches in which every group stands at most once: each row takes the first batch with room.

    order    int64 [n], places of `groups` in the order they are dealt
    groups   int64, -1 for none
    room     rows of the batch that a place opens

    >>> [batch.tolist() for batch in apart(np.arange(4), np.array([5, 5, -1, -1]), lambda _: 2)]
    [[0, 2], [1, 3]]
    """
    batches: list[list[int]] = []
    rooms: list[int] = []
    first_open = 0
    after: dict[int, int] = {}  # group -> the first batch without it
    for place, group in zip(order.tolist(), groups[order].tolist(), strict=True):
        target = max(first_open, after.get(group, 0)) if group >= 0 else first_open
        while target < len(batches) and len(batches[target]) == rooms[target]:
            target += 1
        if target == len(batches):
            batches.append([])
            rooms.append(room(place))
        batches[target].append(place)
        if group >= 0:
            after[group] = target + 1
        while first_open < len(batches) and len(batches[first_open]) == rooms[first_open]:
            first_open += 1
    return [np.array(batch, dtype=np.int64) for batch in batches]
