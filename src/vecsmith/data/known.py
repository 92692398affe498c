"""Which row a 128-bit id has: an open-addressing table in numpy, 12 to 16 bytes per id where a dict needs over 150.

The table holds row numbers only. The ids themselves lie in the order of their rows: their first 64 bits in memory,
which nearly always decide, the last 64 in memory or in a file, which decide exactly.
"""

import os
from pathlib import Path

import numpy as np

from vecsmith.errors import LimitExceeded

__all__ = ["KnownIds", "as_pairs"]

EMPTY = -1
FULLEST = 0.65  # share of slots in use before the table doubles
STEP = 1 << 20  # ids by which the arrays grow; realloc moves pages, it does not copy them
MOST_ROWS = 2**31 - 2


def as_pairs(digests: bytes) -> np.ndarray:
    """Digests of 16 bytes, joined, as uint64 [n, 2]: first half, last half."""
    return np.frombuffer(digests, dtype=">u8").reshape(-1, 2).astype(np.uint64)


class KnownIds:
    """Ids seen so far, numbered from 0 in the order of their first appearance.

    file    where the last halves go; without it they stay in memory (8 bytes per id more)
    """

    def __init__(self, file: Path | None = None) -> None:
        self.count = 0
        self._table = np.full(1 << 10, EMPTY, dtype=np.int32)
        self._first = np.zeros(1 << 10, dtype=np.uint64)
        self._last = _LastHalves(file)

    def close(self) -> None:
        """Give the memory back and remove the file."""
        self._table, self._first = np.zeros(0, dtype=np.int32), np.zeros(0, dtype=np.uint64)
        self._last.close()

    def rows(self, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Row of each id; those not seen before are added, in their order.

        ids        uint64 [m, 2], distinct among themselves
        returns    rows int64 [m]; is_new bool [m]
        raises     LimitExceeded: more than 2^31 - 2 ids
        """
        self._make_room(len(ids))
        result = np.full(len(ids), EMPTY, dtype=np.int64)
        mask = np.uint64(len(self._table) - 1)
        slots = (ids[:, 0] & mask).astype(np.int64)
        claimed = np.full(len(ids), False)
        waiting = np.arange(len(ids))
        while len(waiting):
            found = self._table[slots[waiting]]
            empty = found == EMPTY
            claimants = waiting[empty]
            self._table[slots[claimants]] = -2 - claimants  # the last writer of a slot has it
            won = self._table[slots[claimants]] == -2 - claimants
            claimed[claimants[won]] = True
            occupied, at = waiting[~empty], found[~empty].astype(np.int64)
            same = self._same(ids[occupied], at)
            result[occupied[same]] = at[same]
            slots[occupied[~same]] = (slots[occupied[~same]] + 1) & int(mask)
            waiting = np.concatenate([occupied[~same], claimants[~won]])
        new = np.flatnonzero(claimed)
        numbers = np.arange(self.count, self.count + len(new))
        self._table[slots[new]] = numbers
        self._first[numbers] = ids[new, 0]
        self._last.append(ids[new, 1])
        self.count += len(new)
        result[new] = numbers
        return result, claimed

    def find(self, id: np.ndarray) -> int | None:
        """The row of one id, uint64 [1, 2]; None: it was not seen, and is not added."""
        mask = len(self._table) - 1
        slot = int(id[0, 0]) & mask
        while (row := int(self._table[slot])) != EMPTY:
            if self._same(id, np.array([row]))[0]:
                return row
            slot = (slot + 1) & mask
        return None

    def _same(self, ids: np.ndarray, at: np.ndarray) -> np.ndarray:
        same = np.zeros(len(at), dtype=bool)
        earlier = np.flatnonzero(at >= 0)  # below -1: claimed in this call by another id
        earlier = earlier[self._first[at[earlier]] == ids[earlier, 0]]
        same[earlier] = self._last.at(at[earlier]) == ids[earlier, 1]
        return same

    def _make_room(self, more: int) -> None:
        needed = self.count + more
        if needed > MOST_ROWS:
            raise LimitExceeded(
                f"{needed:,} distinct inputs; one dataset holds at most {MOST_ROWS:,}. Split the source"
            )
        if needed > len(self._first):
            self._first.resize(max(needed, min(2 * len(self._first), len(self._first) + STEP)), refcheck=False)
        size = len(self._table)
        while needed > FULLEST * size:
            size *= 2
        if size > len(self._table):
            self._table = np.zeros(0, dtype=np.int32)  # freed first: old and new never stand side by side
            self._table = np.full(size, EMPTY, dtype=np.int32)
            for start in range(0, self.count, STEP):
                self._replace(np.arange(start, min(start + STEP, self.count)))

    def _replace(self, rows: np.ndarray) -> None:
        mask = len(self._table) - 1
        slots = (self._first[rows] & np.uint64(mask)).astype(np.int64)
        while len(rows):
            empty = self._table[slots] == EMPTY
            self._table[slots[empty]] = rows[empty]
            left = self._table[slots] != rows
            rows, slots = rows[left], (slots[left] + 1) & mask


class _LastHalves:
    """uint64 values by row, appended in order; in a file, read through a map only where a row is asked for."""

    def __init__(self, file: Path | None) -> None:
        self.file, self.count = file, 0
        self._memory = np.zeros(1 << 10, dtype=np.uint64)
        self._handle = open(file, "w+b", buffering=0) if file is not None else None  # noqa: SIM115 closed in close()

    def append(self, values: np.ndarray) -> None:
        if self._handle is not None:
            self._handle.write(values.tobytes())
        else:
            needed = self.count + len(values)
            if needed > len(self._memory):
                self._memory.resize(max(needed, min(2 * len(self._memory), needed + STEP)), refcheck=False)
            self._memory[self.count : needed] = values
        self.count += len(values)

    def at(self, rows: np.ndarray) -> np.ndarray:
        if self._handle is None:
            return self._memory[rows]
        if not len(rows):
            return np.zeros(0, dtype=np.uint64)
        return np.asarray(np.memmap(self._handle, dtype=np.uint64, mode="r", shape=(self.count,))[rows])

    def close(self) -> None:
        self._memory = np.zeros(0, dtype=np.uint64)
        if self._handle is not None and self.file is not None:
            self._handle.close()
            self._handle = None
            os.unlink(self.file)
