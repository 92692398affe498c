"""Texts as examples: shortened, and chosen by content, so that the order of rows decides nothing."""

import numpy as np

from vecsmith.data.dataset import Dataset
from vecsmith.data.inspection.arrays import Arrays
from vecsmith.data.inspection.leaks import EXAMPLES
from vecsmith.data.inspection.lengths import sample_rows

__all__ = ["examples_of", "record_text", "shorten"]

LONGEST = 300  # characters


def examples_of(dataset: Dataset, arrays: Arrays, mask: np.ndarray) -> tuple[str, ...]:
    """Some texts of the inputs where the mask [n] is true."""
    rows = sample_rows(np.flatnonzero(mask), arrays.keys, EXAMPLES)
    return tuple(map(shorten, dataset.texts(rows[np.argsort(arrays.keys[rows])])))


def record_text(dataset: Dataset, arrays: Arrays, row: int) -> str:
    """Query and first positive of a record."""
    places = np.searchsorted(arrays.positive_owners, [row, row + 1])
    texts = [
        int(arrays.queries[row]),
        *arrays.positives[places[0] : places[0] + 1 if places[1] > places[0] else places[0]].tolist(),
    ]
    return " | ".join(map(shorten, dataset.texts(texts)))


def shorten(text: str) -> str:
    """At most `LONGEST` characters of a text."""
    return text if len(text) <= LONGEST else text[:LONGEST] + "..."
