"""Arrays of one attribute in a segment: how values become arrays, and how arrays become values again.

    int, timestamp   values int64 [n]; valid bool [n] where nulls occur
    float            values float64 [n]; valid likewise
    bool             codes int8 [n]: 0, 1, -1 null
    string           codes int8 | int16 | int32 [n] into a sorted dictionary, -1 null; blob, ends of the dictionary
    set              members int32 [m] (codes, row after row), starts int64 [n + 1]; valid likewise; dictionary;
                     posting int32 [m] (rows, code after code), posting_starts int64 [d + 1]

The dictionary is sorted by its UTF-8 bytes, which is the order of code points: comparing codes compares texts.
"""

import datetime as dt
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vecsmith.errors import Damaged
from vecsmith.index.intervals import microseconds, time_of

__all__ = ["Dictionary", "arrays_of", "values_of"]

Arrays = Mapping[str, NDArray[Any]]


class Dictionary:
    """Sorted distinct texts in two arrays: `blob` uint8 and `ends` int64 [d + 1] (the first is 0)."""

    def __init__(self, blob: NDArray[np.uint8], ends: NDArray[np.int64]) -> None:
        self._blob, self._ends = memoryview(blob.data), ends

    def __len__(self) -> int:
        return len(self._ends) - 1

    def __getitem__(self, code: int) -> bytes:
        if not 0 <= code < len(self):
            raise IndexError(code)
        return self._blob[self._ends[code] : self._ends[code + 1]].tobytes()

    def text(self, code: int) -> str:
        """The text of a code."""
        return self[code].decode("utf-8")

    def find(self, text: str) -> int:
        """The code of a text, or -1."""
        wanted = text.encode("utf-8")
        code = bisect_left(self, wanted)
        return code if code < len(self) and self[code] == wanted else -1

    def find_all(self, texts: Sequence[str]) -> list[int]:
        """The codes of those texts that occur, in their order."""
        if len(texts) * 32 < len(self):
            return [code for code in map(self.find, texts) if code >= 0]
        # For many texts one pass over the dictionary beats bisection (13 us a text against 0.3 us an entry).
        wanted = [text.encode("utf-8") for text in texts]
        codes = dict.fromkeys(wanted, -1)
        data, ends = self._blob.tobytes(), self._ends.tolist()
        for code, (start, stop) in enumerate(pairwise(ends)):
            if (entry := data[start:stop]) in codes:
                codes[entry] = code
        return [code for code in map(codes.__getitem__, wanted) if code >= 0]

    def below(self, text: str) -> int:
        """How many texts are less."""
        return bisect_left(self, text.encode("utf-8"))

    def prefix_range(self, prefix: str) -> tuple[int, int]:
        """First code that opens with the prefix, and the one after the last."""
        wanted = prefix.encode("utf-8")
        start = bisect_left(self, wanted)
        # Cut to its length, everything from `start` on is >= the prefix; False sorts before True.
        stop = bisect_left(range(start, len(self)), True, key=lambda code: self[code][: len(wanted)] != wanted)
        return start, start + stop


def arrays_of(kind: str, values: Sequence[Any]) -> dict[str, NDArray[Any]]:
    """The arrays of a column of checked values (`Schema.check`)."""
    if kind in ("int", "timestamp", "float"):
        return _number_arrays(kind, values)
    if kind == "bool":
        return {"codes": np.array([-1 if value is None else int(value) for value in values], dtype=np.int8)}
    if kind == "string":
        texts = sorted({value for value in values if value is not None})
        codes_of = {text: code for code, text in enumerate(texts)}
        codes_of[None] = -1
        codes = np.fromiter((codes_of[value] for value in values), dtype=_code_type(len(texts)), count=len(values))
        return {"codes": codes, **_dictionary_arrays(texts)}
    return _set_arrays(values)


def values_of(kind: str, arrays: Arrays, rows: NDArray[np.int64]) -> list[Any]:
    """The values of some rows, null as None; sets as sorted lists."""
    try:
        return _values_of(kind, arrays, rows)
    except (IndexError, UnicodeDecodeError, OverflowError) as error:
        raise Damaged(f"stored attributes contradict themselves ({error}); run: vecsmith index verify") from error


def _values_of(kind: str, arrays: Arrays, rows: NDArray[np.int64]) -> list[Any]:
    if kind in ("int", "timestamp", "float"):
        values = arrays["values"][rows].tolist()
        if kind == "timestamp":
            values = [time_of(value) for value in values]
        if "valid" not in arrays:
            return values
        return [value if is_valid else None for value, is_valid in zip(values, arrays["valid"][rows], strict=True)]
    if kind == "bool":
        return [None if code < 0 else bool(code) for code in arrays["codes"][rows].tolist()]
    dictionary = Dictionary(arrays["blob"], arrays["ends"])
    seen: dict[int, str] = {}

    def text(code: int) -> str:
        if code not in seen:
            seen[code] = dictionary.text(code)
        return seen[code]

    if kind == "string":
        return [None if code < 0 else text(code) for code in arrays["codes"][rows].tolist()]
    valid = arrays["valid"][rows].tolist() if "valid" in arrays else [True] * len(rows)
    starts, stops = arrays["starts"][rows].tolist(), arrays["starts"][rows + 1].tolist()
    members = arrays["members"]
    return [
        [text(code) for code in members[start:stop].tolist()] if is_valid else None
        for is_valid, start, stop in zip(valid, starts, stops, strict=True)
    ]


def _number_arrays(kind: str, values: Sequence[Any]) -> dict[str, NDArray[Any]]:
    stored = [0 if value is None else value for value in values]
    if kind == "timestamp":
        stored = [microseconds(value) if isinstance(value, dt.datetime) else value for value in stored]
    arrays: dict[str, NDArray[Any]] = {"values": np.array(stored, dtype=np.float64 if kind == "float" else np.int64)}
    return arrays | _valid_array(values)


def _valid_array(values: Sequence[Any]) -> dict[str, NDArray[Any]]:
    valid = np.fromiter((value is not None for value in values), dtype=np.bool_, count=len(values))
    return {} if valid.all() else {"valid": valid}


def _set_arrays(values: Sequence[Any]) -> dict[str, NDArray[Any]]:
    texts = sorted({member for value in values if value for member in value})
    codes_of = {text: code for code, text in enumerate(texts)}
    sizes = [len(value or ()) for value in values]
    starts = np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)]).astype(np.int64)
    members = np.fromiter(
        (codes_of[member] for value in values for member in (value or ())), dtype=np.int32, count=int(starts[-1])
    )
    rows = np.repeat(np.arange(len(values), dtype=np.int32), sizes)
    counts = np.bincount(members, minlength=len(texts)) if len(members) else np.zeros(len(texts), dtype=np.int64)
    return {
        "members": members,
        "starts": starts,
        "posting": rows[np.argsort(members, kind="stable")],
        "posting_starts": np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        **_valid_array(values),
        **_dictionary_arrays(texts),
    }


def _dictionary_arrays(texts: Sequence[str]) -> dict[str, NDArray[Any]]:
    encoded = [text.encode("utf-8") for text in texts]
    ends = np.zeros(len(encoded) + 1, dtype=np.int64)
    np.cumsum([len(text) for text in encoded], out=ends[1:])
    return {"blob": np.frombuffer(b"".join(encoded), dtype=np.uint8), "ends": ends}


def _code_type(count: int) -> type[np.signedinteger[Any]]:
    """The narrowest type of codes 0 .. count - 1: narrow columns are read faster."""
    return np.int8 if count <= 127 else np.int16 if count <= 32_767 else np.int32
