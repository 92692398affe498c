"""A hash of tables by their values: how they are cut into chunks, sliced or stored changes nothing."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import xxhash

__all__ = ["fingerprint_tables"]

BLOCK = 65536


def fingerprint_tables(*tables: pa.Table) -> str:
    """32 hex digits of column names, types and values of all tables, in their order."""
    total = xxhash.xxh3_128()
    for table in tables:
        for name in table.column_names:
            column = table[name]
            total.update(f"{name}:{column.type}:{len(column)};".encode())
            streams: dict[str, xxhash.xxh3_128] = {}
            for chunk in column.chunks:
                for start in range(0, len(chunk), BLOCK):
                    for stream, values in _streams(chunk.slice(start, BLOCK)):
                        streams.setdefault(stream, xxhash.xxh3_128()).update(np.ascontiguousarray(values).data)
            for stream in sorted(streams):
                total.update(stream.encode() + streams[stream].digest())
    return total.hexdigest()


def _streams(array: pa.Array, path: str = "") -> Iterator[tuple[str, np.ndarray]]:
    """The parts of an array, each of which hashes alike however the array is cut: nulls, lengths, values."""
    yield f"{path}valid", pc.is_valid(array).cast(pa.uint8()).to_numpy(zero_copy_only=False)
    if pa.types.is_list(array.type):
        yield f"{path}lengths", pc.fill_null(pc.list_value_length(array), 0).to_numpy(zero_copy_only=False)
        yield from _streams(array.flatten(), f"{path}item.")
    elif pa.types.is_string(array.type):
        array = array.fill_null("")
        yield f"{path}lengths", pc.binary_length(array).to_numpy(zero_copy_only=False)
        offsets = np.frombuffer(array.buffers()[1], np.int32)[array.offset : array.offset + len(array) + 1]
        data = array.buffers()[2]
        if data is not None and len(offsets):
            yield f"{path}bytes", np.frombuffer(data, np.uint8)[offsets[0] : offsets[-1]]
    elif pa.types.is_fixed_size_binary(array.type):
        width = array.type.byte_width
        values = np.frombuffer(array.buffers()[1], np.uint8)
        yield f"{path}bytes", values[array.offset * width : (array.offset + len(array)) * width]
    elif pa.types.is_boolean(array.type):
        yield from _streams(array.cast(pa.uint8()), f"{path}bool.")
    else:
        if pa.types.is_timestamp(array.type):
            array = array.cast(pa.int64())
        yield f"{path}values", array.fill_null(0).to_numpy(zero_copy_only=False)
