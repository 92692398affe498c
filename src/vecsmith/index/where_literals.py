"""Literals of a filter text, read and written: numbers, dates, times, and names that need backticks."""

import datetime as dt
import re

from vecsmith.errors import WhereError
from vecsmith.index.where_tree import Value, literal

__all__ = ["read_date", "read_number", "read_timestamp", "write_literal"]


def read_number(text: str) -> int | float:
    """An int where the text has neither point nor exponent; a float too large for its type is infinity."""
    return float(text) if re.search(r"[.eE]", text) else int(text)


def read_date(text: str, column: int | None = None) -> dt.date:
    """`2015-01-31`, nothing else."""
    try:
        if not re.fullmatch(r"\d{4}-\d\d-\d\d", text, re.ASCII):
            raise ValueError("not of the form")
        return dt.date.fromisoformat(text)
    except ValueError as error:
        raise WhereError(f"'{text[:40]}' is no date ({error}); write date '2015-01-31'", column=column) from None


def read_timestamp(text: str, column: int | None = None) -> dt.datetime:
    """ISO 8601 with an offset, as UTC."""
    try:
        time = dt.datetime.fromisoformat(text)
    except ValueError:
        raise WhereError(f"'{text[:40]}' is no time; write timestamp '2015-01-31T12:00:00Z'", column=column) from None
    if time.tzinfo is None:
        raise WhereError(
            f"the time '{text[:40]}' has no offset; write timestamp '{time.isoformat()}Z' for UTC, "
            f"or date '{time.date()}' for the whole day",
            column=column,
        )
    value = literal(time, column=column)
    assert isinstance(value, dt.datetime)
    return value


def write_literal(value: Value) -> str:
    """The text that reads back as the equal value of the same type."""
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dt.datetime):
        return f"timestamp '{value.isoformat()}'"
    if isinstance(value, dt.date):
        return f"date '{value.isoformat()}'"
    if isinstance(value, float):
        return repr(value).replace("inf", "1e999")
    return str(value)
