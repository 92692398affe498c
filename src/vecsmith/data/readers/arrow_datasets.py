"""Data sets that Hugging Face `datasets` wrote to disk, read with pyarrow alone.

    save_to_disk    a folder with state.json, dataset_info.json and data-*.arrow
    DatasetDict     a folder with dataset_dict.json and such a folder for each split

Whole numbers of a ClassLabel become the names of their classes. The same features stand in parquet files of the hub.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vecsmith.data.readers.features import class_names, named_classes, read_description
from vecsmith.data.readers.folders import Files
from vecsmith.data.readers.splits import side_of
from vecsmith.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["arrow_files", "is_arrow_dataset", "read_arrow"]

LONGEST_NAME = 255  # bytes of a file's name, on the file systems there are
Told = Callable[[int], None] | None


def is_arrow_dataset(folder: Path) -> bool:
    """Whether `datasets` saved this folder."""
    return (folder / "dataset_dict.json").is_file() or (folder / "state.json").is_file()


def arrow_files(folder: Path) -> Files:
    """Split -> Arrow files; "" where the folder is one data set without splits.

    raises   DataError: a description that cannot be read, a file that is missing, rows chosen by an index file
    """
    if not (folder / "dataset_dict.json").is_file():
        return {"": _data_files(folder)}
    splits = read_description(folder / "dataset_dict.json").get("splits")
    if not isinstance(splits, list) or not splits:
        raise DataError('no list of "splits". Save the data set again', file=folder / "dataset_dict.json")
    return {side_of(str(split)): _data_files(_below(folder, str(split))) for split in splits}


def _data_files(folder: Path) -> tuple[Path, ...]:
    state = read_description(folder / "state.json")
    if state.get("_indices_files") or state.get("_indices_data_files"):
        raise DataError(
            "rows chosen by an index file; call flatten_indices() and save again", file=folder / "state.json"
        )
    entries = state.get("_data_files")
    if not isinstance(entries, list) or not all(isinstance(each, dict) and "filename" in each for each in entries):
        raise DataError('no list of "_data_files". Save the data set again', file=folder / "state.json")
    files = tuple(_below(folder, str(each["filename"])) for each in entries)
    if missing := [file for file in files if not file.is_file()]:
        raise DataError("missing, though state.json names it. Copy or save the data set again", file=missing[0])
    return files


def _below(folder: Path, name: str) -> Path:
    if Path(name).name != name or len(name.encode("utf-8", "backslashreplace")) > LONGEST_NAME:
        raise DataError(f'names "{name[:80]}", which lies outside of its folder, or is no name of a file', file=folder)
    return folder / name


def read_arrow(path: Path, *, told: Told = None) -> Iterator[tuple[int, dict[str, Any]]]:
    """Rows of an Arrow file, as a stream or as a file, block by block. DataError: it cannot be read."""
    import pyarrow as pa

    size = path.stat().st_size
    try:
        with pa.memory_map(str(path)) as source:
            row = at = 0
            for block in _blocks(source):
                block.validate(full=True)
                names = class_names(block.schema, path)
                for start in range(0, block.num_rows, 4096):
                    for cells in block.slice(start, 4096).to_pylist():
                        row += 1
                        yield row, named_classes(cells, names)
                if told is not None:
                    told(max(0, source.tell() - at) if source.tell() <= size else 0)
                    at = source.tell()
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"no Arrow file that can be read ({error}). Save or fetch it again", file=path) from error


def _blocks(source: Any) -> "Iterator[pa.RecordBatch]":
    import pyarrow as pa

    head = source.read(6)
    source.seek(0)
    if head == b"ARROW1":
        file = pa.ipc.open_file(source)
        yield from (file.get_batch(number) for number in range(file.num_record_batches))
    else:
        yield from pa.ipc.open_stream(source)
