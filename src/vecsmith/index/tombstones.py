"""Which rows of a segment are deleted: a whole bitmap per segment and generation that changed it, written once."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xxhash
from numpy.typing import NDArray

from vecsmith.atomic import open_atomic
from vecsmith.errors import Damaged

__all__ = ["read_alive", "write_dead"]


def write_dead(folder: Path, name: str, dead: NDArray[np.bool_], *, durable: bool = True) -> dict[str, Any]:
    """Write the bitmap of the deleted rows, bool [n]; returns the catalog's entry."""
    bits = np.packbits(dead, bitorder="little").tobytes()
    with open_atomic(folder / name, durable=durable) as file:
        file.write(bits)
    return {"name": name, "dead": int(dead.sum()), "bytes": len(bits), "xxh3": xxhash.xxh3_128_hexdigest(bits)}


def read_alive(folder: Path, entry: Mapping[str, Any], rows: int) -> NDArray[np.bool_]:
    """The rows that live: bool [rows]. The file is small and always checked whole."""
    path = folder / entry["name"]
    try:
        bits = path.read_bytes()
    except FileNotFoundError:
        raise Damaged(f"{path} is missing; restore it from a backup, or build the index again") from None
    if len(bits) != entry["bytes"] or xxhash.xxh3_128_hexdigest(bits) != entry["xxh3"]:
        raise Damaged(
            f"{path} is not what was written ({entry['bytes']} bytes, {entry['xxh3']}); restore it from a backup"
        )
    dead = np.unpackbits(np.frombuffer(bits, dtype=np.uint8), count=rows, bitorder="little")
    return dead == 0
