"""Classes of labelled texts: how many, how unequal, which side lacks which."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["Labels", "labels_of"]

SHOWN = 12


@dataclass(frozen=True)
class Labels:
    """Of the records that have a label.

    records     how many they are; `without`: those that have none
    classes     distinct labels
    largest, smallest    (label, records) of up to `SHOWN`, by count; all classes where they are few
    entropy     bits; `balance`: entropy over that of equal classes, 0..1 (1 for a single class)
    single      classes with one record
    several     labels that look like several in one cell ("4,27", where 4 and 27 are labels too): their records
    missing     side -> classes that it has and the training side lacks, the most frequent first
    """

    records: int
    without: int
    classes: int
    largest: tuple[tuple[str, int], ...]
    smallest: tuple[tuple[str, int], ...]
    entropy: float
    balance: float
    single: int
    several: int
    missing: dict[str, tuple[str, ...]]


def labels_of(
    codes: np.ndarray, names: Sequence[str], sides: np.ndarray, side_names: Sequence[str], train: str | None
) -> Labels | None:
    """None where no record has a label.

    codes    int [m]: place of the label in `names`, -1 for none
    sides    int [m]: place of the side in `side_names`, -1 for none; `train` is the one that trains
    """
    has = codes >= 0
    if not has.any():
        return None
    counts = np.bincount(codes[has], minlength=len(names))
    used = np.flatnonzero(counts)
    order = sorted(used.tolist(), key=lambda place: (-counts[place], names[place]))
    shares = counts[used] / counts.sum()
    entropy = float(-(shares * np.log2(shares)).sum()) + 0.0
    ranked = [(names[place], int(counts[place])) for place in order]
    return Labels(
        records=int(has.sum()),
        without=int((~has).sum()),
        classes=len(used),
        largest=tuple(ranked[:SHOWN]),
        smallest=tuple(ranked[::-1][: SHOWN // 4]),
        entropy=entropy,
        balance=entropy / float(np.log2(len(used))) if len(used) > 1 else 1.0,
        single=int((counts == 1).sum()),
        several=_several(ranked),
        missing=_missing(codes, names, sides, side_names, train),
    )


def _several(ranked: list[tuple[str, int]]) -> int:
    names = {name for name, _ in ranked}
    found = 0
    for name, count in ranked:
        parts = [part.strip() for part in name.replace(";", ",").replace("|", ",").split(",")]
        if len(parts) > 1 and all(parts) and names.issuperset(parts):
            found += count
    return found


def _missing(
    codes: np.ndarray, names: Sequence[str], sides: np.ndarray, side_names: Sequence[str], train: str | None
) -> dict[str, tuple[str, ...]]:
    if train is None:
        return {}
    known = np.bincount(codes[(sides == list(side_names).index(train)) & (codes >= 0)], minlength=len(names)) > 0
    missing = {}
    for number, side in enumerate(side_names):
        here = np.bincount(codes[(sides == number) & (codes >= 0)], minlength=len(names))
        lacking = np.flatnonzero((here > 0) & ~known).tolist()
        if lacking and side != train:
            missing[side] = tuple(
                names[place] for place in sorted(lacking, key=lambda place: (-here[place], names[place]))
            )
    return missing
