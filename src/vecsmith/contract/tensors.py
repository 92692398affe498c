"""Read safetensors files by mapping them: no copy of the weights, no torch.

The format: 8 bytes little-endian length of a JSON header, the header (name -> dtype, shape, byte range), the bytes.
"""

import hashlib
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vecsmith.errors import Damaged

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["hash_tensors", "map_tensors", "read_header"]

LONGEST_HEADER = 100_000_000  # bytes; the bound that the format's own readers use
SIZES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1}
NUMPY = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1", "U8": "u1"}


def read_header(file: Path) -> tuple[dict[str, dict[str, Any]], int]:
    """Tensors of a safetensors file: name -> {"dtype", "shape", "data_offsets"}, and where the bytes start.

    raises    Damaged: cut short, no header, or byte ranges outside the file
    """
    size = file.stat().st_size
    with open(file, "rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        if size < 8 or length > min(LONGEST_HEADER, size - 8):
            raise _damaged(file, f"its header claims {length:,} bytes and the file has {size:,}")
        try:
            header = json.loads(stream.read(length))
        except (ValueError, RecursionError) as error:
            raise _damaged(file, "its header is no JSON") from error
    if not isinstance(header, dict):
        raise _damaged(file, "its header is no JSON object")
    header.pop("__metadata__", None)
    for name, entry in header.items():
        if not _fits(entry, size - 8 - length):
            raise _damaged(file, f"tensor {name} has no dtype, shape and byte range that lie inside the file")
    return header, 8 + length


def _fits(entry: Any, room: int) -> bool:
    try:
        (start, stop), shape, dtype = entry["data_offsets"], entry["shape"], entry["dtype"]
        whole = all(isinstance(number, int) and number >= 0 for number in (start, stop, *shape))
    except (KeyError, TypeError, ValueError):
        return False
    if not whole or not isinstance(dtype, str) or not start <= stop <= room:
        return False
    return dtype not in SIZES or stop - start == math.prod(shape) * SIZES[dtype]


def map_tensors(file: Path) -> "dict[str, NDArray[Any]]":
    """Every tensor as a read-only memory map of its shape and dtype; bfloat16 has no numpy type and is left out."""
    import numpy as np

    header, base = read_header(file)
    arrays: dict[str, NDArray[Any]] = {}
    whole = np.memmap(file, dtype=np.uint8, mode="r")
    for name, entry in header.items():
        if entry["dtype"] in NUMPY:
            start, stop = entry["data_offsets"]
            arrays[name] = whole[base + start : base + stop].view(NUMPY[entry["dtype"]]).reshape(entry["shape"])
    return arrays


def hash_tensors(files: list[tuple[str, Path]]) -> str:
    """sha256 over all tensors by name, dtype, shape and bytes: what a re-save in another order leaves as it is.

    files     (prefix, path): the prefix tells modules apart, e.g. ("1_Dense", ...)
    [ours] Position-id buffers are left out: they hold 0, 1, 2, ..., and library versions differ in storing them.
    """
    digest = hashlib.sha256()
    for prefix, file, name, entry, base in sorted(_entries(files), key=lambda found: (found[0], found[2])):
        digest.update(f"{prefix}/{name} {entry['dtype']} {entry['shape']}\n".encode("utf-8", "surrogatepass"))
        start, stop = entry["data_offsets"]
        for block in _blocks(file, base + start, stop - start):
            digest.update(block)
    return digest.hexdigest()


def _entries(files: list[tuple[str, Path]]) -> Iterator[tuple[str, Path, str, dict[str, Any], int]]:
    for prefix, file in files:
        header, base = read_header(file)
        for name, entry in header.items():
            if not name.endswith("position_ids"):
                yield prefix, file, name, entry, base


def _blocks(file: Path, start: int, count: int, size: int = 1 << 20) -> Iterator[bytes]:
    with open(file, "rb") as stream:
        stream.seek(start)
        while count > 0 and (block := stream.read(min(size, count))):
            count -= len(block)
            yield block


def _damaged(file: Path, words: str) -> Damaged:
    return Damaged(f"{file}: {words}. The file is cut short or no safetensors file; copy the model again")
