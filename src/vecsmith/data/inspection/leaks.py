"""What stands on both sides of a split: texts, queries, whole records, groups; the same or nearly the same."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["Leak", "leak_between", "pairs_of_sides", "side_rank"]

EXAMPLES = 3
_RANKS = (
    (0, re.compile(r"(^|[^a-z])(train|training)($|[^a-z])")),
    (1, re.compile(r"(^|[^a-z])(dev|development|val|valid|validation|tune|tuning|trial)($|[^a-z])")),
    (2, re.compile(r"(^|[^a-z])(test|eval|evaluation|heldout|held_out)($|[^a-z])")),
)


@dataclass(frozen=True)
class Leak:
    """Things of a later side that an earlier side has too.

    kind        "text", "query", "document", "record" or "group"
    shared      distinct things on both sides
    near        further distinct things of the later side that are nearly one of the earlier side's
    affected    records of the later side that hold a shared thing; `near_affected`: further ones that hold a near one
    records     records of the later side
    examples    numbers of shared things; near_examples: (number there, number here)
    """

    kind: str
    earlier: str
    later: str
    shared: int
    near: int
    affected: int
    near_affected: int
    records: int
    examples: tuple[int, ...] = ()
    near_examples: tuple[tuple[int, int], ...] = ()


def side_rank(name: str) -> int | None:
    """0 for what trains, 1 for what chooses, 2 for what judges; None for a name that says none of it.

    >>> [side_rank(name) for name in ("train", "oos_val", "test-clean", "hindi")]
    [0, 1, 2, None]
    """
    return next((rank for rank, words in _RANKS if words.search(name.lower())), None)


def pairs_of_sides(names: Sequence[str], most: int = 30) -> list[tuple[str, str]]:
    """(earlier, later) of all sides that must not share a text: those of different rank, training first."""
    ranked = sorted((rank, name) for name in names if (rank := side_rank(name)) is not None)
    pairs = [(a, b) for place, (ra, a) in enumerate(ranked) for rb, b in ranked[place + 1 :] if rb > ra]
    return pairs[:most]


def leak_between(
    kind: str,
    sides: tuple[str, str],
    earlier: np.ndarray,
    later: np.ndarray,
    near: np.ndarray,
    order: np.ndarray,
    owners: np.ndarray,
    things: np.ndarray,
    records: int,
) -> Leak | None:
    """What two sides share of things (texts, groups) that are numbered from 0; None where it is nothing.

    earlier, later    bool [n]: which things stand on each side
    near              uint64 [n]: equal for things that are nearly the same
    order             [n]: examples come in its order
    owners, things    [p]: records of the later side and the things they hold; records: how many there are
    """
    shared = earlier & later
    candidates = later & ~shared
    nearly = np.zeros_like(shared)
    nearly[candidates] = np.isin(near[candidates], near[earlier])
    if not (shared.any() or nearly.any()):
        return None
    affected = np.unique(owners[shared[things]])
    near_affected = np.setdiff1d(owners[nearly[things]], affected)
    near_rows = _first(nearly, order)
    others = np.flatnonzero(earlier)
    return Leak(
        kind,
        *sides,
        shared=int(shared.sum()),
        near=int(nearly.sum()),
        affected=len(affected),
        near_affected=len(near_affected),
        records=records,
        examples=tuple(_first(shared, order)),
        near_examples=tuple((int(_partner(others, near, order, row)), row) for row in near_rows),
    )


def _first(mask: np.ndarray, order: np.ndarray) -> list[int]:
    rows = np.flatnonzero(mask)
    return [int(row) for row in rows[np.argsort(order[rows], kind="stable")][:EXAMPLES]]


def _partner(others: np.ndarray, near: np.ndarray, order: np.ndarray, row: int) -> int:
    same = others[near[others] == near[row]]
    return int(same[np.argmin(order[same])])
