"""One attribute value into its stored form, or the words that say why it does not fit."""

import datetime as dt
import math
import operator
from collections.abc import Callable

__all__ = ["CONVERTERS", "MAX_MEMBERS", "MAX_STRING", "Misfit", "article", "to_utc", "type_of_value"]

MAX_STRING = 65_536
"""Bytes of UTF-8 in one string or member."""
MAX_MEMBERS = 10_000
"""Members of one set."""
INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1


class Misfit(Exception):
    """A value that does not fit its type: found, expected, way out. The caller adds document and field."""

    def __init__(self, words: str, *, is_limit: bool = False) -> None:
        self.is_limit = is_limit
        super().__init__(words)


def type_of_value(value: object) -> str | None:
    """The attribute type that a value alone suggests; None where there is none."""
    if isinstance(value, str):
        return "string"
    if isinstance(value, bool) or type(value).__name__ in ("bool_", "bool"):
        return "bool"
    if isinstance(value, float):
        return "float"
    if isinstance(value, dt.date):  # datetime is a date
        return "timestamp"
    if isinstance(value, (set, frozenset, list, tuple)):
        return "set"
    if hasattr(value, "__index__") and not hasattr(value, "__len__"):
        return "int"
    if hasattr(value, "dtype") and getattr(value, "shape", None) == () and hasattr(value, "__float__"):
        return "float"  # numpy's float32 and float16
    return None


def to_utc(value: dt.datetime) -> dt.datetime:
    """A time with an offset, in UTC; raises OverflowError outside the years 1 to 9999."""
    moved = value.astimezone(dt.UTC)
    return dt.datetime(
        moved.year, moved.month, moved.day, moved.hour, moved.minute, moved.second, moved.microsecond, dt.UTC
    )


def _string(value: object, assume_utc: bool) -> str:
    if not isinstance(value, str):
        raise Misfit(f"found {_show(value)}, expected a string; {_way_out('str', value)}")
    text = value if type(value) is str else str(value)
    if len(text) * 4 > MAX_STRING or not text.isascii():
        _check_text(text)
    return text


def _check_text(text: str) -> None:
    try:
        size = len(text.encode("utf-8"))
    except UnicodeEncodeError as error:
        raise Misfit(
            f"found broken unicode at character {error.start} ({text[error.start]!r}), expected text that UTF-8 can "
            "hold; read the source with its real encoding"
        ) from None
    if size > MAX_STRING:
        raise Misfit(
            f"found a string of {size:,} bytes, expected at most {MAX_STRING:,}; attributes are for filters, "
            "put long text into the document",
            is_limit=True,
        )


def _int(value: object, assume_utc: bool) -> int:
    if type(value) is not int:
        if type_of_value(value) != "int":
            if isinstance(value, float) and math.isnan(value):
                raise Misfit("found NaN, expected an int; pass None for a missing value")
            raise Misfit(f"found {_show(value)}, expected an int; {_way_out('int', value)}")
        value = operator.index(value)  # type: ignore[arg-type]
    if not INT64_MIN <= value <= INT64_MAX:
        raise Misfit(f"found {_show(value)}, expected an int of 64 bits; declare the field as float or string")
    return value


def _float(value: object, assume_utc: bool) -> float:
    if type(value) is not float:
        if type_of_value(value) not in ("int", "float"):
            raise Misfit(f"found {_show(value)}, expected a float; {_way_out('float', value)}")
        try:
            value = float(value)  # type: ignore[arg-type]
        except OverflowError:
            raise Misfit(f"found {_show(value)}, expected a float; it is too large for one") from None
    if math.isnan(value):
        raise Misfit("found NaN, expected a float; pass None for a missing value")
    return value


def _bool(value: object, assume_utc: bool) -> bool:
    if type_of_value(value) != "bool":
        raise Misfit(f"found {_show(value)}, expected a bool; {_way_out('bool', value)}")
    return bool(value)


def _timestamp(value: object, assume_utc: bool) -> dt.datetime:
    given = value
    if isinstance(value, str):
        try:
            value = dt.date.fromisoformat(value) if len(value) == 10 else dt.datetime.fromisoformat(value)
        except ValueError:
            raise Misfit(f"found {_show(given)}, expected a time such as 2015-01-31T12:00:00Z") from None
    if not isinstance(value, dt.date):
        raise Misfit(f"found {_show(value)}, expected a datetime; or declare the field as {_kind(value)}")
    if not isinstance(value, dt.datetime):
        return dt.datetime(value.year, value.month, value.day, tzinfo=dt.UTC)
    if value.tzinfo is None:
        if not assume_utc:
            raise Misfit(
                f"found {_show(given)} without an offset, expected a time that says where it is; "
                "add the offset (Z for UTC), or create the index with assume_utc=True"
            )
        value = value.replace(tzinfo=dt.UTC)
    try:
        return to_utc(value)
    except OverflowError:
        raise Misfit(f"found {_show(given)}, expected a time within the years 1 to 9999 in UTC") from None


def _set(value: object, assume_utc: bool) -> tuple[str, ...]:
    if not isinstance(value, (set, frozenset, list, tuple)):
        way_out = "wrap it: [value]" if isinstance(value, str) else f"or declare the field as {_kind(value)}"
        raise Misfit(f"found {_show(value)}, expected a set or list of strings; {way_out}")
    if len(value) > MAX_MEMBERS:
        raise Misfit(f"found {len(value):,} members, expected at most {MAX_MEMBERS:,}", is_limit=True)
    for member in value:
        if not isinstance(member, str):
            raise Misfit(f"found the member {_show(member)}, expected strings only; convert it with str()")
    return tuple(sorted({_string(member, assume_utc) for member in value}))


CONVERTERS: dict[str, Callable[[object, bool], object]] = {
    "string": _string,
    "int": _int,
    "float": _float,
    "bool": _bool,
    "timestamp": _timestamp,
    "set": _set,
}


def _show(value: object) -> str:
    """Type and value, short enough for a message."""
    try:
        words = repr(value)
    except ValueError:  # an int of more digits than Python prints
        words = "of very many digits"
    return f"{type(value).__name__} {words if len(words) <= 60 else words[:57] + '...'}"


def _way_out(function: str, value: object) -> str:
    return f"convert it with {function}(), or declare the field as {_kind(value)}"


def _kind(value: object) -> str:
    return type_of_value(value) or "another type"


def article(kind: str) -> str:
    """`an int`, `a float`."""
    return f"an {kind}" if kind[0] in "aeiou" else f"a {kind}"
