"""What the training files of other libraries hold row by row: a query, its passages, and what is known about them."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vecsmith.errors import DataError, UsageError

if TYPE_CHECKING:
    from vecsmith.data.dataset_builder import DatasetBuilder

__all__ = ["Example", "ExampleOptions", "Passage", "Row", "write_examples"]

ON_EMPTY = ("error", "skip")


@dataclass(frozen=True)
class Passage:
    """A positive or negative; `id` is the source's own."""

    text: str
    id: str | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict)


@dataclass
class Example:
    """A row as `DatasetBuilder.add_record` takes it, with passages in the place of texts."""

    query: str
    positives: list[Passage]
    negatives: list[Passage] = field(default_factory=list)
    kind: str = "retrieval"
    fields: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ExampleOptions:
    """How rows are read: keys that are left out, a kind for all of them, what happens where a text is missing."""

    ignore: tuple[str, ...] = ()
    kind: str | None = None
    on_empty: str = "error"
    score_range: tuple[float, float] = (0.0, 1.0)

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> "ExampleOptions":
        """From the arguments of `vecsmith.read`. UsageError: an unknown value of on_empty."""
        ignore = given.get("ignore") or ()
        on_empty = given.get("on_empty") or "error"
        if on_empty not in ON_EMPTY:
            raise UsageError(f'on_empty is "{on_empty}"; known: {", ".join(ON_EMPTY)}')
        return cls(
            (ignore,) if isinstance(ignore, str) else tuple(ignore),
            given.get("kind"),
            on_empty,
            tuple(given.get("score_range") or (0.0, 1.0)),
        )


@dataclass(frozen=True)
class Row:
    """One row of a file, with the questions that every format asks it."""

    cells: Mapping[str, Any]
    file: Path
    number: int

    def error(self, message: str, column: str | None = None) -> DataError:
        return DataError(message, file=self.file, row=self.number, column=column)

    def check_names(self, known: Iterable[str], ignore: Sequence[str]) -> None:
        """DataError: a key that the format does not have and nobody left out; keys of null are none."""
        if "*" in ignore:
            return
        for name in self.cells:
            if name not in known and name not in ignore and self.cells[name] is not None:
                raise self.error(
                    f'no key of this format ({", ".join(known)}). Leave it out: ignore=["{name}"], --ignore {name}',
                    name,
                )

    def text(self, name: str) -> str | None:
        """The text of a cell; None where it is absent, null or blank."""
        return as_text(self.cells.get(name), self, name)

    def texts(self, name: str) -> list[str | None]:
        """The texts of a cell that holds a list (one text alone counts as a list of one); None for blank ones."""
        value = self.cells.get(name)
        if value is None:
            return []
        values = value if isinstance(value, list) else [value]
        return [as_text(each, self, name) for each in values]

    def numbers(self, name: str, count: int, of: str) -> list[float] | None:
        """As many numbers as there are texts in `of`; None where the cell is absent, null or an empty list."""
        value = self.cells.get(name)
        if value is None or (value == [] and count == 0):
            return None
        numbers = value if isinstance(value, list) else [value]
        if not all(isinstance(each, int | float) and not isinstance(each, bool) for each in numbers):
            raise self.error(f"{str(value)[:40]!r}; a list of numbers was expected", name)
        if len(numbers) != count:
            raise self.error(f'{len(numbers)} scores for {count} texts in "{of}"; give one for each', name)
        return [float(each) for each in numbers]


def as_text(value: Any, row: Row, name: str) -> str | None:
    if value is None or (isinstance(value, str) and (not value or value.isspace())):
        return None
    if not isinstance(value, str):
        raise row.error(f"{str(value)[:40]!r} is a {type(value).__name__}; a text was expected", name)
    return value


def write_examples(
    builder: "DatasetBuilder",
    examples: Iterator[tuple[Row, Example | str]],
    *,
    split: str | None,
    options: ExampleOptions,
) -> Counter[str]:
    """Passages as documents (each once), rows as records.

    examples   a row with its example, or with the name of what it lacks
    returns    what was passed over: reason -> count
    raises     DataError: a row lacks a text, unless options.on_empty is "skip"
    """
    passed_over: Counter[str] = Counter()
    for row, example in examples:
        if isinstance(example, str):
            if options.on_empty != "skip":
                raise row.error(
                    'empty; text is needed here. Fill it, or pass on_empty="skip" (skipped rows are counted)', example
                )
            passed_over[f"rows without {example} were skipped"] += 1
            continue
        origin = (str(row.file), row.number)
        kind = options.kind or example.kind
        if kind not in ("pair", "scored"):
            for passage in (*example.positives, *example.negatives):
                builder.add_document(passage.id, passage.text, passage.attributes, origin=origin, repeated=True)
        positives, negatives = ([passage.text for passage in side] for side in (example.positives, example.negatives))
        if example.fields.get("scores") is None and example.fields.get("teacher_scores") is None:
            positives, negatives = list(dict.fromkeys(positives)), list(dict.fromkeys(negatives))
        builder.add_record(
            query=example.query,
            positives=positives,
            negatives=negatives,
            kind=kind,
            split=split,
            origin=origin,
            **example.fields,
        )
    return passed_over
