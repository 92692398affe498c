"""What attributes a document of an index has, and which values fit them.

Six types: `string` (kept as given, never normalised, at most 64 KiB of UTF-8), `int` (64 bits), `float` (NaN refused),
`bool` (not an int), `timestamp` (microseconds, UTC) and `set` (of strings; duplicates collapse). Every type may be
null: `None`, or the field left out. A schema is declared once, or inferred at the first add and then fixed.
"""

import datetime as dt
import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from vecsmith.errors import LimitExceeded, SchemaError
from vecsmith.index.values import CONVERTERS, Misfit, article, type_of_value

__all__ = ["MAX_FIELDS", "RESERVED", "TYPES", "Schema"]

TYPES = ("string", "int", "float", "bool", "timestamp", "set")
RESERVED = ("id", "score", "vector")
MAX_FIELDS = 1_000
MAX_NAME = 255

_BY_PYTHON_TYPE: dict[object, str] = {
    str: "string",
    int: "int",
    float: "float",
    bool: "bool",
    dt.datetime: "timestamp",
    dt.date: "timestamp",
    set: "set",
    frozenset: "set",
    list: "set",
    tuple: "set",
}
_BY_OTHER_NAME = {"str": "string", "text": "string", "datetime": "timestamp", "date": "timestamp", "boolean": "bool"}


@dataclass(frozen=True)
class Schema:
    """Field names and their types, in the order they were declared.

    pairs        ((name, type), ...); types are those of `TYPES`
    assume_utc   a time without an offset is taken as UTC; without it such a time is refused
    """

    pairs: tuple[tuple[str, str], ...] = ()
    assume_utc: bool = False

    @classmethod
    def of(cls, declared: "Mapping[str, object] | Schema | None", *, assume_utc: bool = False) -> "Schema":
        """The schema that a user wrote: `{"year": int, "tags": "set"}`, with Python types or names of types.

        raises   SchemaError: a name or type that cannot be (named, with the nearest one); LimitExceeded: over 1,000
        >>> Schema.of({"year": int, "tags": set}).pairs
        (('year', 'int'), ('tags', 'set'))
        """
        if isinstance(declared, Schema):
            return declared
        declared = declared or {}
        if len(declared) > MAX_FIELDS:
            raise LimitExceeded(f"{len(declared):,} fields; an index takes at most {MAX_FIELDS:,}")
        pairs = []
        for name, kind in declared.items():
            check_name(name)
            pairs.append((str(name), _type_named(name, kind)))
        return cls(tuple(pairs), assume_utc)

    @classmethod
    def infer(
        cls, columns: Mapping[str, Sequence[object]], ids: Sequence[str] = (), *, assume_utc: bool = False
    ) -> "Schema":
        """The schema that fits these values; int and float together are float.

        raises   SchemaError: a field with only nulls, or with values of two types (both documents named)
        """
        return cls.of({name: _infer_type(name, values, ids) for name, values in columns.items()}, assume_utc=assume_utc)

    @property
    def types(self) -> dict[str, str]:
        """Field -> type, in declared order."""
        return dict(self.pairs)

    @property
    def fields(self) -> tuple[str, ...]:
        """The field names, in declared order."""
        return tuple(name for name, _ in self.pairs)

    def nearest(self, name: str) -> str:
        """Words that help with a name that is not a field: the nearest one, and those that exist."""
        near = difflib.get_close_matches(name, self.fields, n=1, cutoff=0.5)
        lowered = [known for known in self.fields if known.lower() == name.lower()]
        guess = (lowered or near)[:1]
        words = f'did you mean "{guess[0]}"? ' if guess else ""
        shown = ", ".join(self.fields[:20]) + (", ..." if len(self.fields) > 20 else "")
        return f"{words}(fields: {shown or 'none'})"

    def columns_of(
        self, rows: Sequence[Mapping[str, object]], ids: Sequence[str], *, on_unknown: str = "error"
    ) -> dict[str, list[object]]:
        """Attribute dicts of documents, turned into one list per field; a field left out is null. Not yet checked.

        on_unknown   "error" or "ignore": what a key that is no field does
        raises       SchemaError naming the document and the nearest field
        """
        known = self.types
        if on_unknown not in ("error", "ignore"):
            raise ValueError(f'on_unknown is {on_unknown!r}; it takes "error" or "ignore"')
        if on_unknown == "error":
            for number, row in enumerate(rows):
                for name in row:
                    if name not in known:
                        raise SchemaError(
                            f'{_document(ids, number)}: "{name}" is no field of this index; '
                            f"{self.nearest(str(name))}. Declare it in the schema when the index is created, "
                            'or pass on_unknown="ignore"'
                        )
        return {name: [row.get(name) for row in rows] for name in known}

    def check(self, columns: Mapping[str, Sequence[object]], ids: Sequence[str]) -> dict[str, list[object]]:
        """The columns with every value in its stored form: str, int, float, bool, datetime in UTC, sorted tuple, None.

        columns   field -> values, one per id; a field left out is all null
        raises    SchemaError naming document, field, found, expected and the way out; LimitExceeded likewise
        """
        for name, values in columns.items():
            if name not in self.types:
                raise SchemaError(f'"{name}" is no field of this index; {self.nearest(name)}')
            if len(values) != len(ids):
                raise SchemaError(f'field "{name}" has {len(values):,} values for {len(ids):,} documents')
        return {
            name: self._check_column(name, kind, columns[name], ids) if name in columns else [None] * len(ids)
            for name, kind in self.pairs
        }

    def _check_column(self, name: str, kind: str, values: Sequence[object], ids: Sequence[str]) -> list[object]:
        convert = CONVERTERS[kind]
        checked: list[object] = []
        for number, value in enumerate(values):
            try:
                checked.append(None if value is None else convert(value, self.assume_utc))
            except Misfit as misfit:
                error = LimitExceeded if misfit.is_limit else SchemaError
                raise error(f'{_document(ids, number)}, field "{name}": {misfit}') from None
        return checked

    def to_json(self) -> dict[str, object]:
        """A value for JSON; `from_json` gives the same schema back."""
        return {"fields": [{"name": name, "type": kind} for name, kind in self.pairs], "assume_utc": self.assume_utc}

    @classmethod
    def from_json(cls, value: object) -> "Schema":
        """The schema of `to_json`; raises SchemaError where the value is not one."""
        try:
            fields = value["fields"]  # type: ignore[index]
            declared = {field["name"]: field["type"] for field in fields}
            assume_utc = value["assume_utc"]  # type: ignore[index]
        except (TypeError, KeyError) as error:
            raise SchemaError(f"not a stored schema: {str(value)[:80]}") from error
        if len(declared) != len(fields) or not isinstance(assume_utc, bool):
            raise SchemaError(f"not a stored schema: {str(value)[:80]}")
        return cls.of(declared, assume_utc=assume_utc)


