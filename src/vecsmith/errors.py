"""Every error vecsmith raises on purpose, as one tree.

    VecsmithError
    ├── DataError(file, row, column)      exit 3   also ValueError
    ├── RecipeError(file, line)           exit 3   also ValueError
    ├── WhereError(column)                exit 3   also ValueError
    ├── NotEnoughData                     exit 3
    ├── UsageError                        exit 2   also ValueError
    ├── ContractError                     exit 4
    │   ├── SpaceMismatch(fields)
    │   └── Tampered
    ├── SchemaError                       exit 4   also ValueError
    ├── Locked                            exit 4
    ├── Damaged                           exit 4
    ├── Diverged(step, dataset, rows)     exit 1
    ├── ParityFailed(report)              exit 1
    ├── MissingExtra(extra)               exit 5
    └── LimitExceeded                     exit 6   also ValueError
        └── DiskFull(path)                         also OSError

A message says what was found, where, what was expected, and the way out.
"""

from collections.abc import Sequence
from pathlib import Path

__all__ = [
    "ContractError",
    "Damaged",
    "DataError",
    "DiskFull",
    "Diverged",
    "LimitExceeded",
    "Locked",
    "MissingExtra",
    "NotEnoughData",
    "ParityFailed",
    "RecipeError",
    "SchemaError",
    "SpaceMismatch",
    "Tampered",
    "UsageError",
    "VecsmithError",
    "WhereError",
]


class VecsmithError(Exception):
    """Base of all; `exit_code` is what the command line returns for it."""

    exit_code = 70


class UsageError(VecsmithError, ValueError):
    """A command or call that contradicts itself or names something that does not exist."""

    exit_code = 2


class DataError(VecsmithError, ValueError):
    """Input that cannot be read as what it claims to be.

    The message opens with the place: `faq.csv, row 812, column "answer": ...`. `row` counts data rows from 1.
    """

    exit_code = 3

    def __init__(
        self, message: str, *, file: str | Path | None = None, row: int | None = None, column: str | None = None
    ) -> None:
        self.file, self.row, self.column = file, row, column
        place = [str(file)] if file is not None else []
        place += [f"row {row}"] if row is not None else []
        place += [f'column "{column}"'] if column is not None else []
        super().__init__(f"{', '.join(place)}: {message}" if place else message)


class RecipeError(VecsmithError, ValueError):
    """A recipe that does not say what can be done; opens with `recipe.yaml, line 14: ...`."""

    exit_code = 3

    def __init__(self, message: str, *, file: str | Path | None = None, line: int | None = None) -> None:
        self.file, self.line = file, line
        place = [str(file)] if file is not None else []
        place += [f"line {line}"] if line is not None else []
        super().__init__(f"{', '.join(place)}: {message}" if place else message)


class WhereError(VecsmithError, ValueError):
    """A filter that cannot be read or does not fit the schema. `column` counts characters of the text from 1."""

    exit_code = 3

    def __init__(self, message: str, *, column: int | None = None) -> None:
        self.column = column
        super().__init__(f"where, column {column}: {message}" if column is not None else f"where: {message}")


class NotEnoughData(VecsmithError):
    """Too few documents, pairs or vectors for what was asked."""

    exit_code = 3


class ContractError(VecsmithError):
    """Vectors, a model or an index that do not belong together, or a contract that is missing."""

    exit_code = 4


class SpaceMismatch(ContractError):
    """Two makers of vectors differ in what defines the space; `fields` names every difference."""

    def __init__(self, message: str, *, fields: Sequence[str] = ()) -> None:
        self.fields = tuple(fields)
        super().__init__(message)


class Tampered(ContractError):
    """Files are not those that the contract was written for."""


class SchemaError(VecsmithError, ValueError):
    """Rows, ids, vectors or attributes that do not fit the index."""

    exit_code = 4


class Locked(VecsmithError):
    """Another process is writing here."""

    exit_code = 4


class Damaged(VecsmithError):
    """Stored files are incomplete or changed."""

    exit_code = 4


class Diverged(VecsmithError):
    """Training produced a loss or gradient that is not finite."""

    exit_code = 1

    def __init__(self, message: str, *, step: int, dataset: str | None = None, rows: Sequence[int] = ()) -> None:
        self.step, self.dataset, self.rows = step, dataset, tuple(rows)
        super().__init__(message)


class ParityFailed(VecsmithError):
    """An export gives other vectors than its model; `report` has the figures, input by input."""

    exit_code = 1

    def __init__(self, message: str, *, report: object) -> None:
        self.report = report
        super().__init__(message)


class MissingExtra(VecsmithError):
    """A feature whose packages are not installed."""

    exit_code = 5

    def __init__(self, extra: str, purpose: str, *, mend: str | None = None) -> None:
        self.extra = extra
        needs = f'{purpose} needs the extra "{extra}"' if mend is None else purpose
        mend = mend or f'pip install "vecsmith[{extra}]"'
        super().__init__(f"{needs}. Install it with: {mend}")


class LimitExceeded(VecsmithError, ValueError):
    """An input or job larger than the bound that protects the machine."""

    exit_code = 6


class DiskFull(LimitExceeded, OSError):
    """A write that found no room; what was there before is untouched."""

    def __init__(self, message: str, *, path: str | Path) -> None:
        self.path = path
        super().__init__(message)
