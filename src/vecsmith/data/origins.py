"""Where each document came from, in four bytes a document: for the message about an id that stands twice."""

import numpy as np

__all__ = ["Origins"]


class Origins:
    """File and row by document number. Rows of a block wait until `keep` says which of them became documents."""

    def __init__(self) -> None:
        self._rows: list[np.ndarray] = []  # one array per block
        self._files: list[tuple[int, str | None]] = []  # (first document, its file)
        self._count = 0
        self.waiting: list[tuple[str | None, int | None]] = []

    def wait(self, file: str | None, row: int | None) -> None:
        self.waiting.append((file, row))

    def keep(self, kept: np.ndarray) -> None:
        """Keep the waiting places of these numbers, in order, as the next documents; drop the others."""
        places = [self.waiting[number] for number in kept.tolist()]
        self._rows.append(np.array([row or 0 for _, row in places], dtype=np.int32))
        for number, (file, _) in enumerate(places):
            if not self._files or self._files[-1][1] != file:
                self._files.append((self._count + number, file))
        self._count += len(places)
        self.waiting = []

    def at(self, document: int) -> tuple[str | None, int | None]:
        """File and row of a document kept before; None where they were not told."""
        file = next((file for first, file in reversed(self._files) if first <= document), None)
        for rows in self._rows:
            if document < len(rows):
                return file, int(rows[document]) or None
            document -= len(rows)
        return None, None
