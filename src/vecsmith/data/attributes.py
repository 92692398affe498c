"""What type an attribute has, decided from all of its values and never from their order.

A column starts without a type and widens: int and float are float, anything and text are text, anything and a list is
a list of strings. An integer beyond int64 is text, digit by digit: a float would change it, and ids and hashes of 64
bits without a sign are common. Quoted tables hold text only; there the text is read as int, float, bool or time, where
every value of the column allows it and nothing is lost ("007" and "1e400" stay text).
"""

import re
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime
from typing import Any

import pyarrow as pa

__all__ = ["ARROW_TYPES", "Column", "kind_of", "parse_text", "retype", "text_of", "widen"]

ARROW_TYPES = {
    "bool": pa.bool_(),
    "int": pa.int64(),
    "float": pa.float64(),
    "text": pa.string(),
    "time": pa.timestamp("us", tz="UTC"),
    "list": pa.list_(pa.string()),
}
EXACT = 2**53  # integers beyond it change when they become floats

_INT = re.compile(r"(0|-?[1-9]\d{0,17})\Z")
_FLOAT = re.compile(r"-?((0|[1-9]\d*)(\.\d*)?|\.\d+)([eE][+-]?\d{1,2})?\Z")
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")


class Column:
    """The type of one attribute so far.

    kind          a key of ARROW_TYPES, or None while only nulls were seen
    readings      what its text may still be read as: a subset of ("int", "float", "bool", "time")
    """

    def __init__(self, readings: Iterable[str] = ()) -> None:
        self.kind: str | None = None
        self.readings = tuple(readings)
        self._beyond_exact = False

    def see(self, values: Iterable[object]) -> None:
        """Widen the type by more values (None is null and says nothing)."""
        for value in values:
            if value is None:
                continue
            kind = kind_of(value)
            if kind == "int":
                self._beyond_exact |= not -EXACT <= value <= EXACT  # type: ignore[operator]
            self.kind = widen(self.kind, kind)
            if self.kind == "float" and self._beyond_exact:
                self.kind = "text"
            if not isinstance(value, str):  # an integer beyond int64 has the kind text and is none
                self.readings = ()
            elif self.readings:
                self.readings = tuple(reading for reading in self.readings if _can_read(value, reading))

    @property
    def final(self) -> str:
        """The type that the column gets: its reading, where its text has one, else its kind; text when all is null."""
        if self.kind != "text":
            return self.kind or "text"
        return next((reading for reading in ("int", "float", "bool", "time") if reading in self.readings), "text")


def kind_of(value: object) -> str:
    """The kind of one value that is not None."""
    if isinstance(value, str):
        return "text"
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int):
        return "int" if -(2**63) <= value < 2**63 else "text"
    if isinstance(value, float):
        return "float"
    if isinstance(value, date):  # datetime is a date
        return "time"
    if isinstance(value, list | tuple | set | frozenset):
        return "list"
    raise TypeError(
        f"{type(value).__name__} is no attribute type (text, int, float, bool, date, datetime, list of text)"
    )


def widen(one: str | None, other: str | None) -> str | None:
    """The narrowest kind that holds both; commutative, associative, idempotent."""
    if one is None or other is None or one == other:
        return one or other
    if "list" in (one, other):
        return "list"
    return "float" if {one, other} == {"int", "float"} else "text"


def text_of(value: Any) -> str | None:
    """A value as text; a whole float as its integer, so that 7 and 7.0 are one text whatever was read first."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer() and abs(value) <= EXACT:
        return str(int(value))
    return _utc(value).isoformat() if isinstance(value, date) else str(value)


def parse_text(text: str, reading: str) -> Any:
    """The value that a text stands for; raises ValueError where it stands for none."""
    if reading == "int":
        return int(text)
    if reading == "float":
        return float(text)
    if reading == "bool":
        return {"true": True, "false": False}[text.lower()]
    return _utc(datetime.fromisoformat(text))


def retype(values: Sequence[Any], kind: str) -> pa.Array:
    """Values as an Arrow array of `kind`; text is read where `kind` is not text."""
    return pa.array([None if value is None else _as_kind(value, kind) for value in values], type=ARROW_TYPES[kind])


def _as_kind(value: Any, kind: str) -> Any:
    if kind == "text":
        return text_of(value)
    if kind == "list":
        members = value if isinstance(value, list | tuple | set | frozenset) else [value]
        return sorted({text for member in members if (text := text_of(member)) is not None})
    if isinstance(value, str):
        return parse_text(value, kind)
    if kind == "time":
        return _utc(value)
    return float(value) if kind == "float" else value


def _utc(value: date) -> datetime:
    """Naive times and days are taken as UTC."""
    if not isinstance(value, datetime):
        return datetime(value.year, value.month, value.day, tzinfo=UTC)
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def _can_read(text: str, reading: str) -> bool:
    if reading == "int":
        return _INT.match(text) is not None
    if reading == "float":
        return _FLOAT.match(text) is not None and abs(float(text)) < EXACT
    if reading == "bool":
        return text.lower() in ("true", "false")
    if _DAY.match(text) is None:
        return False
    try:
        _utc(datetime.fromisoformat(text))
    except (ValueError, OverflowError):
        return False
    return True
