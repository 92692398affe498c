"""What documents say of their terms, as flat arrays that lie in memory or in mapped files.

keys     uint64 [t]     xxh3-64 of each term, ascending (the terms themselves are not needed to search)
starts   uint64 [t+1]   where the list of each term begins in rows and counts
rows     uint32 [m]     rows that hold the term, ascending within a list
counts   uint16 [m]     how often; 65,535 stands for that and more
lengths  uint32 [n]     terms of each row
"""

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vecsmith.index.flat import map_array, write_array
from vecsmith.index.tokens import split_word, term_key, words

__all__ = ["Postings", "PostingsBuilder", "merge_postings", "postings_files"]

_DTYPES = {"keys": "<u8", "starts": "<u8", "rows": "<u4", "counts": "<u2", "lengths": "<u4"}


@dataclass(frozen=True, eq=False)
class Postings:
    """The five arrays of the module's docstring, immutable; `impacts` is a cache of the searches."""

    keys: NDArray[np.uint64]
    starts: NDArray[np.uint64]
    rows: NDArray[np.uint32]
    counts: NDArray[np.uint16]
    lengths: NDArray[np.uint32]
    impacts: dict[tuple[float, float, float], NDArray[np.float64]] = field(default_factory=dict, repr=False)
    length_sum: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "length_sum", int(self.lengths.sum(dtype=np.int64)))

    def __len__(self) -> int:
        return len(self.lengths)

    def spans(self, keys: NDArray[np.uint64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Where the lists of some terms begin and end; an unknown term has an empty span at 0."""
        if not len(self.keys):
            empty = np.zeros(len(keys), dtype=np.int64)
            return empty, empty
        place = np.searchsorted(self.keys, keys)
        place[place == len(self.keys)] = 0
        known = self.keys[place] == keys
        low = np.where(known, self.starts[place], 0).astype(np.int64)
        return low, np.where(known, self.starts[place + 1], 0).astype(np.int64)

    def write(self, folder: Path) -> None:
        """One file per array, named after it."""
        folder.mkdir()
        for name, dtype in _DTYPES.items():
            write_array(folder / f"{name}.{_suffix(dtype)}", getattr(self, name), dtype)

    @classmethod
    def open(cls, folder: Path) -> "Postings":
        """Map what `write` wrote."""
        keys, starts, rows, counts, lengths = (
            map_array(folder / f"{name}.{_suffix(dtype)}", dtype) for name, dtype in _DTYPES.items()
        )
        return cls(keys, starts, rows, counts, lengths)


class PostingsBuilder:
    """Collects blocks of texts; memory grows with the postings, not with the text."""

    def __init__(self) -> None:
        self._terms: dict[str, int] = {}
        self._ids = _WordIds(self._terms)
        self._blocks: list[tuple[NDArray[np.int32], NDArray[np.uint32], NDArray[np.uint16]]] = []
        self._lengths: list[NDArray[np.uint32]] = []
        self._rows = 0

    def add(self, texts: Sequence[str]) -> None:
        """Index some thousand texts; their rows follow those added before."""
        flat, lengths = array("i"), np.empty(len(texts), dtype=np.uint32)
        lookup, known = self._ids.__getitem__, 0
        for place, text in enumerate(texts):
            flat.extend(chain.from_iterable(map(lookup, words(text))))
            lengths[place], known = len(flat) - known, len(flat)
        terms = np.frombuffer(flat, dtype=np.intc).astype(np.int64) if flat else np.empty(0, dtype=np.int64)
        rows = np.repeat(np.arange(len(texts), dtype=np.int64), lengths)
        pairs, counts = np.unique(terms * max(1, len(texts)) + rows, return_counts=True)
        width = max(1, len(texts))
        self._blocks.append(
            (
                (pairs // width).astype(np.int32),
                (pairs % width + self._rows).astype(np.uint32),
                np.minimum(counts, 65_535).astype(np.uint16),
            )
        )
        self._lengths.append(lengths)
        self._rows += len(texts)
        self._ids.shrink()

    def finish(self) -> Postings:
        """The postings of all that was added."""
        keys = np.fromiter(map(term_key, self._terms), dtype=np.uint64, count=len(self._terms))
        order = np.argsort(keys, kind="stable")
        rank = np.empty(len(keys), dtype=np.int32)
        rank[order] = np.arange(len(keys), dtype=np.int32)
        ranks = rank[_join([b[0] for b in self._blocks], np.int32)]
        rows = _join([b[1] for b in self._blocks], np.uint32)
        counts = _join([b[2] for b in self._blocks], np.uint16)
        self._blocks.clear()
        by_term = np.argsort(ranks, kind="stable")  # blocks come by row, so each list stays ascending
        starts = np.zeros(len(keys) + 1, dtype=np.uint64)
        starts[1:] = np.cumsum(np.bincount(ranks, minlength=len(keys)))
        lengths = _join(self._lengths, np.uint32)
        return Postings(keys[order], starts, rows[by_term], counts[by_term], lengths)


class _WordIds(dict[str, tuple[int, ...]]):
    """Word as it stands -> numbers of its terms, remembered: a text costs one look-up a word."""

    def __init__(self, terms: dict[str, int]) -> None:
        super().__init__()
        self._terms = terms

    def __missing__(self, word: str) -> tuple[int, ...]:
        found = tuple(self._terms.setdefault(term, len(self._terms)) for term in split_word(word))
        self[word] = found
        return found

    def shrink(self) -> None:
        """Forget the words where a stream of ever new ones would fill the memory; the terms stay."""
        if len(self) > 1_000_000:
            self.clear()


def _join(parts: list[NDArray], dtype: type[np.generic]) -> NDArray:
    return np.concatenate(parts) if parts else np.empty(0, dtype=dtype)


def _suffix(dtype: str) -> str:
    return dtype[1] + str(8 * int(dtype[2]))


def postings_files() -> Iterator[str]:
    """Names of the files that `write` makes."""
    for name, dtype in _DTYPES.items():
        yield f"{name}.{_suffix(dtype)}"


def merge_postings(parts: "Sequence[tuple[Postings, NDArray[np.bool_] | None]]") -> Postings:
    """The living rows of several postings as one, numbered on from part to part.

    Each list is moved to its place as it stands, nothing is sorted: beside the result, memory holds one part's places.
    """
    keys = np.unique(_join([part.keys for part, _ in parts], np.uint64))
    kept = [_living_counts(part, alive) for part, alive in parts]
    sizes = np.zeros(len(keys), dtype=np.int64)
    for (part, _), own in zip(parts, kept, strict=True):
        sizes[np.searchsorted(keys, part.keys)] += own
    starts = np.concatenate([[0], np.cumsum(sizes)])
    rows, counts = np.empty(starts[-1], dtype=np.uint32), np.empty(starts[-1], dtype=np.uint16)
    filled, first = starts[:-1].copy(), 0
    for (part, alive), own in zip(parts, kept, strict=True):
        where = np.searchsorted(keys, part.keys)
        begin = np.concatenate([[0], np.cumsum(own)[:-1]]) if len(own) else own
        places = np.arange(own.sum()) + np.repeat(filled[where] - begin, own)
        filled[where] += own
        if alive is None:
            rows[places], counts[places] = part.rows + np.uint32(first), part.counts
        else:
            keep = alive[part.rows]
            number = (np.cumsum(alive) - 1 + first).astype(np.uint32)
            rows[places], counts[places] = number[part.rows[keep]], part.counts[keep]
        first += len(part) if alive is None else int(alive.sum())
    lengths = [part.lengths if alive is None else part.lengths[alive] for part, alive in parts]
    held = sizes > 0
    return Postings(
        keys[held], np.append(starts[:-1][held], starts[-1]).astype(np.uint64), rows, counts, _join(lengths, np.uint32)
    )


def _living_counts(part: Postings, alive: "NDArray[np.bool_] | None") -> NDArray[np.int64]:
    """How many living rows the list of each key holds."""
    if alive is None:
        return np.diff(part.starts).astype(np.int64)
    running = np.concatenate([[0], np.cumsum(alive[part.rows])])
    starts = part.starts.astype(np.int64)
    return running[starts[1:]] - running[starts[:-1]]
