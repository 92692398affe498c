"""Rows of a table brought into shape as they stream: some left out, lists unfolded, another table joined, cells put
together. What a table's own form does not give, so that no file has to be converted by hand first.

    Shape(templates=("{title}\\n{abstract}",), where={"lang": "hi"}, each="members", join=Join("more.csv", ("id",)))
"""

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vecsmith.data.readers.table_formats import Cells
from vecsmith.errors import DataError, UsageError

__all__ = ["Join", "Shape", "fill", "is_template", "names_in"]

_FIELD = re.compile(r"\{([^{}]+)\}")
WHOLE_ROW = "*"


@dataclass(frozen=True)
class Join:
    """Cells of another table, found `by` columns that both have; `path` is relative to the table's own folder."""

    path: str
    by: tuple[str, ...]

    @classmethod
    def of(cls, value: "Join | Mapping[str, Any] | None") -> "Join | None":
        """From {"path": ..., "by": column or columns}. UsageError: other keys."""
        if value is None or isinstance(value, Join):
            return value
        if set(value) != {"path", "by"}:
            raise UsageError(f"join is {dict(value)}; it needs the keys path and by, and no other")
        by = value["by"]
        return cls(str(value["path"]), (by,) if isinstance(by, str) else tuple(by))


@dataclass
class Shape:
    """How rows are brought into shape, in this order.

    where, unless    column -> a value or values (as text): only rows that have one of them; no row that has one
    each             a column that holds lists: a row for each member, the list's place taken by the member
    join             see `Join`; a row without a partner is an error
    templates        texts with {columns}: a cell of that name is added, the columns in it are taken away unless kept
    kept             columns that stay though a template uses them
    apart            columns that {*} leaves out: a row's label is no part of its text
    left_out         rows that `where` and `unless` left out, of the last reading
    """

    templates: tuple[str, ...] = ()
    where: Mapping[str, Any] = field(default_factory=dict)
    unless: Mapping[str, Any] = field(default_factory=dict)
    each: str | None = None
    join: Join | None = None
    kept: frozenset[str] = frozenset()
    apart: frozenset[str] = frozenset()
    left_out: int = 0

    @property
    def is_plain(self) -> bool:
        """Whether rows stay as they are."""
        return not (self.templates or self.where or self.unless or self.each or self.join)

    def apply(
        self, rows: Iterator[Cells], path: Path, open_other: Callable[[Path], Iterator[Cells]]
    ) -> Iterator[Cells]:
        """Rows in shape, under the numbers they had. DataError: a column that is asked for is missing."""
        self.left_out = 0
        wanted = {name: _texts(values) for name, values in self.where.items()}
        unwanted = {name: _texts(values) for name, values in self.unless.items()}
        partners = None if self.join is None else _partners(self.join, path.parent / self.join.path, open_other)
        used = {name.partition(".")[0] for template in self.templates for name in names_in(template)}
        hidden = used - self.kept - {WHOLE_ROW}
        for row, cells in rows:
            if not _passes(cells, wanted, unwanted, path, row):
                self.left_out += 1
                continue
            for unfolded in [cells] if self.each is None else _unfold(cells, self.each, path, row):
                if partners is not None and self.join is not None:
                    unfolded = {**unfolded, **_partner(unfolded, self.join, partners, path, row)}
                if not self.templates:
                    yield row, unfolded
                    continue
                if missing := sorted(hidden - unfolded.keys()):
                    _check_names(missing[0], unfolded, path, row)
                made = {template: fill(template, unfolded, self.apart) for template in self.templates}
                yield row, {**{name: cell for name, cell in unfolded.items() if name not in hidden}, **made}


def is_template(name: str | None) -> bool:
    """Whether the name of a column is a text with {columns} in it."""
    return name is not None and _FIELD.search(name) is not None


def names_in(template: str) -> list[str]:
    """The columns that a template names, paths and all."""
    return _FIELD.findall(template)


