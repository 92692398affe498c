"""What an archive of images holds, counted by names and headers alone; no image is unpacked or read."""

import struct
import zipfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from vecsmith.data.readers.table_lines import open_bytes
from vecsmith.errors import DataError

__all__ = ["IMAGE_ENDINGS", "count_images"]

IMAGE_ENDINGS = (".jpg", ".jpeg", ".png", ".gif", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm")


def count_images(paths: Sequence[Path]) -> dict[str, int]:
    """Counts of zip archives of images, and of IDX files (the form of MNIST).

    returns    images; classes: names of the folders that images lie in; a count for each folder above those (train,
               test)
    raises     DataError: neither a zip archive nor an IDX file, or a damaged one
    """
    counts: Counter[str] = Counter()
    classes: set[str] = set()
    for path in paths:
        if zipfile.is_zipfile(path):
            _count_zip(path, counts, classes)
        else:
            counts["images"] += _count_idx(path)
    return {**counts, "classes": len(classes)}


def _count_zip(path: Path, counts: Counter[str], classes: set[str]) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            names = [PurePosixPath(name) for name in archive.namelist()]
    except (zipfile.BadZipFile, OSError) as error:
        raise DataError(f"damaged zip archive ({error}). Fetch it again", file=path) from error
    for name in names:
        if name.suffix.lower() in IMAGE_ENDINGS:
            counts["images"] += 1
            classes.update(name.parts[-2:-1])
            counts.update(name.parts[-3:-2])


def _count_idx(path: Path) -> int:
    """Items of an IDX file with three dimensions; 0 where it has another number of them (labels)."""
    with open_bytes(path) as (file, _):
        head = file.read(8)
    if len(head) < 8 or head[:2] != b"\0\0" or not 1 <= head[3] <= 4:
        raise DataError("neither a zip archive nor an IDX file (the form of MNIST)", file=path)
    items: int = struct.unpack(">I", head[4:])[0]
    return items if head[3] == 3 else 0
