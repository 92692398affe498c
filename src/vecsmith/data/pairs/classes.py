"""Negatives of class data: texts of other classes, drawn by seed and key, so that neither order nor copies matter."""

from collections.abc import Hashable, Sequence

import numpy as np
import xxhash

from vecsmith.errors import NotEnoughData

__all__ = ["class_records"]


def class_records(
    texts: np.ndarray,
    labels: Sequence[str],
    strata: Sequence[Hashable],
    keys: np.ndarray,
    negatives: int,
    seed: int,
) -> list[list[int]]:
    """Rows of inputs of the negatives of each record, `negatives` of them where the other classes have so many.

    texts       int64 [n], rows of inputs
    labels      n classes; a class is one only within its stratum
    strata      n, e.g. (dataset, split): negatives come from the record's own
    keys        int64 [inputs]: no negative has the key of a text of the record's class, nor one key twice
    seed        with the record's key and class, all that the choice hangs on
    raises      NotEnoughData: no stratum has two classes, where negatives are asked for
    """
    places: dict[Hashable, list[int]] = {}
    for place, stratum in enumerate(strata):
        places.setdefault(stratum, []).append(place)
    result: list[list[int]] = [[] for _ in labels]
    classes = 0
    for members in places.values() if negatives else ():
        pool = _Pool([int(texts[place]) for place in members], [labels[place] for place in members], keys)
        classes = max(classes, len(pool.classes))
        for place in members:
            result[place] = pool.draw(int(texts[place]), labels[place], negatives, seed)
    if negatives and labels and classes < 2:
        raise NotEnoughData(
            f"all {len(labels):,} texts are of class {labels[0]!r}; negatives are texts of other classes. Add some, or "
            "ask for none: negatives=0, --negatives 0"
        )
    return result


class _Pool:
    """The distinct texts of a stratum, by class, then key: an order that copies and the order of rows do not change."""

    def __init__(self, texts: list[int], labels: list[str], keys: np.ndarray) -> None:
        self._keys = keys
        distinct = {
            (label, int(keys[text])): text for text, label in sorted(zip(texts, labels, strict=True), reverse=True)
        }
        ordered = sorted(distinct)
        self._texts = [distinct[entry] for entry in ordered]
        self.classes: dict[str, tuple[int, int]] = {}
        self._of_class: dict[str, set[int]] = {}
        for place, (label, key) in enumerate(ordered):
            start, _ = self.classes.get(label, (place, 0))
            self.classes[label] = (start, place + 1)
            self._of_class.setdefault(label, set()).add(key)

    def draw(self, text: int, label: str, count: int, seed: int) -> list[int]:
        """Rows of inputs of up to `count` texts of other classes."""
        start, end = self.classes[label]
        others = len(self._texts) - (end - start)
        taken: dict[int, int] = {}  # key -> row
        opening = f"{seed}\t{int(self._keys[text])}\t{label}\t".encode("utf-8", "surrogatepass")
        for turn in range(count if others else 0):
            first = xxhash.xxh3_64_intdigest(opening + str(turn).encode()) % others
            for step in range(others):  # the next where this one is taken, or is of the class too under another label
                place = (first + step) % others
                chosen = self._texts[place + (end - start) * (place >= start)]
                key = int(self._keys[chosen])
                if key not in taken and key not in self._of_class[label]:
                    taken[key] = chosen
                    break
            else:
                break
        return list(taken.values())