def check_name(name: object) -> None:
    """Refuse names that an index keeps for itself or that cannot be written."""
    if not isinstance(name, str) or not name:
        raise SchemaError(f"a field name is {name!r}; it must be a text of at least one character")
    if len(name) > MAX_NAME:
        raise LimitExceeded(f"the field name {name[:40]!r}... has {len(name):,} characters; {MAX_NAME} are allowed")
    if re.search(r"[\x00-\x1f\ud800-\udfff]", name):
        raise SchemaError(f"the field name {name!r} has control characters or broken unicode; rename the field")
    if name.startswith("_") or name.lower() in RESERVED:
        raise SchemaError(
            f'"{name}" is reserved ({", ".join(RESERVED)} and names that open with "_"); '
            f'call the field "{name.strip("_").lower() or "field"}_value" or the like'
        )


def _type_named(name: str, kind: object) -> str:
    if isinstance(kind, str):
        lowered = _BY_OTHER_NAME.get(kind.lower(), kind.lower())
        if lowered in TYPES:
            return lowered
        near = difflib.get_close_matches(lowered, TYPES, n=1)
        hint = f' Did you mean "{near[0]}"?' if near else ""
        raise SchemaError(f'field "{name}": no type "{kind}".{hint} Types: {", ".join(TYPES)}')
    origin = getattr(kind, "__origin__", kind)  # set[str], list[str]
    if origin in _BY_PYTHON_TYPE:
        return _BY_PYTHON_TYPE[origin]
    raise SchemaError(
        f'field "{name}": {kind!r} is no type of an attribute. Use str, int, float, bool, datetime or set, '
        f"or a name: {', '.join(TYPES)}"
    )


def _infer_type(name: str, values: Sequence[object], ids: Sequence[str]) -> str:
    kind, first = None, 0
    for number, value in enumerate(values):
        if value is None:
            continue
        found = type_of_value(value)
        if found is None:
            raise SchemaError(
                f'{_document(ids, number)}, field "{name}": {type(value).__name__} is no attribute value; '
                "use str, int, float, bool, datetime, or a set or list of str"
            )
        if kind is None:
            kind, first = found, number
        elif {kind, found} == {"int", "float"}:
            kind = "float"
        elif kind != found:
            raise SchemaError(
                f'field "{name}": {_document(ids, first)} has {article(kind)}, '
                f"{_document(ids, number)} {article(found)}; "
                "a field has one type. Declare it in the schema, or convert the values"
            )
    if kind is None:
        raise SchemaError(
            f'field "{name}": all {len(values):,} values are null, so its type cannot be inferred; '
            f'declare it, for example schema={{"{name}": str}}'
        )
    return kind


def _document(ids: Sequence[str], number: int) -> str:
    return f'document "{ids[number]}"' if number < len(ids) else f"row {number}"