def fill(template: str, cells: Mapping[str, Any], apart: Collection[str] = ()) -> str:
    """A template with cells in their places, without outer white space.

    {a.b} goes into objects, and into every member of a list; lists stand line by line, objects as "name: value, ...";
    {*} is the whole row so, without the columns of `apart`. Empty cells leave nothing, nor the punctuation before them.

    >>> fill("{title}. {more.year}", {"title": "Ed Wood", "more": {"year": 1994}})
    'Ed Wood. 1994'
    >>> fill("{*}", {"age": 39, "job": "", "sex": "Male"})
    'age: 39, sex: Male'
    """
    parts: list[str] = []
    place = 0
    for found in _FIELD.finditer(template):
        whole = {name: cell for name, cell in cells.items() if name not in apart} if found[1] == WHOLE_ROW else None
        text = _text(whole if whole is not None else _reach(cells, found[1].split(".")))
        between = template[place : found.start()]
        if text and (between.strip() or parts or between):
            parts.append(between)
        parts += [text] if text else []
        place = found.end()
    return ("".join(parts) + (template[place:] if parts else "")).strip()


def _reach(value: Any, path: Sequence[str]) -> Any:
    if not path:
        return value
    if isinstance(value, Mapping):
        if (whole := ".".join(path)) in value:  # a column whose own name has dots
            return value[whole]
        return _reach(value.get(path[0]), path[1:])
    if isinstance(value, list | tuple):
        return [_reach(member, path) for member in value]
    return None


def _text(value: Any) -> str:
    if value is None or value == "":
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping):
        pairs = ((name.strip(), _text(member)) for name, member in value.items())
        return ", ".join(f"{name}: {text}" for name, text in pairs if text)
    if isinstance(value, list | tuple):
        return "\n".join(text for text in map(_text, value) if text)
    return str(value)


def _texts(values: Any) -> frozenset[str]:
    members = values if isinstance(values, list | tuple | set | frozenset) else [values]
    return frozenset(str(member) for member in members)


def _passes(
    cells: Mapping[str, Any], wanted: Mapping[str, Any], unwanted: Mapping[str, Any], path: Path, row: int
) -> bool:
    for name, values in wanted.items():
        if str(_named(cells, name, path, row)) not in values:
            return False
    return all(str(_named(cells, name, path, row)) not in values for name, values in unwanted.items())


def _named(cells: Mapping[str, Any], name: str, path: Path, row: int) -> Any:
    if name not in cells:
        _check_names(name, cells, path, row)
    return cells[name]


def _check_names(name: str, cells: Mapping[str, Any], path: Path, row: int) -> None:
    raise DataError(f'no column "{name}" in this row (it has: {", ".join(cells)})', file=path, row=row)


def _unfold(cells: dict[str, Any], name: str, path: Path, row: int) -> Iterable[dict[str, Any]]:
    members = _named(cells, name, path, row)
    if members is None:
        return []
    if not isinstance(members, list | tuple):
        raise DataError(f"no list ({str(members)[:40]!r}); each= unfolds lists", file=path, row=row, column=name)
    return [{**cells, name: member} for member in members]


def _partners(join: Join, other: Path, open_other: Callable[[Path], Iterator[Cells]]) -> dict[tuple[str, ...], Any]:
    found: dict[tuple[str, ...], Any] = {}
    for row, cells in open_other(other):
        key = tuple(str(_named(cells, name, other, row)) for name in join.by)
        if key in found:
            raise DataError(f"a second row for {dict(zip(join.by, key, strict=True))}", file=other, row=row)
        found[key] = {name: cell for name, cell in cells.items() if name not in join.by}
    return found


def _partner(
    cells: Mapping[str, Any], join: Join, partners: Mapping[tuple[str, ...], Any], path: Path, row: int
) -> Mapping[str, Any]:
    key = tuple(str(_named(cells, name, path, row)) for name in join.by)
    if key not in partners:
        named = ", ".join(f"{name} {value}" for name, value in zip(join.by, key, strict=True))
        raise DataError(f"{join.path} has no row with {named}", file=path, row=row)
    partner: Mapping[str, Any] = partners[key]
    if both := sorted(partner.keys() & cells.keys()):
        raise DataError(f'both tables have a column "{both[0]}"; rename one', file=path, row=row, column=both[0])
    return partner
