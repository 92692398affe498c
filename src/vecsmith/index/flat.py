"""Plain mapped files: an array with its dtype in the name, and a list of texts as one blob with offsets.

Arrow IPC would hold the same, but importing pyarrow alone takes a fifth of the second that a cold search may take.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from vecsmith.errors import Damaged

__all__ = ["TextWriter", "Texts", "map_array", "write_array"]


def write_array(path: Path, values: NDArray[Any], dtype: str) -> None:
    """Little endian, nothing but the values."""
    with open(path, "wb") as file:
        np.ascontiguousarray(values, dtype=dtype).tofile(file)


def map_array(path: Path, dtype: str, *, offset: int = 0) -> NDArray[Any]:
    """A file as a read-only mapped array; an empty file cannot be mapped and is an empty array."""
    if path.stat().st_size <= offset:
        return np.empty(0, dtype=dtype)
    return np.memmap(path, dtype=dtype, mode="r", offset=offset).view(np.ndarray)


class TextWriter:
    """Texts as `<name>.utf8` and their ends as `<name>.u64`, written as they come."""

    def __init__(self, folder: Path, name: str) -> None:
        self._blob: IO[bytes] = open(folder / f"{name}.utf8", "wb")  # noqa: SIM115  closed by close()
        self._ends: IO[bytes] = open(folder / f"{name}.u64", "wb")  # noqa: SIM115
        self._end = 0

    def add(self, texts: Iterable[str]) -> None:
        blobs = [text.encode("utf-8", "surrogatepass") for text in texts]
        ends = self._end + np.cumsum([len(blob) for blob in blobs], dtype="<u8")
        self._blob.write(b"".join(blobs))
        self._ends.write(ends.astype("<u8").tobytes())
        self._end = int(ends[-1]) if len(ends) else self._end

    def close(self) -> None:
        self._blob.close()
        self._ends.close()


class Texts:
    """The mapped texts that a `TextWriter` wrote."""

    def __init__(self, folder: Path, name: str) -> None:
        self._path = folder / f"{name}.utf8"
        self._blob = map_array(self._path, "u1")
        self._ends = map_array(folder / f"{name}.u64", "<u8")

    def __len__(self) -> int:
        return len(self._ends)

    def __call__(self, rows: "Sequence[int] | NDArray[np.integer[Any]]") -> list[str]:
        found = []
        for row in rows:
            start = int(self._ends[row - 1]) if row else 0
            data = self._blob[start : int(self._ends[row])].tobytes()
            try:
                found.append(data.decode("utf-8", "surrogatepass"))
            except UnicodeDecodeError as error:
                raise Damaged(
                    f"{self._path}: row {row} is no UTF-8, so the file was changed. Build the segment again: add its "
                    "documents to a new index"
                ) from error
        return found
